from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import pytest

from gluonserve import loadgen
from gluonserve.loadgen import LoadReport, bar, closed_loop, open_loop


class Server:
    """Answers at once, or fails; remembers how many requests were under way together."""

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing
        self.answered = self.under_way = self.most_under_way = 0

    async def send(self) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.failing:
            raise ConnectionError("nobody there")
        self.answered += 1


async def test_closed_loop_keeps_so_many_requests_in_flight() -> None:
    server = Server()

    report = await closed_loop(server.send, in_flight=5, seconds=0.05)

    assert server.most_under_way == 5
    assert len(report.latencies_ms) == server.answered
    assert report.rate == pytest.approx(server.answered / report.seconds)


async def test_closed_loop_does_not_count_the_warm_up() -> None:
    server = Server()

    report = await closed_loop(server.send, in_flight=1, seconds=0.02, warmup_seconds=0.02)

    assert 0 < len(report.latencies_ms) < server.answered


async def test_failures_are_counted_by_their_text_and_have_no_latency() -> None:
    report = await closed_loop(Server(failing=True).send, in_flight=1, seconds=0.01)

    assert report.failures["nobody there"] > 0
    assert report.latencies_ms == []
    assert report.as_json()["latency_ms"] == {}


async def test_open_loop_sends_at_its_rate_though_nobody_answers() -> None:
    sent, answer = 0, asyncio.Event()

    async def send() -> None:
        nonlocal sent
        sent += 1
        if sent == 40:
            answer.set()
        await answer.wait()

    report = await asyncio.wait_for(open_loop(send, rate=4000, seconds=0.05), timeout=10)

    assert sent > 40
    assert len(report.latencies_ms) == sent


async def test_open_loop_charges_a_stall_to_the_requests_that_it_held_up() -> None:
    loop = asyncio.get_running_loop()

    async def send() -> None:
        end = loop.time() + 0.02
        while loop.time() < end:  # blocks the loop, as a server that stalls blocks its clients
            pass

    report = await open_loop(send, rate=1000, seconds=0.05)

    assert max(report.latencies_ms) > 100


async def test_open_loop_gives_up_a_rate_that_it_cannot_send_at(monkeypatch) -> None:
    monkeypatch.setattr(loadgen, "_LEAST_LATENESS_S", 0.05)
    server = Server()

    report = await asyncio.wait_for(open_loop(server.send, rate=1e7, seconds=0.05), timeout=20)

    unsent = report.failures["not sent: this process cannot send at that rate"]
    assert server.answered == len(report.latencies_ms) > 0
    assert server.answered + unsent == pytest.approx(1e7 * 0.05, rel=0.1)


def test_percentiles_are_those_of_the_latencies() -> None:
    report = LoadReport("test", seconds=1, latencies_ms=[float(one) for one in range(1, 101)])

    found = report.percentiles_ms()

    assert found["p50"] == pytest.approx(50.5)
    assert found["p99"] == pytest.approx(99.01)
    assert found["max"] == 100


def test_bins_hold_every_latency_once() -> None:
    report = LoadReport("test", latencies_ms=[0.0, 0.5, 0.5, 7.0, 90.0])

    bins = report.bins(8)

    assert sum(one.count for one in bins) == 5
    assert all(math.isclose(a.high_ms, b.low_ms) for a, b in pairwise(bins))


def test_bins_of_equal_latencies_exist() -> None:
    assert sum(one.count for one in LoadReport("test", latencies_ms=[3.0] * 4).bins()) == 4


def test_a_report_without_answers_has_no_figures() -> None:
    report = LoadReport("test")

    assert (report.rate, report.percentiles_ms(), report.bins()) == (0.0, {}, [])


@pytest.mark.parametrize(("count", "drawn"), [(0, ""), (8, "████"), (1, "▌")], ids=str)
def test_bar_is_as_long_as_its_share(count: int, drawn: str) -> None:
    assert bar(count, 8, width=4) == drawn
