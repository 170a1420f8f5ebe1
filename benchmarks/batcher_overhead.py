"""Microseconds that batching costs a request, with an engine that does next to nothing.

    python benchmarks/batcher_overhead.py [--in-flight 64] [--requests 50000] [--engine-us 0]

Each caller is a task that sends its next request when it has its answer. The floor is the same
callers waiting for bare futures that the event loop settles in batches; what the batcher adds is
the difference. Only ratios and differences of one run mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import uvloop

from gluonserve.batching import BatchPolicy, DynamicBatcher
from gluonserve.tensors import DType, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class EmptyLease:
    """Reused memory for up to 64 rows of 784 floats in and 10 out."""

    def __init__(self, arena: np.ndarray, answers: np.ndarray, rows: int) -> None:
        self.inputs = {"data": arena[:rows]}
        self.outputs = {"digits": answers[:rows]}

    def release(self) -> None:
        """Nothing is counted here."""


class EmptyEngine:
    """Takes a fixed time outside the GIL and answers what was there."""

    signature = Signature(
        inputs=(TensorSpec("data", DType.FP32, (-1, 784)),),
        outputs=(TensorSpec("digits", DType.FP32, (-1, 10)),),
    )
    concurrency = 1
    description: Mapping[str, str] = {}

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._arena = np.zeros((64, 784), np.float32)
        self._answers = np.zeros((64, 10), np.float32)
        self.batches = 0

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> EmptyLease:
        """Memory that is always there."""
        return EmptyLease(self._arena, self._answers, shapes["data"][0])

    def run(self, lease: EmptyLease) -> None:  # noqa: ARG002 - the protocol's
        """Wait, where asked to."""
        self.batches += 1
        if self._seconds:
            time.sleep(self._seconds)

    def close(self) -> None:
        """Nothing to free."""


async def callers(send: Callable[[], Awaitable[object]], in_flight: int, requests: int) -> float:
    """Seconds that so many callers take for so many requests together."""

    async def caller() -> None:
        for _ in range(requests // in_flight):
            await send()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return time.perf_counter() - began


async def floor(in_flight: int, requests: int) -> float:
    """The same callers and futures without a batcher."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[None]] = []

    def settle() -> None:
        batch = waiting[:]
        waiting.clear()
        for future in batch:
            future.set_result(None)

    async def send() -> None:
        future: asyncio.Future[None] = loop.create_future()
        waiting.append(future)
        if len(waiting) == 1:
            loop.call_soon(settle)
        await future

    return await callers(send, in_flight, requests)


async def batched(
    arguments: argparse.Namespace, *, deadline: bool, profile: cProfile.Profile | None = None
) -> tuple[float, float, float]:
    """Wall and loop-thread seconds through the batcher, and rows per batch."""
    engine = EmptyEngine(arguments.engine_us / 1e6)
    row = np.zeros((1, 784), np.float32)
    async with DynamicBatcher(engine, BatchPolicy(max_rows=32)) as batcher:
        feeds = {"data": row}
        when = asyncio.get_running_loop().time() + 3600 if deadline else None
        busy = time.thread_time()
        if profile is not None:
            profile.enable()
        seconds = await callers(
            lambda: batcher.submit(feeds, deadline=when), arguments.in_flight, arguments.requests
        )
        if profile is not None:
            profile.disable()
        return seconds, time.thread_time() - busy, arguments.requests / engine.batches


def run(main: Awaitable[object], loop_name: str) -> object:
    """Run on a fresh loop of this kind."""
    loop = uvloop.new_event_loop() if loop_name == "uvloop" else asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)  # type: ignore[arg-type]
    finally:
        loop.close()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine-us", type=float, default=0.0)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    per_request = 1e6 / arguments.requests
    print(f"{'loop':8} {'deadline':8} {'floor':>7} {'wall':>7} {'cpu':>7} {'rows/batch':>10}   us")
    for loop_name in ("asyncio", "uvloop"):
        for deadline in (False, True):
            bare, wall, cpu, rows = [], [], [], []
            for _ in range(arguments.repeats):
                bare.append(run(floor(arguments.in_flight, arguments.requests), loop_name))
                seconds, busy, size = run(batched(arguments, deadline=deadline), loop_name)
                wall.append(seconds), cpu.append(busy), rows.append(size)
            medians = [statistics.median(values) * per_request for values in (bare, wall, cpu)]
            numbers = " ".join(f"{value:7.2f}" for value in medians)
            print(f"{loop_name:8} {deadline!s:8} {numbers} {statistics.median(rows):10.1f}")
    if arguments.profile:
        profile = cProfile.Profile()
        run(batched(arguments, deadline=False, profile=profile), "uvloop")
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
