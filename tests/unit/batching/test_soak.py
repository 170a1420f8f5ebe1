"""Ten thousand requests, many of which go wrong, and each of which ends as it should."""

from __future__ import annotations

import asyncio
import collections
import random

import numpy as np
import pytest
import uvloop
from structlog.testing import capture_logs

from gluonserve.batching import BatchPolicy, DynamicBatcher
from gluonserve.errors import DeadlineExceeded, ExecutionFailed, InvalidRequest

from .fakes import FakeExecutor, FakeObserver, settled

REQUESTS, CALLERS = 10_000, 200
POISON = -1.0


async def good(batcher: DynamicBatcher, value: float, rows: int) -> str:
    """Good, unless its batch was poisoned by others."""
    data = np.full((rows, 3), value, np.float32)
    try:
        answer = await batcher.submit({"data": data}, priority=int(value) % 3)
    except ExecutionFailed:
        return "poisoned"
    np.testing.assert_array_equal(answer.outputs["doubled"], data * 2)
    return "ok"


async def poisonous(batcher: DynamicBatcher) -> str:
    try:
        await batcher.submit({"data": np.full((1, 3), POISON, np.float32)})
    except ExecutionFailed:
        return "failed"
    return "wrongly answered"


async def cancelled(batcher: DynamicBatcher, rounds: int) -> str:
    data = {"data": np.ones((1, 3), np.float32)}
    caller = asyncio.ensure_future(batcher.submit(data))
    for _ in range(rounds):
        await asyncio.sleep(0)
    caller.cancel()
    outcome = (await asyncio.gather(caller, return_exceptions=True))[0]
    return "cancelled" if isinstance(outcome, asyncio.CancelledError) else type(outcome).__name__


async def expired(batcher: DynamicBatcher, seconds: float) -> str:
    when = asyncio.get_running_loop().time() + seconds
    try:
        await batcher.submit({"data": np.ones((1, 3), np.float32)}, deadline=when)
    except DeadlineExceeded:
        return "expired"
    except ExecutionFailed:
        return "poisoned"
    return "in time"


async def malformed(batcher: DynamicBatcher, chance: random.Random) -> str:
    wrong = [
        {},
        {"data": np.ones((1, 3))},
        {"data": np.float32(1)},
        {"other": np.ones((1, 3), np.float32)},
        {"data": np.ones((), np.float32)},
    ]
    try:
        await batcher.submit(chance.choice(wrong))
    except InvalidRequest:
        return "invalid"
    return "wrongly answered"


async def one(batcher: DynamicBatcher, chance: random.Random, number: int) -> tuple[str, str]:
    kind = chance.choices(
        ["good", "poisonous", "cancelled", "expired", "malformed"], [70, 1, 12, 9, 8]
    )[0]
    match kind:
        case "good":
            return kind, await good(batcher, number % 1000, chance.choice([1, 1, 1, 2, 5, 20]))
        case "poisonous":
            return kind, await poisonous(batcher)
        case "cancelled":
            return kind, await cancelled(batcher, chance.randrange(12))
        case "expired":
            return kind, await expired(batcher, chance.choice([-1, 0, 1e-5, 1e-4, 60]))
        case _:
            return kind, await malformed(batcher, chance)


@pytest.mark.parametrize(
    "new_loop",
    [
        pytest.param(asyncio.new_event_loop, id="asyncio"),
        pytest.param(uvloop.new_event_loop, id="uvloop"),
    ],
)
def test_every_one_of_ten_thousand_requests_ends_as_it_should(new_loop) -> None:
    loop = new_loop()
    complaints: list[dict] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        with capture_logs():
            loop.run_until_complete(soak())
    finally:
        loop.close()

    assert not complaints


async def soak() -> None:
    executor = FakeExecutor(concurrency=2, fails_on=lambda inputs: (inputs["data"] < 0).any())
    observer = FakeObserver()
    chance = random.Random(7)
    numbers = iter(range(REQUESTS))
    outcomes: collections.Counter[tuple[str, str]] = collections.Counter()

    async def caller(batcher: DynamicBatcher) -> None:
        for number in numbers:
            outcomes[await one(batcher, chance, number)] += 1

    async with DynamicBatcher(executor, BatchPolicy(max_rows=16), observer) as batcher:
        await asyncio.gather(*(caller(batcher) for _ in range(CALLERS)))
        await settled()
        left = batcher.statistics()
        assert await batcher.close()

    assert sum(outcomes.values()) == REQUESTS
    allowed = {
        "good": {"ok", "poisoned"},
        "poisonous": {"failed"},
        "cancelled": {"cancelled", "Answer", "ExecutionFailed"},
        "expired": {"expired", "in time", "poisoned"},
        "malformed": {"invalid"},
    }
    assert all(how in allowed[kind] for kind, how in outcomes), outcomes
    assert outcomes["good", "ok"] > outcomes["good", "poisoned"] > 0
    assert outcomes["expired", "expired"] > 0 < outcomes["cancelled", "cancelled"]
    assert left[:3] == (0, 0, 0)
    assert observer.queue_rows == 0
    assert executor.leases_out == 0
    assert max(executor.sizes) <= 20
    assert all(rows <= 16 or requests == 1 for _, requests, rows, _ in observer.closed)
