"""Which requests run next, and together: a bounded queue that never looks at a clock itself."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gluonserve.batching.deadlines import Deadlines
from gluonserve.batching.policy import BatchPolicy, CloseReason, DropReason
from gluonserve.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import numpy as np

    from gluonserve.batching.answer import Answer

_Line = OrderedDict["Pending", None]  # a FIFO that gives up any member in constant time


class Reply(Protocol):
    """What batching asks of a request's future."""

    def done(self) -> bool:
        """Whether the caller has its outcome, or has gone."""
        ...

    def set_result(self, answer: Answer, /) -> None:
        """Give the caller its answer."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """Tell the caller what went wrong."""
        ...


@dataclass(slots=True, eq=False)
class Pending:
    """One request that waits: what it brings, when it must go, and where its answer goes."""

    inputs: Mapping[str, np.ndarray]
    rows: int
    nbytes: int
    company: Hashable | None
    """Requests of equal company may share a batch; None runs alone."""
    level: int
    deadline: float | None
    arrived: float
    arrived_ns: int
    reply: Reply
    group: _Group | None = None
    watch: Deadlines | None = None


@dataclass(slots=True, eq=False)
class _Group:
    """The requests that may share a batch, by priority level."""

    company: Hashable | None
    rows: int = 0
    count: int = 0
    lines: dict[int, _Line] = field(default_factory=dict)


class Batch(NamedTuple):
    """Requests to run together, in the order of their rows."""

    requests: list[Pending]
    rows: int
    reason: CloseReason


class RequestQueue:
    """Requests by priority, then by arrival; counts rows and bytes, exactly, at every moment.

    Priority level 1 goes first and larger levels later, as in Triton; what level a request without
    a priority has is the caller's business. Within a level and among requests that may share a
    batch the order is first in, first out: nobody overtakes by being small. A batch is led by the
    oldest request of the first level, and filled with its equals, first levels first.

    Where ``slots`` batches run side by side and nobody waits for company, a batch takes no more
    than its share of the rows that wait: whoever lands next finds work, and no slot is idle while
    the callers of another's large batch come back.

    A request leaves at once when it is removed or expires; ``on_drop`` is told of each that leaves
    without being taken, once. Every time is a number from one monotonic clock, passed in.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        on_drop: Callable[[Pending, DropReason], None],
        *,
        slots: int = 1,
    ) -> None:
        self._policy = policy
        self._delay = policy.max_delay_ms / 1000
        self._shares = 1 if self._delay else slots
        self._on_drop = on_drop
        self._lines: dict[int, _Line] = {}
        self._groups: dict[Hashable, _Group] = {}
        self._full: OrderedDict[_Group, None] = OrderedDict()
        self.deadlines = Deadlines()
        self.requests = 0
        self.rows = 0
        self.nbytes = 0

    @property
    def is_full(self) -> bool:
        """Whether some batch cannot grow any more by waiting."""
        return bool(self._full)

    def append(self, pending: Pending, now: float) -> None:
        """Put a request at the end of its level.

        Raises:
            Overloaded: there is no room; the queue is unchanged.
        """
        if not self._has_room(pending):
            self.expire(now)
            if not self._has_room(pending):
                raise Overloaded(
                    f"the queue is full: {self.rows} rows ({self.nbytes} bytes) wait, "
                    f"{self._policy.max_queue_rows} ({self._policy.max_queue_bytes}) may"
                )
        self.requests += 1
        self.rows += pending.rows or 1
        self.nbytes += pending.nbytes
        self._line_up(pending)
        if pending.deadline is not None:
            self.deadlines.add(pending)

    def remove(self, pending: Pending, reason: DropReason = DropReason.CANCELLED) -> bool:
        """Take out a request whose caller has gone; False if it is not here any more."""
        if pending.group is None:
            return False
        self._forget(pending)
        self._on_drop(pending, reason)
        return True

    def expire(self, now: float) -> None:
        """Drop every request whose deadline has passed."""
        for pending in self.deadlines.pop_expired(now):
            self.remove(pending, DropReason.EXPIRED)

    def clear(self) -> None:
        """Drop whatever still waits, because the queue is closed."""
        for pending in [pending for line in self._lines.values() for pending in line]:
            self.remove(pending, DropReason.CLOSED)

    def due(self, lead: float = 0.0) -> float | None:
        """When the next batch is ripe if nobody else arrives; None if nobody waits."""
        if not self.requests:
            return None
        oldest = min(next(iter(line)).arrived for line in self._lines.values())
        if self._full or not self._delay:
            return oldest
        earliest = self.deadlines.earliest()
        ripe = oldest + self._delay
        return ripe if earliest is None else min(ripe, earliest - lead)

    def take(self, now: float, *, lead: float = 0.0, draining: bool = False) -> Batch | None:
        """Cut the next batch, or None if none is ripe.

        ``lead`` is how long before its deadline a request has to start. Whoever has expired or
        left goes first, and is dropped instead of being taken.
        """
        self.expire(now)
        while (led := self._leader(now, lead, draining=draining)) is not None:
            group, reason = led
            requests, rows, closed = self._cut(group)
            for pending in requests:
                self._forget(pending)
            if requests:
                return Batch(requests, rows, CloseReason.FULL if closed else reason)
        return None

    def _has_room(self, pending: Pending) -> bool:
        policy = self._policy
        return not self.requests or (
            self.rows + (pending.rows or 1) <= policy.max_queue_rows
            and self.nbytes + pending.nbytes <= policy.max_queue_bytes
        )

    def _line_up(self, pending: Pending) -> None:
        level, company = pending.level, pending.company
        group = None if company is None else self._groups.get(company)
        if group is None:
            group = _Group(company)
            if company is not None:
                self._groups[company] = group
        pending.group = group
        group.rows += pending.rows
        group.count += 1
        for lines in (self._lines, group.lines):
            line = lines.get(level)
            if line is None:
                line = lines[level] = OrderedDict()
            line[pending] = None
        if company is None or group.rows >= self._policy.max_rows:
            self._full[group] = None

    def _forget(self, pending: Pending) -> None:
        group, level = pending.group, pending.level
        if group is None:
            return
        pending.group = None
        self.requests -= 1
        self.rows -= pending.rows or 1
        self.nbytes -= pending.nbytes
        if pending.deadline is not None:
            self.deadlines.discard(pending)
        group.rows -= pending.rows
        group.count -= 1
        for lines in (self._lines, group.lines):
            line = lines[level]
            del line[pending]
            if not line:
                del lines[level]
        if not group.count:
            self._full.pop(group, None)
            if group.company is not None:
                del self._groups[group.company]
        elif group.rows < self._policy.max_rows:
            self._full.pop(group, None)

    def _leader(
        self, now: float, lead: float, *, draining: bool
    ) -> tuple[_Group, CloseReason] | None:
        """The group whose turn it is, and why now."""
        delay = 0.0 if draining else self._delay
        for level in sorted(self._lines):
            oldest = next(iter(self._lines[level]))
            if oldest.group is not None and (not delay or oldest.arrived + delay <= now):
                return oldest.group, self._patience_over(draining=draining)
        if self._full:
            return next(iter(self._full)), CloseReason.FULL
        urgent = self.deadlines.first()
        if urgent is None or urgent.group is None or urgent.deadline is None:
            return None
        return (urgent.group, CloseReason.DEADLINE) if urgent.deadline - lead <= now else None

    def _patience_over(self, *, draining: bool) -> CloseReason:
        if draining:
            return CloseReason.DRAIN
        return CloseReason.DELAY if self._delay else CloseReason.IDLE

    def _cut(self, group: _Group) -> tuple[list[Pending], int, bool]:
        """The first requests of a group that fit in a batch; their rows; whether it is full."""
        chosen: list[Pending] = []
        gone: list[Pending] = []
        most = self._policy.max_rows
        limit = min(most, -(-group.rows // self._shares))
        rows, ended = 0, group.company is None
        for level in sorted(group.lines):
            for pending in group.lines[level]:
                if pending.reply.done():
                    gone.append(pending)
                    continue
                if chosen and rows + pending.rows > limit:
                    ended = True
                    break
                chosen.append(pending)
                rows += pending.rows
            if ended or rows >= limit:
                ended = True
                break
        for pending in gone:
            self.remove(pending)
        return chosen, rows, ended and (group.company is None or limit == most)
