"""Linear algebra of the numpy interface: products, equations, polynomials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims, factorization
from gluonserve.loader.lowering.contraction import Term, contracted, einsum
from gluonserve.loader.lowering.elementwise import BINARY
from gluonserve.loader.lowering.table import OpTable

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@OPS.lowers("_npi_matmul")
def matmul(op: Emit, a: Value, b: Value) -> Value:
    """``MatMul``, whose rules are NumPy's."""
    shape = op.MatMul(a, b).shape
    if 0 in shape or a.shape[-1] == 0:
        return op.filled(0, shape, a.dtype)
    return op.MatMul(a, b)


@OPS.lowers("_np_dot")
def dot(op: Emit, a: Value, b: Value) -> Value:
    """The last axis of one with the last but one of the other; scalars multiply."""
    if not a.rank or not b.rank:
        return BINARY["mul"](op, a, b)
    return _tensordot(op, a, b, (-1,), (max(b.rank - 2, 0),))


@OPS.lowers("_npi_tensordot")
def tensordot(op: Emit, a: Value, b: Value, *, a_axes_summed: Dims, b_axes_summed: Dims) -> Value:
    """Over these pairs of axes; the others keep their order."""
    return _tensordot(op, a, b, a_axes_summed, b_axes_summed)


@OPS.lowers("_npi_tensordot_int_axes")
def tensordot_int_axes(op: Emit, a: Value, b: Value, *, axes: int) -> Value:
    """Over so many last axes of one and first of the other."""
    return _tensordot(op, a, b, tuple(range(a.rank - axes, a.rank)), tuple(range(axes)))


@OPS.lowers("_npi_einsum", ignoring=("num_args", "optimize"))
def einstein_sum(op: Emit, *data: Value, subscripts: str = "") -> Value:
    """Products of two at a time, the smallest result first."""
    return einsum(op, subscripts, data)


@OPS.lowers("_npi_polyval")
def polyval(op: Emit, p: Value, x: Value) -> Value:
    """Horner's scheme; the highest power's coefficient comes first."""
    total = op.filled(0, x.shape, x.dtype)
    for at in range(op.static(p.shape[0], "how many coefficients a polynomial has")):
        coefficient = op.Gather(p, op.scalar(at), axis=0)
        total = BINARY["add"](op, BINARY["mul"](op, total, x), coefficient)
    return total


@OPS.lowers("_npi_cholesky")
def cholesky(op: Emit, A: Value) -> Value:  # noqa: N803 - MXNet's name
    """Lower factors."""
    return A if 0 in A.shape else factorization.cholesky(op, A)


@OPS.lowers("_npi_solve")
def solve(op: Emit, A: Value, B: Value) -> Value:  # noqa: N803
    """By elimination; one axis less means a vector for each matrix."""
    vector = B.rank == A.rank - 1
    given = op.unsqueeze(B, B.rank) if vector else B
    return op.reshape(_solved(op, A, given), B.shape)


@OPS.lowers("_npi_tensorinv")
def tensorinv(op: Emit, a: Value, *, ind: int = 2) -> Value:
    """The first axes as rows and the others as columns of a matrix to invert."""
    rows, columns = a.shape[:ind], a.shape[ind:]
    square = op.reshape(a, (dims.product(rows), dims.product(columns)))
    inverse = square if 0 in a.shape else factorization.inverse(op, square)
    return op.reshape(inverse, (*columns, *rows))


@OPS.lowers("_npi_tensorsolve")
def tensorsolve(op: Emit, a: Value, b: Value, *, a_axes: Dims = ()) -> Value:
    """The equations of a matrix whose columns are the last axes; ``a_axes`` go there first."""
    last = [a.axis(axis) for axis in a_axes]
    order = [at for at in range(a.rank) if at not in last] + last
    turned = op.transpose(a, order)
    unknown = turned.shape[b.rank - a.rank :]
    count = dims.product(b.shape)
    square = op.reshape(turned, (count, dims.product(unknown)))
    return op.reshape(_solved(op, square, op.reshape(b, (count, 1))), unknown)


def _solved(op: Emit, matrices: Value, given: Value) -> Value:
    if 0 in matrices.shape or 0 in given.shape:
        return given
    for one, other in zip(matrices.shape[:-2], given.shape[:-2], strict=True):
        op.equate(one, other, "matrices and their right sides")
    return factorization.eliminated(op, matrices, given).solution


def _tensordot(op: Emit, a: Value, b: Value, first: Dims, second: Dims) -> Value:
    if len(first) != len(second):
        raise InvalidModel(f"axes {first} with {second}")
    left = list(_LETTERS[: a.rank])
    right = list(_LETTERS[a.rank : a.rank + b.rank])
    for one, other in zip(first, second, strict=True):
        right[b.axis(other)] = left[a.axis(one)]
    summed = {left[a.axis(one)] for one in first}
    wanted = "".join(letter for letter in left + right if letter not in summed)
    return contracted(op, [Term(a, "".join(left)), Term(b, "".join(right))], wanted)
