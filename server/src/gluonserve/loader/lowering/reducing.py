"""Sums, means, extremes and norms over axes; sorting and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.ranking import highest
from gluonserve.loader.lowering.stepping import stepped
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

Reduction: TypeAlias = "Callable[[Emit, Value, Sequence[int], bool], Value]"
IndexType: TypeAlias = Literal["float16", "float32", "float64", "int32", "int64", "uint8"]
_WHOLE = frozenset({DType.INT32, DType.INT64})
_BY_INSERTION = 16
"""How many elements the ``std::sort`` that MXNet was built with sorts by insertion."""
SATURATING = "ReduceProd that stops at the largest integer"
"""What a target lacks whose products of integers lose their upper digits, as MXNet's do."""


def over(data: Value, axis: Dims | None, *, exclude: bool = False) -> list[int]:
    """The axes that a reduction means: none given are all, ``exclude`` takes the others."""
    if not axis:
        return list(range(data.rank))
    named = {data.axis(one) for one in axis}
    return [at for at in range(data.rank) if (at in named) != exclude]


def reduced(op: Emit, op_type: str, data: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """A reduction in the data's type; to nothing it answers (1,) in a legacy graph."""
    if not axes:
        return data
    wide = data
    if not data.is_float and data.dtype not in _WHOLE:
        wide = op.cast(data, DType.INT32)
    result = op.cast(op.node(op_type, wide, list(axes), keepdims=int(keep))[0], data.dtype)
    return result if op.np_shape else at_least_one(op, result)


def multiplied(op: Emit, data: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """A product; of integers one factor after the other, if the engine's ``ReduceProd`` stops."""
    if data.is_float or not axes or not op.target.has(SATURATING):
        return reduced(op, "ReduceProd", data, axes, keep=keep)
    rest = [at for at in range(data.rank) if at not in axes]
    others = tuple(data.shape[at] for at in rest)
    count = dims.product(data.shape[at] for at in axes)
    factors = op.reshape(op.transpose(op.cast(data, DType.INT64), [*axes, *rest]), (count, *others))

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        return (inner.Mul(states[0], parts[0]),), ()

    begun = op.filled(1, others, DType.INT64)
    (total,), _ = stepped(op, [factors], [begun], step, reads_data=data.reads_data)
    shape = tuple(1 if at in axes else dim for at, dim in enumerate(data.shape))
    result = op.reshape(op.cast(total, data.dtype), shape if keep else others)
    return result if op.np_shape else at_least_one(op, result)


def at_least_one(op: Emit, value: Value) -> Value:
    """A scalar as (1,): what legacy operators answer in numpy's graphs, too."""
    return value if value.rank else op.reshape(value, (1,))


def _register(name: str, compute: Reduction) -> None:
    @OPS.lowers(name)
    def reduction(
        op: Emit,
        data: Value,
        *,
        axis: Dims | None = None,
        keepdims: bool = False,
        exclude: bool = False,
    ) -> Value:
        """Over the axes named, over all without any, over the others with ``exclude``."""
        result = compute(op, data, over(data, axis, exclude=exclude), keepdims)
        return at_least_one(op, result)


def extreme(op_type: str) -> Reduction:
    """The largest or smallest; NaN among floating-point numbers wins, which engines overlook."""

    def compute(op: Emit, data: Value, axes: Sequence[int], keep: bool) -> Value:
        most = reduced(op, op_type, data, axes, keep=keep)
        if not data.is_float or not axes:
            return most
        stray = op.Where(op.IsNaN(data), data, op.scalar(0.0, data.dtype))
        return op.Add(most, reduced(op, "ReduceSum", stray, axes, keep=keep))

    return compute


def _plain(op_type: str) -> Reduction:
    return lambda op, data, axes, keep: reduced(op, op_type, data, axes, keep=keep)


def mean(op: Emit, data: Value, axes: Sequence[int], keep: bool) -> Value:
    """Integers are summed and divided as integers."""
    if data.is_float:
        return reduced(op, "ReduceMean", data, axes, keep=keep)
    total = reduced(op, "ReduceSum", op.cast(data, DType.INT64), axes, keep=keep)
    count = op.scalar(dims.product(data.shape[axis] for axis in axes))
    return op.cast(op.quotient(total, count, floor=False), data.dtype)


def _ignoring_nan(reduction: Reduction, neutral: float) -> Reduction:
    def compute(op: Emit, data: Value, axes: Sequence[int], keep: bool) -> Value:
        if data.is_float:
            data = op.Where(op.IsNaN(data), op.scalar(neutral, data.dtype), data)
        return reduction(op, data, axes, keep)

    return compute


def _product(op: Emit, data: Value, axes: Sequence[int], keep: bool) -> Value:
    return multiplied(op, data, axes, keep=keep)


_register("sum", _plain("ReduceSum"))
_register("prod", _product)
_register("max", extreme("ReduceMax"))
_register("min", extreme("ReduceMin"))
_register("mean", mean)
_register("nansum", _ignoring_nan(_plain("ReduceSum"), 0.0))
_register("nanprod", _ignoring_nan(_product, 1.0))
_register(
    "_square_sum",
    lambda op, data, axes, keep: reduced(op, "ReduceSum", op.Mul(data, data), axes, keep=keep),
)


@OPS.lowers("norm")
def norm(
    op: Emit,
    data: Value,
    *,
    ord: int = 2,
    axis: Dims | None = None,
    out_dtype: Literal["float16", "float32", "float64", "int32", "int64", "int8"] | None = None,
    keepdims: bool = False,
) -> Value:
    """Sum of absolute values or root of the sum of squares, also over two axes."""
    if ord not in (1, 2):
        raise InvalidModel(f"ord={ord}: 1 or 2")
    axes = over(data, axis)
    if ord == 1:
        result = reduced(op, "ReduceSum", op.Abs(data), axes, keep=keepdims)
    else:
        result = op.Sqrt(reduced(op, "ReduceSum", op.Mul(data, data), axes, keep=keepdims))
    result = at_least_one(op, result)
    return result if out_dtype is None else op.cast(result, DType.of(np.dtype(out_dtype)))


@OPS.lowers("argmax")
def argmax(op: Emit, data: Value, *, axis: int | None = None, keepdims: bool = False) -> Value:
    """The first of the largest, in the data's type."""
    return _arg(op, "ArgMax", data, axis, keep=keepdims)


@OPS.lowers("argmin")
def argmin(op: Emit, data: Value, *, axis: int | None = None, keepdims: bool = False) -> Value:
    """The first of the smallest, in the data's type."""
    return _arg(op, "ArgMin", data, axis, keep=keepdims)


@OPS.lowers("argmax_channel")
def argmax_channel(op: Emit, data: Value) -> Value:
    """``argmax`` over the last axis of a matrix, or axis 1."""
    return _arg(op, "ArgMax", data, min(1, data.rank - 1), keep=False)


@OPS.lowers("topk")
def topk(
    op: Emit,
    data: Value,
    *,
    axis: int | None = -1,
    k: int = 1,
    ret_typ: Literal["both", "indices", "mask", "value"] = "indices",
    is_ascend: bool = False,
    dtype: IndexType = "float32",
) -> tuple[Value, ...]:
    """``TopK``, sorted; less than one means all; of up to 16 elements equals keep their order."""
    flat, at = flattened(op, data, axis)
    count = k if k >= 1 else flat.shape[at]
    sort = sorted_along if ret_typ == "value" else ranked_along
    values, places = sort(op, flat, at, count, ascending=is_ascend)
    if ret_typ == "mask":
        ones = op.filled(1, places.shape, data.dtype)
        mask = op.ScatterElements(op.filled(0, flat.shape, data.dtype), places, ones, axis=at)
        return (op.reshape(mask, data.shape),)
    indices = op.cast(places, DType.of(np.dtype(dtype)))
    return {"both": (values, indices), "indices": (indices,), "value": (values,)}[ret_typ]


@OPS.lowers("argsort")
def argsort(
    op: Emit,
    data: Value,
    *,
    axis: int | None = -1,
    is_ascend: bool = True,
    dtype: IndexType = "float32",
) -> Value:
    """Positions in order; of up to 16 elements equals keep theirs, of more MXNet mixes them."""
    flat, at = flattened(op, data, axis)
    _, places = ranked_along(op, flat, at, flat.shape[at], ascending=is_ascend)
    return op.cast(places, DType.of(np.dtype(dtype)))


@OPS.lowers("sort")
def sort(op: Emit, data: Value, *, axis: int | None = -1, is_ascend: bool = True) -> Value:
    """Elements in order."""
    flat, at = flattened(op, data, axis)
    return sorted_along(op, flat, at, flat.shape[at], ascending=is_ascend)[0]


def sorted_along(
    op: Emit, data: Value, axis: int, count: Dim, *, ascending: bool
) -> tuple[Value, Value]:
    """The first ``count`` elements in order and where they stood (int64), equals in any order."""
    values, places = op.node(
        "TopK", _sortable(op, data), op.length(count), outputs=2, axis=axis,
        largest=int(not ascending),
    )  # fmt: skip
    return op.cast(values, data.dtype), places


def ranked_along(
    op: Emit, data: Value, axis: int, count: Dim, *, ascending: bool
) -> tuple[Value, Value]:
    """As ``sorted_along``, but of equals the first come first where they do in MXNet.

    That is where one is wanted, and where MXNet sorts by insertion: up to 16 elements, unless only
    an eighth of them is wanted.
    """
    size = data.shape[axis]
    if count == 1:
        places = op.node("ArgMin" if ascending else "ArgMax", data, axis=axis)[0]
        return op.GatherElements(data, places, axis=axis), places
    sizes = [known for known in (count, size) if isinstance(known, int)]
    if max(sizes, default=0) > _BY_INSERTION or (len(sizes) > 1 and sizes[0] * 8 <= sizes[1]):
        return sorted_along(op, data, axis, count, ascending=ascending)
    values, places = highest(op, _sortable(op, data), count, axis=axis, largest=not ascending)
    return op.cast(values, data.dtype), places


def _sortable(op: Emit, data: Value) -> Value:
    narrow = not data.is_float and data.dtype not in _WHOLE
    return op.cast(data, DType.INT32) if narrow else data


def flattened(op: Emit, data: Value, axis: int | None) -> tuple[Value, int]:
    """The data and an axis of it counted from the front; without one flattened, and axis 0."""
    if axis is None:
        return op.reshape(data, (dims.product(data.shape),)), 0
    return data, data.axis(axis)


def places_of(op: Emit, op_type: str, data: Value, axis: int | None, *, keep: bool) -> Value:
    """The first of the most extreme along an axis, int64; a NaN is more so than any number."""
    flat, at = flattened(op, data, axis)
    if data.is_float:
        most = float("inf") if op_type == "ArgMax" else float("-inf")
        flat = op.Where(op.IsNaN(flat), op.scalar(most, data.dtype), flat)
    places = op.node(op_type, flat, axis=at, keepdims=int(keep))[0]
    return op.reshape(places, (1,) * data.rank) if axis is None and keep else places


def _arg(op: Emit, op_type: str, data: Value, axis: int | None, *, keep: bool) -> Value:
    places = places_of(op, op_type, data, axis, keep=keep)
    return at_least_one(op, op.cast(places, data.dtype))
