"""Requests by deadline, so that the earliest is known without looking at the others."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gluonserve.batching.queue import Pending

_SLACK = 64


class Deadlines:
    """A heap of the requests that have a deadline and are watched here.

    A request is in one such heap at a time (``Pending.watch``). Leaving only clears that mark; the
    dead entry goes when it surfaces, or when dead entries outnumber live ones, so that each
    operation costs a logarithm at most and no request is kept alive for long by its old deadline.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pending]] = []
        self._order = count()
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, pending: Pending) -> None:
        """Watch a request that has a deadline; another heap's watch over it ends."""
        if pending.watch is not None:
            pending.watch.discard(pending)
        if len(self._heap) > 2 * self._live + _SLACK:
            self._heap = [entry for entry in self._heap if entry[2].watch is self]
            heapify(self._heap)
        if pending.deadline is not None:
            pending.watch = self
            self._live += 1
            heappush(self._heap, (pending.deadline, next(self._order), pending))

    def discard(self, pending: Pending) -> None:
        """Stop watching a request; nothing happens if it is not watched here."""
        if pending.watch is self:
            pending.watch = None
            self._live -= 1
            if not self._live:
                self._heap.clear()

    def earliest(self) -> float | None:
        """The next deadline, or None."""
        first = self.first()
        return None if first is None else first.deadline

    def first(self) -> Pending | None:
        """The request whose deadline comes next, or None."""
        heap = self._heap
        while heap and heap[0][2].watch is not self:
            heappop(heap)
        return heap[0][2] if heap else None

    def pop_expired(self, now: float) -> list[Pending]:
        """Stop watching, and give, every request whose deadline is not after ``now``."""
        expired = []
        while (first := self.first()) is not None and first.deadline is not None:
            if first.deadline > now:
                break
            self.discard(first)
            expired.append(first)
        return expired
