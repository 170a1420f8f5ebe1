"""Non-maximum suppression in order of preference, and the moves of rows around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

STRICT_NMS = "NonMaxSuppression above its threshold"
"""What a target lacks whose ``NonMaxSuppression`` drops boxes at the threshold, not only above."""


def survivors(
    op: Emit,
    boxes: Value,
    alive: Value,
    groups: Value | None,
    threshold: float,
    *,
    at_equality: bool,
) -> Value:
    """Which boxes greedy suppression keeps: (N, K) of corners (N, K, 4), the preferred first.

    Only ``alive`` ones take part, and of ``groups`` (N, G, K), if any, only those of one group
    suppress each other. Places in the row stand for scores, so that ties fall as they came.
    """
    limit = _limit(op, threshold, at_equality=at_equality)
    if limit is None:
        return alive
    count = boxes.shape[1]
    candidates = op.unsqueeze(alive, 1)
    if groups is not None:
        candidates = op.And(groups, candidates)
    scores = masked(op, candidates, preference(op, count), 0.0)
    selected = op.NonMaxSuppression(
        op.cast(_ordered(op, boxes), DType.FP32),
        scores,
        op.length(count),
        op.const(np.array([limit])),
        op.const(np.zeros(1, np.float32)),
    )
    places = op.Gather(selected, [0, 2], axis=1)
    ones = op.filled(1.0, selected.shape[:1], DType.FP32)
    marks = op.ScatterND(op.filled(0.0, boxes.shape[:2], DType.FP32), places, ones)
    return op.Greater(marks, 0.0)


def preference(op: Emit, count: Dim) -> Value:
    """``count`` falling numbers that end at 1, in float32."""
    falling = op.Range(op.scalar(count), op.scalar(0), op.scalar(-1))
    return op.cast(falling, DType.FP32)


def highest(op: Emit, values: Value, count: Dim) -> tuple[Value, Value]:
    """The ``count`` highest of each row and their places; of equal ones the first come first."""
    best, places = op.node(
        "TopK", values, op.length(count), outputs=2, axis=-1, largest=1, sorted=1
    )
    return best, places


def taken(op: Emit, rows: Value, places: Value) -> Value:
    """Rows of (N, K, ...) at places (N, M)."""
    return op.GatherND(rows, op.unsqueeze(places, places.rank), batch_dims=1)


def column(op: Emit, rows: Value, index: int) -> Value:
    """One column of the last axis."""
    return op.Gather(rows, op.scalar(index), axis=rows.rank - 1)


def masked(op: Emit, condition: Value, value: Value, otherwise: float) -> Value:
    """The value where the condition holds, a number elsewhere."""
    return op.Where(condition, value, op.scalar(otherwise, value.dtype))


def _limit(op: Emit, threshold: float, *, at_equality: bool) -> np.float32 | None:
    """The threshold as the engine compares it; None where nothing can be suppressed."""
    limit = np.float32(threshold)
    strict = op.target.has(STRICT_NMS)
    if at_equality and strict:
        limit = np.nextafter(limit, np.float32(-1))
    elif not at_equality and not strict:
        limit = np.nextafter(limit, np.float32(2))
    return None if limit > 1 or (strict and limit == 1) else limit


def _ordered(op: Emit, boxes: Value) -> Value:
    """Corners whose second is not before the first: engines would swap those, MXNet has no area."""
    first, second = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    return op.Concat(first, op.Max(first, second), axis=2)
