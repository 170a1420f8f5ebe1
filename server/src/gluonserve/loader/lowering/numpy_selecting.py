"""Selections of the numpy interface, insertions among them; of many only the data tell the size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.elementwise import truth
from gluonserve.loader.lowering.numpy_arithmetic import choose
from gluonserve.loader.lowering.reducing import flattened
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_SORTED_ALIKE = frozenset({DType.INT8, DType.INT64, DType.FP16, DType.FP32, DType.FP64})
"""What ONNX Runtime's ``Unique`` takes."""


@OPS.lowers("_npx_nonzero")
def nonzero(op: Emit, x: Value) -> Value:
    """A row for each element that is not 0: where it stands, int64."""
    data = x if x.rank else op.reshape(x, (1,))
    op.couple(*data.shape)
    if 0 in data.shape:
        return op.filled(0, (0, data.rank), DType.INT64)
    return op.transpose(op.NonZero(truth(op, data)), (1, 0))


@OPS.lowers("_npi_unique")
def unique(
    op: Emit,
    data: Value,
    *,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
) -> tuple[Value, ...]:
    """Elements (or slices) in order, each once; first places, places of all, counts as wanted."""
    op.couple(*data.shape)
    flat, at = flattened(op, data, axis if data.rank else None)
    wanted = (True, return_index, return_inverse, return_counts)
    count, size = op.fresh(), flat.shape[at]
    if 0 in data.shape:
        nothing = op.filled(0, (0,), data.dtype), *(op.filled(0, (0,), DType.INT64),) * 3
        return tuple(value for value, is_wanted in zip(nothing, wanted, strict=True) if is_wanted)
    narrow = data.dtype not in _SORTED_ALIKE
    wide = op.cast(flat, DType.INT64) if narrow else flat
    shape = (*flat.shape[:at], count, *flat.shape[at + 1 :])
    lines = [(DType.INT64, (one,)) for one in (count, size, count)]
    values, *places = op.node(
        "Unique", wide, outputs=4, types=[(wide.dtype, shape), *lines], sorted=1,
        axis=at if flat.rank > 1 else None,
    )  # fmt: skip
    found = (op.cast(values, data.dtype), *places)
    return tuple(value for value, is_wanted in zip(found, wanted, strict=True) if is_wanted)


@OPS.lowers("_npi_delete")
def delete(
    op: Emit,
    arr: Value,
    obj: Value | None = None,
    *,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    int_ind: int | None = None,
    axis: int | None = None,
) -> Value:
    """Without one place of an axis, a slice of it, or those that a tensor names.

    A place that the axis does not have is passed over, and so is a negative one in a tensor.
    """
    flat, at = flattened(op, arr, axis)
    size = flat.shape[at]
    if obj is None:
        whole = op.static(size, "an axis to delete from")
        gone = _sliced(whole, start, stop, step, int_ind)
        return op.Gather(flat, op.const(np.delete(np.arange(whole), gone)), axis=at)
    places = op.cast(obj, DType.INT64)
    named = op.Equal(op.unsqueeze(places, 1), op.unsqueeze(_numbers(op, size), 0))
    hits = op.ReduceSum(op.cast(named, DType.INT32), [0], keepdims=0)
    return op.Compress(flat, op.Equal(hits, 0), axis=at)


@OPS.lowers("_npi_insert_scalar")
def insert_scalar(
    op: Emit,
    arr: Value,
    values: Value | None = None,
    *,
    val: float | None = None,
    int_ind: int | None = None,
    axis: int | None = None,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
) -> Value:
    """New slices before one place of an axis; their first axis becomes that one."""
    flat, at = flattened(op, arr, axis)
    given = _raised(op, _given(op, values, val, arr), flat.rank)
    order = [*range(1, at + 1), 0, *range(at + 1, flat.rank)]
    return _inserted(op, flat, op.transpose(given, order), op.const([int_ind or 0]), at)


@OPS.lowers("_npi_insert_slice")
def insert_slice(
    op: Emit,
    arr: Value,
    values: Value | None = None,
    *,
    val: float | None = None,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    int_ind: int | None = None,
    axis: int | None = None,
) -> Value:
    """A new slice before each place of a range."""
    flat, at = flattened(op, arr, axis)
    whole = op.static(flat.shape[at], "an axis to insert into")
    places = _sliced(whole, start, stop, step, None)
    given = _raised(op, _given(op, values, val, arr), flat.rank)
    return _inserted(op, flat, given, op.const(places), at)


@OPS.lowers("_npi_insert_tensor")
def insert_tensor(
    op: Emit,
    arr: Value,
    values: Value,
    obj: Value | None = None,
    *,
    val: float | None = None,
    axis: int | None = None,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    int_ind: int | None = None,
) -> Value:
    """A new slice before each place that a tensor names; with a number it is the second input."""
    places = values if obj is None else obj
    flat, at = flattened(op, arr, axis)
    given = _raised(op, _given(op, None if obj is None else values, val, arr), flat.rank)
    if not places.rank:
        given = op.transpose(given, [*range(1, at + 1), 0, *range(at + 1, flat.rank)])
        places = op.reshape(places, (1,))
    return _inserted(op, flat, given, _counted(op, places, flat.shape[at]), at)


@OPS.lowers("_npi_boolean_mask_assign_scalar")
def assign_scalar(op: Emit, data: Value, mask: Value, *, value: float, start_axis: int) -> Value:
    """A number where the mask holds, which covers some axes from ``start_axis`` on."""
    chosen = _covering(op, data, mask, start_axis)
    return choose(op, chosen, op.scalar(value, data.dtype), data)


@OPS.lowers("_npi_boolean_mask_assign_tensor")
def assign_tensor(op: Emit, data: Value, mask: Value, value: Value, *, start_axis: int) -> Value:
    """Slices in the order in which the mask holds, or one for all of them."""
    given = op.cast(value, data.dtype)
    if 0 in data.shape:
        return data
    end = start_axis + mask.rank
    count = dims.product(mask.shape)
    if given.rank > start_axis and given.shape[start_axis] != 1:
        flags = op.cast(op.reshape(truth(op, mask), (count,)), DType.INT64)
        turn = op.Max(op.Sub(op.CumSum(flags, op.const(0)), 1), 0)
        given = op.Gather(given, turn, axis=start_axis)
    flat = op.reshape(data, (*data.shape[:start_axis], count, *data.shape[end:]))
    line = op.reshape(mask, (count,))
    result = choose(op, _covering(op, flat, line, start_axis), given, flat)
    return op.reshape(result, data.shape)


@OPS.lowers("_npi_bincount")
def bincount(
    op: Emit,
    data: Value,
    weights: Value | None = None,
    *,
    minlength: int = 0,
    has_weights: bool = False,
) -> Value:
    """How often each number occurs, or the sum of its weights, in the type of these."""
    op.couple(data.shape[0])
    kind = data.dtype if weights is None else weights.dtype
    if data.shape[0] == 0:
        return op.filled(0, (minlength,), kind)
    wide = kind if kind in (DType.FP32, DType.FP64) else DType.INT64
    wide = DType.FP32 if kind is DType.FP16 else wide
    numbers = op.cast(data, DType.INT64)
    most = op.ReduceMax(numbers, [0], keepdims=1)
    length = op.Max(op.Add(most, 1), op.const([minlength]))
    counts = (op.fresh(),)
    zeros = op.node("Expand", op.scalar(0, wide), length, types=[(wide, counts)], reads_data=True)[
        0
    ]
    each = op.filled(1, data.shape, wide) if weights is None else op.cast(weights, wide)
    return op.cast(op.ScatterElements(zeros, numbers, each, axis=0, reduction="add"), kind)


def _sliced(
    whole: int, start: int | None, stop: int | None, step: int | None, one: int | None
) -> np.ndarray:
    """The places of a slice, or one place, counted from the front."""
    if one is None:
        return np.arange(*slice(start, stop, step).indices(whole), dtype=np.int64)
    if not -whole <= one < whole:
        raise InvalidModel(f"place {one} of an axis of {whole}")
    return np.array([one % whole], np.int64)


def _counted(op: Emit, places: Value, size: Dim) -> Value:
    """Places as int64 counted from the front; those outside stay outside."""
    whole = op.cast(places, DType.INT64)
    return op.Where(op.Less(whole, 0), op.Add(whole, op.scalar(size)), whole)


def _numbers(op: Emit, count: Dim) -> Value:
    return op.Range(op.scalar(0), op.scalar(count), op.scalar(1))


def _given(op: Emit, values: Value | None, number: float | None, like: Value) -> Value:
    if values is not None:
        return op.cast(values, like.dtype)
    if number is None:
        raise InvalidModel("nothing to insert")
    return op.scalar(number, like.dtype)


def _raised(op: Emit, values: Value, rank: int) -> Value:
    """New axes of one in front."""
    return op.unsqueeze(values, *range(max(rank - values.rank, 0)))


def _inserted(op: Emit, data: Value, values: Value, places: Value, axis: int) -> Value:
    """``values`` before ``places``; of a single place as many as there are.

    Both are joined and put in order: a new slice stands behind all new ones of smaller places and
    earlier ones of the same, an old one behind all new ones of places up to its own.
    """
    size = data.shape[axis]
    if places.shape[0] == 1:
        places = op.expand(_counted(op, places, size), (values.shape[axis],))
    count = places.shape[0]
    if count == 0:
        return data
    slices = op.expand(values, (*data.shape[:axis], count, *data.shape[axis + 1 :]))
    joined = op.Concat(data, slices, axis=axis)
    if places.constant is not None and isinstance(size, int) and isinstance(count, int):
        known = np.insert(np.arange(size), places.constant, size + np.arange(count))
        return op.Gather(joined, op.const(known), axis=axis)
    old, new = _numbers(op, size), _numbers(op, count)
    rows, columns = op.unsqueeze(places, 1), op.unsqueeze(places, 0)
    earlier = op.And(op.Equal(rows, columns), op.Less(op.unsqueeze(new, 1), op.unsqueeze(new, 0)))
    smaller = op.Or(op.Less(rows, columns), earlier)
    ahead = op.LessOrEqual(rows, op.unsqueeze(old, 0))
    there = op.Concat(op.Add(old, _sums(op, ahead)), op.Add(places, _sums(op, smaller)), axis=0)
    total = _numbers(op, size + count)
    order = op.ScatterElements(op.filled(0, (size + count,), DType.INT64), there, total, axis=0)
    return op.Gather(joined, order, axis=axis)


def _sums(op: Emit, flags: Value) -> Value:
    return op.ReduceSum(op.cast(flags, DType.INT64), [0], keepdims=0)


def _covering(op: Emit, data: Value, mask: Value, start: int) -> Value:
    """The mask with axes of one behind it, as many as the data have."""
    behind = data.rank - start - mask.rank
    if behind < 0:
        raise InvalidModel(f"a mask of {mask.rank} dimensions from axis {start} of {data.rank}")
    return op.unsqueeze(truth(op, mask), *range(mask.rank, mask.rank + behind))
