"""One batch on its way through the executor."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from gluonserve.errors import ExecutionFailed, GluonserveError, ShapesRefused

if TYPE_CHECKING:
    import numpy as np

    from gluonserve.batching.queue import Batch
    from gluonserve.batching.tensors import RowLayout
    from gluonserve.executors.protocol import Executor


class Flight:
    """A batch's requests, and what came of running them.

    Made and read on the event loop; in between, ``execute`` fills it on a thread.
    """

    __slots__ = ("batch", "cut_ns", "failure", "inputs", "outputs", "padded", "times")

    def __init__(self, batch: Batch, padded: int) -> None:
        self.batch, self.padded = batch, padded
        self.cut_ns = perf_counter_ns()
        self.inputs = [pending.inputs for pending in batch.requests]
        self.outputs: dict[str, np.ndarray] = {}
        self.times = (0, 0, 0)
        self.failure: BaseException | None = None

    @property
    def seconds(self) -> float:
        """How long it took to stack, run and copy out."""
        return sum(self.times) / 1e9

    def execute(self, executor: Executor, layout: RowLayout) -> None:
        """Stack, run and copy out; whatever goes wrong becomes ``failure``."""
        try:
            self._execute(executor, layout)
        except BaseException as cause:  # noqa: BLE001 - on a thread nobody else would see it
            self.failure = cause

    def _execute(self, executor: Executor, layout: RowLayout) -> None:
        began = self.cut_ns = perf_counter_ns()  # what waited behind another batch still queued
        lease = executor.lease(layout.shapes(self.inputs, self.padded))
        try:
            layout.stack(self.inputs, self.batch.rows, lease.inputs)
            self.inputs = []
            stacked = perf_counter_ns()
            executor.run(lease)
            ran = perf_counter_ns()
            self.outputs = layout.detach(lease.outputs, self.batch.rows, self.padded)
        finally:
            lease.release()
        self.times = (stacked - began, ran - stacked, perf_counter_ns() - ran)


def error_of(cause: BaseException) -> GluonserveError:
    """What one caller of a failed batch is told: what is the callers' mistake by its own name."""
    if isinstance(cause, ShapesRefused):
        error: GluonserveError = ShapesRefused(str(cause))
    elif isinstance(cause, GluonserveError):
        error = ExecutionFailed(str(cause))
    else:
        error = ExecutionFailed("the engine failed on this batch")
    error.__cause__ = cause
    return error
