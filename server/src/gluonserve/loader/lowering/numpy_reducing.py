"""Reductions of the numpy interface: sums, moments, norms, positions of extremes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.creation import kind_of
from gluonserve.loader.lowering.elementwise import BINARY, divide, truth
from gluonserve.loader.lowering.numpy_arithmetic import common, real_numbers
from gluonserve.loader.lowering.reducing import (
    extreme,
    flattened,
    multiplied,
    places_of,
    reduced,
)
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

SumType: TypeAlias = Literal["bool", "float16", "float32", "float64", "int32", "int64", "int8"]
RealType: TypeAlias = Literal["float16", "float32", "float64", "int32", "int64", "int8"]


def over(data: Value, axis: Dims | None) -> list[int]:
    """The axes that a reduction means: None is all of them, ``()`` none."""
    return list(range(data.rank)) if axis is None else [data.axis(one) for one in axis]


def count_of(data: Value, axes: Sequence[int]) -> Dim:
    """How many elements each result is made of."""
    return dims.product(data.shape[axis] for axis in axes)


def totalled(op: Emit, op_type: str, data: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """A sum or product in the data's type; of nothing MXNet answers 0, the product too."""
    if count_of(data, axes) == 0:
        shape = tuple(1 if at in axes else dim for at, dim in enumerate(data.shape))
        zeros = op.filled(0, shape, data.dtype)
        return zeros if keep else op.squeeze(zeros, *axes)
    if op_type == "ReduceProd":
        return multiplied(op, data, axes, keep=keep)
    return reduced(op, op_type, data, axes, keep=keep)


def _register_total(name: str, op_type: str) -> None:
    @OPS.lowers(name)
    def total(
        op: Emit,
        a: Value,
        *,
        axis: Dims | None = None,
        dtype: SumType | None = None,
        keepdims: bool = False,
        initial: float | None = None,
    ) -> Value:
        """In the wider of both types, then cut to ``dtype``; booleans count as int64."""
        _without(initial)
        default = DType.INT64 if a.dtype is DType.BOOL else a.dtype
        kind = default if dtype is None else kind_of(dtype)
        wide = op.cast(a, common(default, kind))
        return op.cast(totalled(op, op_type, wide, over(a, axis), keep=keepdims), kind)


def _register_extreme(name: str, op_type: str) -> None:
    @OPS.lowers(name)
    def most(
        op: Emit,
        a: Value,
        *,
        axis: Dims | None = None,
        keepdims: bool = False,
        initial: float | None = None,
    ) -> Value:
        """In the data's type; NaN wins."""
        _without(initial)
        return extreme(op_type)(op, a, over(a, axis), keepdims)


_register_total("_np_sum", "ReduceSum")
_register_total("_np_prod", "ReduceProd")
_register_extreme("_np_max", "ReduceMax")
_register_extreme("_np_min", "ReduceMin")


@OPS.lowers("_np_any")
def any_(op: Emit, data: Value, *, axis: Dims | None = None, keepdims: bool = False) -> Value:
    """Whether any element is not 0, as booleans."""
    count = totalled(op, "ReduceSum", _counts(op, truth(op, data)), over(data, axis), keep=keepdims)
    return op.cast(count, DType.BOOL)


@OPS.lowers("_np_all")
def all_(op: Emit, data: Value, *, axis: Dims | None = None, keepdims: bool = False) -> Value:
    """Whether no element is 0, as booleans."""
    zeros = _counts(op, op.Not(truth(op, data)))
    return op.Equal(totalled(op, "ReduceSum", zeros, over(data, axis), keep=keepdims), 0)


@OPS.lowers("_npi_mean")
def mean(
    op: Emit,
    a: Value,
    *,
    axis: Dims | None = None,
    dtype: SumType | None = None,
    keepdims: bool = False,
    initial: float | None = None,
) -> Value:
    """Integers answer float32, unless an integer ``dtype`` makes them add and divide as such."""
    _without(initial)
    default = a.dtype if a.is_float else DType.FP32
    kind = default if dtype is None else kind_of(dtype)
    wide = op.cast(a, kind if not a.is_float else common(a.dtype, kind))
    return op.cast(averaged(op, wide, over(a, axis), keep=keepdims), kind)


def averaged(op: Emit, data: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """The mean in the data's type; of nothing it is 0."""
    count = count_of(data, axes)
    if count == 0 or not data.is_float:
        total = totalled(op, "ReduceSum", data, axes, keep=keep)
        return total if count == 0 else divide(op, total, op.scalar(count, data.dtype))
    return reduced(op, "ReduceMean", data, axes, keep=keep)


@OPS.lowers("_npi_var")
def var(
    op: Emit,
    a: Value,
    *,
    axis: Dims | None = None,
    dtype: RealType | None = None,
    ddof: int = 0,
    keepdims: bool = False,
) -> Value:
    """The mean square of what the mean leaves, ``ddof`` fewer of them; integers as integers.

    The mean, what it leaves and the squares are of the data's type, so that the mean of integers
    has no fraction; only their sum is of a wider ``dtype``. Engines compute float16 in float32.
    """
    kind = a.dtype if dtype is None else kind_of(dtype)
    return op.cast(_variance(op, a, kind, over(a, axis), ddof, keep=keepdims), kind)


@OPS.lowers("_npi_std")
def std(
    op: Emit,
    a: Value,
    *,
    axis: Dims | None = None,
    dtype: RealType | None = None,
    ddof: int = 0,
    keepdims: bool = False,
) -> Value:
    """The root of the variance."""
    kind = a.dtype if dtype is None else kind_of(dtype)
    variance = _variance(op, a, kind, over(a, axis), ddof, keep=keepdims)
    return op.cast(op.Sqrt(real_numbers(op, variance)), kind)


def _variance(
    op: Emit, data: Value, kind: DType, axes: Sequence[int], ddof: int, *, keep: bool
) -> Value:
    rest = BINARY["sub"](op, data, averaged(op, data, axes, keep=True))
    squares = op.cast(BINARY["mul"](op, rest, rest), common(data.dtype, kind))
    total = totalled(op, "ReduceSum", squares, axes, keep=keep)
    return divide(op, total, op.scalar(count_of(data, axes) - ddof, squares.dtype))


@OPS.lowers("_npi_average")
def average(
    op: Emit,
    a: Value,
    weights: Value | None = None,
    *,
    axis: Dims | None = None,
    returned: bool = False,
    weighted: bool = True,
) -> tuple[Value, ...]:
    """The weighted mean, and the sum of the weights; one axis may have weights of its own."""
    axes = over(a, axis)
    if weights is None or not weighted:
        answers = averaged(op, a, axes, keep=False), op.scalar(count_of(a, axes), a.dtype)
        return answers if returned else answers[:1]
    aligned, shared = weights, op.cast(weights, common(a.dtype, weights.dtype))
    if weights.rank != a.rank:
        shape = [dim if at in axes else 1 for at, dim in enumerate(a.shape)]
        op.equate(weights.shape[0], a.shape[axes[0]], "weights")
        aligned = op.reshape(weights, shape)
        scale = totalled(op, "ReduceSum", shared, [0], keep=False)
    else:
        scale = totalled(op, "ReduceSum", shared, axes, keep=False)
    top = totalled(op, "ReduceSum", op.Mul(a, op.cast(aligned, a.dtype)), axes, keep=False)
    answers = divide(op, top, op.cast(scale, a.dtype)), scale
    return answers if returned else answers[:1]


def _register_place(name: str, op_type: str) -> None:
    @OPS.lowers(name)
    def place(op: Emit, data: Value, *, axis: int | None = None, keepdims: bool = False) -> Value:
        """The first of the most extreme, int64; NaN is more so than any number."""
        if not data.rank:
            return op.scalar(0)
        return places_of(op, op_type, data, axis, keep=keepdims)


_register_place("_npi_argmax", "ArgMax")
_register_place("_npi_argmin", "ArgMin")


@OPS.lowers("_np_cumsum")
def cumsum(op: Emit, a: Value, *, axis: int | None = None, dtype: RealType | None = None) -> Value:
    """In ``dtype``, to which elements are cut first; booleans count as int64."""
    default = DType.INT64 if a.dtype is DType.BOOL else a.dtype
    kind = default if dtype is None else kind_of(dtype)
    flat, at = flattened(op, op.cast(a, kind), axis)
    narrow = not flat.is_float and kind not in (DType.INT32, DType.INT64)
    wide = op.cast(flat, DType.INT32) if narrow else flat
    return op.cast(op.CumSum(wide, op.const(at)), kind)


def _counts(op: Emit, flags: Value) -> Value:
    return op.cast(flags, DType.INT32)


def _without(initial: float | None) -> None:
    if initial is not None:
        raise InvalidModel("MXNet does not take an initial value")
