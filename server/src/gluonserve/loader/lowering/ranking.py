"""Rows of boxes by falling scores, in the order they had where scores are equal."""

from __future__ import annotations

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


def highest(op: Emit, values: Value, count: Dim) -> tuple[Value, Value]:
    """The ``count`` highest of each row and their places; of equal ones the first come first."""
    if op.target.has(STABLE_TOPK):
        return _top(op, values, count)
    if count == values.shape[1]:
        return _in_order(op, values, count)
    chosen = _first(op, _among_highest(op, values, count), count)
    best, order = _in_order(op, op.GatherElements(values, chosen, axis=1), count)
    return best, op.GatherElements(chosen, order, axis=1)


def packed(op: Emit, rows: Value, found: Value, count: Dim | None = None) -> Value:
    """Rows (N, K, ...) that were found move up in their order; -1 fills up to ``count`` rows."""
    length = rows.shape[1] if count is None else count
    order = _first(op, found, rows.shape[1])
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


def _top(op: Emit, values: Value, count: Dim, *, largest: int = 1) -> tuple[Value, Value]:
    best, places = op.node(
        "TopK", values, op.length(count), outputs=2, axis=-1, largest=largest, sorted=1
    )
    return best, places


def _in_order(op: Emit, values: Value, count: Dim) -> tuple[Value, Value]:
    """All of each row by falling value; those of one value by their places, in a second sort."""
    best, order = _top(op, values, count)
    if isinstance(count, int) and (count < 2 or count > _LONGEST):
        return best, order
    before, after = op.slice(best, 1, 0, count - 1), op.slice(best, 1, 1, count)
    begins = op.cast(op.Less(after, before), DType.INT64)
    groups = op.Pad(
        op.CumSum(begins, op.const(np.array(1))), [0, 1, 0, 0], op.scalar(0), mode="constant"
    )
    keys = op.Add(op.Mul(groups, op.scalar(count)), order)
    _, places = _top(op, keys, count, largest=0)
    steady = op.GatherElements(order, places, axis=1)
    if isinstance(count, int):
        return best, steady
    short = op.Less(op.scalar(count), _LONGEST)
    return best, op.Where(short, steady, order)


def _among_highest(op: Emit, values: Value, count: Dim) -> Value:
    """Which elements are the ``count`` highest of their row, the first of those at the limit."""
    best, _ = _top(op, values, count)
    limit = op.slice(best, 1, count - 1, count)
    above, level = op.Greater(values, limit), op.Equal(values, limit)
    taken_already = op.ReduceSum(op.cast(above, DType.INT64), [1], keepdims=1)
    numbers = op.CumSum(op.cast(level, DType.INT64), op.const(np.array(1)))
    room = op.Sub(op.scalar(count), taken_already)
    return op.Or(above, op.And(level, op.Not(op.Greater(numbers, room))))


def _first(op: Emit, found: Value, count: Dim) -> Value:
    """Places of the first ``count`` elements that hold, per row; 0 where there are fewer."""
    batch, size = found.shape
    ends = op.CumSum(op.cast(found, DType.INT64), op.const(np.array(1)))
    targets = op.Where(found, op.Sub(ends, 1), op.scalar(count))
    sources = op.expand(op.unsqueeze(steps(op, size), 0), (batch, size))
    empty = op.filled(0, (batch, count + 1), DType.INT64)
    return op.slice(op.ScatterElements(empty, targets, sources, axis=1), 1, 0, count)
