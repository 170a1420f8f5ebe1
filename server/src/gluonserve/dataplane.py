"""The server without a transport: every protocol front converts, calls this, and converts back.

What crosses this line is dataclasses and arrays, no protobuf object and nothing of a transport.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import version as distribution_version
from time import perf_counter_ns
from typing import TYPE_CHECKING

from gluonserve.errors import GluonserveError, ModelNotReady, ServerNotReady
from gluonserve.inference import Inference
from gluonserve.recording import OUTCOMES, Outcome
from gluonserve.repository.model import ModelState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.inference import Caller, InferRequest, InferResponse
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


def _max_batch_size(model: ModelVersion) -> int:
    """Rows of one batch where clients may see axis 0 as the batch everywhere, else 0."""
    signature = model.signature
    plain = all(spec.batch_axis == 0 for spec in signature.inputs)
    plain = plain and all(spec.batch_axis in (0, None) for spec in signature.outputs)
    return model.policy.max_rows if model.batched and plain else 0
