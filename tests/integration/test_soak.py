"""Thousands of requests, half of them bad or abandoned: right answers, right ends, nothing left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tritonclient.grpc as triton
from served import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
MODEL = "lenet_digits"
REQUESTS = int(os.environ.get("GLUONSERVE_SOAK", "10000"))
CLIENTS = 3
LARGEST_GROWTH = 96 << 20
OUTCOMES = {
    "INVALID_ARGUMENT": "invalid",
    "NOT_FOUND": "not_found",
    "UNAVAILABLE": "unavailable",
    "UNIMPLEMENTED": "unsupported",
}
HISTOGRAMS = ("request", "queue", "compute", "decode", "encode")

pytestmark = pytest.mark.timeout(120 + REQUESTS / 50)


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    shutil.copytree(ROOT / "models" / MODEL, tmp_path / MODEL)
    (tmp_path / "broken-symbol.json").write_text('{"nodes": [')
    server = Served(tmp_path, "--no-strict-readiness")
    yield server
    server.kill()


def client(served: Served, count: int, seed: int) -> subprocess.Popen:
    samples = ROOT / "models" / MODEL / "1" / "samples.npz"
    command = [sys.executable, "-m", "tests.soaking", served.address, samples]
    return subprocess.Popen(
        [*command, str(count), str(seed)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def eventually(condition: Callable[[], bool], what: str) -> None:
    end, pause = time.monotonic() + 60, threading.Event()
    while not condition():
        assert time.monotonic() < end, what
        pause.wait(0.05)


def idle(served: Served) -> bool:
    """Whether nothing waits and nothing runs."""
    gauges = ("gluonserve_inflight_requests", "gluonserve_queue_rows")
    return not any(served.metric(gauge) for gauge in gauges)


def outcomes(served: Served) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sample in served.metrics():
        if sample.name == "gluonserve_requests_total":
            counts[sample.labels["outcome"]] += int(sample.value)
    return counts


def killed_client(served: Served) -> None:
    """Somebody whose process ends in the middle of everything."""
    doomed = client(served, 20_000, 99)  # more than it lives to send
    eventually(lambda: sum(outcomes(served).values()) > 500, "no request arrived")
    doomed.kill()
    doomed.communicate()
    eventually(lambda: idle(served), "requests of a dead client are still there")


def test_good_are_answered_bad_get_their_status_and_nothing_stays(served) -> None:
    killed_client(served)
    before, memory = outcomes(served), served.metric("process_resident_memory_bytes")
    files = served.metric("process_open_fds")

    clients = [client(served, REQUESTS // CLIENTS + 1, seed) for seed in range(CLIENTS)]
    tallies = [json.loads(one.communicate()[0]) for one in clients]

    assert [wrong for tally in tallies for wrong in tally["wrong"]] == []
    ends: Counter[str] = Counter()
    for tally in tallies:
        for end, count in tally["ends"].items():
            ends[end.rpartition(": ")[2]] += count
    assert ends.total() >= REQUESTS
    eventually(lambda: idle(served), "requests are still there")
    counted = outcomes(served) - before
    assert {status: counted[outcome] for status, outcome in OUTCOMES.items()} == {
        status: ends[status] for status in OUTCOMES
    }
    assert ends["OK"] <= counted["ok"] <= ends["OK"] + ends["CANCELLED"] + ends["DEADLINE_EXCEEDED"]
    assert counted.keys() <= {"ok", "timed_out", "cancelled", *OUTCOMES.values()}
    assert counted["cancelled"] <= ends["CANCELLED"]
    statistics_agree(served)
    eventually(lambda: served.metric("process_open_fds") <= files, "connections stay open")
    assert served.metric("process_resident_memory_bytes") - memory < LARGEST_GROWTH
    log = served.stop()
    assert served.process.returncode == 0
    assert [entry["event"] for entry in log if entry["level"] == "error"] == ["model not loaded"]


def statistics_agree(served: Served) -> None:
    """One recorder feeds both: the protocol's statistics and Prometheus."""
    with triton.InferenceServerClient(served.address) as client:
        (statistics,) = client.get_inference_statistics(MODEL).model_stats
    success = statistics.inference_stats.success.count
    of_model = {"model": MODEL, "version": "1"}
    assert success == served.metric("gluonserve_requests_total", outcome="ok", **of_model)
    for name in HISTOGRAMS:
        count = served.metric(f"gluonserve_{name}_seconds_count", **of_model)
        assert count == success, name
    assert statistics.inference_count == served.metric("gluonserve_rows_total", **of_model)
    batches = served.metric("gluonserve_batches_total", **of_model)
    assert statistics.execution_count == batches
    assert batches == served.metric("gluonserve_batch_rows_count", **of_model)
    assert sum(one.compute_infer.count for one in statistics.batch_stats) == batches
