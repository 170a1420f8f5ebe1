"""What Prometheus reads: names, labels, and numbers that are the recorders'."""

from __future__ import annotations

import re

import pytest
from fakemodels import FakeLoad, export
from prometheus_client.parser import text_string_to_metric_families
from unit.batching.fakes import row

from gluonserve.dataplane import DataPlane
from gluonserve.errors import InvalidRequest
from gluonserve.inference import InferRequest
from gluonserve.metrics import DEFINITIONS, Metrics
from gluonserve.recording import Distribution
from gluonserve.repository.repository import Repository

NAMES = {
    "gluonserve_requests_total": {"outcome"},
    "gluonserve_rows_total": set(),
    "gluonserve_batches_total": {"closed_by"},
    "gluonserve_padding_rows_total": set(),
    "gluonserve_request_seconds": set(),
    "gluonserve_queue_seconds": set(),
    "gluonserve_compute_seconds": set(),
    "gluonserve_encode_seconds": set(),
    "gluonserve_decode_seconds": set(),
    "gluonserve_batch_rows": set(),
    "gluonserve_queue_rows": set(),
    "gluonserve_inflight_requests": set(),
    "gluonserve_model_state": {"state"},
    "gluonserve_model_load_seconds": set(),
    "gluonserve_model_info": {"executor", "device", "precision"},
    "gluonserve_device_memory_bytes": set(),
}
"""The names and labels that the design fixes: they are API."""


@pytest.fixture
async def scraped(tmp_path):
    """Samples by name and labels, after three answers, one refusal and one unknown model."""
    export(tmp_path / "net")
    export(tmp_path, "broken")
    repository = Repository(tmp_path, load=FakeLoad())
    await repository.load_all()
    plane = DataPlane(repository)
    for rows in (1, 1, 5):
        await plane.infer(InferRequest("net", row(1.0, rows)))
    plane.refused("net", "", InvalidRequest("x"))
    plane.refused("nobody", "", InvalidRequest("x"))
    text, content_type = Metrics(repository).exposition()
    assert content_type.startswith("text/plain")
    yield {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    await repository.close(0)


def value(scraped, name: str, model: str = "net", version: str = "1", **labels: str) -> float:
    return scraped[name, frozenset({"model": model, "version": version, **labels}.items())]


def test_names_and_labels_are_api() -> None:
    assert {definition.name: set(definition.labels) for definition in DEFINITIONS} == NAMES


async def test_every_metric_is_exported(scraped) -> None:
    exported = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in scraped}

    assert exported >= NAMES.keys()
    assert "process_resident_memory_bytes" in exported


async def test_requests_count_by_outcome(scraped) -> None:
    assert value(scraped, "gluonserve_requests_total", outcome="ok") == 3
    assert value(scraped, "gluonserve_requests_total", outcome="invalid") == 1
    assert value(scraped, "gluonserve_requests_total", outcome="failed") == 0
    assert value(scraped, "gluonserve_requests_total", "", "", outcome="invalid") == 1


async def test_rows_and_batches_count(scraped) -> None:
    assert value(scraped, "gluonserve_rows_total") == 7
    assert value(scraped, "gluonserve_batches_total", closed_by="idle") == 3
    assert value(scraped, "gluonserve_batches_total", closed_by="full") == 0
    assert value(scraped, "gluonserve_batch_rows_sum") == 7
    assert value(scraped, "gluonserve_batch_rows_bucket", le="1.0") == 2
    assert value(scraped, "gluonserve_batch_rows_bucket", le="8.0") == 3


async def test_latencies_are_histograms_in_seconds(scraped) -> None:
    for name in ("request", "queue", "compute"):
        metric = f"gluonserve_{name}_seconds"
        assert value(scraped, f"{metric}_count") == 3
        assert value(scraped, f"{metric}_bucket", le="+Inf") == 3
        assert value(scraped, f"{metric}_bucket", le="0.0001") <= 3
        assert value(scraped, f"{metric}_bucket", le="10.0") == 3
        assert 0 <= value(scraped, f"{metric}_sum") < 10


async def test_states_are_one_or_zero(scraped) -> None:
    assert value(scraped, "gluonserve_model_state", state="READY") == 1
    assert value(scraped, "gluonserve_model_state", state="LOADING") == 0
    assert value(scraped, "gluonserve_model_state", "broken", state="UNAVAILABLE") == 1


async def test_info_and_memory(scraped) -> None:
    labels = {"executor": "fake", "device": "cpu", "precision": "fp32"}

    assert value(scraped, "gluonserve_model_info", **labels) == 1
    assert value(scraped, "gluonserve_device_memory_bytes") == 7
    assert value(scraped, "gluonserve_model_load_seconds") > 0


async def test_openmetrics_is_spoken_to_who_asks(tmp_path) -> None:
    repository = Repository(tmp_path, load=FakeLoad())

    text, content_type = Metrics(repository).exposition(
        "application/openmetrics-text;version=1.0.0"
    )

    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


async def test_two_servers_in_one_process_do_not_mix(tmp_path) -> None:
    repositories = [Repository(export(tmp_path / name), load=FakeLoad()) for name in "ab"]

    texts = [Metrics(repository).exposition()[0] for repository in repositories]

    assert len(texts) == 2


@pytest.mark.parametrize(
    ("observed", "counts"),
    [([1], [1, 0, 0]), ([2], [0, 1, 0]), ([10], [0, 1, 0]), ([11], [0, 0, 1]), ([], [0, 0, 0])],
    ids=["bound", "between", "last bound", "beyond", "none"],
)
def test_bound_belongs_to_its_bucket(observed, counts) -> None:
    distribution = Distribution((1, 10))

    for number in observed:
        distribution.observe(number)

    assert distribution.counts == counts
    assert distribution.total == sum(observed)
