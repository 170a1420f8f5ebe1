"""Operators on sequences of several lengths: masking, reversing, taking the last step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("SequenceMask")
def sequence_mask(
    op: Emit,
    data: Value,
    sequence_length: Value | None = None,
    *,
    use_sequence_length: bool = False,
    value: float = 0.0,
    axis: int = 0,
) -> Value:
    """Steps at and after a sequence's length become ``value``; without lengths all stay."""
    lengths = _lengths(op, data, sequence_length, axis, used=use_sequence_length)
    if lengths is None:
        return data
    op.couple(data.shape[axis])
    steps = op.Range(0, op.scalar(data.shape[axis]), 1)
    beside, mine = (0, 1) if axis == 0 else (1, 0)
    inside = op.Less(op.unsqueeze(steps, mine), op.unsqueeze(lengths, beside))
    kept = op.unsqueeze(inside, *range(2, data.rank))
    return op.Where(kept, data, op.scalar(value, data.dtype))


@OPS.lowers("SequenceLast")
def sequence_last(
    op: Emit,
    data: Value,
    sequence_length: Value | None = None,
    *,
    use_sequence_length: bool = False,
    axis: int = 0,
) -> Value:
    """The step before each sequence's length, by ``GatherND``; without lengths the last one."""
    lengths = _lengths(op, data, sequence_length, axis, used=use_sequence_length)
    op.couple(data.shape[axis])
    if lengths is None:
        return op.squeeze(op.slice(data, axis, -1, None), axis)
    rows = data if axis else op.transpose(data, (1, 0, *range(2, data.rank)))
    last = op.unsqueeze(_within(op, op.Sub(lengths, 1), data.shape[axis] - 1), 1)
    return op.GatherND(rows, last, batch_dims=1)


@OPS.lowers("SequenceReverse")
def sequence_reverse(
    op: Emit,
    data: Value,
    sequence_length: Value | None = None,
    *,
    use_sequence_length: bool = False,
    axis: int = 0,
) -> Value:
    """Each sequence backwards up to its length, the rest as it is; steps are axis 0."""
    if axis != 0:
        raise InvalidModel(f"axis is {axis}, and MXNet reverses axis 0 only")
    op.couple(data.shape[0])
    lengths = _lengths(op, data, sequence_length, axis, used=use_sequence_length)
    if lengths is None:
        return op.slice(data, 0, None, None, -1)
    steps = _within(op, lengths, data.shape[0])
    return op.ReverseSequence(data, steps, time_axis=0, batch_axis=1)


def _within(op: Emit, numbers: Value, most: Dim) -> Value:
    """From 0 to ``most``: a client's lengths must not lead engines outside of their memory."""
    return op.Min(op.Max(numbers, 0), op.scalar(most))


def _lengths(op: Emit, data: Value, given: Value | None, axis: int, *, used: bool) -> Value | None:
    """The lengths as int64, towards zero; None where the operator is told not to use them."""
    if axis not in (0, 1):
        raise InvalidModel(f"axis is {axis}: steps are axis 0 or 1")
    if not used:
        return None
    if given is None:
        raise InvalidModel("use_sequence_length without an input for it")
    op.equate(given.shape[0], data.shape[1 - axis], "sequence_length")
    return op.cast(given, DType.INT64)
