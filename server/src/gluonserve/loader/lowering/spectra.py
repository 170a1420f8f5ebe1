"""Eigenvalues of symmetric matrices and singular values of any, by Jacobi's rotations.

Neither engine has these operators. A step of a ``Loop`` turns rows and columns of a matrix two by
two, all pairs of a round at once, so that what they share becomes zero; after some sweeps over all
pairs nothing is left beside the diagonal. Matrices may have any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.diagonals import triangle
from gluonserve.loader.lowering.linalg import transposed
from gluonserve.loader.lowering.stepping import stepped
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

_SWEEPS = 12
"""Rounds over all pairs; convergence is quadratic once angles are small."""


class Spectrum(NamedTuple):
    """Eigenvalues from the smallest to the largest, and their vectors as columns."""

    values: Value
    vectors: Value


class Singular(NamedTuple):
    """``left`` @ diag(``values``) @ ``right``; the largest value comes first."""

    left: Value
    values: Value
    right: Value


def symmetric_spectrum(op: Emit, matrices: Value, *, upper: bool = False) -> Spectrum:
    """Of matrices (count, size, size) in float64; a vector's largest element is positive.

    Only the lower triangle is read, or the upper one, as LAPACK does.
    """
    op.equate(matrices.shape[-2], matrices.shape[-1], "sides of a symmetric matrix")
    strict = triangle(op, matrices, 1 if upper else -1, upper=upper)
    matrices = op.Add(triangle(op, matrices, 0, upper=upper), transposed(op, strict))
    size = matrices.shape[-1]
    places = op.Range(op.scalar(0), op.scalar(size), op.scalar(1))
    unit = _units(op, matrices, size, places)

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        left, vectors = states
        turn = _turns(inner, left, places, size, parts[0])
        turned = inner.MatMul(inner.MatMul(transposed(inner, turn), left), turn)
        return (turned, inner.MatMul(vectors, turn)), ()

    (last, vectors), _ = stepped(op, [_rounds(op, size)], [matrices, unit], step, reads_data=True)
    values = op.ReduceSum(op.Mul(last, unit), [2], keepdims=0)
    count = op.scalar(size)
    ordered, order = op.node(
        "TopK", values, op.reshape(count, (1,)), outputs=2, axis=1, largest=0,
        types=[(values.dtype, values.shape), (DType.INT64, values.shape)],
    )  # fmt: skip
    chosen = op.expand(op.unsqueeze(order, 1), vectors.shape)
    return Spectrum(ordered, _signed(op, op.GatherElements(vectors, chosen, axis=2), 1)[0])


def singular_values(op: Emit, matrices: Value) -> Singular:
    """Of matrices (count, rows, columns) in float64, no more rows than columns.

    The rows are turned until they stand upright on each other: their lengths are the values. The
    largest element of a right vector is positive.
    """
    rows = matrices.shape[1]
    places = op.Range(op.scalar(0), op.scalar(rows), op.scalar(1))
    unit = _units(op, matrices, rows, places)

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        right, left = states
        turn = _turns(inner, inner.MatMul(right, transposed(inner, right)), places, rows, parts[0])
        return (inner.MatMul(transposed(inner, turn), right), inner.MatMul(left, turn)), ()

    (right, left), _ = stepped(op, [_rounds(op, rows)], [matrices, unit], step, reads_data=True)
    values = op.Sqrt(op.ReduceSumSquare(right, [2], keepdims=0))
    ordered, order = op.node(
        "TopK", values, op.reshape(op.scalar(rows), (1,)), outputs=2, axis=1,
        types=[(values.dtype, values.shape), (DType.INT64, values.shape)],
    )  # fmt: skip
    left = op.GatherElements(left, op.expand(op.unsqueeze(order, 1), left.shape), axis=2)
    right = op.GatherElements(right, op.expand(op.unsqueeze(order, 2), right.shape), axis=1)
    length = op.unsqueeze(ordered, 2)
    right = op.Div(right, op.Where(op.Equal(length, 0.0), op.scalar(1.0, length.dtype), length))
    right, sign = _signed(op, right, 2)
    return Singular(op.Mul(left, transposed(op, sign)), ordered, right)


def _rounds(op: Emit, size: Dim) -> Value:
    count = _odd(size) * _SWEEPS
    return op.Range(op.scalar(0), op.scalar(count), op.scalar(1))


def _odd(size: Dim) -> Dim:
    """The size, or one more where it is even: that many rounds pair every two once."""
    return size + (size + 1) % 2


def _units(op: Emit, matrices: Value, size: Dim, places: Value) -> Value:
    ones = op.cast(op.Equal(op.unsqueeze(places, 1), places), matrices.dtype)
    return op.expand(op.unsqueeze(ones, 0), (matrices.shape[0], size, size))


def _turns(inner: Emit, matrices: Value, places: Value, size: Dim, at: Value) -> Value:
    """The rotations of one round: row i is turned with row at - i, modulo the rounds of a sweep.

    What two rows share is the mean of both sides, so that both are turned by the same angle
    however their last bits differ.
    """
    count, kind = _odd(size), matrices.dtype
    partner = inner.Mod(inner.Sub(at, places), inner.scalar(count))
    partner = inner.Where(inner.Less(partner, inner.scalar(size)), partner, places)
    mask = inner.Equal(inner.unsqueeze(partner, 1), places)
    diagonal = inner.Equal(inner.unsqueeze(places, 1), places)
    zero, one = inner.scalar(0, kind), inner.scalar(1, kind)
    pairs = inner.And(mask, inner.Not(diagonal))
    even = inner.Mul(inner.Add(matrices, transposed(inner, matrices)), 0.5)
    shared = inner.ReduceSum(inner.Where(pairs, even, zero), [2], keepdims=0)
    own = inner.ReduceSum(inner.Where(diagonal, matrices, zero), [2], keepdims=0)
    apart = inner.Sub(inner.Gather(own, partner, axis=1), own)
    ratio = inner.Div(apart, inner.Mul(2.0, inner.Where(inner.Equal(shared, zero), one, shared)))
    side = inner.Where(inner.Less(places, partner), one, inner.scalar(-1, kind))
    side = inner.Where(inner.Equal(ratio, zero), side, inner.Sign(ratio))
    tangent = inner.Div(
        side, inner.Add(inner.Abs(ratio), inner.Sqrt(inner.Add(inner.Mul(ratio, ratio), one)))
    )
    tangent = inner.Where(inner.Equal(shared, zero), zero, tangent)
    cosine = inner.Div(one, inner.Sqrt(inner.Add(inner.Mul(tangent, tangent), one)))
    sine = inner.Mul(tangent, cosine)
    turned = inner.Where(pairs, inner.unsqueeze(sine, 2), zero)
    return inner.Where(diagonal, inner.unsqueeze(cosine, 2), turned)


def _signed(op: Emit, vectors: Value, axis: int) -> tuple[Value, Value]:
    """Vectors along an axis whose largest element is positive, and what did that."""
    at = op.ArgMax(op.Abs(vectors), axis=axis, keepdims=1)
    largest = op.GatherElements(vectors, at, axis=axis)
    kind = vectors.dtype
    sign = op.Where(op.Less(largest, 0.0), op.scalar(-1, kind), op.scalar(1, kind))
    return op.Mul(vectors, sign), sign


def stacked(op: Emit, matrices: Value) -> Value:
    """All matrices along one axis."""
    return op.reshape(matrices, (dims.product(matrices.shape[:-2]), *matrices.shape[-2:]))
