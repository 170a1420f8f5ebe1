"""From a version's files to an engine that is known to answer right: all that blocks of a load.

Import, compile, replay recorded samples, prove that rows may share a batch, warm up: in this order,
each step only if the one before went well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from gluonserve.batching.policy import BatchPolicy
from gluonserve.batching.selfcheck import check_batching, generate_rows
from gluonserve.batching.tensors import take_rows
from gluonserve.errors import AnswersDiffer, ExecutionFailed, InvalidModel, ServerNotReady
from gluonserve.repository.samples import Samples, prepared, read_samples, replay, run
from gluonserve.repository.threads import open_in_threads

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    import numpy as np

    from gluonserve.executors.protocol import Executor
    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.opening import Opened
    from gluonserve.tensors import Signature

log = get_logger(__name__)

_ENOUGH_ROWS = 8
"""How many recorded rows the batching check takes: each of them runs alone once."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine ready to serve, how its requests may share batches, and what was noticed."""

    executor: Executor
    signature: Signature
    policy: BatchPolicy
    description: Mapping[str, str]
    notes: tuple[str, ...] = ()
    device_bytes: int | None = None
    release: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Free the engine, then what it may have borrowed."""
        self.executor.close()
        self.release()


def load_version(
    source: ModelSource,
    stopping: threading.Event,
    opening: Callable[[ModelSource, Samples | None], Opened] = open_in_threads,
) -> Loaded:
    """Everything from files to warm; ``stopping`` gives up between two steps.

    Raises:
        GluonserveError: the first thing that is wrong with the model.
    """
    samples = read_samples(source.samples) if source.samples is not None else None
    opened = opening(source, samples)
    try:
        loaded = _examined(source, opened, samples, stopping)
        _check_unchanged(source)
    except BaseException:
        opened.close()
        raise
    return loaded


def _check_unchanged(source: ModelSource) -> None:
    if source.changed():
        raise InvalidModel("its files changed while they were read; are they still being copied?")


def _examined(
    source: ModelSource, opened: Opened, samples: Samples | None, stopping: threading.Event
) -> Loaded:
    executor, settings = opened.executor, source.settings
    notes = [*source.notes, *opened.notes, *_doubtful_labels(source, executor.signature)]
    _go_on(stopping)
    if samples is not None and settings.check.samples != "off":
        notes += _replayed(source, opened, samples)
    _go_on(stopping)
    rows = prepared(executor, samples) if samples is not None else None
    signature, why_not = _batching(source, opened, rows)
    notes += why_not
    policy = BatchPolicy(
        max_rows=settings.batching.max_rows,
        max_delay_ms=settings.batching.max_delay_ms,
        max_queue_rows=settings.batching.max_queue_rows,
        max_queue_bytes=settings.batching.max_queue_bytes,
        enabled=settings.batching.enabled != "off",
    )
    _go_on(stopping)
    batches = policy.enabled and signature.batchable
    notes += _warmed(source, opened, rows, batches=batches)
    return Loaded(
        executor,
        signature,
        policy,
        executor.description,
        notes=tuple(notes),
        device_bytes=opened.device_bytes,
        release=opened.release,
    )


def _go_on(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise ServerNotReady("the server is shutting down")


def _doubtful_labels(source: ModelSource, signature: Signature) -> list[str]:
    """A classifier's labels must be as many as its classes; of other networks nothing is known."""
    only = signature.outputs[0] if len(signature.outputs) == 1 else None
    if not source.labels or only is None or len(only.shape) != 2 or only.shape[1] < 0:
        return []
    count, classes = len(source.labels), only.shape[1]
    if count == classes:
        return []
    return [f"{source.settings.labels} has {count} labels; {only.name!r} has {classes} classes"]


def _replayed(source: ModelSource, opened: Opened, samples: Samples) -> list[str]:
    """Refuse, or note, answers that are not the recorded ones."""
    settings, executor = source.settings, opened.executor
    errors = replay(executor, samples, opened.renamed)
    shown = ", ".join(
        f"{error.output!r} {error.relative:.2g}" + (f" ({error.note})" if error.note else "")
        for error in errors
    )
    if settings.tolerance is None:
        return [f"measured against recorded answers at {settings.precision}: {shown}"]
    if all(error.relative <= settings.tolerance for error in errors):
        log.debug("samples reproduced", model=source.name, version=source.version, errors=shown)
        return []
    text = (
        "recorded answers are not reproduced; relative error by output, tolerance "
        f"{settings.tolerance:g}: {shown}"
    )
    if settings.check.samples == "warn":
        return [text]
    raise AnswersDiffer(text)


def _batching(
    source: ModelSource, opened: Opened, rows: Mapping[str, np.ndarray] | None
) -> tuple[Signature, list[str]]:
    """The signature as requests may share it, and a note where they may not."""
    signature, wish = opened.executor.signature, source.settings.batching.enabled
    if wish == "off":
        return signature, []
    doubt, advice = _doubt(opened, rows)
    if not doubt:
        return signature, []
    if wish == "force" and any(spec.batch_axis is not None for spec in signature.inputs):
        note = f"batched because the settings force it, against this doubt: {doubt}"
        return replace(signature, batchable=True, why=""), [note]
    note = f"served unbatched: {doubt}{advice}"
    return replace(signature, batchable=False, why=doubt), [note]


def _doubt(opened: Opened, rows: Mapping[str, np.ndarray] | None) -> tuple[str, str]:
    """Why requests had better not share batches, empty where nothing is against it; advice."""
    signature = opened.executor.signature
    if not signature.batchable:
        return signature.why, ""
    if rows is not None:
        rows = _first_rows(signature, rows, _ENOUGH_ROWS)
    verdict = check_batching(opened.executor, rows, valid=opened.valid, sizes=opened.sizes)
    if verdict.safe:
        return "", ""
    return verdict.why, "" if verdict.checked else _advice(signature)


def _advice(signature: Signature) -> str:
    """What would let the check be made, where sizes had to be guessed."""
    free = [
        spec.name
        for spec in signature.inputs
        if any(size < 0 for axis, size in enumerate(spec.shape) if axis != spec.batch_axis)
    ]
    if not free:
        return ""
    named = ", ".join(map(repr, free))
    return f"; state the shape of {named} in model.toml, or put samples.npz beside the network"


def _first_rows(
    signature: Signature, rows: Mapping[str, np.ndarray], count: int
) -> dict[str, np.ndarray]:
    """At most so many rows of each input."""
    first = {}
    for spec in signature.inputs:
        array, axis = rows[spec.name], spec.batch_axis
        there = 0 if axis is None else array.shape[axis]
        first[spec.name] = take_rows(array, axis, range(count)) if there > count else array
    return first


def _warmed(
    source: ModelSource, opened: Opened, rows: Mapping[str, np.ndarray] | None, *, batches: bool
) -> list[str]:
    """Run each warm-up size once; what only made-up inputs show is a note, not a failure."""
    settings, executor = source.settings, opened.executor
    wanted = {size for size in settings.warmup.rows if size <= settings.batching.max_rows}
    for size in sorted(wanted) if batches else [1]:
        if rows is not None:
            run(executor, _tiled(executor.signature, rows, size))
        elif (failure := _failure(opened, size)) is not None:
            told = (str(failure).splitlines() or [""])[0]
            return [f"not warmed up, for generated inputs do not run: {told}"]
    return []


def _failure(opened: Opened, size: int) -> BaseException | None:
    """The last error on made-up rows of the sizes to try; None as soon as one goes well."""
    executor = opened.executor
    failure: BaseException | None = None
    for free in opened.sizes:
        try:
            run(executor, generate_rows(executor.signature, size, valid=opened.valid, free=free))
        except ExecutionFailed as error:  # noqa: PERF203 - a handful of attempts
            failure = error.__cause__ or error
        else:
            return None
    return failure


def _tiled(
    signature: Signature, rows: Mapping[str, np.ndarray], size: int
) -> dict[str, np.ndarray]:
    """Recorded rows, over and over, until there are ``size``."""
    tiled = {}
    for spec in signature.inputs:
        array, axis = rows[spec.name], spec.batch_axis
        if axis is not None and array.shape[axis]:
            array = take_rows(array, axis, [row % array.shape[axis] for row in range(size)])
        tiled[spec.name] = array
    return tiled
