"""The server without a transport: every protocol front converts, calls this, and converts back.

What crosses this line is dataclasses and arrays, no protobuf object and nothing of a transport.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import version as distribution_version
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from gluonserve.errors import GluonserveError, ModelNotReady, ServerNotReady
from gluonserve.recording import OUTCOMES, Outcome
from gluonserve.repository.model import ModelState

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve.batching.answer import Answer
    from gluonserve.recording import ModelStatistics
    from gluonserve.repository.model import ModelVersion
    from gluonserve.repository.repository import Repository
    from gluonserve.tensors import TensorSpec

PLATFORM = "mxnet_mxnet"
EXTENSIONS = (
    "classification",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
_NOTHING: Mapping[str, int] = MappingProxyType({})
_EARLY_S, _EARLY = 0.01, 0.02
"""How much before its deadline, and of the time it had, a cancelled request counts as late."""


@dataclass(slots=True)
class InferRequest:
    """One inference, decoded: ``inputs`` are typed and shaped arrays that need not be writable.

    ``version`` is empty for whichever the model serves by default. ``outputs`` filters and is empty
    for all. ``classification`` asks for the top k of an output as ``value:index[:label]``.
    ``deadline`` is on the event loop's clock. A name that the message gave twice must be refused
    while decoding. ``arrived_ns`` (``time.perf_counter_ns``) is when decoding began, 0 for now;
    ``decode_ns`` how long it took.
    """

    model: str
    inputs: Mapping[str, np.ndarray]
    version: str = ""
    id: str = ""
    outputs: tuple[str, ...] = ()
    deadline: float | None = None
    priority: int = 0
    classification: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=lambda: _NOTHING)
    arrived_ns: int = 0
    decode_ns: int = 0


@dataclass(slots=True)
class InferResponse:
    """The answer: ``outputs`` in the model's order, with each one's protocol datatype beside it.

    A ``BYTES`` output (classification) is an array of ``bytes`` objects.
    """

    model: str
    version: str
    id: str
    outputs: dict[str, np.ndarray]
    datatypes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """Who answers, and which protocol extensions it has."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives; shapes are whole, the batch axis is -1.

    ``versions`` are those that serve. ``properties`` are facts for people: executor, device,
    precision, why the executor was chosen, whether and why not requests are batched, notes.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """How a model is served, in the terms of the protocol's configuration extension.

    Where ``max_batch_size`` is above 0, axis 0 of every input is the batch, and a configuration's
    dims leave it out; at 0 the dims are the whole shapes. ``max_delay_us`` is None where requests
    are not batched.
    """

    name: str
    version: str
    platform: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_delay_us: int | None
    max_queue_rows: int
    instances: int
    device: str
    labels: str
    warmup_rows: tuple[int, ...]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version (empty where there is none) of one model in the repository's index."""

    name: str
    version: str
    state: str
    reason: str


class Caller(Protocol):
    """Who is told what came of a request, on the event loop; a future is one."""

    def done(self) -> bool:
        """Whether it does not want to know any more."""
        ...

    def set_result(self, response: InferResponse, /) -> None:
        """The answer."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """What went wrong."""
        ...


class Inference:
    """One request from its batcher's queue to its outcome: a ``Reply`` that counts it, once."""

    __slots__ = (
        "_caller",
        "_done",
        "_model",
        "_pending",
        "_request",
        "_rows",
        "_selection",
        "_start",
    )

    def __init__(
        self, request: InferRequest, model: ModelVersion, start: int, caller: Caller
    ) -> None:
        self._request, self._model, self._start, self._caller = request, model, start, caller
        self._rows, feeds = model.check(request.inputs)
        chosen = request.outputs or request.classification
        self._selection = model.select(request.outputs, request.classification) if chosen else None
        self._done = False
        self._pending = model.batcher.enqueue(
            feeds, self, deadline=request.deadline, priority=request.priority
        )
        model.recorder.inflight += 1

    def cancel(self) -> None:
        """Nobody waits for the answer any more; nothing if there is an outcome."""
        if not self._done:
            self._model.batcher.leave(self._pending)
            spent = self._end()
            self._model.recorder.ended(_cancelled_as(self._request.deadline, spent), spent)

    def done(self) -> bool:
        """Whether there is an outcome, or nobody waits for one."""
        return self._done

    def set_result(self, answer: Answer, /) -> None:
        """The batch has run."""
        outputs, timing = answer
        request, model = self._request, self._model
        datatypes = model.datatypes
        if self._selection is not None:
            try:
                outputs, datatypes = self._selection.apply(outputs)
            except Exception as error:  # noqa: BLE001 - others of the batch must not hear of it
                self.set_exception(error)
                return
        caller = self._caller
        self._end()
        model.recorder.succeeded(self._rows, request.decode_ns, self._start, timing)
        if not caller.done():
            caller.set_result(
                InferResponse(model.name, model.version_text, request.id, outputs, datatypes)
            )

    def set_exception(self, error: BaseException, /) -> None:
        """It will not be answered."""
        outcome = OUTCOMES[error.kind] if isinstance(error, GluonserveError) else Outcome.FAILED
        caller = self._caller
        self._model.recorder.ended(outcome, self._end())
        if not caller.done():
            caller.set_exception(error)

    def _end(self) -> int:
        """Be done; the nanoseconds since the request arrived.

        Lets go of whoever holds it: tensors should not wait for the collector of cycles.
        """
        self._done = True
        del self._caller, self._pending
        self._model.recorder.inflight -= 1
        return perf_counter_ns() - self._start


class DataPlane:
    """Answers for every model of a repository; one per process, on the event loop's thread."""

    def __init__(self, repository: Repository, *, strict_readiness: bool = True) -> None:
        self._repository = repository
        self._strict = strict_readiness
        self._draining = self._closed = False
        self.turned_away = 0
        """Requests that were refused because no further one is taken."""

    def live(self) -> bool:
        """Whether the process answers at all."""
        return True

    def ready(self) -> bool:
        """Whether requests may be sent: loading is over, and no draining has begun.

        Strict readiness asks for every model of the repository to be READY besides.
        """
        if self._draining or not self._repository.settled:
            return False
        return self._repository.all_ready() if self._strict else True

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers; a known one that does not is not an error.

        Raises:
            ModelNotFound: nothing of this name or version.
        """
        try:
            self._repository.get(name, version)
        except ModelNotReady:
            return False
        return not self._draining

    def drain(self) -> None:
        """Be not ready from now on, so that nobody new is sent here; requests are still taken."""
        self._draining = True

    def close(self) -> None:
        """Take no further request; those already inside are still answered."""
        self._draining = self._closed = True

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions of this server."""
        return ServerMetadata("gluonserve", distribution_version("gluonserve"), EXTENSIONS)

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """Inputs, outputs and serving versions of a model.

        Raises:
            ModelNotFound: nothing of this name or version.
            ModelNotReady: it is there but does not serve.
        """
        model = self._repository.get(name, version)
        versions = self._repository.ready_versions(name)
        signature = model.signature
        return ModelMetadata(
            name=name,
            versions=tuple(one.version_text for one in versions),
            platform=PLATFORM,
            inputs=signature.inputs,
            outputs=signature.outputs,
            properties=model.properties(),
        )

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """How a model is served.

        Raises:
            ModelNotFound: nothing of this name or version.
            ModelNotReady: it is there but does not serve.
        """
        model = self._repository.get(name, version)
        settings, batching = model.settings, model.policy
        return ModelConfig(
            name=name,
            version=model.version_text,
            platform=PLATFORM,
            max_batch_size=_max_batch_size(model),
            inputs=model.signature.inputs,
            outputs=model.signature.outputs,
            max_delay_us=round(batching.max_delay_ms * 1000) if model.batched else None,
            max_queue_rows=batching.max_queue_rows,
            instances=settings.instances,
            device=settings.device,
            labels=settings.labels or "",
            warmup_rows=settings.warmup.rows,
            parameters=model.properties(),
        )

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        """What versions did since they were loaded; of every model where no name is given.

        Raises:
            ModelNotFound: nothing of this name or version.
            ModelNotReady: it is there but does not serve.
        """
        if name:
            model = self._repository.get(name, version)
            models = [model] if version else self._repository.ready_versions(name)
        else:
            models = self._repository.ready_versions()
        return tuple(model.recorder.statistics() for model in models)

    def index(self, *, ready: bool = False) -> tuple[IndexEntry, ...]:
        """Every model and version that the repository holds; with ``ready`` only those serving."""
        return tuple(
            IndexEntry(one.name, one.version_text, one.state.value, one.reason)
            for one in self._repository.all_versions()
            if not ready or one.state is ModelState.READY
        )

    async def infer(self, request: InferRequest) -> InferResponse:
        """Run one request, in a batch with others where the model allows it.

        Raises:
            InvalidRequest: the tensors do not fit the model.
            ModelNotFound: nothing of this name or version.
            ModelNotReady: it is there but does not serve.
            ServerNotReady: the server is shutting down.
            Overloaded: the queue is full.
            DeadlineExceeded: the deadline passed while the request waited.
            ExecutionFailed: the engine failed.
        """
        reply: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        inference = self.begin(request, reply)
        try:
            return await reply
        except asyncio.CancelledError:
            inference.cancel()
            raise

    def begin(self, request: InferRequest, caller: Caller) -> Inference:
        """Begin to run one request; ``caller`` is told what comes of it, later.

        Raises what ``infer`` raises where that is known at once; then nobody is told.
        """
        start = request.arrived_ns or perf_counter_ns()
        try:
            model = self._admit(request)
        except GluonserveError as error:
            self.refused(request.model, request.version, error, perf_counter_ns() - start)
            raise
        try:
            return Inference(request, model, start, caller)
        except GluonserveError as error:
            model.recorder.ended(OUTCOMES[error.kind], perf_counter_ns() - start)
            raise
        except Exception:
            model.recorder.ended(Outcome.FAILED, perf_counter_ns() - start)
            raise

    def encoded(self, response: InferResponse, ns: int) -> None:
        """Note how long a front took to encode this answer."""
        self._repository.recorder(response.model, response.version).encode.observe(ns)

    def refused(self, name: str, version: str, error: GluonserveError, ns: int = 0) -> None:
        """Count a request that never reached a model; fronts call it for what they cannot decode.

        An unknown model is counted under the empty name, so that clients cannot make labels.
        """
        self._repository.recorder(name, version).ended(OUTCOMES[error.kind], ns)

    def _admit(self, request: InferRequest) -> ModelVersion:
        if self._closed:
            self.turned_away += 1
            raise ServerNotReady("the server is shutting down")
        return self._repository.get(request.model, request.version)


def _cancelled_as(deadline: float | None, spent_ns: int) -> Outcome:
    """Whether a cancelled request had run out of time.

    A front whose caller's deadline has passed may cancel before the batcher's timer fires, and
    clients, who began to count earlier and round, hang up a little before it.
    """
    if deadline is None:
        return Outcome.CANCELLED
    left = deadline - asyncio.get_running_loop().time()
    return Outcome.TIMED_OUT if left <= _EARLY_S + _EARLY * spent_ns / 1e9 else Outcome.CANCELLED


def _max_batch_size(model: ModelVersion) -> int:
    """Rows of one batch where clients may see axis 0 as the batch everywhere, else 0."""
    signature = model.signature
    plain = all(spec.batch_axis == 0 for spec in signature.inputs)
    plain = plain and all(spec.batch_axis in (0, None) for spec in signature.outputs)
    return model.policy.max_rows if model.batched and plain else 0
