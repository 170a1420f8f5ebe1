"""Shapes of the numpy interface: reshapes, orders of axes and elements, joining and splitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims, indexing, joining, shaping
from gluonserve.loader.lowering.reshape_codes import NUMPY, resolved
from gluonserve.loader.lowering.table import OpTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

OPS.lowers("_np_transpose")(shaping.transpose)
OPS.lowers("_npi_stack", ignoring=("num_args",))(joining.stack)


@OPS.lowers("_np_reshape")
def reshape(op: Emit, a: Value, *, newshape: Dims, order: Literal["C"] = "C") -> Value:
    """NumPy's: -1 is inferred, other numbers are themselves."""
    return op.reshape(a, resolved(a.shape, newshape, meanings={-1: "infer"}))


@OPS.lowers("_npx_reshape")
def coded_reshape(
    op: Emit, a: Value, *, newshape: Dims, reverse: bool = False, order: Literal["C"] = "C"
) -> Value:
    """MXNet's codes -1 to -6, other ones than the legacy operator's; 0 is a size."""
    return op.reshape(a, resolved(a.shape, newshape, reverse=reverse, meanings=NUMPY))


@OPS.lowers("_np_squeeze")
def squeeze(op: Emit, a: Value, *, axis: Dims | None = None) -> Value:
    """Without axes all of size one go; a scalar stays what it is."""
    if axis is None or not a.rank:
        return op.squeeze(a, *(at for at, dim in enumerate(a.shape) if dim == 1))
    return op.squeeze(a, *sorted({a.axis(one) for one in axis}))


@OPS.lowers("_np_moveaxis")
def moveaxis(op: Emit, a: Value, *, source: Dims, destination: Dims) -> Value:
    """These axes take these places; the others keep their order."""
    if len(source) != len(destination):
        raise InvalidModel(f"axes {source} to {destination}")
    places = {a.axis(to): a.axis(of) for of, to in zip(source, destination, strict=True)}
    rest = iter(at for at in range(a.rank) if at not in places.values())
    order = [places[at] if at in places else next(rest) for at in range(a.rank)]
    return op.transpose(a, order)


@OPS.lowers("_np_roll")
def roll(op: Emit, data: Value, *, shift: Dims | None = None, axis: Dims | None = None) -> Value:
    """Elements move on by ``shift`` and come in again; without axes in the flattened tensor."""
    if not shift or not data.rank:
        return data
    if axis is None:
        flat = op.reshape(data, (dims.product(data.shape),))
        return op.reshape(_rolled(op, flat, 0, shift[0]), data.shape)
    shifts = shift * len(axis) if len(shift) == 1 else shift
    for one, distance in zip(axis, shifts, strict=True):
        data = _rolled(op, data, data.axis(one), distance)
    return data


@OPS.lowers("_npi_flip")
def flip(op: Emit, data: Value, *, axis: Dims | None = None) -> Value:
    """Back to front on these axes, on none without any."""
    return indexing.reverse(op, data, axis=axis) if axis and data.rank else data


@OPS.lowers("_npi_rot90")
def rot90(op: Emit, data: Value, *, k: int = 1, axes: Dims | None = None) -> Value:
    """``k`` quarter turns from the first of two axes towards the second."""
    first, second = (data.axis(one) for one in axes or (0, 1))
    turns = k % 4
    if turns == 2:
        return indexing.reverse(op, data, axis=(first, second))
    if turns == 1:
        data = indexing.reverse(op, data, axis=(second,))
    if turns:
        data = shaping.swap_axis(op, data, dim1=first, dim2=second)
    return indexing.reverse(op, data, axis=(second,)) if turns == 3 else data


@OPS.lowers("_npi_broadcast_to")
def broadcast_to(op: Emit, array: Value, *, shape: Dims = ()) -> Value:
    """-2 keeps a dimension; 0 is a size."""
    missing = len(shape) - array.rank
    if missing < 0:
        raise InvalidModel(f"{list(array.shape)} does not broadcast to {list(shape)}")
    wanted = tuple(
        array.shape[at - missing] if size == -2 else size for at, size in enumerate(shape)
    )
    return shaping.broadcast(op, array, wanted)


def _at_least(rank: int) -> Callable[[Emit, Value], Value]:
    """New axes of one: in front, but behind a matrix that becomes three-dimensional."""

    def raised(op: Emit, data: Value) -> Value:
        new = max(rank - data.rank, 0)
        if rank == 3 and data.rank in (1, 2):
            return op.unsqueeze(data, *((0, 2) if data.rank == 1 else (2,)))
        return op.unsqueeze(data, *range(new))

    return raised


def _register_at_least(name: str, raised: Callable[[Emit, Value], Value]) -> None:
    @OPS.lowers(name, ignoring=("num_args",))
    def at_least(op: Emit, *arys: Value) -> tuple[Value, ...]:
        """New axes of one where there are too few."""
        return tuple(raised(op, value) for value in arys)


for _rank in (1, 2, 3):
    _register_at_least(f"_np_atleast_{_rank}d", _at_least(_rank))


@OPS.lowers("_npi_concatenate", ignoring=("num_args",))
def concatenate(op: Emit, *data: Value, axis: int | None = 0, dim: int | None = 0) -> Value:
    """Without an axis all are flattened; MXNet 2.0 calls it ``dim``."""
    at = dim if "dim" in op.mxnet_node.attributes else axis
    if at is None:
        data = tuple(op.reshape(value, (dims.product(value.shape),)) for value in data)
    return joining.concat(op, *data, dim=at or 0)


@OPS.lowers("_npi_vstack", ignoring=("num_args",))
def vstack(op: Emit, *data: Value) -> Value:
    """Rows upon rows."""
    return joining.concat(op, *(_at_least(2)(op, value) for value in data), dim=0)


@OPS.lowers("_npi_hstack", ignoring=("num_args", "dim"))
def hstack(op: Emit, *data: Value) -> Value:
    """Columns beside columns; vectors end to end."""
    raised = [_at_least(1)(op, value) for value in data]
    return joining.concat(op, *raised, dim=min(1, raised[0].rank - 1))


@OPS.lowers("_npi_dstack", ignoring=("num_args", "dim"))
def dstack(op: Emit, *data: Value) -> Value:
    """On the third axis."""
    return joining.concat(op, *(_at_least(3)(op, value) for value in data), dim=2)


@OPS.lowers("_npi_column_stack", ignoring=("num_args",))
def column_stack(op: Emit, *data: Value) -> Value:
    """Vectors are columns."""
    columns = [
        op.unsqueeze(_at_least(1)(op, value), 1) if value.rank < 2 else value for value in data
    ]
    return joining.concat(op, *columns, dim=1)


@OPS.lowers("_npi_hsplit", ignoring=("axis",))
def hsplit(
    op: Emit, data: Value, *, indices: Dims, squeeze_axis: bool = False, sections: int = 0
) -> tuple[Value, ...]:
    """Along axis 1; vectors along their only one."""
    return joining.split_v2(
        op, data, indices=indices, axis=min(1, data.rank - 1), squeeze_axis=squeeze_axis,
        sections=sections,
    )  # fmt: skip


@OPS.lowers("_npi_dsplit", ignoring=("axis",))
def dsplit(
    op: Emit, data: Value, *, indices: Dims, squeeze_axis: bool = False, sections: int = 0
) -> tuple[Value, ...]:
    """Along axis 2."""
    return joining.split_v2(
        op, data, indices=indices, axis=2, squeeze_axis=squeeze_axis, sections=sections
    )


def _rolled(op: Emit, data: Value, axis: int, distance: int) -> Value:
    size = data.shape[axis]
    if size in (0, 1) or distance == 0:
        return data
    op.couple(size)
    return op.Gather(data, _places(op, size, distance), axis=axis)


def _places(op: Emit, size: Dim, distance: int) -> Value:
    """Where the elements of a rolled axis come from."""
    if isinstance(size, int):
        return op.const((np.arange(size) - distance) % size)
    numbers = op.Range(op.scalar(0), op.scalar(size), op.scalar(1))
    return op.Mod(op.Sub(numbers, op.scalar(distance)), op.Max(op.scalar(size), 1))
