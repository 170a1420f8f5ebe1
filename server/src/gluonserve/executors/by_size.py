"""A short network compiled twice: for one thread, and for all cores where a batch is worth them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gluonserve.executors.memory import RUNS_UNTIL_GONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve.executors.protocol import Executor, Lease


class BySize:
    """Runs batches of up to ``most`` elements (of all inputs) on ``few``, larger ones on ``many``.

    Both are the same network; ``why`` says to people how one is chosen. An engine keeps the memory
    of a large batch until it has run far smaller ones, so that those which follow a large one run
    on ``many`` as well, as many as that takes.
    """

    def __init__(self, few: Executor, many: Executor, most: float, why: str) -> None:
        self.signature = few.signature
        self.concurrency = few.concurrency
        self.description: Mapping[str, str] = {**few.description, "why": why}
        self._few, self._many, self._most = few, many, most
        self._to_follow = 0

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> Lease:
        """Batch memory of the one that will run it."""
        executor = self._fit(sum(map(math.prod, shapes.values())))
        return _Placed(executor, executor.lease(shapes))

    def run(self, lease: Lease) -> None:
        """Run the batch where its memory came from."""
        if not isinstance(lease, _Placed):
            raise TypeError("the lease is another executor's")
        lease.executor.run(lease.inner)

    def close(self) -> None:
        """Free both."""
        self._few.close()
        self._many.close()

    def _fit(self, elements: int) -> Executor:
        if elements > self._most:
            self._to_follow = RUNS_UNTIL_GONE
        elif self._to_follow:
            self._to_follow -= 1
        else:
            return self._few
        return self._many


class _Placed:
    """A lease of one of the two."""

    def __init__(self, executor: Executor, inner: Lease) -> None:
        self.executor, self.inner, self.inputs = executor, inner, inner.inputs

    @property
    def outputs(self) -> Mapping[str, np.ndarray]:
        return self.inner.outputs

    def release(self) -> None:
        self.inner.release()
