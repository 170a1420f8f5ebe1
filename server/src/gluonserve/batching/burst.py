"""Whether more requests are on their way: what a batch of short work waits a moment for.

Requests that were answered together come back together, but the event loop hears of them one by
one. Cutting at the first makes many small batches, each of which costs as much in handing over as
in computing. So after a batch of several requests the next is cut when the loop has come round a
few times without bringing anybody. After a lone request the next is cut at once.
"""

from __future__ import annotations

_SHORT_BATCH_SECONDS = 0.005  # beside longer work the handing over does not count
_QUIET_ROUNDS = 8
_LONGEST_SECONDS = 0.002


class Burst:
    """Follows one burst at a time; ``now`` is any monotonic clock's."""

    def __init__(self) -> None:
        self.expected = False
        """Whether the last batch was one that is worth waiting a few rounds for."""
        self.short = False
        """Whether batches are so short that the engine should not wait for the event loop."""
        self._seen = self._quiet_rounds = 0
        self._until = 0.0

    def learn(self, requests: int, typical_seconds: float) -> None:
        """A batch of so many requests has come back; batches take about so long."""
        self.short = typical_seconds < _SHORT_BATCH_SECONDS
        self.expected = self.short and requests > 1

    def begin(self, waiting: int, now: float) -> None:
        """So many requests wait when the loop begins to go round."""
        self._seen, self._quiet_rounds = waiting, 0
        self._until = now + _LONGEST_SECONDS

    def is_over(self, waiting: int, now: float) -> bool:
        """Whether, another round later with so many waiting, nobody else is to be expected."""
        self._quiet_rounds = 0 if waiting > self._seen else self._quiet_rounds + 1
        self._seen = waiting
        return self._quiet_rounds >= _QUIET_ROUNDS or now >= self._until
