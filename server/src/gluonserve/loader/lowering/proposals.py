"""Region proposals of two-stage detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.ranking import highest, packed, steps, taken
from gluonserve.loader.lowering.suppression import survivors
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Floats
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_contrib_Proposal", "_contrib_MultiProposal", ignoring=("output_score",))
def proposal(
    op: Emit,
    cls_prob: Value,
    bbox_pred: Value,
    im_info: Value,
    *,
    rpn_pre_nms_top_n: int = 6000,
    rpn_post_nms_top_n: int = 300,
    threshold: float = 0.7,
    rpn_min_size: int = 16,
    scales: Floats = (4.0, 8.0, 16.0, 32.0),
    ratios: Floats = (0.5, 1.0, 2.0),
    feature_stride: int = 16,
    iou_loss: bool = False,
) -> tuple[Value, Value]:
    """Boxes (row, left, top, right, bottom) that suppression keeps, repeated to the full number.

    A box reaches from the first to the last element in it. ``_contrib_Proposal`` takes one picture.
    """
    batch, _, height, width = cls_prob.shape
    if op.mxnet_node.op == "_contrib_Proposal":
        batch = op.equate(batch, 1, "pictures")
    base = _base_anchors(ratios, scales, feature_stride)
    count = height * width * len(base)
    anchors = _anchors(op, base, height, width, feature_stride)
    codes = _by_anchor(op, bbox_pred, len(base), 4)
    scores = op.squeeze(_by_anchor(op, op.slice(cls_prob, 1, len(base), None), len(base), 1), 2)
    boxes = op.Add(anchors, codes) if iou_loss else _moved(op, anchors, codes)
    boxes = _inside(op, boxes, im_info)
    padded = _in_padding(op, im_info, (height, width), len(base), feature_stride)
    boxes, scores = _without_small(
        op, boxes, op.Where(padded, _MINUS, scores), im_info, rpn_min_size
    )
    tried = dims.smaller(count, rpn_pre_nms_top_n) if rpn_pre_nms_top_n > 0 else count
    best, places = highest(op, scores, tried)
    ordered = taken(op, boxes, places)
    wide = op.Add(ordered, np.array([0, 0, 1, 1], np.float32))
    alive = op.expand(op.const(np.ones((1, 1), np.bool_)), (batch, tried))
    keep = survivors(op, wide, alive, None, threshold, at_equality=False)
    rows = op.Concat(ordered, op.unsqueeze(best, 2), axis=2)
    chosen = _repeated(op, packed(op, rows, keep), keep, rpn_post_nms_top_n)
    total = batch * rpn_post_nms_top_n
    number = op.cast(op.unsqueeze(steps(op, batch), 1, 2), DType.FP32)
    numbers = op.expand(number, (batch, rpn_post_nms_top_n, 1))
    found = op.Concat(numbers, op.slice(chosen, 2, 0, 4), axis=2)
    return op.reshape(found, (total, 5)), op.reshape(op.slice(chosen, 2, 4, 5), (total, 1))


_MINUS = np.array(-1, np.float32)


def _base_anchors(ratios: Floats, scales: Floats, stride: int) -> np.ndarray:
    """The anchors of the first place, as MXNet rounds them."""
    one = np.float32
    middle = one(0.5) * one(stride - 1)
    found = []
    for ratio in map(one, ratios):
        for scale in map(one, scales):
            area = np.floor(one(stride * stride) / ratio)
            wide = np.floor(np.sqrt(area) + one(0.5)) * scale
            high = np.floor(wide / scale * ratio + one(0.5)) * scale
            half = np.array([wide - 1, high - 1], np.float32) * one(0.5)
            found.append(np.concatenate([middle - half, middle + half]))
    return np.array(found, np.float32)


def _anchors(op: Emit, base: np.ndarray, height: Dim, width: Dim, stride: int) -> Value:
    """Anchors of all places, (1, H W A, 4)."""
    down, across = (
        op.cast(op.Mul(steps(op, size), stride), DType.FP32) for size in (height, width)
    )
    shape = (height, width, 1)
    y, x = (
        op.unsqueeze(op.expand(value, shape), 3)
        for value in (op.unsqueeze(down, 1, 2), op.unsqueeze(across, 0, 2))
    )
    moves = op.Concat(x, y, x, y, axis=3)
    return op.reshape(op.Add(moves, base.reshape(1, 1, -1, 4)), (1, height * width * len(base), 4))


def _by_anchor(op: Emit, predicted: Value, anchors: int, width: int) -> Value:
    """(N, A width, H, W) as (N, H W A, width)."""
    batch, channels, high, wide = predicted.shape
    if isinstance(channels, int) and channels != anchors * width:
        raise InvalidModel(f"{channels} channels for {anchors} anchors")
    split = op.reshape(predicted, (batch, anchors, width, high, wide))
    return op.reshape(op.transpose(split, (0, 3, 4, 1, 2)), (batch, high * wide * anchors, width))


def _moved(op: Emit, anchors: Value, codes: Value) -> Value:
    """Anchors shifted and grown as predicted."""
    first, second = op.node("Split", anchors, outputs=2, axis=2, num_outputs=2)
    size = op.Add(op.Sub(second, first), 1.0)
    middle = op.Add(first, op.Mul(op.Sub(size, 1.0), 0.5))
    shift, growth = op.node("Split", codes, outputs=2, axis=2, num_outputs=2)
    at = op.Add(op.Mul(shift, size), middle)
    half = op.Mul(op.Sub(op.Mul(op.Exp(growth), size), 1.0), 0.5)
    return op.Concat(op.Sub(at, half), op.Add(at, half), axis=2)


def _inside(op: Emit, boxes: Value, pictures: Value) -> Value:
    """Boxes clipped to their pictures (height, width, scale)."""
    limits = op.Sub(op.Gather(pictures, [1, 0, 1, 0], axis=1), 1.0)
    return op.Max(op.Min(boxes, op.unsqueeze(limits, 1)), 0.0)


def _in_padding(
    op: Emit, pictures: Value, sizes: tuple[Dim, Dim], anchors: int, stride: int
) -> Value:
    """Which anchors (N, H W A) lie beyond their pictures."""
    outside = []
    for axis, size in enumerate(sizes):
        real = op.Floor(op.Div(op.slice(pictures, 1, axis, axis + 1), float(stride)))
        places = op.cast(op.unsqueeze(steps(op, size), 0), DType.FP32)
        outside.append(op.unsqueeze(op.GreaterOrEqual(places, real), 2 - axis, 3))
    batch = pictures.shape[0]
    either = op.expand(op.Or(*outside), (batch, *sizes, anchors))
    return op.reshape(either, (batch, sizes[0] * sizes[1] * anchors))


def _without_small(
    op: Emit, boxes: Value, scores: Value, pictures: Value, smallest: int
) -> tuple[Value, Value]:
    """Boxes below the smallest size grow by half of it on each side and score -1."""
    least = op.unsqueeze(op.Mul(op.slice(pictures, 1, 2, 3), float(smallest)), 2)
    first, second = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    short = op.cast(op.Less(op.Add(op.Sub(second, first), 1.0), least), DType.INT32)
    small = op.cast(op.ReduceMax(short, [2], keepdims=1), DType.BOOL)
    half = op.Div(least, 2.0)
    grown = op.Concat(op.Sub(first, half), op.Add(second, half), axis=2)
    return op.Where(small, grown, boxes), op.Where(op.squeeze(small, 2), _MINUS, scores)


def _repeated(op: Emit, rows: Value, keep: Value, count: int) -> Value:
    """The first ``count`` of the rows that are kept, over and over where there are fewer."""
    limit = dims.smaller(rows.shape[1], count)
    kept = op.ReduceSum(op.cast(keep, DType.INT64), [1], keepdims=1)
    size = op.Min(kept, op.scalar(limit))
    places = op.Mod(op.unsqueeze(steps(op, count), 0), size)
    return taken(op, rows, places)
