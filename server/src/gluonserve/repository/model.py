"""One version's life: its state, the reason for it, and what serves while it is READY."""

from __future__ import annotations

import asyncio
from enum import Enum
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING

from structlog import get_logger

from gluonserve.batching.batcher import DynamicBatcher
from gluonserve.config import ModelSettings
from gluonserve.errors import GluonserveError
from gluonserve.recording import ModelRecorder
from gluonserve.repository.layout import ModelSource, Unusable
from gluonserve.validation import InputCheck, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor as Pool

    from gluonserve.batching.policy import BatchPolicy
    from gluonserve.repository.loading import Loaded
    from gluonserve.tensors import Signature

log = get_logger(__name__)

_NO_FACTS: Mapping[str, str] = MappingProxyType({})


class ModelState(Enum):
    """Where a version stands; the values are the protocol's."""

    UNAVAILABLE = "UNAVAILABLE"
    """Not loaded: not yet, no longer, or it failed (the reason says which)."""
    LOADING = "LOADING"
    """Being imported, compiled, checked and warmed up."""
    READY = "READY"
    """Answers requests."""
    UNLOADING = "UNLOADING"
    """Takes no further requests; those inside are still answered."""


_NEXT: Mapping[ModelState, frozenset[ModelState]] = {
    ModelState.UNAVAILABLE: frozenset({ModelState.LOADING}),
    ModelState.LOADING: frozenset({ModelState.READY, ModelState.UNAVAILABLE}),
    ModelState.READY: frozenset({ModelState.UNLOADING}),
    ModelState.UNLOADING: frozenset({ModelState.UNAVAILABLE}),
}


class ModelVersion:
    """One generation of one version of one model. Lives on the event loop's thread.

    ``signature``, ``policy``, ``batcher``, ``check``, ``datatypes`` and ``batched`` exist while it
    is READY or UNLOADING.
    """

    signature: Signature
    policy: BatchPolicy
    batcher: DynamicBatcher
    check: InputCheck
    datatypes: tuple[str, ...]
    batched: bool

    def __init__(
        self, source: ModelSource | Unusable, changed: Callable[[ModelVersion], None] | None = None
    ) -> None:
        self.source = source
        self.name, self.version = source.name, source.version
        self.version_text = "" if source.version is None else str(source.version)
        self.settings = source.settings if isinstance(source, ModelSource) else ModelSettings()
        self.state = ModelState.UNAVAILABLE
        self.reason = _sendable(source.reason) if isinstance(source, Unusable) else "not loaded yet"
        self.notes: tuple[str, ...] = ()
        self.description = _NO_FACTS
        self.device_bytes: int | None = None
        self.recorder = ModelRecorder(self.name, self.version_text)
        self._loaded: Loaded | None = None
        self._changed = changed
        self._log = log.bind(model=self.name, version=self.version)

    async def load(self, load: Callable[[ModelSource], Loaded], pool: Pool) -> None:
        """Become READY, or UNAVAILABLE with the reason; the blocking part runs in ``pool``.

        Raises nothing for what is wrong with the model: other models must not care.
        """
        if isinstance(self.source, Unusable):
            self._log.error("model not loaded", reason=self.reason)
            return
        self._move(ModelState.LOADING)
        began = perf_counter_ns()
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(pool, load, self.source)
        except asyncio.CancelledError:
            self._move(ModelState.UNAVAILABLE, "loading was given up")
            raise
        except GluonserveError as error:
            self._move(ModelState.UNAVAILABLE, str(error))
            self._log.error("model not loaded", reason=self.reason)
        except MemoryError as error:
            self._move(ModelState.UNAVAILABLE, f"there is not enough memory for it: {error}")
            self._log.error("model not loaded", reason=self.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            self._move(ModelState.UNAVAILABLE, f"internal error: {type(error).__name__}: {error}")
            self._log.exception("model not loaded")
        else:
            self.recorder.load_ns = perf_counter_ns() - began
            self._serve(loaded)

    async def unload(self, within: float) -> None:
        """Answer what is inside for so many seconds, fail the rest, free the engine."""
        if self._loaded is None:
            return
        if self.state is ModelState.READY:
            self._move(ModelState.UNLOADING)
        emptied = await self.batcher.close(within)
        loaded, self._loaded = self._loaded, None
        if emptied:
            loaded.close()
        else:
            self._log.warning("engine left open: a batch is still running")
        self._move(ModelState.UNAVAILABLE, "unloaded")

    def select(self, names: Sequence[str], classification: Mapping[str, int]) -> Selection:
        """What of the outputs to answer.

        Raises:
            InvalidRequest: an output that the model has not.
        """
        labels = self.source.labels if isinstance(self.source, ModelSource) else ()
        return Selection.of(self.name, self.signature, names, classification, labels)

    def properties(self) -> dict[str, str]:
        """Facts for people: engine, batching, what was found when it was loaded."""
        batching = "on" if self.batched else f"off: {self.signature.why or 'settings say so'}"
        facts = {**_engine_facts(self.description), "batching": batching}
        if self.settings.description:
            facts["description"] = self.settings.description
        if self.notes:
            facts["notes"] = "\n".join(self.notes)
        return facts

    def _serve(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.signature, self.policy = loaded.signature, loaded.policy
        self.description, self.device_bytes = loaded.description, loaded.device_bytes
        self.notes = loaded.notes
        self.check = InputCheck(self.name, self.signature)
        self.datatypes = tuple(spec.dtype.value for spec in self.signature.outputs)
        self.batcher = DynamicBatcher(
            loaded.executor,
            self.policy,
            self.recorder,
            signature=self.signature,
            model=self.name,
            version=self.version_text,
        )
        self.batched = self.batcher.batches
        self.batcher.open()
        for note in self.notes:
            self._log.warning("model note", note=note)
        seconds = round((self.recorder.load_ns or 0) / 1e9, 3)
        self._move(ModelState.READY)
        self._log.info("model ready", seconds=seconds, **_engine_facts(self.description))

    def _move(self, state: ModelState, reason: str = "") -> None:
        """The one place where the state changes."""
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"{self.name}: {self.state.value} cannot become {state.value}")
        self.state, self.reason = state, _sendable(reason)
        if self._changed is not None:
            self._changed(self)


def _sendable(reason: str) -> str:
    """``reason`` as UTF-8 can say it: names of files may hold bytes that are not."""
    return reason.encode(errors="backslashreplace").decode()


def _engine_facts(description: Mapping[str, str]) -> dict[str, str]:
    """An executor's description with its version under a name that is not the model's."""
    return {
        "executor_version" if key == "version" else key: fact for key, fact in description.items()
    }
