"""Brings square matrices near to triangles, as LAPACK does before it looks for eigenvalues.

Rows that show an eigenvalue by themselves go last and such columns first, the rest is scaled by
powers of two until rows and columns weigh the same, and reflections clear all that is more than one
place under the diagonal. All matrices go at once, (count, size, size) in float64; what is done to
columns is done to those of a ``basis``, too, which leads back from vectors of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gluonserve.loader.lowering.stepping import repeated, stepped
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

_WORTH = 0.95
"""Scaling must leave less than this part of the norms of a row and its column."""
_POWERS = 63
_SCALINGS = 64
"""Rounds over all rows, which each may change scales of others; two or three are enough."""


class Grid(NamedTuple):
    """The places of a matrix: numbers along an axis, down the rows, and which are the diagonal."""

    size: Dim
    places: Value
    rows: Value
    diagonal: Value


class Similar(NamedTuple):
    """Matrices, and the basis whose columns they are in terms of."""

    matrices: Value
    basis: Value


class Reflection(NamedTuple):
    """Householder's: 1 - factor * normal normal^T; the vector's head becomes ``head``."""

    normal: Value
    factor: Value
    head: Value


def grid(op: Emit, size: Dim) -> Grid:
    """For matrices of this size."""
    places = op.Range(op.scalar(0), op.scalar(size), op.scalar(1))
    rows = op.unsqueeze(places, 1)
    return Grid(size, places, rows, op.Equal(rows, places))


def hessenberg(op: Emit, at: Grid, matrices: Value) -> Similar:
    """Balanced matrices with zeros under the first diagonal below the main one."""
    ones = op.unsqueeze(op.cast(at.diagonal, matrices.dtype), 0)
    start = Similar(matrices, op.expand(ones, (matrices.shape[0], at.size, at.size)))
    balanced, low, high = _isolated(op, at, start)
    return _reduced(op, at, _scaled(op, at, balanced, low, high))


def reflection(op: Emit, vectors: Value, head: Value) -> Reflection:
    """What turns vectors (count, size) into their heads, which the mask shows."""
    zero, one = op.scalar(0, vectors.dtype), op.scalar(1, vectors.dtype)
    largest = op.ReduceMax(op.Abs(vectors), [1], keepdims=1)
    scale = op.Where(op.Equal(largest, zero), one, largest)
    scaled = op.Div(vectors, scale)
    first = op.ReduceSum(op.Where(head, scaled, zero), [1], keepdims=1)
    tail = op.Where(head, zero, scaled)
    squares = op.ReduceSumSquare(tail, [1], keepdims=1)
    idle = op.Equal(squares, zero)
    norm = op.Sqrt(op.Add(squares, op.Mul(first, first)))
    image = op.Where(op.Less(first, zero), norm, op.Neg(norm))
    factor = op.Where(idle, zero, op.Div(op.Sub(image, first), op.Where(idle, one, image)))
    normal = op.Div(tail, op.Where(idle, one, op.Sub(first, image)))
    left = op.Mul(op.Where(idle, first, image), scale)
    return Reflection(op.Where(head, one, normal), factor, left)


def reflected(op: Emit, at: Grid, given: Similar, mirror: Reflection, place: Value) -> Similar:
    """Reflect rows and columns from ``place`` on; the column before keeps its new head there."""
    zero = op.scalar(0, mirror.normal.dtype)
    upright = op.unsqueeze(mirror.normal, 2)
    across = op.unsqueeze(op.Mul(mirror.normal, mirror.factor), 1)
    behind = op.GreaterOrEqual(at.places, place)
    lines = op.Where(behind, op.MatMul(across, given.matrices), zero)
    half = op.Sub(given.matrices, op.Mul(upright, lines))
    whole = op.Sub(half, op.Mul(op.MatMul(half, upright), across))
    column = op.Equal(op.Add(at.places, op.scalar(1)), place)
    cleared = op.And(column, op.GreaterOrEqual(at.rows, place))
    heads = op.Where(op.Equal(at.rows, place), op.unsqueeze(mirror.head, 2), zero)
    basis = op.Sub(given.basis, op.Mul(op.MatMul(given.basis, upright), across))
    return Similar(op.Where(cleared, heads, whole), basis)


def column_before(op: Emit, matrices: Value, place: Value) -> Value:
    """The column before ``place``, (count, size); column 0 where there is none."""
    return op.Gather(matrices, op.Max(op.Sub(place, op.scalar(1)), op.scalar(0)), axis=2)


def _isolated(op: Emit, at: Grid, given: Similar) -> tuple[Similar, Value, Value]:
    """Eigenvalues that rows or columns show alone go to the ends; the first and last of the rest.

    Of several rows the last goes first, of columns the first: this fixes the eigenvalues' order.
    """
    ends = (given.matrices.shape[0], 1)
    low = op.expand(op.scalar(0), ends)
    high = op.expand(op.scalar(at.size - 1), ends)

    def rows(inner: Emit, _: Value, now: Sequence[Value]) -> tuple[Value, Sequence[Value]]:
        matrices, basis, low, high = now
        found, pushed = _pushed(inner, at, Similar(matrices, basis), low, high, down=True)
        return inner.Greater(_largest(inner, found), 0), (*pushed, low, inner.Sub(high, found))

    def columns(inner: Emit, _: Value, now: Sequence[Value]) -> tuple[Value, Sequence[Value]]:
        matrices, basis, low, high = now
        found, pushed = _pushed(inner, at, Similar(matrices, basis), low, high, down=False)
        return inner.Greater(_largest(inner, found), 0), (*pushed, inner.Add(low, found), high)

    states: Sequence[Value] = (*given, low, high)
    for turn in (rows, columns):
        states = repeated(op, op.scalar(at.size), states, turn, reads_data=True)
    matrices, basis, low, high = states
    return Similar(matrices, basis), low, high


def _largest(op: Emit, values: Value) -> Value:
    return op.ReduceMax(values, [0, 1], keepdims=0)


def _pushed(
    op: Emit, at: Grid, given: Similar, low: Value, high: Value, *, down: bool
) -> tuple[Value, Similar]:
    """Whether a row (or column) is alone, 0 or 1; if so it changes places with the one at the end.

    Alone is what has nothing off the diagonal, between ``low`` and ``high``.
    """
    inside = op.And(op.GreaterOrEqual(at.places, low), op.LessOrEqual(at.places, high))
    nothing = op.Equal(given.matrices, op.scalar(0, given.matrices.dtype))
    shared = op.Not(op.Or(nothing, at.diagonal))
    counted = op.cast(op.And(shared, op.unsqueeze(inside, 1 if down else 2)), DType.INT64)
    count = op.ReduceSum(counted, [2 if down else 1], keepdims=0)
    alone = op.And(inside, op.Equal(count, 0))
    none = op.scalar(-1) if down else op.scalar(at.size)
    pick = op.ReduceMax if down else op.ReduceMin
    chosen = pick(op.Where(alone, at.places, none), [1], keepdims=1)
    end = high if down else low
    missing = op.Equal(chosen, none)
    swapped = _swapped(op, at, given, op.Where(missing, end, chosen), end)
    return op.cast(op.Not(missing), DType.INT64), swapped


def _swapped(op: Emit, at: Grid, given: Similar, one: Value, other: Value) -> Similar:
    order = op.Where(
        op.Equal(at.places, one), other, op.Where(op.Equal(at.places, other), one, at.places)
    )
    shape = given.matrices.shape
    columns = op.expand(op.unsqueeze(order, 1), shape)
    rows = op.expand(op.unsqueeze(order, 2), shape)
    turned = op.GatherElements(given.matrices, rows, axis=1)
    return Similar(
        op.GatherElements(turned, columns, axis=2),
        op.GatherElements(given.basis, columns, axis=2),
    )


def _scaled(op: Emit, at: Grid, given: Similar, low: Value, high: Value) -> Similar:
    inside = op.And(op.GreaterOrEqual(at.places, low), op.LessOrEqual(at.places, high))

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (place,), (matrices, basis, changed) = parts, states
        here = inner.And(inside, inner.Equal(at.places, place))
        exponent = _exponent(inner, matrices, inside, place)
        exponent = inner.Where(here, exponent, inner.scalar(0))
        changed = inner.Add(changed, inner.ReduceSum(inner.Abs(exponent), [0, 1], keepdims=0))
        factors = inner.Pow(inner.scalar(2, matrices.dtype), inner.cast(exponent, matrices.dtype))
        across = inner.unsqueeze(factors, 1)
        matrices = inner.Mul(inner.Div(matrices, inner.unsqueeze(factors, 2)), across)
        return (matrices, inner.Mul(basis, across), changed), ()

    def sweep(inner: Emit, _: Value, states: Sequence[Value]) -> tuple[Value, Sequence[Value]]:
        begun = [*states, inner.scalar(0)]
        (matrices, basis, changed), _rows = stepped(
            inner, [at.places], begun, step, reads_data=True
        )
        return inner.Greater(changed, 0), (matrices, basis)

    return Similar(*repeated(op, op.scalar(_SCALINGS), given, sweep, reads_data=True))


def _exponent(op: Emit, matrices: Value, inside: Value, place: Value) -> Value:
    """Which power of two makes a column as long as its row, (count, 1); 0 if it is not worth it."""
    zero = op.scalar(0, matrices.dtype)
    column, row = (
        op.Sqrt(op.ReduceSumSquare(op.Where(inside, line, zero), [1], keepdims=1))
        for line in (op.Gather(matrices, place, axis=2), op.Gather(matrices, place, axis=1))
    )
    fours = op.const(4.0 ** np.arange(_POWERS)[None], matrices.dtype)

    def how_often(short: Value, long: Value, *, equal: bool) -> Value:
        grown = op.Mul(short, fours)
        less = op.LessOrEqual(grown, long) if equal else op.Less(grown, long)
        return op.ReduceSum(op.cast(less, DType.INT64), [1], keepdims=1)

    up = how_often(column, op.Mul(row, 0.5), equal=False)
    down = how_often(row, op.Mul(column, 0.5), equal=True)
    exponent = op.Sub(up, down)
    factor = op.Pow(op.scalar(2, matrices.dtype), op.cast(exponent, matrices.dtype))
    before, after = op.Add(column, row), op.Add(op.Mul(column, factor), op.Div(row, factor))
    both = op.Not(op.Or(op.Equal(column, zero), op.Equal(row, zero)))
    worth = op.And(both, op.Less(after, op.Mul(before, _WORTH)))
    return op.Where(worth, exponent, op.scalar(0))


def _reduced(op: Emit, at: Grid, given: Similar) -> Similar:
    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (place,), now = parts, Similar(*states)
        column = column_before(inner, now.matrices, place)
        below = inner.And(
            inner.GreaterOrEqual(at.places, place), inner.Greater(place, inner.scalar(0))
        )
        vectors = inner.Where(below, column, inner.scalar(0, column.dtype))
        mirror = reflection(inner, vectors, inner.Equal(at.places, place))
        return reflected(inner, at, now, mirror, place), ()

    states, _ = stepped(op, [at.places], given, step, reads_data=True)
    return Similar(*states)
