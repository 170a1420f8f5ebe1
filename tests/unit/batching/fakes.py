"""Engines, observers and clocks made for looking at the batcher from outside."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.tensors import DType, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

Tensors = dict[str, np.ndarray]


def signature_of(**changes) -> Signature:
    """One float input ``data`` of three columns, one output ``doubled``; both rows on axis 0."""
    fields = {
        "inputs": (TensorSpec("data", DType.FP32, (-1, -1)),),
        "outputs": (TensorSpec("doubled", DType.FP32, (-1, -1)),),
    }
    return Signature(**{**fields, **changes})


def double(inputs: Mapping[str, np.ndarray]) -> Tensors:
    return {"doubled": inputs["data"] * 2}


def row(value: float, rows: int = 1, columns: int = 3) -> Tensors:
    return {"data": np.full((rows, columns), value, np.float32)}


class FakeLease:
    """Memory that turns to NaN when it is given back, as memory in use by others would."""

    def __init__(self, executor: FakeExecutor, shapes: Mapping[str, tuple[int, ...]]) -> None:
        dtypes = {spec.name: spec.dtype.numpy for spec in executor.signature.inputs}
        self._executor = executor
        self.inputs = {name: np.zeros(shape, dtypes[name]) for name, shape in shapes.items()}
        self.outputs: Tensors = {}
        self.released = False

    def release(self) -> None:
        if not self.released:
            self.released = True
            self._executor.count_leases(-1)
            for array in (*self.inputs.values(), *self.outputs.values()):
                array.fill(np.nan if array.dtype.kind == "f" else 0)


class FakeExecutor:
    """Computes with a function; waits at a gate that the test opens; fails when told to."""

    def __init__(
        self,
        compute: Callable[[Tensors], Tensors] = double,
        *,
        signature: Signature | None = None,
        concurrency: int = 1,
        gated: bool = False,
        fails_on: Callable[[Tensors], bool] = lambda inputs: False,
        failure: Exception | None = None,
    ) -> None:
        self.failure = failure or FloatingPointError("this engine does not like these values")
        self.signature = signature or signature_of()
        self.concurrency = concurrency
        self.description: Mapping[str, str] = {"executor": "fake"}
        self.gate = threading.Semaphore(0) if gated else None
        self.batches: list[Tensors] = []
        self.leases_out = 0
        self._lock = threading.Lock()
        self._compute, self._fails_on = compute, fails_on

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> FakeLease:
        self.count_leases(+1)
        return FakeLease(self, shapes)

    def run(self, lease: FakeLease) -> None:
        self.batches.append({name: array.copy() for name, array in lease.inputs.items()})
        if self.gate is not None:
            assert self.gate.acquire(timeout=20), "nobody opened the gate"
        if self._fails_on(lease.inputs):
            raise self.failure
        lease.outputs = self._compute(lease.inputs)

    def close(self) -> None: ...

    def count_leases(self, change: int) -> None:
        with self._lock:
            self.leases_out += change

    def open_gate(self, batches: int = 1) -> None:
        assert self.gate is not None
        self.gate.release(batches)

    @property
    def sizes(self) -> list[int]:
        return [len(batch["data"]) for batch in self.batches]


class FakeObserver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.queue_rows = 0
        self.most_queue_rows = 0
        self.drops: list[tuple[str, int]] = []
        self.closed: list[tuple[str, int, int, int]] = []
        self.finished: list[int] = []

    def queued(self, rows) -> None:
        self.queue_rows += rows
        self.most_queue_rows = max(self.most_queue_rows, self.queue_rows)

    def dropped(self, reason, rows) -> None:
        self.drops.append((reason.value, rows))

    def batch_closed(self, reason, requests, rows, padding) -> None:
        self.closed.append((reason.value, requests, rows, padding))

    def batch_finished(self, rows, input_ns, infer_ns, output_ns) -> None:
        assert min(input_ns, infer_ns, output_ns) >= 0
        self.finished.append(rows)

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, *_ in self.closed]


class ManualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock only the test moves; it counts how often it went round."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.rounds = 0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        self.rounds += 1
        super()._run_once()

    async def advance(self, seconds: float) -> None:
        await settled()
        self.now += seconds
        await settled()


async def settled() -> None:
    """Let everything that is ready run, a few times over."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Give way to others until the condition holds, for 20 real seconds at most."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0)


def run_manually(scenario: Callable[[ManualLoop], Coroutine[None, None, None]]) -> None:
    """Run a test on a loop with a manual clock, and hear of everything that went wrong there."""
    loop = ManualLoop()
    complaints: list[dict] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        loop.run_until_complete(asyncio.wait_for(scenario(loop), timeout=None))
        loop.run_until_complete(settled())
    finally:
        loop.close()
    assert not complaints, complaints
