"""Triton's perf_analyzer, the binary as it is shipped, against the gRPC front."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakeplane import add_model
from fakeserver import FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

PERF_ANALYZER = Path(__file__).parents[2] / "tools/perf_analyzer"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    help_ = subprocess.run([PERF_ANALYZER, "--help"], capture_output=True, text=True, check=False)
    if "--concurrency-range" not in help_.stdout + help_.stderr:
        pytest.skip(f"perf_analyzer does not run here: {help_.stderr.strip()[:200]}")
    with FakeServer(add_model()) as server:
        yield server


def measure(server: FakeServer, *options: str) -> str:
    model = ["-m", "add", "-u", server.target, "-i", "grpc"]
    short = ["--measurement-mode", "count_windows", "--measurement-request-count", "50"]
    once = ["--stability-percentage", "999", "--max-trials", "3"]
    done = subprocess.run(
        [PERF_ANALYZER, *model, *short, *once, *options],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--concurrency-range", "4"],
        ["--concurrency-range", "4", "-b", "3"],
        ["--concurrency-range", "4", "-a"],
        ["--concurrency-range", "4", "--streaming"],
        ["--request-rate-range", "200"],
    ],
    ids=["blocking", "batches", "asynchronous", "streaming", "open_loop"],
)
def test_perf_analyzer_measures_client_and_server(server: FakeServer, options: list[str]) -> None:
    before = server.plane.models["add"].requests

    report = measure(server, *options)

    assert "Throughput:" in report
    assert "Successful request count:" in report, "the server's statistics were read"
    assert server.plane.models["add"].requests > before
