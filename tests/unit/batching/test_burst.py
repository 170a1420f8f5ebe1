"""What the next batch waits for, and when it stops waiting."""

from __future__ import annotations

import itertools

import pytest

from gluonserve.batching.burst import Burst

LONG, SHORT = 0.1, 0.001


def after(*batches: int, waiting: int = 0, seconds: float = LONG) -> Burst:
    """A burst that has seen batches of so many requests come back; each took so long."""
    burst = Burst()
    for requests in batches:
        burst.learn(requests, waiting, seconds * 5 if burst.typical_seconds == 0 else seconds)
    return burst


@pytest.mark.parametrize("seconds", [LONG, SHORT])
def test_after_a_lone_request_nobody_is_expected(seconds: float) -> None:
    assert not after(4, 1, seconds=seconds).expected
    assert after(1, 4, seconds=seconds).expected


def test_beside_short_work_it_is_over_when_rounds_bring_nobody() -> None:
    burst = after(4, seconds=SHORT)
    burst.begin(1, 0.0)

    rounds = [burst.is_over(waiting, 0.0) for waiting in (1, 1, 2, *[2] * 8)]

    assert burst.pause == 0
    assert rounds == [False] * 10 + [True]


def test_beside_long_work_it_is_over_when_all_that_were_answered_are_back() -> None:
    burst = after(3, waiting=1)
    burst.begin(1, 0.0)

    assert burst.pause > 0
    assert [burst.is_over(waiting, 0.001) for waiting in (1, 2, 3)] == [False] * 3
    assert burst.is_over(4, 0.001)


def test_it_waits_a_fraction_of_a_batch_at_most() -> None:
    burst = after(3)
    burst.begin(0, 0.0)

    assert not burst.is_over(2, 0.019)
    assert burst.is_over(2, 0.02)


def test_who_waits_in_vain_waits_less_and_less_often() -> None:
    burst, waited = after(3), []
    for number in range(200):
        if burst.expected:
            waited.append(number)
            burst.begin(0, 0.0)
            assert burst.is_over(2, 1.0)
        assert not burst.expected
        burst.learn(3, 0, LONG)

    gaps = [later - earlier for earlier, later in itertools.pairwise(waited)]
    assert gaps == [2, 4, 8, 16, 32, 64, 65]


def test_success_restores_patience() -> None:
    burst = after(3)
    for _ in range(3):
        burst.begin(0, 0.0)
        burst.is_over(0, 1.0)
        while not burst.expected:
            burst.learn(3, 0, LONG)
    burst.begin(3, 0.0)
    assert burst.is_over(3, 0.0)
    burst.learn(3, 0, LONG)

    burst.begin(0, 0.0)
    assert burst.is_over(0, 1.0)
    burst.learn(3, 0, LONG)

    assert not burst.expected
    burst.learn(3, 0, LONG)
    assert burst.expected
