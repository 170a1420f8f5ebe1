"""Operators that join tensors or take them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gluonserve.loader.lowering.table import OpTable
from gluonserve.loader.lowering.values import Piece

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("Concat", ignoring=("num_args",))
def concat(op: Emit, *data: Value, dim: int = 1) -> Value:
    """``Concat``; empty tensors of rank 1 take no part, as in MXNet."""
    if len(data) == 1:
        return data[0]
    return op.Concat(*data, axis=data[0].axis(dim))


@OPS.lowers("_rnn_param_concat", ignoring=("num_args",))
def rnn_param_concat(op: Emit, *data: Value, dim: int = 1) -> Value:
    """As ``Concat``; ``RNN`` takes the pieces from where they lie, so nothing is copied."""
    return replace(concat(op, *data, dim=dim), parts=data)


@OPS.lowers("stack", ignoring=("num_args",))
def stack(op: Emit, *data: Value, axis: int = 0) -> Value:
    """Tensors of one shape on a new axis, counted in the result; of a split one, its own."""
    whole = _unsplit(op, data, axis)
    if whole is not None:
        return whole
    shape = op.same_shape(*data, what="stack")
    at = axis if axis >= 0 else axis + data[0].rank + 1
    rows = [op.unsqueeze(op.shaped(value, shape), at) for value in data]
    return rows[0] if len(rows) == 1 else op.Concat(*rows, axis=at)


def _unsplit(op: Emit, data: tuple[Value, ...], axis: int) -> Value | None:
    """What was taken apart into all of these, in this order or backwards, as their stack."""
    pieces = [value.piece for value in data]
    first = pieces[0]
    if first is None or any(
        piece is None
        or (piece.whole, piece.axis, piece.count) != (first.whole, first.axis, first.count)
        for piece in pieces
    ):
        return None
    places = [piece.at for piece in pieces if piece is not None]
    forwards = list(range(first.count))
    if first.count != len(data) or places not in (forwards, forwards[::-1]):
        return None
    whole, came = first.whole, first.axis
    if places != forwards:
        whole = op.Gather(whole, op.const(places), axis=came)
    order = [at for at in range(whole.rank) if at != came]
    order.insert(axis if axis >= 0 else axis + whole.rank, came)
    return op.transpose(whole, order)


@OPS.lowers("SliceChannel")
def slice_channel(
    op: Emit, data: Value, *, num_outputs: int, axis: int = 1, squeeze_axis: bool = False
) -> tuple[Value, ...]:
    """``Split`` into equal parts; parts of size one may lose the axis."""
    at = data.axis(axis)
    if squeeze_axis:
        op.equate(data.shape[at], num_outputs, "parts of size one")
    size = data.shape[at] // num_outputs
    op.equate(data.shape[at], size * num_outputs, f"{num_outputs} parts of {data.shape[at]}")
    return _split(op, data, at, (size,) * num_outputs, squeeze=squeeze_axis)


@OPS.lowers("_split_v2")
def split_v2(
    op: Emit,
    data: Value,
    *,
    indices: Dims,
    axis: int = 1,
    squeeze_axis: bool = False,
    sections: int = 0,
) -> tuple[Value, ...]:
    """Equal ``sections``, or parts that begin at ``indices``, of which the first is 0."""
    at = data.axis(axis)
    whole = data.shape[at]
    if sections:
        sizes = _sections(whole, sections)
    else:
        starts = indices if indices[:1] == (0,) else (0, *indices)
        limit = whole if isinstance(whole, int) else starts[-1]
        ends = (*(min(start, limit) for start in starts[1:]), whole)
        begins = (0, *ends[:-1])
        sizes = tuple(end - begin for begin, end in zip(begins, ends, strict=True))
    return _split(op, data, at, sizes, squeeze=squeeze_axis)


def _sections(whole: Dim, count: int) -> tuple[Dim, ...]:
    """Equal parts; where they cannot be, the first ones are longer by one."""
    return tuple((whole + count - 1 - at) // count for at in range(count))


def _split(
    op: Emit, data: Value, axis: int, sizes: tuple[Dim, ...], *, squeeze: bool
) -> tuple[Value, ...]:
    if len(sizes) == 1:
        parts: tuple[Value, ...] = (data,)
    else:
        parts = op.node(
            "Split", data, op.shape_vector(sizes), outputs=len(sizes), axis=axis,
            types=[(data.dtype, _with(data, axis, size)) for size in sizes],
        )  # fmt: skip
    if not squeeze:
        return parts
    return tuple(
        replace(op.squeeze(part, axis), piece=Piece(data, axis, at, len(parts)))
        for at, part in enumerate(parts)
    )


def _with(data: Value, axis: int, size: Dim) -> tuple[Dim, ...]:
    return (*data.shape[:axis], size, *data.shape[axis + 1 :])
