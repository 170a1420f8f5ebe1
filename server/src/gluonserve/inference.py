"""One inference: what a front asks, what it is answered, and the request on its way in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from gluonserve.errors import GluonserveError
from gluonserve.recording import OUTCOMES, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve.batching.answer import Answer
    from gluonserve.repository.model import ModelVersion

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


def _cancelled_as(deadline: float | None, spent_ns: int) -> Outcome:
    """Whether a cancelled request had run out of time.

    A front whose caller's deadline has passed may cancel before the batcher's timer fires, and
    clients, who began to count earlier and round, hang up a little before it.
    """
    if deadline is None:
        return Outcome.CANCELLED
    left = deadline - asyncio.get_running_loop().time()
    return Outcome.TIMED_OUT if left <= _EARLY_S + _EARLY * spent_ns / 1e9 else Outcome.CANCELLED
