"""What is highest or lowest, in the order it had where numbers are equal; rows of boxes by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

STABLE_TOPK = "TopK in the order of equals"
"""What a target lacks whose ``TopK`` answers equal elements in any order."""

_LONGEST = 46340
"""The root of the largest int32, as which OpenVINO computes int64."""


def highest(
    op: Emit, values: Value, count: Dim, *, axis: int = 1, largest: bool = True
) -> tuple[Value, Value]:
    """The ``count`` highest (or lowest) along an axis and their places; of equals the first."""
    line = _Line(op, axis, largest=largest)
    if op.target.has(STABLE_TOPK):
        return line.top(values, count)
    if count == values.shape[axis]:
        return line.in_order(values, count)
    chosen = first_found(op, line.among_highest(values, count), count, axis=axis)
    best, order = line.in_order(op.GatherElements(values, chosen, axis=axis), count)
    return best, op.GatherElements(chosen, order, axis=axis)


def packed(op: Emit, rows: Value, found: Value, count: Dim | None = None) -> Value:
    """Rows (N, K, ...) that were found move up in their order; -1 fills up to ``count`` rows."""
    length = rows.shape[1] if count is None else count
    order = first_found(op, found, rows.shape[1], axis=1)
    total = op.ReduceSum(op.cast(found, DType.INT64), [1], keepdims=1)
    filled = op.Less(op.unsqueeze(steps(op, rows.shape[1]), 0), total)
    shown = masked(op, op.unsqueeze(filled, 2), taken(op, rows, order), -1.0)
    missing = length - rows.shape[1]
    if missing == 0:
        return shown
    pads = op.shape_vector((0, 0, 0, 0, missing, 0))
    return op.Pad(shown, pads, op.scalar(-1.0, rows.dtype), mode="constant")


def preference(op: Emit, count: Dim) -> Value:
    """``count`` falling numbers that end at 1, in float32."""
    falling = op.Range(op.scalar(count), op.scalar(0), op.scalar(-1))
    return op.cast(falling, DType.FP32)


def steps(op: Emit, count: Dim) -> Value:
    """0, 1, 2, ... below ``count``."""
    return op.Range(op.scalar(0), op.scalar(count), op.scalar(1))


def taken(op: Emit, rows: Value, places: Value) -> Value:
    """Rows of (N, K, ...) at places (N, M)."""
    return op.GatherND(rows, op.unsqueeze(places, places.rank), batch_dims=1)


def column(op: Emit, rows: Value, index: int) -> Value:
    """One column of the last axis."""
    return op.Gather(rows, op.scalar(index), axis=rows.rank - 1)


def columns(op: Emit, rows: Value, first: int, count: int) -> Value:
    """Some columns of the last axis, so many for certain."""
    return op.Gather(rows, list(range(first, first + count)), axis=rows.rank - 1)


def masked(op: Emit, condition: Value, value: Value, otherwise: float) -> Value:
    """The value where the condition holds, a number elsewhere."""
    return op.Where(condition, value, op.scalar(otherwise, value.dtype))


def first_found(op: Emit, found: Value, count: Dim, *, axis: int) -> Value:
    """Places along an axis of the first ``count`` that are found; 0 where there are fewer."""
    shape = list(found.shape)
    ends = op.CumSum(op.cast(found, DType.INT64), op.const(np.array(axis)))
    targets = op.Where(found, op.Sub(ends, 1), op.scalar(count))
    behind = list(range(1, found.rank - axis))
    sources = op.expand(op.unsqueeze(steps(op, shape[axis]), *behind), shape)
    empty = op.filled(0, (*shape[:axis], count + 1, *shape[axis + 1 :]), DType.INT64)
    filled = op.ScatterElements(empty, targets, sources, axis=axis)
    return op.slice(filled, axis, 0, count)


@dataclass(frozen=True, slots=True)
class _Line:
    """Sorts along one axis for engines whose ``TopK`` answers equal elements in any order."""

    op: Emit
    axis: int
    largest: bool = field(kw_only=True)

    def top(self, values: Value, count: Dim, *, largest: bool | None = None) -> tuple[Value, Value]:
        most = self.largest if largest is None else largest
        best, places = self.op.node(
            "TopK", values, self.op.length(count), outputs=2, axis=self.axis, largest=int(most)
        )
        return best, places

    def in_order(self, values: Value, count: Dim) -> tuple[Value, Value]:
        """All of them by value; those of one value by their places, in a second sort."""
        op, axis = self.op, self.axis
        best, order = self.top(values, count)
        if isinstance(count, int) and (count < 2 or count > _LONGEST):
            return best, order
        before, after = op.slice(best, axis, 0, count - 1), op.slice(best, axis, 1, count)
        begins = op.cast(self._above(before, after), DType.INT64)
        pads = [int(at == axis) for at in range(values.rank)] + [0] * values.rank
        groups = op.Pad(
            op.CumSum(begins, op.const(np.array(axis))), pads, op.scalar(0), mode="constant"
        )
        keys = op.Add(op.Mul(groups, op.scalar(count)), order)
        _, places = self.top(keys, count, largest=False)
        steady = op.GatherElements(order, places, axis=axis)
        if isinstance(count, int):
            return best, steady
        short = op.Less(op.scalar(count), _LONGEST)
        return best, op.Where(short, steady, order)

    def among_highest(self, values: Value, count: Dim) -> Value:
        """Which are the ``count`` highest, the first of those at the limit."""
        op, axis = self.op, self.axis
        best, _ = self.top(values, count)
        limit = op.slice(best, axis, count - 1, count)
        above, level = self._above(values, limit), op.Equal(values, limit)
        taken_already = op.ReduceSum(op.cast(above, DType.INT64), [axis], keepdims=1)
        numbers = op.CumSum(op.cast(level, DType.INT64), op.const(np.array(axis)))
        room = op.Sub(op.scalar(count), taken_already)
        return op.Or(above, op.And(level, op.Not(op.Greater(numbers, room))))

    def _above(self, one: Value, other: Value) -> Value:
        return self.op.Greater(one, other) if self.largest else self.op.Less(one, other)
