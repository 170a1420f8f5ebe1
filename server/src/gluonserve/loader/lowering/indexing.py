"""Operators that choose elements: slices, gathers, embeddings, one-hot vectors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.reducing import at_least_one
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims, OptDims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_FIRST, _LAST = -(1 << 63), (1 << 63) - 1
CHECKED_GATHER = "GatherND that refuses places outside"
"""What a target lacks that reads whatever lies there; a client's indices are held inside for it."""
_EMBEDDING_TYPE = ("dtype", "sparse_grad", "deterministic")


@OPS.lowers("slice")
def slice_(op: Emit, data: Value, *, begin: OptDims, end: OptDims, step: OptDims = ()) -> Value:
    """Python's slices on the first axes: positions clamp, negative ones count from the end."""
    steps = [(step[at] if at < len(step) else None) or 1 for at in range(len(begin))]
    begins = [
        (_LAST if steps[at] < 0 else 0) if one is None else one for at, one in enumerate(begin)
    ]
    ends = [
        (_FIRST if steps[at] < 0 else _LAST) if one is None else one for at, one in enumerate(end)
    ]
    return op.Slice(data, begins, ends, list(range(len(begins))), steps)


@OPS.lowers("slice_axis")
def slice_axis(op: Emit, data: Value, *, axis: int, begin: int, end: int | None) -> Value:
    """One axis; MXNet refuses an end beyond it, so that a fixed end tells the size."""
    at = data.axis(axis)
    size = data.shape[at]
    first = begin if begin >= 0 else size + begin
    last = size if end is None else end if end >= 0 else size + end
    return _cut(op, data, at, first, last)


@OPS.lowers("slice_like")
def slice_like(op: Emit, data: Value, shape_like: Value, *, axes: Dims = ()) -> Value:
    """The beginning of each axis, as long as the other's (its values play no part)."""
    chosen = axes or tuple(range(min(data.rank, shape_like.rank)))
    for axis in chosen:
        at = data.axis(axis)
        data = _cut(op, data, at, 0, shape_like.shape[at])
    return data


@OPS.lowers("reverse")
def reverse(op: Emit, data: Value, *, axis: Dims) -> Value:
    """Back to front on each of these axes."""
    axes = sorted({data.axis(one) for one in axis})
    count = len(axes)
    op.couple(*(data.shape[at] for at in axes))
    sliced = op.node(
        "Slice", data, [_LAST] * count, [_FIRST] * count, axes, [-1] * count,
        types=[(data.dtype, data.shape)],
    )  # fmt: skip
    return sliced[0]


@OPS.lowers("take")
def take(
    op: Emit,
    a: Value,
    indices: Value,
    *,
    axis: int = 0,
    mode: Literal["clip", "raise", "wrap"] = "clip",
) -> Value:
    """``Gather`` of clipped or wrapped indices; ``raise`` leaves them to the engine's check."""
    at = a.axis(axis)
    return op.Gather(a, whole(op, indices, a.shape[at], mode), axis=at)


@OPS.lowers("Embedding", "_contrib_SparseEmbedding", ignoring=_EMBEDDING_TYPE)
def embedding(op: Emit, data: Value, weight: Value, *, input_dim: int, output_dim: int) -> Value:
    """``Gather`` of rows; ids outside the table clip to its ends, fractions are cut off."""
    op.equate(weight.shape[0], input_dim, "input_dim")
    op.equate(weight.shape[1], output_dim, "output_dim")
    return op.Gather(weight, whole(op, data, input_dim, "clip"), axis=0)


@OPS.lowers("pick")
def pick(
    op: Emit,
    data: Value,
    index: Value,
    *,
    axis: int | None = -1,
    keepdims: bool = False,
    mode: Literal["clip", "wrap"] = "clip",
) -> Value:
    """One element of each row of ``axis``; without one, of the flattened tensor."""
    if axis is None:
        flat = op.reshape(data, (dims.product(data.shape),))
        picked = op.Gather(flat, whole(op, index, flat.shape[0], mode), axis=0)
        return op.reshape(picked, (1,) * data.rank) if keepdims else picked
    at = data.axis(axis)
    chosen = whole(op, index, data.shape[at], mode)
    if chosen.rank < data.rank:
        chosen = op.unsqueeze(chosen, at)
    picked = op.GatherElements(data, chosen, axis=at)
    return picked if keepdims else at_least_one(op, op.squeeze(picked, at))


@OPS.lowers("batch_take")
def batch_take(op: Emit, a: Value, indices: Value) -> Value:
    """One element of each row of a matrix."""
    chosen = op.unsqueeze(whole(op, indices, a.shape[1], "clip"), 1)
    return op.squeeze(op.GatherElements(a, chosen, axis=1), 1)


@OPS.lowers("gather_nd")
def gather_nd(op: Emit, data: Value, indices: Value) -> Value:
    """The first axis of the indices runs over the data's; in ONNX it is the last."""
    rows = _index_rows(op, indices)
    if not op.target.has(CHECKED_GATHER):
        count = op.static(indices.shape[0], "how many axes the indices are for")
        sizes = op.shape_vector(data.shape[:count])
        rows = op.Min(op.Max(rows, op.Neg(sizes)), op.Sub(sizes, 1))
    return op.GatherND(data, rows)


@OPS.lowers("scatter_nd")
def scatter_nd(op: Emit, data: Value, indices: Value, *, shape: Dims) -> Value:
    """Zeros with the data put in; of several values for a place any may stay."""
    return op.ScatterND(op.filled(0, shape, data.dtype), _index_rows(op, indices), data)


@OPS.lowers("_scatter_set_nd")
def scatter_set_nd(op: Emit, lhs: Value, rhs: Value, indices: Value, *, shape: Dims) -> Value:
    """The left tensor with the right one put in."""
    return op.ScatterND(lhs, _index_rows(op, indices), rhs)


@OPS.lowers("one_hot")
def one_hot(
    op: Emit,
    indices: Value,
    *,
    depth: int,
    on_value: float = 1.0,
    off_value: float = 0.0,
    dtype: Literal["float16", "float32", "float64", "int32", "int64", "int8", "uint8"] = "float32",
) -> Value:
    """Comparison with a range: ONNX's ``OneHot`` would wrap negative indices."""
    kind = DType.of(np.dtype(dtype))
    rows = op.unsqueeze(op.cast(indices, DType.INT64), indices.rank)
    hot = op.Equal(rows, op.const(np.arange(depth, dtype=np.int64)))
    return op.Where(hot, op.scalar(on_value, kind), op.scalar(off_value, kind))


@OPS.lowers("_slice_assign")
def slice_assign(
    op: Emit, lhs: Value, rhs: Value, *, begin: OptDims, end: OptDims, step: OptDims = ()
) -> Value:
    """The left tensor with a slice replaced; axes that it takes whole may have any size."""
    parts = _parts(lhs, begin, end, step)
    mask = _mask(op, lhs, parts)
    if not mask.any():
        return lhs
    for axis, part in enumerate(parts):
        if part != slice(None):
            places = np.zeros(mask.shape[axis], np.int64)
            places[part] = np.arange(places[part].size)
            rhs = op.Gather(rhs, op.const(places), axis=axis)
    return op.Where(op.const(mask), rhs, lhs)


@OPS.lowers("_slice_assign_scalar")
def slice_assign_scalar(
    op: Emit, data: Value, *, scalar: float = 0.0, begin: OptDims, end: OptDims, step: OptDims = ()
) -> Value:
    """The tensor with a slice set to a number; axes that it takes whole may have any size."""
    mask = _mask(op, data, _parts(data, begin, end, step))
    return op.Where(op.const(mask), op.scalar(scalar, data.dtype), data)


def _parts(data: Value, begin: OptDims, end: OptDims, step: OptDims) -> list[slice]:
    """A slice for every axis."""
    if len(begin) > data.rank:
        raise InvalidModel(f"begin has {len(begin)} numbers for the {data.rank} axes of its input")
    parts = [slice(*part) for part in itertools.zip_longest(begin, end, step)]
    return parts + [slice(None)] * (data.rank - len(parts))


def _mask(op: Emit, data: Value, parts: Sequence[slice]) -> np.ndarray:
    """What the slices take, in one row for axes that they take whole."""
    shape = [
        1 if part == slice(None) else op.static(dim, "slice assignment")
        for part, dim in zip(parts, data.shape, strict=True)
    ]
    mask = np.zeros(shape, np.bool_)
    mask[tuple(parts)] = True
    return mask


def whole(op: Emit, indices: Value, size: Dim, mode: str) -> Value:
    """Indices as int64: fractions cut off, then clipped to ``size``, wrapped, or left alone.

    An empty axis counts as one of size 1: a division by zero would end the process.
    """
    chosen = op.cast(indices, DType.INT64)
    if mode == "clip":
        return op.Min(op.Max(chosen, 0), op.scalar(size - 1))
    return op.Mod(chosen, op.scalar(dims.larger(size, 1))) if mode == "wrap" else chosen


def _index_rows(op: Emit, indices: Value) -> Value:
    op.static(indices.shape[0], "how many axes the indices are for")
    turned = op.transpose(indices, (*range(1, indices.rank), 0))
    return op.cast(turned, DType.INT64)


def _cut(op: Emit, data: Value, axis: int, begin: Dim, end: Dim) -> Value:
    """``begin:end`` of an axis, both inside it."""
    size = data.shape[axis]
    if begin == 0 and end == size:
        return data
    if isinstance(size, int) and isinstance(end, int) and end > size:
        raise InvalidModel(f"{begin}:{end} of an axis of {size}")
    shape = (*data.shape[:axis], end - begin, *data.shape[axis + 1 :])
    ends = op.length(end)
    sliced = op.node(
        "Slice", data, op.length(begin), ends, [axis], [1], types=[(data.dtype, shape)],
        reads_data=data.reads_data,
    )  # fmt: skip
    return sliced[0]
