"""A short network compiled twice: for one thread, and for all cores where a batch is worth them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.executors.protocol import Executor, Lease


class BySize:
    """Runs batches of up to ``most`` elements (of all inputs) on ``few``, larger ones on ``many``.

    Both are the same network; ``why`` says to people how one is chosen.
    """

    def __init__(self, few: Executor, many: Executor, most: float, why: str) -> None:
        self.signature = few.signature
        self.concurrency = few.concurrency
        self.description: Mapping[str, str] = {**few.description, "why": why}
        self._few, self._many, self._most = few, many, most

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> Lease:
        """Batch memory of the one that will run it."""
        return self._fit(sum(map(math.prod, shapes.values()))).lease(shapes)

    def run(self, lease: Lease) -> None:
        """Run the batch where its memory came from, since its size is what it was."""
        self._fit(sum(array.size for array in lease.inputs.values())).run(lease)

    def close(self) -> None:
        """Free both."""
        self._few.close()
        self._many.close()

    def _fit(self, elements: int) -> Executor:
        return self._few if elements <= self._most else self._many
