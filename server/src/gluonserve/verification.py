"""An engine's answers against MXNet's: recorded ones, and live ones where MXNet is installed."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from gluonserve.batching.selfcheck import generate_rows
from gluonserve.errors import ExecutionFailed, GluonserveError
from gluonserve.repository.layout import Unusable
from gluonserve.repository.opening import open_source
from gluonserve.repository.samples import compare, prepared, read_samples, replay, run
from gluonserve.sources import found_at
from gluonserve.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.opening import Opened
    from gluonserve.repository.samples import OutputError, Samples
    from gluonserve.tracing import Opening, Parting

_ROWS = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output of one version, from one engine, against one source of right answers.

    ``tolerance`` is None where errors are only shown (bf16, fp16 and int8 without a tolerance).
    ``parting`` is where the engine and live MXNet part, if that was looked for.
    """

    model: str
    version: int
    engine: str
    against: str
    output: str
    relative: float
    largest: float
    tolerance: float | None
    note: str = ""
    parting: Parting | None = None

    @property
    def passed(self) -> bool:
        """Whether the error is within what is allowed."""
        return self.tolerance is None or self.relative <= self.tolerance

    @property
    def compared(self) -> bool:
        """Whether there was anything to compare: the model loaded, and right answers were there."""
        return bool(self.engine)

    def as_json(self) -> dict[str, Any]:
        """The same in JSON's types; without figures where nothing was compared."""
        figures = {} if self.compared else dict.fromkeys(("relative", "largest", "tolerance"))
        return asdict(self) | figures | {"passed": self.passed}


def mxnet_installed() -> bool:
    """Whether live answers can be had."""
    return importlib.util.find_spec("mxnet") is not None


def changed(source: ModelSource, **settings: object) -> ModelSource:
    """The same model with other settings; those that are None stay."""
    given = {name: value for name, value in settings.items() if value is not None}
    return replace(source, settings=source.settings.model_copy(update=given))


def verify(
    source: ModelSource,
    *,
    live: bool,
    tolerance: float | None = None,
    tracing: bool = False,
    opening: Opening = open_source,
) -> Iterator[Comparison]:
    """Compare every output with recorded samples, and with live MXNet if ``live``.

    With ``tracing``, the first output that differs from live MXNet's tells the first node at which
    the engine and MXNet part.

    Raises:
        GluonserveError: the model does not load, or there is nothing to compare with.
    """
    samples = read_samples(source.samples) if source.samples is not None else None
    if samples is None and not live:
        raise GluonserveError(
            f"{source.name}: nothing to compare with: no samples.npz beside the model, and live"
            " MXNet is not installed or was not asked for"
        )
    allowed = tolerance if tolerance is not None else source.settings.tolerance
    opened = opening(source, samples)
    try:
        engine = opened.executor.description["executor"]
        if samples is not None:
            for error in replay(opened.executor, samples, opened.renamed):
                yield _comparison(source, engine, "recorded", error, allowed)
        if live:
            right, answers, feeds = _against_mxnet(source, opened, samples)
            found = [
                _comparison(source, engine, "live MXNet", compare(name, mine, right[name]), allowed)
                for name, mine in answers.items()
            ]
            if tracing:
                found = _traced(source, opened, feeds, found, opening)
            yield from found
    finally:
        opened.close()


def _traced(
    source: ModelSource,
    opened: Opened,
    feeds: Mapping[str, np.ndarray],
    found: list[Comparison],
    opening: Opening,
) -> list[Comparison]:
    """The comparisons, the first that fails with the place where the two part."""
    first = next((at for at, one in enumerate(found) if not one.passed), None)
    if first is None:
        return found
    bad, executor = found[first], opened.executor
    allowed = bad.tolerance or 0.0
    parting = trace(
        source, bad.engine, executor.signature, feeds, tolerance=allowed, opening=opening
    )
    return [*found[:first], replace(bad, parting=parting), *found[first + 1 :]]


def verify_all(
    path: Path,
    *,
    live: bool,
    tolerance: float | None = None,
    tracing: bool = False,
    **settings: object,
) -> Iterator[Comparison]:
    """Verify every model under ``path``, under these settings; one that fails hides no other.

    Raises:
        InvalidConfig: there is no such path, or no model in it.
    """
    for source in found_at(path):
        if isinstance(source, Unusable):
            yield _failed(source.name, source.version or 0, source.reason)
            continue
        try:
            chosen = changed(source, **settings)
            yield from verify(chosen, live=live, tolerance=tolerance, tracing=tracing)
        except GluonserveError as error:
            yield _failed(source.name, source.version, str(error))


def _failed(model: str, version: int, why: str) -> Comparison:
    return Comparison(model, version, "", "", "", math.inf, math.inf, 0.0, why)


_Tensors: TypeAlias = "Mapping[str, np.ndarray]"


def _against_mxnet(
    source: ModelSource, opened: Opened, samples: Samples | None
) -> tuple[_Tensors, _Tensors, _Tensors]:
    """MXNet's answers, the engine's, and the inputs."""
    reference = open_source(
        changed(source, executor="mxnet", precision="fp32", device="cpu"), samples
    )
    try:
        return _both(reference, opened, samples)
    finally:
        reference.close()


def _both(
    reference: Opened, opened: Opened, samples: Samples | None
) -> tuple[_Tensors, _Tensors, _Tensors]:
    """What both answer to the recorded inputs, else to generated rows of a size that both take."""
    if samples is not None:
        feeds = prepared(opened.executor, samples)
        return run(reference.executor, feeds), run(opened.executor, feeds), feeds
    for free in opened.sizes:
        try:
            feeds = generate_rows(opened.executor.signature, _ROWS, valid=opened.valid, free=free)
            return run(reference.executor, feeds), run(opened.executor, feeds), feeds
        except ExecutionFailed as error:  # noqa: PERF203 - a handful of attempts
            failure = error
    raise GluonserveError(
        "no generated inputs fit the model; record some in samples.npz: "
        f"{failure.__cause__ or failure}"
    ) from failure


def _comparison(
    source: ModelSource, engine: str, against: str, error: OutputError, allowed: float | None
) -> Comparison:
    return Comparison(
        *(source.name, source.version, engine, against, error.output),
        *(error.relative, error.largest, allowed, error.note),
    )
