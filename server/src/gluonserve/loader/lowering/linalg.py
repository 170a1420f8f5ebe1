"""Matrix products, diagonals and triangles of MXNet's ``linalg`` family."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.diagonals import diagonal_of, matrix_of
from gluonserve.loader.lowering.table import OpTable

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_linalg_gemm")
def gemm(
    op: Emit,
    A: Value,  # noqa: N803 - MXNet's names
    B: Value,  # noqa: N803
    C: Value,  # noqa: N803
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 1.0,
    axis: int = -2,
) -> Value:
    """``alpha`` * A B + ``beta`` * C."""
    product = _product(op, A, B, transpose_a, transpose_b, alpha, axis)
    op.same_shape(product, C, what="gemm")
    return op.Add(product, scaled(op, C, beta))


@OPS.lowers("_linalg_gemm2")
def gemm2(
    op: Emit,
    A: Value,  # noqa: N803
    B: Value,  # noqa: N803
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    axis: int = -2,
) -> Value:
    """``alpha`` * A B; rows lie along ``axis``, columns always along the last one."""
    return _product(op, A, B, transpose_a, transpose_b, alpha, axis)


@OPS.lowers("_linalg_syrk")
def syrk(op: Emit, A: Value, *, transpose: bool = False, alpha: float = 1.0) -> Value:  # noqa: N803
    """``alpha`` * A A^T, or A^T A where ``transpose``."""
    turned = transposed(op, A)
    product = op.MatMul(turned, A) if transpose else op.MatMul(A, turned)
    return scaled(op, product, alpha)


@OPS.lowers("_linalg_trmm")
def trmm(
    op: Emit,
    A: Value,  # noqa: N803
    B: Value,  # noqa: N803
    *,
    transpose: bool = False,
    rightside: bool = False,
    lower: bool = True,
    alpha: float = 1.0,
) -> Value:
    """A product with a triangle; what lies outside of it in A plays no part."""
    triangle = op.Trilu(A, upper=0 if lower else 1)
    if transpose:
        triangle = transposed(op, triangle)
    product = op.MatMul(B, triangle) if rightside else op.MatMul(triangle, B)
    return scaled(op, product, alpha)


@OPS.lowers("_linalg_sumlogdiag")
def sumlogdiag(op: Emit, A: Value) -> Value:  # noqa: N803
    """The logarithm of a triangle's determinant; of a single matrix, shape (1,) in all graphs."""
    logs = op.Log(diagonal_of(op, A, 0, -2, -1))
    total = op.ReduceSum(logs, [-1], keepdims=0)
    return total if total.rank else op.reshape(total, (1,))


@OPS.lowers("_linalg_extractdiag")
def extractdiag(op: Emit, A: Value, *, offset: int = 0) -> Value:  # noqa: N803
    """One diagonal of each matrix."""
    return diagonal_of(op, A, offset, -2, -1)


@OPS.lowers("_linalg_makediag")
def makediag(op: Emit, A: Value, *, offset: int = 0) -> Value:  # noqa: N803
    """Matrices that are zero beside one diagonal."""
    count = op.static(A.shape[-1], "how long the diagonal is")
    places = np.flatnonzero(np.diag(np.ones(count, np.bool_), offset))
    return _spread(op, A, count + abs(offset), places)


@OPS.lowers("_linalg_extracttrian")
def extracttrian(op: Emit, A: Value, *, offset: int = 0, lower: bool = True) -> Value:  # noqa: N803
    """One triangle of each matrix as a vector: a lower one by rows, an upper one by columns."""
    size = op.static(A.shape[-1], "how large the matrices are")
    flat = op.reshape(A, (*A.shape[:-2], size * size))
    return op.Gather(flat, op.const(_triangle(size, offset, lower=lower)), axis=flat.rank - 1)


@OPS.lowers("_linalg_maketrian")
def maketrian(op: Emit, A: Value, *, offset: int = 0, lower: bool = True) -> Value:  # noqa: N803
    """The reverse of ``_linalg_extracttrian``; zero beside the triangle."""
    count = op.static(A.shape[-1], "how many elements the triangle has")
    size = (isqrt(8 * count + 1) - 1) // 2 + abs(offset)
    places = _triangle(size, offset, lower=lower)
    if len(places) != count:
        raise InvalidModel(f"{count} elements make no triangle with offset {offset}")
    return _spread(op, A, size, places)


@OPS.lowers("khatri_rao", ignoring=("num_args",))
def khatri_rao(op: Emit, *args: Value) -> Value:
    """Products of rows with rows, column by column."""
    result, *others = args
    for other in others:
        columns = op.equate(result.shape[1], other.shape[1], "columns of khatri_rao")
        product = op.Mul(op.unsqueeze(result, 1), op.unsqueeze(other, 0))
        result = op.reshape(product, (result.shape[0] * other.shape[0], columns))
    return result


@OPS.lowers("diag")
def diag(op: Emit, data: Value, *, k: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """A diagonal of a plane, on the last axis; of a vector, the matrix that has it there."""
    if data.rank == 1:
        return matrix_of(op, data, k)
    return diagonal_of(op, data, k, axis1, axis2)


def scaled(op: Emit, value: Value, factor: float) -> Value:
    """``value`` times a number."""
    return value if factor == 1 else op.Mul(value, factor)


def transposed(op: Emit, value: Value) -> Value:
    """Matrices with rows and columns exchanged."""
    return op.transpose(value, (*range(value.rank - 2), value.rank - 1, value.rank - 2))


def _product(
    op: Emit, one: Value, other: Value, turn_one: bool, turn_other: bool, alpha: float, axis: int
) -> Value:
    rows = one.axis(axis)
    moved = rows != one.rank - 2
    if moved:
        order = (*(at for at in range(one.rank - 1) if at != rows), rows, one.rank - 1)
        one, other = op.transpose(one, order), op.transpose(other, order)
    for a, b in zip(one.shape[:-2], other.shape[:-2], strict=True):
        op.equate(a, b, f"products of {one.shape} and {other.shape}")
    left = transposed(op, one) if turn_one else one
    right = transposed(op, other) if turn_other else other
    product = scaled(op, op.MatMul(left, right), alpha)
    if not moved:
        return product
    back = list(range(one.rank - 2))
    back.insert(rows, one.rank - 2)
    return op.transpose(product, (*back, one.rank - 1))


def _triangle(size: int, offset: int, *, lower: bool) -> np.ndarray:
    """Places in the flat matrix; with an offset, always of the triangle on that side."""
    ones = np.ones((size, size), np.bool_)
    if lower if offset == 0 else offset < 0:
        return np.flatnonzero(np.tril(ones, offset)).astype(np.int64)
    by_columns = np.flatnonzero(np.tril(ones, -offset))
    return (by_columns % size * size + by_columns // size).astype(np.int64)


def _spread(op: Emit, values: Value, size: int, places: np.ndarray) -> Value:
    """Vectors laid into square zero matrices at these places."""
    sources = np.full(size * size, len(places), np.int64)
    sources[places] = np.arange(len(places))
    zero = op.filled(0, (*values.shape[:-1], 1), values.dtype)
    flat = op.Concat(values, zero, axis=values.rank - 1)
    laid = op.Gather(flat, op.const(sources), axis=values.rank - 1)
    return op.reshape(laid, (*values.shape[:-1], size, size))
