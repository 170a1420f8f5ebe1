"""Which requests are taken, in what order and how many at a time."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gluonserve.batching.deadlines import Deadlines
from gluonserve.batching.policy import BatchPolicy, CloseReason, DropReason
from gluonserve.batching.queue import Pending, RequestQueue
from gluonserve.errors import Overloaded

numbers = count()


class FakeReply:
    """A future that only knows whether its caller has gone."""

    def __init__(self) -> None:
        self.gone = False

    def done(self) -> bool:
        return self.gone

    def set_result(self, answer) -> None: ...

    def set_exception(self, error) -> None: ...


def pending(rows=1, *, company="a", level=100, deadline=None, arrived=0.0, nbytes=1) -> Pending:
    return Pending(
        inputs={},
        rows=rows,
        nbytes=nbytes,
        company=company,
        level=level,
        deadline=deadline,
        arrived=arrived,
        arrived_ns=next(numbers),
        reply=FakeReply(),
    )


class Drops(list):
    def __call__(self, request, reason) -> None:
        self.append((request, reason))


def queue_of(*requests: Pending, **policy) -> RequestQueue:
    queue = RequestQueue(BatchPolicy(**policy), Drops())
    for request in requests:
        queue.append(request, request.arrived)
    return queue


def shared_queue(*requests: Pending, slots: int, **policy) -> RequestQueue:
    queue = RequestQueue(BatchPolicy(**policy), Drops(), slots=slots)
    for request in requests:
        queue.append(request, request.arrived)
    return queue


@pytest.mark.parametrize(
    ("waiting", "slots", "taken"),
    [(4, 2, [2, 1, 1]), (5, 2, [3, 1, 1]), (1, 4, [1]), (20, 2, [8, 6, 3, 2, 1]), (9, 1, [8, 1])],
)
def test_slots_share_the_rows_that_wait(waiting: int, slots: int, taken: list[int]) -> None:
    queue = shared_queue(*(pending() for _ in range(waiting)), slots=slots, max_rows=8)

    batches = [queue.take(0.0) for _ in taken]

    assert [batch.rows for batch in batches] == taken
    assert [batch.reason for batch in batches] == [
        CloseReason.FULL if rows == 8 else CloseReason.IDLE for rows in taken
    ]
    assert queue.take(0.0) is None


def test_request_larger_than_a_share_runs_whole() -> None:
    queue = shared_queue(pending(rows=6), pending(), slots=4, max_rows=8)

    assert [queue.take(0.0).rows, queue.take(0.0).rows] == [6, 1]


def test_who_waits_for_company_is_not_shared_out() -> None:
    queue = shared_queue(*(pending() for _ in range(8)), slots=2, max_rows=8, max_delay_ms=10)

    assert queue.take(0.0).rows == 8


def test_empty_queue_has_no_batch_and_nothing_due() -> None:
    queue = queue_of()

    assert queue.take(0.0) is None
    assert queue.due() is None


def test_batch_counts_rows_and_not_requests() -> None:
    first, second, third = pending(3), pending(4), pending(2)
    queue = queue_of(first, second, third, max_rows=8)

    assert queue.take(0.0) == ([first, second], 7, CloseReason.FULL)
    assert queue.take(0.0) == ([third], 2, CloseReason.IDLE)


def test_small_request_does_not_overtake_a_large_one_that_did_not_fit() -> None:
    first, large, small = pending(5), pending(5), pending(1)
    queue = queue_of(first, large, small, max_rows=8)

    assert queue.take(0.0).requests == [first]
    assert queue.take(0.0).requests == [large, small]


def test_only_equal_company_shares_a_batch_and_the_oldest_leads() -> None:
    a, b, c, d = (pending(company=company) for company in "xyxy")
    queue = queue_of(a, b, c, d)

    assert queue.take(0.0).requests == [a, c]
    assert queue.take(0.0).requests == [b, d]


def test_request_without_company_runs_alone() -> None:
    a, b = pending(company=None), pending(company=None)
    queue = queue_of(a, b, max_delay_ms=1000)

    assert queue.take(0.0) == ([a], 1, CloseReason.FULL)
    assert queue.take(0.0) == ([b], 1, CloseReason.FULL)


def test_level_1_goes_first_and_lower_levels_fill_the_batch() -> None:
    late, default, first = pending(level=200), pending(level=100), pending(level=1)
    queue = queue_of(late, default, first, max_rows=2)

    assert queue.take(0.0).requests == [first, default]
    assert queue.take(0.0).requests == [late]


def test_full_group_need_not_wait_behind_one_that_waits_for_company() -> None:
    lonely, *pair = pending(company="x"), pending(company="y"), pending(company="y")
    queue = queue_of(lonely, *pair, max_rows=2, max_delay_ms=1000)

    assert queue.take(0.0) == (pair, 2, CloseReason.FULL)
    assert queue.take(0.5) is None
    assert queue.take(1.0) == ([lonely], 1, CloseReason.DELAY)


def test_due_is_when_the_oldest_has_waited_long_enough() -> None:
    queue = queue_of(pending(level=5, arrived=2.0), pending(arrived=1.0), max_delay_ms=500)

    assert queue.due() == 1.5
    assert queue.take(1.4999) is None
    assert queue.take(1.5).reason is CloseReason.DELAY


def test_deadline_ends_the_delay_early_by_what_a_batch_takes() -> None:
    queue = queue_of(pending(), pending(deadline=0.5), max_delay_ms=1000)

    assert queue.due(lead=0.1) == 0.4
    assert queue.take(0.3, lead=0.1) is None
    assert queue.take(0.4, lead=0.1).reason is CloseReason.DEADLINE


def test_draining_waits_for_nobody() -> None:
    queue = queue_of(pending(), max_delay_ms=1000)

    assert queue.take(0.0, draining=True).reason is CloseReason.DRAIN


def test_request_larger_than_a_bound_is_taken_only_while_nothing_waits() -> None:
    large = pending(50)
    queue = queue_of(large, max_rows=8, max_queue_rows=10)

    with pytest.raises(Overloaded):
        queue.append(pending(), 0.0)

    assert queue.take(0.0).requests == [large]
    queue.append(pending(), 0.0)
    with pytest.raises(Overloaded):
        queue.append(pending(10), 0.0)


def test_expired_requests_make_room() -> None:
    queue = queue_of(pending(10, deadline=1.0), max_queue_rows=10)

    queue.append(pending(10), 1.0)

    assert queue.rows == 10


def test_requests_without_rows_are_bounded_too() -> None:
    queue = queue_of(pending(0, company=None), pending(0, company=None), max_queue_rows=2)

    with pytest.raises(Overloaded):
        queue.append(pending(0, company=None), 0.0)


def test_removing_twice_counts_once() -> None:
    request = pending(3)
    drops = Drops()
    queue = RequestQueue(BatchPolicy(), drops)
    queue.append(request, 0.0)

    assert [queue.remove(request), queue.remove(request)] == [True, False]
    assert drops == [(request, DropReason.CANCELLED)]
    assert (queue.rows, queue.nbytes, queue.requests) == (0, 0, 0)


def test_old_deadlines_are_forgotten_with_their_requests() -> None:
    deadlines = Deadlines()
    for number in range(10_000):
        request = pending(deadline=1e9 + number)
        deadlines.add(request)
        if number:
            deadlines.discard(request)

    assert len(deadlines) == 1
    assert len(deadlines._heap) < 200


@pytest.mark.parametrize(
    "limits",
    [
        {"max_rows": 0},
        {"max_delay_ms": -1},
        {"max_delay_ms": float("nan")},
        {"max_queue_rows": 0},
        {"max_queue_bytes": 0},
        {"pad_to": (64,)},
    ],
    ids=str,
)
def test_policy_that_nothing_could_meet_is_refused(limits) -> None:
    with pytest.raises(ValueError, match=r"must be|beyond"):
        BatchPolicy(**limits)


class QueueLife(RuleBasedStateMachine):
    """Any order of arrivals, departures, time and cuts keeps the queue's promises."""

    MAX_ROWS, MAX_QUEUE_ROWS, MAX_QUEUE_BYTES = 6, 20, 60

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.alive: list[Pending] = []
        self.settled: list[Pending] = []
        self.gone: list[Pending] = []
        policy = BatchPolicy(
            max_rows=self.MAX_ROWS,
            max_delay_ms=1000,
            max_queue_rows=self.MAX_QUEUE_ROWS,
            max_queue_bytes=self.MAX_QUEUE_BYTES,
        )
        self.queue = RequestQueue(policy, self._dropped)

    def _dropped(self, request: Pending, reason: DropReason) -> None:
        if reason is DropReason.EXPIRED:
            assert request.deadline is not None
            assert request.deadline <= self.now
        self._settle(request)

    def _settle(self, request: Pending) -> None:
        self.alive.remove(request)
        self.settled.append(request)

    def _waits(self) -> tuple[int, int]:
        return sum(p.rows or 1 for p in self.alive), sum(p.nbytes for p in self.alive)

    @rule(
        rows=st.integers(0, 9),
        nbytes=st.integers(0, 25),
        company=st.sampled_from("ab"),
        level=st.sampled_from([1, 100, 300]),
        patience=st.none() | st.floats(0.01, 5),
    )
    def arrive(self, rows, nbytes, company, level, patience) -> None:
        request = pending(
            rows,
            company=company if rows else None,
            level=level,
            deadline=None if patience is None else self.now + patience,
            arrived=self.now,
            nbytes=nbytes,
        )
        before = list(self.alive)
        try:
            self.alive.append(request)
            self.queue.append(request, self.now)
        except Overloaded:
            self.alive.remove(request)
            waiting_rows, waiting_bytes = self._waits()
            assert before
            assert (
                waiting_rows + (rows or 1) > self.MAX_QUEUE_ROWS
                or waiting_bytes + nbytes > self.MAX_QUEUE_BYTES
            )

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 1000), at_once=st.booleans())
    def leave(self, which, at_once) -> None:
        request = self.alive[which % len(self.alive)]
        request.reply.gone = True
        if at_once:
            assert self.queue.remove(request)
        else:
            self.gone.append(request)

    @rule(seconds=st.floats(0, 2))
    def time_passes(self, seconds) -> None:
        self.now += seconds

    @rule(draining=st.booleans(), lead=st.sampled_from([0.0, 0.1]))
    def take(self, draining, lead) -> None:
        due = self.queue.due(lead)
        batch = self.queue.take(self.now, lead=lead, draining=draining)
        if batch is None:
            assert draining is False or not self.alive
            assert not any(p.arrived + 1 <= self.now for p in self.alive)
            return
        assert draining or (due is not None and due <= self.now)
        requests = batch.requests
        assert batch.rows == sum(p.rows for p in requests)
        assert batch.rows <= self.MAX_ROWS or len(requests) == 1
        assert len({p.company for p in requests}) == 1
        assert len(requests) == 1 or requests[0].company is not None
        assert not any(p.reply.done() for p in requests)
        assert not any(p.deadline is not None and p.deadline <= self.now for p in requests)
        for request in requests:
            self._settle(request)
        self._check_order(requests)

    def _check_order(self, requests: list[Pending]) -> None:
        """Nobody of the same company who is still here stood before anybody taken."""
        order = [(p.level, p.arrived_ns) for p in requests]
        assert order == sorted(order)
        left = [
            (p.level, p.arrived_ns)
            for p in self.alive
            if p.company == requests[0].company is not None and not p.reply.done()
        ]
        assert not left or max(order) < min(left)

    @invariant()
    def counts_are_exact_and_bounded(self) -> None:
        rows, nbytes = self._waits()
        assert (self.queue.rows, self.queue.nbytes) == (rows, nbytes)
        assert self.queue.requests == len(self.alive)
        if len(self.alive) > 1:
            assert rows <= self.MAX_QUEUE_ROWS
            assert nbytes <= self.MAX_QUEUE_BYTES
        assert len(set(map(id, self.settled))) == len(self.settled)

    def teardown(self) -> None:
        self.queue.clear()
        assert not self.alive
        assert (self.queue.rows, self.queue.nbytes, self.queue.requests) == (0, 0, 0)
        assert self.queue.take(self.now + 100) is None


TestQueueLife = QueueLife.TestCase
TestQueueLife.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), max_size=40),
    max_rows=st.integers(1, 10),
)
def test_burst_is_cut_into_batches_in_order_and_none_is_lost(sizes, max_rows) -> None:
    requests = [pending(rows) for rows in sizes]
    queue = queue_of(*requests, max_rows=max_rows)

    batches = []
    while (batch := queue.take(0.0)) is not None:
        batches.append(batch)

    assert [request for batch in batches for request in batch.requests] == requests
    assert all(batch.rows <= max_rows or len(batch.requests) == 1 for batch in batches)
