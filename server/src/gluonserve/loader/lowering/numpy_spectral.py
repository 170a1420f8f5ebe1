"""What the numpy interface does with eigenvalues and singular values; norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.linalg import transposed
from gluonserve.loader.lowering.numpy_reducing import over, totalled
from gluonserve.loader.lowering.reducing import extreme
from gluonserve.loader.lowering.schur import spectrum
from gluonserve.loader.lowering.spectra import (
    Singular,
    singular_values,
    stacked,
    symmetric_spectrum,
)
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_npi_eig")
def eig(op: Emit, A: Value) -> tuple[Value, Value]:  # noqa: N803
    """In LAPACK's order up to 75 rows; NaN for a matrix with complex values: MXNet raises there.

    Where rounding decides, as it often does in float32 from 8 rows on, order and signs may differ.
    """
    kind = A.dtype if A.is_float else DType.FP64
    op.equate(A.shape[-2], A.shape[-1], "sides of a square matrix")
    if 0 in A.shape:
        return op.filled(0, A.shape[:-1], kind), op.filled(0, A.shape, kind)
    found = spectrum(op, stacked(op, op.cast(A, DType.FP64)), kind)
    values = op.reshape(op.cast(found.values, kind), A.shape[:-1])
    return values, op.reshape(op.cast(found.vectors, kind), A.shape)


@OPS.lowers("_npi_eigvals")
def eigvals(op: Emit, A: Value) -> Value:  # noqa: N803
    """As ``_npi_eig``, without the vectors."""
    return eig(op, A)[0]


@OPS.lowers("_npi_eigh")
def eigh(op: Emit, A: Value, *, UPLO: Literal["L", "U"] = "L") -> tuple[Value, Value]:  # noqa: N803
    """From the smallest value up; the largest element of a vector is positive, as in MXNet."""
    kind = A.dtype if A.is_float else DType.FP64
    if 0 in A.shape:
        return op.filled(0, A.shape[:-1], kind), op.filled(0, A.shape, kind)
    found = symmetric_spectrum(op, stacked(op, op.cast(A, DType.FP64)), upper=UPLO == "U")
    values = op.reshape(op.cast(found.values, kind), A.shape[:-1])
    return values, op.reshape(op.cast(found.vectors, kind), A.shape)


@OPS.lowers("_npi_eigvalsh")
def eigvalsh(op: Emit, A: Value, *, UPLO: Literal["L", "U"] = "L") -> Value:  # noqa: N803
    """From the smallest up; only one triangle is read."""
    return eigh(op, A, UPLO=UPLO)[0]


@OPS.lowers("_npi_svd")
def svd(op: Emit, A: Value) -> tuple[Value, ...]:  # noqa: N803
    """From the largest value down; the largest element of a right vector is positive."""
    rows, columns = A.shape[-2:]
    if isinstance(rows, int) and isinstance(columns, int) and rows > columns:
        raise InvalidModel(f"{rows} rows of {columns}: MXNet takes no more rows than columns")
    outer = A.shape[:-2]
    shapes = (*outer, rows, rows), (*outer, rows), A.shape
    if 0 in A.shape:
        return tuple(op.filled(0, shape, A.dtype) for shape in shapes)
    found = singular_values(op, op.cast(stacked(op, A), DType.FP64))
    return tuple(
        op.reshape(op.cast(value, A.dtype), shape)
        for value, shape in zip(found, shapes, strict=True)
    )


@OPS.lowers("_npi_pinv", ignoring=("hermitian",))
def pinv(op: Emit, A: Value, rcond: Value) -> Value:  # noqa: N803
    """Singular values below ``rcond`` times the largest count as 0."""
    return _pseudo_inverse(op, A, op.cast(rcond, DType.FP64))


@OPS.lowers("_npi_pinv_scalar_rcond", ignoring=("hermitian",))
def pinv_scalar_rcond(op: Emit, A: Value, *, rcond: float = 1e-15) -> Value:  # noqa: N803
    """As ``_npi_pinv``."""
    return _pseudo_inverse(op, A, op.scalar(rcond, DType.FP64))


@OPS.lowers("_npi_norm")
def norm(
    op: Emit,
    data: Value,
    *,
    ord: float = 2.0,
    axis: Dims | None = None,
    keepdims: bool = False,
    flag: int = -1,
) -> Value:
    """``flag`` says of what: -2 all elements, -1 lines or a matrix, 1 roots of squares, 2 nuclear.

    The others are spectral norms. Without axes the last two are a matrix, whose columns' sums (of
    order 1 and -1) or rows' sums are compared where the order is not 2.
    """
    if axis is None and flag != -2:
        axis = tuple(range(data.rank))[-2:]
    axes = over(data, axis)
    if flag in (-2, 1):
        return _root(op, data, axes, 2.0, keep=keepdims)
    if len(axes) == 1:
        return _root(op, data, axes, ord, keep=keepdims)
    if len(axes) != 2:
        raise InvalidModel(f"a norm over {len(axes)} axes")
    if flag == 2 or ord in (2, -2):
        return _spectral(op, data, axes, "sum" if flag == 2 else ord, keep=keepdims)
    within, across = (axes[0], axes[1]) if abs(ord) == 1 else (axes[1], axes[0])
    sums = totalled(op, "ReduceSum", op.Abs(data), [within], keep=True)
    most = extreme("ReduceMax" if ord > 0 else "ReduceMin")(op, sums, [across], True)
    return most if keepdims else op.squeeze(most, *sorted(axes))


def _root(op: Emit, data: Value, axes: Sequence[int], order: float, *, keep: bool) -> Value:
    """The ``order``-th root of the sum of such powers; of order 0 how many are not 0."""
    size = op.Abs(data)
    if order == 0:
        flags = op.cast(op.cast(data, DType.BOOL), data.dtype)
        return totalled(op, "ReduceSum", flags, axes, keep=keep)
    if order == 1:
        return totalled(op, "ReduceSum", size, axes, keep=keep)
    if order == 2:
        return op.Sqrt(totalled(op, "ReduceSum", op.Mul(data, data), axes, keep=keep))
    total = totalled(op, "ReduceSum", op.Pow(size, order), axes, keep=keep)
    return op.Pow(total, 1 / order)


def _spectral(
    op: Emit, data: Value, axes: Sequence[int], what: float | str, *, keep: bool
) -> Value:
    """The largest or smallest singular value of each matrix, or the sum of them."""
    rest = [at for at in range(data.rank) if at not in axes]
    turned = op.transpose(data, [*rest, *axes])
    found = _decomposed(op, turned).values
    if what == "sum":
        value = op.ReduceSum(found, [1], keepdims=0)
    else:
        value = op.node("ReduceMax" if what == 2 else "ReduceMin", found, [1], keepdims=0)[0]
    kept = tuple(1 if at in axes else dim for at, dim in enumerate(data.shape))
    outer = tuple(data.shape[at] for at in rest)
    return op.reshape(op.cast(value, data.dtype), kept if keep else outer)


def _decomposed(op: Emit, matrices: Value) -> Singular:
    """Singular values of matrices of any sides, in float64."""
    flat = op.cast(stacked(op, matrices), DType.FP64)
    rows, columns = (op.static(dim, "sides of a matrix") for dim in matrices.shape[-2:])
    if rows <= columns:
        return singular_values(op, flat)
    left, values, right = singular_values(op, transposed(op, flat))
    return Singular(transposed(op, right), values, transposed(op, left))


def _pseudo_inverse(op: Emit, matrices: Value, rcond: Value) -> Value:
    *outer, rows, columns = matrices.shape
    if 0 in matrices.shape:
        return op.filled(0, (*outer, columns, rows), matrices.dtype)
    left, values, right = _decomposed(op, matrices)
    count = dims.product(outer)
    if rcond.rank:
        rcond = op.reshape(op.expand(rcond, outer or (1,)), (count, 1))
    least = op.Mul(op.ReduceMax(values, [1], keepdims=1), rcond)
    counts = op.Greater(values, least)
    one, zero = op.scalar(1, DType.FP64), op.scalar(0, DType.FP64)
    inverse = op.Where(counts, op.Div(one, op.Where(counts, values, one)), zero)
    scaled = op.Mul(transposed(op, right), op.unsqueeze(inverse, 1))
    result = op.MatMul(scaled, transposed(op, left))
    return op.reshape(op.cast(result, matrices.dtype), (*outer, columns, rows))
