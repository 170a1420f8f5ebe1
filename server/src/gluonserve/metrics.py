"""Every metric that the server exports, read from the recorders when somebody asks.

Nothing of Prometheus is touched while requests run: recorders hold plain integers, and a collector
makes samples of them at scrape time. Names and labels are API. ``docs/metrics.md`` is printed from
``DEFINITIONS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, ProcessCollector, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gluonserve.batching.policy import CloseReason
from gluonserve.recording import Distribution, Outcome
from gluonserve.repository.model import ModelState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gluonserve.recording import ModelRecorder
    from gluonserve.repository.model import ModelVersion
    from gluonserve.repository.repository import Repository

Labels = tuple[str, ...]
Reading = tuple[Labels, "float | Distribution"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: what it is called, and how it is read for one model version.

    ``unit`` is how many of a recorder's counts make one of the metric's unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[ModelVersion], Iterable[Reading]]
    labels: Labels = ()
    unit: int = 1


def _requests(model: ModelVersion) -> Iterable[Reading]:
    yield (Outcome.OK.value,), model.recorder.ok
    for outcome, count in model.recorder.refused.items():
        yield (outcome.value,), count


def _batches(model: ModelVersion) -> Iterable[Reading]:
    closed = model.recorder.closed_by
    return [((reason.value,), closed.get(reason, 0)) for reason in CloseReason]


def _state(model: ModelVersion) -> Iterable[Reading]:
    return [((state.value,), int(state is model.state)) for state in ModelState]


def _load_seconds(model: ModelVersion) -> Iterable[Reading]:
    if model.recorder.load_ns is not None:
        yield (), model.recorder.load_ns / 1e9


def _info(model: ModelVersion) -> Iterable[Reading]:
    facts = model.description
    if facts:
        yield (facts["executor"], facts["device"], facts["precision"]), 1


def _device_memory(model: ModelVersion) -> Iterable[Reading]:
    if model.device_bytes is not None:
        yield (), model.device_bytes


def _counted(read: Callable[[ModelRecorder], float]) -> Callable[[ModelVersion], Iterable[Reading]]:
    return lambda model: [((), read(model.recorder))]


def _spread(
    read: Callable[[ModelRecorder], Distribution],
) -> Callable[[ModelVersion], Iterable[Reading]]:
    return lambda model: [((), read(model.recorder))]


_NS = 1_000_000_000
DEFINITIONS = (
    Definition(
        "gluonserve_requests_total",
        "counter",
        "Requests by how they ended. An unknown model counts under an empty name.",
        _requests,
        ("outcome",),
    ),
    Definition(
        "gluonserve_rows_total",
        "counter",
        "Rows of answered requests.",
        _counted(lambda recorder: recorder.rows),
    ),
    Definition(
        "gluonserve_batches_total",
        "counter",
        "Batches handed to the engine, by why they were closed.",
        _batches,
        ("closed_by",),
    ),
    Definition(
        "gluonserve_padding_rows_total",
        "counter",
        "Rows added to batches only to fill them up.",
        _counted(lambda recorder: recorder.padding_rows),
    ),
    Definition(
        "gluonserve_request_seconds",
        "histogram",
        "From a request's arrival to its answer, decoding included, encoding not; answered ones.",
        _spread(lambda recorder: recorder.request),
        unit=_NS,
    ),
    Definition(
        "gluonserve_queue_seconds",
        "histogram",
        "How long an answered request waited for its batch.",
        _spread(lambda recorder: recorder.queue),
        unit=_NS,
    ),
    Definition(
        "gluonserve_compute_seconds",
        "histogram",
        "How long an answered request's batch took: stacking, the engine, splitting.",
        _spread(lambda recorder: recorder.compute),
        unit=_NS,
    ),
    Definition(
        "gluonserve_decode_seconds",
        "histogram",
        "From a request's bytes to arrays; answered requests.",
        _spread(lambda recorder: recorder.decode),
        unit=_NS,
    ),
    Definition(
        "gluonserve_encode_seconds",
        "histogram",
        "From an answer's arrays to bytes.",
        _spread(lambda recorder: recorder.encode),
        unit=_NS,
    ),
    Definition(
        "gluonserve_batch_rows",
        "histogram",
        "Rows of executed batches, without padding.",
        _spread(lambda recorder: recorder.batch_rows),
    ),
    Definition(
        "gluonserve_queue_rows",
        "gauge",
        "Rows that wait for a batch.",
        _counted(lambda recorder: recorder.queue_rows),
    ),
    Definition(
        "gluonserve_inflight_requests",
        "gauge",
        "Requests taken and not answered yet.",
        _counted(lambda recorder: recorder.inflight),
    ),
    Definition(
        "gluonserve_model_state",
        "gauge",
        "1 for the state that a version is in, 0 for the others.",
        _state,
        ("state",),
    ),
    Definition(
        "gluonserve_model_load_seconds",
        "gauge",
        "How long loading took, checks and warm-up included.",
        _load_seconds,
    ),
    Definition(
        "gluonserve_model_info",
        "gauge",
        "Always 1; the labels say what runs a version, and where.",
        _info,
        ("executor", "device", "precision"),
    ),
    Definition(
        "gluonserve_device_memory_bytes",
        "gauge",
        "Memory of its device that a version holds, as far as its engine says; at least its "
        "parameters.",
        _device_memory,
    ),
)
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: Mapping[str, type[_Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Metrics:
    """The exported view of one repository; has its own registry, so that tests need no clean-up."""

    def __init__(self, repository: Repository) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Models(repository))
        ProcessCollector(registry=self._registry)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The page that a scraper reads, in the format it accepts, and its content type.

        May be called on any thread: recorders' numbers are copied, each at one moment.
        """
        encode, content_type = exposition.choose_encoder(accept)
        return encode(self._registry), content_type


class _Models(Collector):
    """Makes samples of every version's numbers."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def collect(self) -> Iterator[Metric]:
        """One family per definition."""
        versions = self._repository.all_versions()
        refusals = self._repository.refusals()
        for definition in DEFINITIONS:
            family = _FAMILIES[definition.kind](
                definition.name, definition.help, labels=("model", "version", *definition.labels)
            )
            for model in versions:
                for labels, value in definition.read(model):
                    _add(family, (model.name, model.version_text, *labels), value, definition.unit)
            if definition.read is _requests:
                for recorder in refusals:
                    for outcome, count in recorder.refused.items():
                        _add(family, (recorder.model, recorder.version, outcome.value), count, 1)
            yield family


def _add(family: _Family, labels: Labels, value: float | Distribution, unit: int) -> None:
    if isinstance(family, HistogramMetricFamily):
        if not isinstance(value, Distribution):
            raise TypeError(f"{family.name} needs a distribution, not {value!r}")
        total, cumulated = value.total, list(accumulate(list(value.counts)))
        bounds = [str(bound / unit if unit > 1 else float(bound)) for bound in value.bounds]
        family.add_metric(
            labels, list(zip([*bounds, "+Inf"], cumulated, strict=True)), total / unit
        )
    elif isinstance(value, Distribution):
        raise TypeError(f"{family.name} needs a number, not a distribution")
    else:
        family.add_metric(labels, value)
