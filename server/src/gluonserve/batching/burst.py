"""Whether more requests are on their way: what the next batch waits a moment for.

Requests that were answered together come back together, but the event loop hears of them one by
one. Cutting at the first makes many small batches, or sizes that alternate, and an engine pays for
every handing over and every change of size. So after a batch of several requests the next is cut
when they are back. Beside short work that is seen by the loop coming round a few times without
bringing anybody. Beside longer work the requests are counted, for a fraction of a batch's time; if
they do not come, the next batches, more each time, are cut at once as ever. After a lone request
the next is cut at once.
"""

from __future__ import annotations

_SHORT_BATCH_SECONDS = 0.005
_QUIET_ROUNDS = 8
_LONGEST_SECONDS = 0.002

_LONGEST_SHARE = 0.2  # of a batch's time, beside longer work
_LONGEST_SECONDS_BESIDE_LONG = 0.02
_PAUSE_SECONDS = 0.0003
_MOST_SKIPPED = 64


class Burst:
    """Follows one burst at a time; ``now`` is any monotonic clock's."""

    def __init__(self) -> None:
        self.expected = False
        """Whether the last batch was one after which it is worth waiting."""
        self.short = False
        """Whether batches are so short that the engine should not wait for the event loop."""
        self.typical_seconds = 0.0
        """What a batch has taken lately."""
        self._seen = self._quiet_rounds = self._awaited = 0
        self._until = self._longest = 0.0
        self._to_skip = self._skipped_last = 0

    @property
    def pause(self) -> float:
        """Seconds until it makes sense to look again; 0 for the loop's next round."""
        return 0.0 if self.short else _PAUSE_SECONDS

    def learn(self, requests: int, waiting: int, seconds: float) -> None:
        """A batch of so many requests, which took so long, is answered while others wait."""
        self.typical_seconds += 0.2 * (seconds - self.typical_seconds)
        self.short = self.typical_seconds < _SHORT_BATCH_SECONDS
        self.expected = requests > 1
        self._awaited = requests + waiting
        self._longest = _LONGEST_SECONDS
        if not self.short:
            self._longest = min(_LONGEST_SHARE * self.typical_seconds, _LONGEST_SECONDS_BESIDE_LONG)
            if self._to_skip:
                self._to_skip -= 1
                self.expected = False

    def begin(self, waiting: int, now: float) -> None:
        """So many requests wait when the loop begins to go round."""
        self._seen, self._quiet_rounds = waiting, 0
        self._until = now + self._longest

    def is_over(self, waiting: int, now: float) -> bool:
        """Whether, another round later with so many waiting, nobody else is to be expected."""
        if not self.short:
            return self._are_back(waiting, now)
        self._quiet_rounds = 0 if waiting > self._seen else self._quiet_rounds + 1
        self._seen = waiting
        return self._quiet_rounds >= _QUIET_ROUNDS or now >= self._until

    def _are_back(self, waiting: int, now: float) -> bool:
        """Count them; who waits in vain waits less often."""
        if waiting >= self._awaited:
            self._skipped_last = 0
            return True
        if now < self._until:
            return False
        self._to_skip = self._skipped_last = min(2 * self._skipped_last + 1, _MOST_SKIPPED)
        self.expected = False
        return True
