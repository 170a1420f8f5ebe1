"""Factorisations, triangular solves, inverses and determinants: loops over rows and columns.

Neither engine has these operators, so they are composed: each step of a ``Loop`` takes one column
away from what is left of all matrices at once. Matrices may have any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.linalg import scaled, transposed
from gluonserve.loader.lowering.spectra import symmetric_spectrum
from gluonserve.loader.lowering.stepping import stepped
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_linalg_potrf")
def potrf(op: Emit, A: Value, *, lower: bool = True) -> Value:  # noqa: N803 - MXNet's name
    """The Cholesky factor, of the triangle that it fills; zero in the other one."""
    factor = cholesky(op, A if lower else transposed(op, A))
    return factor if lower else transposed(op, factor)


@OPS.lowers("_linalg_potri")
def potri(op: Emit, A: Value, *, lower: bool = True) -> Value:  # noqa: N803
    """The inverse of what has this Cholesky factor."""
    factor = A if lower else transposed(op, A)
    halves = triangular_solve(op, factor, identity(op, factor), lower=True)
    return op.MatMul(transposed(op, halves), halves)


@OPS.lowers("_linalg_trsm")
def trsm(
    op: Emit,
    A: Value,  # noqa: N803
    B: Value,  # noqa: N803
    *,
    transpose: bool = False,
    rightside: bool = False,
    lower: bool = True,
    alpha: float = 1.0,
) -> Value:
    """Solves with a triangle, from the left or the right; its other half plays no part."""
    if transpose != rightside:
        A, lower = transposed(op, A), not lower  # noqa: N806
    given = scaled(op, B, alpha)
    if rightside:
        return transposed(op, triangular_solve(op, A, transposed(op, given), lower=lower))
    return triangular_solve(op, A, given, lower=lower)


@OPS.lowers("_linalg_inverse")
def inverse(op: Emit, A: Value) -> Value:  # noqa: N803
    """Gauss and Jordan's elimination with the largest pivot of each column."""
    return eliminated(op, A, identity(op, A)).solution


@OPS.lowers("_linalg_det")
def det(op: Emit, A: Value) -> Value:  # noqa: N803
    """The product of the pivots, the sign changed by each exchange of rows."""
    pivots = eliminated(op, A, None).pivots
    return _counted(op, A, op.ReduceProd(pivots, [0], keepdims=0))


@OPS.lowers("_linalg_slogdet")
def slogdet(op: Emit, A: Value) -> tuple[Value, Value]:  # noqa: N803
    """The determinant's sign, and the logarithm of its magnitude."""
    pivots = eliminated(op, A, None).pivots
    sign = op.ReduceProd(op.Sign(pivots), [0], keepdims=0)
    logs = op.ReduceSum(op.Log(op.Abs(pivots)), [0], keepdims=0)
    return _counted(op, A, sign), _counted(op, A, logs)


@OPS.lowers("_linalg_gelqf")
def gelqf(op: Emit, A: Value) -> tuple[Value, Value]:  # noqa: N803
    """Q and L by Householder's reflections, with LAPACK's signs."""
    rows, columns = A.shape[-2:]
    flat = _stacked(op, A)
    places = _places(op, columns)
    unit = _eye(op, flat, columns)

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (at,), (left, turned) = parts, states
        zero = inner.scalar(0, flat.dtype)
        here, behind = inner.Equal(places, at), inner.Greater(places, at)
        row = inner.Gather(left, at, axis=1)
        pivot = inner.ReduceSum(inner.Where(here, row, zero), [1], keepdims=1)
        tail = inner.Where(behind, row, zero)
        length = inner.ReduceSumSquare(tail, [1], keepdims=1)
        norm = inner.Sqrt(inner.Add(length, inner.Mul(pivot, pivot)))
        reflected = inner.Where(inner.Less(pivot, 0.0), norm, inner.Neg(norm))
        normal = inner.Where(here, inner.Sub(pivot, reflected), tail)
        squares = inner.ReduceSumSquare(normal, [1], keepdims=1)
        idle = inner.Equal(length, 0.0)
        one = inner.scalar(1, flat.dtype)
        factor = inner.Where(idle, zero, inner.Div(2.0, inner.Where(idle, one, squares)))
        across = inner.unsqueeze(inner.Mul(normal, factor), 1)
        column = inner.unsqueeze(normal, 2)
        return [
            inner.Sub(matrix, inner.Mul(inner.MatMul(matrix, column), across))
            for matrix in (left, turned)
        ], ()

    (left, turned), _ = stepped(op, [_places(op, rows)], [flat, unit], step, reads_data=True)
    q = op.slice(transposed(op, turned), 1, 0, rows)
    triangle = op.Trilu(op.slice(left, 2, 0, rows), upper=0)
    q = op.shaped(q, (flat.shape[0], rows, columns))
    triangle = op.shaped(triangle, (flat.shape[0], rows, rows))
    return op.reshape(q, A.shape), op.reshape(triangle, (*A.shape[:-1], rows))


@OPS.lowers("_linalg_syevd")
def syevd(op: Emit, A: Value) -> tuple[Value, Value]:  # noqa: N803
    """Eigenvectors as rows and eigenvalues, from the smallest up; the lower triangle is read."""
    found = symmetric_spectrum(op, op.cast(_stacked(op, A), DType.FP64))
    vectors = op.cast(transposed(op, found.vectors), A.dtype)
    return op.reshape(vectors, A.shape), op.reshape(op.cast(found.values, A.dtype), A.shape[:-1])


def cholesky(op: Emit, matrices: Value) -> Value:
    """Lower factors: one column at a time, its outer product taken from the rest."""
    size = op.equate(matrices.shape[-2], matrices.shape[-1], "sides of a square matrix")
    flat = _stacked(op, matrices)
    places = _places(op, size)

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (at,), (left,) = parts, states
        column = inner.Gather(left, at, axis=2)
        pivot = inner.unsqueeze(inner.Gather(column, at, axis=1), 1)
        below = inner.GreaterOrEqual(places, at)
        zero = inner.scalar(0, flat.dtype)
        column = inner.Where(below, inner.Div(column, inner.Sqrt(pivot)), zero)
        outer = inner.Mul(inner.unsqueeze(column, 2), inner.unsqueeze(column, 1))
        return (inner.Sub(left, outer),), (column,)

    _, (columns,) = stepped(op, [places], [flat], step, reads_data=True)
    return op.reshape(op.transpose(columns, (1, 2, 0)), matrices.shape)


def triangular_solve(op: Emit, triangles: Value, given: Value, *, lower: bool) -> Value:
    """X of T X = B: one row at a time, its part taken from the rows that wait."""
    flat, rest = _stacked(op, triangles), _stacked(op, given)
    size = op.equate(flat.shape[1], rest.shape[1], "rows of a triangular system")
    columns = op.transpose(flat, (2, 0, 1))

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (at, column), (left,) = parts, states
        pivot = inner.unsqueeze(inner.Gather(column, at, axis=1), 1)
        solved = inner.Div(inner.Gather(left, at, axis=1), pivot)
        part = inner.Mul(inner.unsqueeze(column, 2), inner.unsqueeze(solved, 1))
        return (inner.Sub(left, part),), (solved,)

    data = [_places(op, size), columns]
    _, (rows,) = stepped(op, data, [rest], step, reads_data=True, backwards=not lower)
    return op.reshape(op.transpose(rows, (1, 0, 2)), given.shape)


class Eliminated(NamedTuple):
    """What elimination leaves: the solutions, and the pivots with their signs, (size, count)."""

    solution: Value
    pivots: Value


def eliminated(op: Emit, matrices: Value, given: Value | None) -> Eliminated:
    """Solve A X = B for all matrices at once; without B, only the pivots."""
    size = op.equate(matrices.shape[-2], matrices.shape[-1], "sides of a square matrix")
    flat = _stacked(op, matrices)
    if flat.shape[0] == 0:  # OpenVINO's loop writes where it must not
        nothing = op.filled(1, (size, 0), flat.dtype)
        return Eliminated(matrices if given is None else given, nothing)
    work = flat if given is None else op.Concat(flat, _stacked(op, given), axis=2)
    places = op.unsqueeze(_places(op, size), 0)

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (at,), (left,) = parts, states
        column = inner.Gather(left, at, axis=2)
        waiting = inner.GreaterOrEqual(places, at)
        candidates = inner.Where(waiting, inner.Abs(column), inner.scalar(-1, flat.dtype))
        best = inner.ArgMax(candidates, axis=1, keepdims=1)
        here, there = inner.Equal(places, at), inner.Equal(places, best)
        wide_here, wide_there = inner.unsqueeze(here, 2), inner.unsqueeze(there, 2)
        zero = inner.scalar(0, flat.dtype)
        chosen = inner.ReduceSum(inner.Where(wide_there, left, zero), [1], keepdims=1)
        waits = inner.unsqueeze(inner.Gather(left, at, axis=1), 1)
        swapped = inner.Where(wide_here, chosen, inner.Where(wide_there, waits, left))
        pivot = inner.Gather(chosen, at, axis=2)
        one = inner.scalar(1, flat.dtype)
        divisor = inner.unsqueeze(inner.Where(inner.Equal(pivot, 0.0), one, pivot), 2)
        row = inner.Div(chosen, divisor)
        factors = inner.unsqueeze(inner.Gather(swapped, at, axis=2), 2)
        cleared = inner.Where(wide_here, row, inner.Sub(swapped, inner.Mul(factors, row)))
        stays = inner.Equal(inner.squeeze(best, 1), at)
        signed = inner.squeeze(pivot, 1)
        return (cleared,), (inner.Where(stays, signed, inner.Neg(signed)),)

    (final,), (pivots,) = stepped(op, [_places(op, size)], [work], step, reads_data=True)
    if given is None:
        return Eliminated(final, pivots)
    rest = op.shaped(op.slice(final, 2, size, None), (flat.shape[0], size, given.shape[-1]))
    return Eliminated(op.reshape(rest, given.shape), pivots)


def identity(op: Emit, matrices: Value) -> Value:
    """Unit matrices of the size of these, one for each."""
    size = matrices.shape[-1]
    eye = _eye(op, _stacked(op, matrices), size)
    return op.reshape(eye, (*matrices.shape[:-2], size, size))


def _eye(op: Emit, flat: Value, size: dims.Dim) -> Value:
    places = _places(op, size)
    ones = op.cast(op.Equal(op.unsqueeze(places, 1), op.unsqueeze(places, 0)), flat.dtype)
    return op.expand(op.unsqueeze(ones, 0), (flat.shape[0], size, size))


def _stacked(op: Emit, matrices: Value) -> Value:
    """All matrices along one axis."""
    return op.reshape(matrices, (dims.product(matrices.shape[:-2]), *matrices.shape[-2:]))


def _places(op: Emit, size: dims.Dim) -> Value:
    return op.Range(op.const(0, DType.INT64), op.scalar(size), op.const(1, DType.INT64))


def _counted(op: Emit, matrices: Value, values: Value) -> Value:
    """One number for each matrix; shape (1,) of a single one where rank 0 is unknown."""
    shape = matrices.shape[:-2]
    return op.reshape(values, shape or (() if op.np_shape else (1,)))
