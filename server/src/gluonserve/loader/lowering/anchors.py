"""Anchor boxes of single-shot detectors, and detections from what was predicted for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.ranking import (
    column,
    columns,
    highest,
    masked,
    packed,
    steps,
    taken,
)
from gluonserve.loader.lowering.suppression import survivors
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Floats
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_contrib_MultiBoxPrior")
def multibox_prior(
    op: Emit,
    data: Value,
    *,
    sizes: Floats = (1.0,),
    ratios: Floats = (1.0,),
    clip: bool = False,
    steps: Floats = (-1.0, -1.0),
    offsets: Floats = (0.5, 0.5),
) -> Value:
    """Only the data's height and width count: constants where these are known.

    Per place all sizes come with the first ratio, then the other ratios with the first size.
    """
    height, width = data.shape[2:4]
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    extents = _extents(op, height, width, pairs)
    spans = steps if min(steps) > 0 else (None, None)
    rows, columns = (
        _middles(op, size, offset, span)
        for size, offset, span in zip((height, width), offsets, spans, strict=True)
    )
    shape = (height, width, 1)
    across = op.expand(op.unsqueeze(columns, 0, 2), shape)
    down = op.expand(op.unsqueeze(rows, 1, 2), shape)
    middles = op.unsqueeze(op.Concat(across, down, axis=2), 2)
    boxes = op.Concat(op.Sub(middles, extents), op.Add(middles, extents), axis=3)
    if clip:
        boxes = op.Min(op.Max(boxes, 0.0), 1.0)
    return op.reshape(op.cast(boxes, data.dtype), (1, height * width * len(pairs), 4))


@OPS.lowers("_contrib_MultiBoxDetection", ignoring=("background_id",))
def multibox_detection(
    op: Emit,
    cls_prob: Value,
    loc_pred: Value,
    anchor: Value,
    *,
    clip: bool = True,
    threshold: float = 0.01,
    nms_threshold: float = 0.5,
    force_suppress: bool = False,
    variances: Floats = (0.1, 0.1, 0.2, 0.2),
    nms_topk: int = -1,
) -> Value:
    """Rows (class, score, box) by falling scores; suppressed ones have class -1 and stay.

    Class 0 is the background whatever ``background_id`` says. Rows past ``nms_topk`` hold what
    MXNet leaves there: the box of that rank in the order of anchors, with class -1.
    """
    classes = op.static(cls_prob.shape[1], "the number of classes")
    count = op.equate(cls_prob.shape[2], anchor.shape[1], "anchors")
    batch = cls_prob.shape[0]
    if classes < 2:
        return op.filled(-1.0, (batch, count, 6), cls_prob.dtype)
    boxes = _decoded(op, op.reshape(loc_pred, (batch, count, 4)), anchor, variances, clip=clip)
    rows, found = _candidates(op, cls_prob, boxes, threshold)
    if not 0 < nms_threshold <= 1:
        return packed(op, rows, found)
    kept = dims.smaller(count, nms_topk) if nms_topk > 0 else count
    best, places = highest(op, masked(op, found, column(op, rows, 1), -np.inf), kept)
    alive = op.Greater(best, -np.inf)
    sorted_rows = taken(op, rows, places)
    groups = None
    if not force_suppress and classes > 2:
        numbers = np.arange(classes - 1).reshape(1, -1, 1).astype(rows.dtype.numpy)
        groups = op.Equal(op.unsqueeze(column(op, sorted_rows, 0), 1), numbers)
    corners = columns(op, sorted_rows, 2, 4)
    keep = survivors(op, corners, alive, groups, nms_threshold, at_equality=True)
    shown = masked(op, op.unsqueeze(alive, 2), _dropped_unless(op, sorted_rows, keep), -1.0)
    if kept == count:
        return shown
    tail = op.slice(packed(op, rows, found), 1, kept, None)
    nothing = op.const(np.zeros((1, 1), np.bool_))
    return op.Concat(shown, _dropped_unless(op, tail, nothing), axis=1)


def _extents(op: Emit, height: Dim, width: Dim, pairs: Sequence[tuple[float, float]]) -> Value:
    """Half the width and height of every anchor of a place, (anchors, 2)."""
    sizes = np.array([size for size, _ in pairs], np.float32)
    roots = np.sqrt(np.array([ratio for _, ratio in pairs], np.float32))
    across = op.Mul(op.const(sizes), op.scalar(height, DType.FP32))
    across = op.Div(across, op.scalar(width, DType.FP32))
    across = op.Div(op.Mul(across, roots), 2.0)
    down = op.const(sizes / roots / np.float32(2))
    return op.Concat(op.unsqueeze(across, 1), op.unsqueeze(down, 1), axis=1)


def _middles(op: Emit, size: Dim, offset: float, span: float | None) -> Value:
    """Where the middles of an axis lie, as parts of it unless a step is given."""
    places = op.Add(op.cast(steps(op, size), DType.FP32), offset)
    if span is not None:
        return op.Mul(places, span)
    return op.Mul(places, op.Div(op.const(np.float32(1)), op.scalar(size, DType.FP32)))


def _candidates(op: Emit, cls_prob: Value, boxes: Value, threshold: float) -> tuple[Value, Value]:
    """A row (class less one, score, box) for every anchor, and which are above the threshold."""
    objects = op.slice(cls_prob, 1, 1, None)
    scores = op.ReduceMax(objects, [1], keepdims=0)
    ids = op.cast(op.ArgMax(objects, axis=1, keepdims=0), scores.dtype)
    found = op.And(op.GreaterOrEqual(scores, threshold), op.Greater(scores, -1.0))
    return op.Concat(op.unsqueeze(ids, 2), op.unsqueeze(scores, 2), boxes, axis=2), found


def _decoded(op: Emit, codes: Value, anchor: Value, variances: Floats, *, clip: bool) -> Value:
    first, second = op.node("Split", anchor, outputs=2, axis=2, num_outputs=2)
    size = op.Sub(second, first)
    middle = op.Div(op.Add(first, second), 2.0)
    scaled = op.Mul(codes, op.const(np.array(variances).astype(codes.dtype.numpy)))
    at, growth = op.node("Split", scaled, outputs=2, axis=2, num_outputs=2)
    at = op.Add(op.Mul(at, size), middle)
    half = op.Div(op.Mul(op.Exp(growth), size), 2.0)
    boxes = op.Concat(op.Sub(at, half), op.Add(at, half), axis=2)
    return op.Max(op.Min(boxes, 1.0), 0.0) if clip else boxes


def _dropped_unless(op: Emit, rows: Value, keep: Value) -> Value:
    """The rows, their class -1 where they are not kept."""
    ids = masked(op, op.unsqueeze(keep, 2), op.slice(rows, 2, 0, 1), -1.0)
    return op.Concat(ids, op.slice(rows, 2, 1, None), axis=2)
