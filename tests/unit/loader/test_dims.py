"""Symbolic dimensions: equality, division, solving and replacing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.dims import free

N, H, BATCH = free("n"), free("h"), free("batch")


def test_a_polynomial_with_no_symbol_left_is_a_number() -> None:
    assert N - N == 0
    assert isinstance((N + 3) - N, int)


def test_sizes_reached_through_different_strides_are_equal() -> None:
    assert ((N + 1) // 2 + 1) // 2 == (N + 3) // 4


def test_the_batch_survives_a_reshape_and_back() -> None:
    elements = BATCH * N * 64
    assert dims.exact_quotient(elements, N * 64) == BATCH


def test_a_quotient_that_is_not_known_to_come_out_even_is_none() -> None:
    assert dims.exact_quotient(N * H, 7) is None
    assert dims.exact_quotient(10, 3) is None


@pytest.mark.parametrize(
    ("one", "other", "fact"),
    [
        (N * 16, 64, ("n", 4)),
        (N, BATCH, ("n", BATCH)),
        (BATCH, N, ("n", BATCH)),
        (free("a"), free("b"), ("b", free("a"))),
        (N * H, 12, None),
        (N + 5, 3, None),
    ],
    ids=["scaled", "keeps-batch", "keeps-batch-reversed", "keeps-first", "product", "negative"],
)
def test_an_equation_fixes_a_free_dimension(one: dims.Dim, other: dims.Dim, fact: object) -> None:
    assert dims.solved(one, other) == fact


def test_the_largest_stays_as_long_as_it_is_however_often_it_is_compared() -> None:
    """Steps of a loop compare what they answered with what they read; text and hash are trees."""
    one, other = free("a"), free("b")
    largest = dims.larger(one, other)

    for _ in range(60):
        one, other = dims.larger(one, other), dims.larger(other, one)

    assert one == other == largest
    assert dims.larger(free("c"), largest) == dims.larger(dims.larger(free("c"), other), free("a"))
    assert str(dims.larger(free("c"), largest)) == "max(max(a, b), c)"


def test_the_larger_of_two_is_known_when_they_differ_by_a_number() -> None:
    assert dims.larger(N + 1, N) == N + 1
    assert dims.smaller(N, N + 2) == N
    assert dims.symbols(dims.larger(N, 5)) == {"n"}


def test_a_free_dimension_is_one_at_least_and_a_counted_one_may_be_none() -> None:
    assert dims.smaller(N, 1) == 1
    assert dims.larger(N * H, 1) == N * H
    assert dims.symbols(dims.smaller(dims.counted("found"), 1)) == {"found"}


@given(
    st.integers(1, 50), st.integers(1, 50), st.integers(1, 7), st.integers(1, 7),
    st.integers(-20, 20), st.integers(-20, 20),
)  # fmt: skip
def test_arithmetic_agrees_with_numbers(  # noqa: PLR0917 - hypothesis fills them by position
    n: int, h: int, first: int, second: int, one: int, other: int
) -> None:
    """Whatever is built from symbols has the value that numbers in their place would have."""

    def built(a: dims.Dim, b: dims.Dim) -> list[dims.Dim]:
        half = (a * 3 + one) // first
        return [
            half,
            (half + other) // second,
            (a * b * second + b * one) // second,
            dims.larger(a + one, b),
            dims.smaller(half, b) * 2 - a,
            (a + other) % first,
        ]

    symbolic = [dims.replaced(dim, {"n": n, "h": h}) for dim in built(N, H)]

    assert symbolic == built(n, h)
