"""Operators that change a tensor's shape and not its elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.reshape_codes import legacy_target, resolved
from gluonserve.loader.lowering.table import OpTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("Reshape")
def reshape(
    op: Emit,
    data: Value,
    *,
    shape: Dims = (),
    reverse: bool = False,
    target_shape: Dims = (),
    keep_highest: bool = False,
) -> Value:
    """MXNet's codes (0 to -4) are worked out at import; ``target_shape`` is the old form."""
    if not shape and target_shape:
        return op.reshape(data, legacy_target(data.shape, target_shape, keep_first=keep_highest))
    return op.reshape(data, resolved(data.shape, shape, reverse=reverse))


@OPS.lowers("Flatten")
def flatten(op: Emit, data: Value) -> Value:
    """Everything but axis 0 in one axis."""
    if data.rank == 2:
        return data
    if data.rank > 2:
        return op.Flatten(data, axis=1)
    return op.reshape(data, (data.shape[0], 1))


@OPS.lowers("reshape_like")
def reshape_like(
    op: Emit,
    lhs: Value,
    rhs: Value,
    *,
    lhs_begin: int | None = None,
    lhs_end: int | None = None,
    rhs_begin: int | None = None,
    rhs_end: int | None = None,
) -> Value:
    """Axes ``lhs_begin:lhs_end`` take the sizes of the other's ``rhs_begin:rhs_end``."""
    first, last = _range(lhs.rank, lhs_begin, lhs_end)
    start, stop = _range(rhs.rank, rhs_begin, rhs_end)
    return op.reshape(lhs, (*lhs.shape[:first], *rhs.shape[start:stop], *lhs.shape[last:]))


@OPS.lowers("transpose")
def transpose(op: Emit, data: Value, *, axes: Dims = ()) -> Value:
    """Without axes all are reversed."""
    order = axes or tuple(reversed(range(data.rank)))
    return op.transpose(data, [data.axis(axis) for axis in order])


@OPS.lowers("SwapAxis")
def swap_axis(op: Emit, data: Value, *, dim1: int = 0, dim2: int = 0) -> Value:
    """Two axes change places; negative ones count from the end."""
    order = list(range(data.rank))
    one, other = data.axis(dim1), data.axis(dim2)
    order[one], order[other] = other, one
    return op.transpose(data, order)


@OPS.lowers("expand_dims")
def expand_dims(op: Emit, data: Value, *, axis: int) -> Value:
    """A new axis of one, counted in the result."""
    return op.unsqueeze(data, axis if axis >= 0 else axis + data.rank + 1)


@OPS.lowers("squeeze")
def squeeze(op: Emit, data: Value, *, axis: Dims | None = None) -> Value:
    """Without axes all of size one go, but for the first where no other is left."""
    if axis:
        axes = sorted({data.axis(one) for one in axis})
    else:
        axes = [at for at, dim in enumerate(data.shape) if dim == 1]
    if len(axes) == data.rank and data.rank:
        axes = axes[1:]
    return op.squeeze(data, *axes)


@OPS.lowers("broadcast_to")
def broadcast_to(op: Emit, data: Value, *, shape: Dims = ()) -> Value:
    """0 keeps a dimension."""
    if not op.np_shape or len(shape) == data.rank:
        wanted = tuple(
            size or (data.shape[at] if at < data.rank else size) for at, size in enumerate(shape)
        )
    else:
        wanted = shape
    return broadcast(op, data, wanted)


@OPS.lowers("broadcast_axis")
def broadcast_axis(op: Emit, data: Value, *, axis: Dims = (), size: Dims = ()) -> Value:
    """These axes, of size one, become this long."""
    wanted: list[Dim] = list(data.shape)
    for one, length in zip(axis, size, strict=True):
        op.equate(data.shape[data.axis(one)], 1, f"axis {one} to broadcast")
        wanted[data.axis(one)] = length
    return broadcast(op, data, wanted)


@OPS.lowers("broadcast_like")
def broadcast_like(
    op: Emit,
    lhs: Value,
    rhs: Value,
    *,
    lhs_axes: Dims | None = None,
    rhs_axes: Dims | None = None,
) -> Value:
    """To the other's shape, or only on pairs of axes."""
    if not lhs_axes or not rhs_axes:
        return broadcast(op, lhs, rhs.shape)
    wanted = list(lhs.shape)
    for one, other in zip(lhs_axes, rhs_axes, strict=True):
        wanted[lhs.axis(one)] = rhs.shape[rhs.axis(other)]
    return broadcast(op, lhs, wanted)


@OPS.lowers("tile")
def tile(op: Emit, data: Value, *, reps: Dims) -> Value:
    """Whichever is shorter, repeats or shape, is filled up with ones from the left.

    By ``Expand``: OpenVINO's ``Tile`` answers wrong over some pairs of axes where rows are free.
    """
    rank = max(len(reps), data.rank)
    sizes = (1,) * (rank - data.rank) + data.shape
    repeats = (1,) * (rank - len(reps)) + tuple(reps)
    if set(repeats) <= {1}:
        return op.reshape(data, sizes)
    apart: list[Dim] = []
    wide: list[Dim] = []
    for size, count in zip(sizes, repeats, strict=True):
        apart += [size] if 1 in (size, count) else [1, size]
        wide += [size * count] if 1 in (size, count) else [count, size]
    wanted = [size * count for size, count in zip(sizes, repeats, strict=True)]
    if 0 in wanted:
        return op.filled(0, wanted, data.dtype)
    return op.reshape(op.expand(op.reshape(data, apart), wide), wanted)


@OPS.lowers("repeat")
def repeat(op: Emit, data: Value, *, repeats: int, axis: int | None = None) -> Value:
    """Every element ``repeats`` times in a row; without an axis of the flattened tensor."""
    flat = data if axis is not None else op.reshape(data, (dims.product(data.shape),))
    at = flat.axis(axis or 0)
    wanted = (*flat.shape[:at], flat.shape[at] * repeats, *flat.shape[at + 1 :])
    if 0 in wanted:
        return op.filled(0, wanted, data.dtype)
    apart = (*flat.shape[: at + 1], repeats, *flat.shape[at + 1 :])
    return op.reshape(op.expand(op.unsqueeze(flat, at + 1), apart), wanted)


@OPS.lowers("shape_array")
def shape_array(op: Emit, data: Value) -> Value:
    """int64; known at import where the shape is."""
    return op.shape_of(data)


@OPS.lowers("size_array")
def size_array(op: Emit, data: Value) -> Value:
    """int64, of shape (1,)."""
    return op.length(dims.product(data.shape))


@OPS.lowers("depth_to_space")
def depth_to_space(op: Emit, data: Value, *, block_size: int) -> Value:
    """``DepthToSpace`` in the order depth, column, row."""
    return op.DepthToSpace(data, blocksize=block_size, mode="DCR")


@OPS.lowers("space_to_depth")
def space_to_depth(op: Emit, data: Value, *, block_size: int) -> Value:
    """``SpaceToDepth``."""
    return op.SpaceToDepth(data, blocksize=block_size)


def broadcast(op: Emit, data: Value, wanted: Sequence[Dim]) -> Value:
    """``Expand``; only axes of size one change theirs."""
    missing = len(wanted) - data.rank
    if missing < 0:
        raise InvalidModel(f"{list(data.shape)} does not broadcast to {list(wanted)}")
    for size, has in zip(wanted[missing:], data.shape, strict=True):
        if isinstance(has, int) and has != 1:
            op.equate(size, has, f"{list(data.shape)} broadcast to {list(wanted)}")
        elif size != has and not isinstance(has, int):
            op.broadcasts(size, has)
    if 0 in wanted:
        return op.filled(0, wanted, data.dtype)
    return op.expand(data, wanted)


def _range(rank: int, begin: int | None, end: int | None) -> tuple[int, int]:
    first, last = begin or 0, rank if end is None else end
    return first + rank * (first < 0), last + rank * (last < 0)
