"""Diagonals of matrices: taken out, put in, summed; triangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.numpy_reducing import totalled
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_np_diag")
def diag(op: Emit, data: Value, *, k: int = 0) -> Value:
    """The ``k``-th diagonal of a matrix; of a vector the matrix that has it there."""
    return diagonal_of(op, data, k, 0, 1) if data.rank > 1 else matrix_of(op, data, k)


@OPS.lowers("_np_diagflat")
def diagflat(op: Emit, data: Value, *, k: int = 0) -> Value:
    """The matrix that has all elements on its ``k``-th diagonal."""
    return matrix_of(op, op.reshape(data, (dims.product(data.shape),)), k)


@OPS.lowers("_np_diagonal")
def diagonal(op: Emit, data: Value, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The diagonal of two axes, on the last axis of the result."""
    return diagonal_of(op, data, offset, axis1, axis2)


@OPS.lowers("_np_trace")
def trace(op: Emit, data: Value, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The sum of a diagonal."""
    line = diagonal_of(op, data, offset, axis1, axis2)
    return totalled(op, "ReduceSum", line, [line.rank - 1], keep=False)


@OPS.lowers("_npi_tril")
def tril(op: Emit, data: Value, *, k: int = 0) -> Value:
    """Zeros above the ``k``-th diagonal; a vector is the row of a square matrix."""
    size = data.shape[-1]
    square = op.expand(data, (size, size)) if data.rank == 1 else data
    return triangle(op, square, k, upper=False)


def triangle(op: Emit, data: Value, k: int, *, upper: bool) -> Value:
    """``Trilu``; ONNX Runtime has none for bytes."""
    narrow = data.dtype in (DType.INT8, DType.UINT8)
    wide = op.cast(data, DType.INT32) if narrow else data
    return op.cast(op.Trilu(wide, op.const(np.array(k)), upper=int(upper)), data.dtype)


def diagonal_of(op: Emit, data: Value, k: int, axis1: int, axis2: int) -> Value:
    """The ``k``-th diagonal of two axes, on the last one of the result.

    Its elements lie a row and one apart in the plane; where sizes are free, a square is cut out.
    """
    first, second = data.axis(axis1), data.axis(axis2)
    if first == second:
        raise InvalidModel(f"a diagonal of axis {axis1} and {axis2}")
    rest = [at for at in range(data.rank) if at not in (first, second)]
    turned = op.transpose(data, [*rest, first, second])
    *outer, rows, columns = turned.shape
    at, below, right = len(outer), max(-k, 0), max(k, 0)
    length = dims.larger(dims.smaller(rows - below, columns - right), 0)
    if length == 0:
        return op.filled(0, (*outer, 0), data.dtype)
    if isinstance(rows, int) and isinstance(columns, int) and isinstance(length, int):
        places = below * columns + right + np.arange(length, dtype=np.int64) * (columns + 1)
        plane = op.reshape(turned, (*outer, rows * columns))
        return op.Gather(plane, op.const(places), axis=at)
    square = op.slice(turned, at, below, below + length)
    square = op.slice(square, at + 1, right, right + length)
    padded = _padded(op, op.reshape(square, (*outer, length * length)), 0, length)
    rows_apart = op.reshape(padded, (*outer, length, length + 1))
    return op.squeeze(op.slice(rows_apart, at + 1, 0, 1), at + 1)


def matrix_of(op: Emit, line: Value, k: int) -> Value:
    """Zeros with a vector on the ``k``-th diagonal: its elements lie a row and one apart."""
    count = line.shape[0]
    size = count + abs(k)
    if size == 0 or count == 0:
        return op.filled(0, (size, size), line.dtype)
    apart = _padded(op, op.unsqueeze(line, 1), 0, size)
    flat = op.reshape(apart, (count * (size + 1),))
    ahead = k if k >= 0 else -k * size
    behind = max(k - 1, 0) * size
    whole = _padded(op, flat, ahead, behind)
    return op.reshape(op.slice(whole, 0, 0, size * size), (size, size))


def _padded(op: Emit, data: Value, ahead: Dim, behind: Dim) -> Value:
    """Zeros before and after the elements of the last axis."""
    zeros = (0,) * (data.rank - 1)
    pads = op.shape_vector((*zeros, ahead, *zeros, behind))
    return op.Pad(data, pads, op.scalar(0, data.dtype), mode="constant")
