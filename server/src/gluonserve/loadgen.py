"""Load on a server from this process, closed loop or open loop, and what its latencies were.

A closed loop keeps a fixed number of requests in flight, as that many waiting clients do. An open
loop sends at a rate whatever the answers do, as the world does: latency then counts from when a
request was due, so that a server that stalls is charged for the requests that it held up.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Send = Callable[[], Awaitable[None]]

_LEAST_LATENESS_S = 10.0
_TOO_FAST = "not sent: this process cannot send at that rate"
PERCENTILES = (50, 90, 95, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Bin:
    """How many latencies lie in ``low_ms <= latency < high_ms``."""

    low_ms: float
    high_ms: float
    count: int


@dataclass(slots=True)
class LoadReport:
    """What a run of load saw; ``failures`` counts by text, and only answers have latencies."""

    mode: str
    seconds: float = 0.0
    rows_per_request: int = 1
    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answered requests per second."""
        return len(self.latencies_ms) / self.seconds if self.seconds else 0.0

    def percentiles_ms(self) -> Mapping[str, float]:
        """The usual percentiles of the latencies by name, and the mean; empty without answers."""
        if not self.latencies_ms:
            return {}
        values = np.percentile(self.latencies_ms, PERCENTILES)
        named = {
            f"p{point:g}": float(value) for point, value in zip(PERCENTILES, values, strict=True)
        }
        return {"mean": float(np.mean(self.latencies_ms)), **named, "max": max(self.latencies_ms)}

    def bins(self, count: int = 16) -> list[Bin]:
        """The latencies in bins of equal ratio, narrow where they are short."""
        if not self.latencies_ms:
            return []
        low, high = min(self.latencies_ms), max(self.latencies_ms)
        edges = np.geomspace(max(low, 1e-3), max(high, low * 1.01, 2e-3) * 1.0001, count + 1)
        counts, edges = np.histogram(np.maximum(self.latencies_ms, edges[0]), edges)
        return [
            Bin(float(a), float(b), int(n))
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        ]

    def as_json(self) -> dict[str, object]:
        """The figures, without the single latencies."""
        return {
            "mode": self.mode,
            "seconds": self.seconds,
            "requests": len(self.latencies_ms),
            "requests_per_second": self.rate,
            "rows_per_second": self.rate * self.rows_per_request,
            "latency_ms": dict(self.percentiles_ms()),
            "failures": dict(self.failures),
        }


async def closed_loop(
    send: Send, *, in_flight: int, seconds: float, warmup_seconds: float = 0.0
) -> LoadReport:
    """Keep ``in_flight`` requests under way for ``seconds``; those of the warm-up do not count."""
    report = LoadReport(mode=f"closed loop, {in_flight} in flight")
    began = perf_counter() + warmup_seconds
    end = began + seconds

    async def client() -> None:
        while (sent := perf_counter()) < end:
            await _one(send, sent, report, counts=sent >= began)

    await asyncio.gather(*(client() for _ in range(in_flight)))
    report.seconds = perf_counter() - began
    return report


async def open_loop(
    send: Send, *, rate: float, seconds: float, warmup_seconds: float = 0.0, seed: int = 0
) -> LoadReport:
    """Send at ``rate`` requests per second on average, at random (Poisson) moments.

    What this process is too slow to send, though it goes on for as long again, counts as failed.
    """
    report = LoadReport(mode=f"open loop, {rate:g} per second")
    gaps = np.random.default_rng(seed)
    began = perf_counter() + warmup_seconds
    end = began + seconds
    under_way: set[asyncio.Task[None]] = set()
    due = perf_counter()
    late = end + max(seconds, _LEAST_LATENESS_S)
    while (due := due + gaps.exponential(1 / rate)) < end:
        if perf_counter() > late:
            report.failures[_TOO_FAST] += max(round((end - due) * rate), 1)
            break
        await asyncio.sleep(max(due - perf_counter(), 0))
        task = asyncio.create_task(_one(send, due, report, counts=due >= began))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    report.seconds = max(perf_counter() - began, seconds)
    return report


async def _one(send: Send, due: float, report: LoadReport, *, counts: bool) -> None:
    try:
        await send()
    except Exception as error:  # noqa: BLE001 - counted by text: load goes on when requests fail
        if counts:
            report.failures[str(error) or type(error).__name__] += 1
    else:
        if counts:
            report.latencies_ms.append((perf_counter() - due) * 1000)


def bar(count: int, largest: int, width: int = 40) -> str:
    """A bar of a text chart, in eighths of a character."""
    eighths = math.ceil(count / largest * width * 8) if largest else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
