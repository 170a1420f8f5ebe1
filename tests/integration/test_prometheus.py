"""A real Prometheus server scrapes a live server and answers the queries that operators ask."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tritonclient.grpc as triton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
ROWS = 3
SECONDS_OF_LOAD = 6.0
WINDOW = "[1m]"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="Prometheus is not installed (as root: apt-get install prometheus)",
)


@dataclass(frozen=True)
class Sent:
    """What the client of this test did and saw."""

    requests: int
    seconds: float
    slowest_seconds: float


@dataclass(frozen=True)
class Ports:
    """Where the server under test listens."""

    grpc: int
    metrics: int


class Prometheus:
    """Queries to a running Prometheus."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **parameters: str) -> dict:
        url = f"{self._base}/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=5) as page:
            return json.load(page)["data"]

    def value(self, query: str) -> float | None:
        found = self.get("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None


def eventually(condition: Callable[[], object], within: float, what: str) -> None:
    """Wait until ``condition`` holds; fail, naming it, if it does not in time."""
    end, pause = time.monotonic() + within, threading.Event()
    while True:
        try:
            if condition():
                return
        except OSError as error:
            what = f"{what} ({error})"
        assert time.monotonic() < end, what
        pause.wait(0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    program = Path(sys.executable).parent / "gluonserve"
    flags = ["--host", "127.0.0.1", "--grpc-port", "0", "--metrics-port", "0", "--http-port", "off"]
    with subprocess.Popen(
        [program, "serve", ROOT / "models" / "lenet_digits", *flags],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = next((one for one in process.stdout if one.startswith("gluonserve is")), "")
            assert line.startswith("gluonserve is ready"), line
            yield Ports(
                **{name: int(port) for name, port in re.findall(r"(grpc|metrics) (\d+)", line)}
            )
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def prometheus(server: Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder, port = tmp_path_factory.mktemp("prometheus"), _free_port()
    (folder / "rules.yml").write_text(RULES.read_text())
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [rules.yml]\n"
        "scrape_configs:\n"
        "  - job_name: gluonserve\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{server.metrics}']}}]\n"
    )
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stderr=(folder / "log").open("w")) as process:
        asked = Prometheus(port)
        eventually(lambda: asked.value("up") == 1, 30, "Prometheus scrapes the server")
        yield asked
        process.terminate()


@pytest.fixture(scope="module")
def sent(server: Ports, prometheus: Prometheus) -> Sent:
    """Load, one request at a time, between two scrapes."""
    rows = triton.InferInput("data", [ROWS, 28, 28, 1], "UINT8")
    rows.set_data_from_numpy(np.zeros((ROWS, 28, 28, 1), np.uint8))
    requests, slowest, began = 0, 0.0, time.perf_counter()
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        while (asked := time.perf_counter()) < began + SECONDS_OF_LOAD:
            client.infer("lenet_digits", [rows])
            requests += 1
            slowest = max(slowest, time.perf_counter() - asked)
    count = 'gluonserve_requests_total{model="lenet_digits",outcome="ok"}'
    eventually(lambda: prometheus.value(count) == requests, 20, "every request was scraped")
    return Sent(requests, time.perf_counter() - began, slowest)


def test_counters_hold_exactly_what_was_sent(prometheus: Prometheus, sent: Sent) -> None:
    assert prometheus.value("sum(gluonserve_requests_total)") == sent.requests
    assert prometheus.value("sum(gluonserve_rows_total)") == sent.requests * ROWS


def test_request_rate_is_that_of_the_load(prometheus: Prometheus, sent: Sent) -> None:
    query = f'sum(increase(gluonserve_requests_total{{outcome="ok"}}{WINDOW}))'

    increase = prometheus.value(query)

    assert increase == pytest.approx(
        sent.requests, rel=0.35
    )  # Prometheus extrapolates to its window


def test_p99_latency_comes_from_buckets(prometheus: Prometheus, sent: Sent) -> None:
    buckets = f"sum by (le) (rate(gluonserve_request_seconds_bucket{WINDOW}))"
    edges = prometheus.get("query", query="gluonserve_request_seconds_bucket")["result"]
    limits = sorted(float(edge["metric"]["le"]) for edge in edges)

    p99 = prometheus.value(f"histogram_quantile(0.99, {buckets})")

    assert p99 is not None
    assert 0 < p99 <= next(limit for limit in limits if limit >= sent.slowest_seconds)


def test_rows_per_second_follow_the_requests(prometheus: Prometheus, sent: Sent) -> None:
    rows = f"sum(rate(gluonserve_rows_total{WINDOW}))"
    requests = f"sum(rate(gluonserve_requests_total{WINDOW}))"

    ratio = prometheus.value(f"{rows} / {requests}")

    assert ratio == pytest.approx(ROWS)
    assert sent.requests > 0


def test_mean_batch_size_is_that_of_lone_requests(prometheus: Prometheus, sent: Sent) -> None:
    total, count = (f"sum(rate(gluonserve_batch_rows_{part}{WINDOW}))" for part in ("sum", "count"))

    assert prometheus.value(f"{total} / {count}") == pytest.approx(ROWS)
    assert prometheus.value("sum(gluonserve_batches_total)") == sent.requests


@pytest.mark.usefixtures("sent")
def test_shipped_rules_evaluate(prometheus: Prometheus) -> None:
    record = 'gluonserve:batch_rows:mean1m{model="lenet_digits"}'
    eventually(lambda: prometheus.value(record) == pytest.approx(ROWS), 20, "a recorded value")

    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]

    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
