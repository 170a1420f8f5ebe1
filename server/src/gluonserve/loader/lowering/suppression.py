"""Greedy non-maximum suppression of boxes in order of preference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.lowering.ranking import masked, preference
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

STRICT_NMS = "NonMaxSuppression above its threshold"
"""What a target lacks whose ``NonMaxSuppression`` drops boxes at the threshold, not only above."""

_SQUARE = np.array([0, 0, 1, 1], np.float32)
"""Every box, where a threshold below zero has any two boxes overlap."""


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
    if threshold < 0:
        threshold, boxes = 0.5, op.expand(op.const(_SQUARE), boxes.shape)
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


def _limit(op: Emit, threshold: float, *, at_equality: bool) -> np.float32 | None:
    """The threshold as the engine compares it; None where nothing can be suppressed."""
    limit = np.float32(threshold)
    strict = op.target.has(STRICT_NMS)
    if at_equality and strict:
        limit = np.nextafter(limit, np.float32(-1))
    elif not at_equality and not strict:
        limit = np.maximum(np.nextafter(limit, np.float32(2)), np.finfo(np.float32).tiny)
    return None if limit > 1 or (strict and limit == 1) else limit


def _ordered(op: Emit, boxes: Value) -> Value:
    """Corners whose second is not before the first: engines would swap those, MXNet has no area."""
    first, second = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    return op.Concat(first, op.Max(first, second), axis=2)
