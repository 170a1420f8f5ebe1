"""Operators on boxes: overlap, suppression, coding against anchors, matching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gluonserve.errors import InvalidModel
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
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

Format: TypeAlias = Literal["center", "corner"]


@OPS.lowers("_contrib_box_nms")
def box_nms(
    op: Emit,
    data: Value,
    *,
    overlap_thresh: float = 0.5,
    valid_thresh: float = 0.0,
    topk: int = -1,
    coord_start: int = 2,
    score_index: int = 1,
    id_index: int = -1,
    background_id: int = -1,
    force_suppress: bool = False,
    in_format: Literal["center", "corner"] = "corner",
    out_format: Literal["center", "corner"] = "corner",
) -> tuple[Value, Value]:
    """The ``topk`` best valid boxes, less those that overlap a better one of their class.

    What is left moves to the top in order of scores, rows of -1 follow. Overlaps are computed in
    float32. The second output has the places that the rows came from.
    """
    count, width = data.shape[-2:]
    batch = dims.product(data.shape[:-2])
    rows = op.reshape(data, (batch, count, width))
    kept = count if topk < 0 else dims.smaller(count, topk)
    if kept == 0:
        places = op.cast(steps(op, batch * count), data.dtype)
        return data, op.reshape(places, (*data.shape[:-1], 1))
    scores = column(op, rows, score_index)
    valid = op.And(op.Greater(scores, valid_thresh), op.Not(op.IsNaN(scores)))
    if id_index >= 0:
        other = op.Not(op.Equal(column(op, rows, id_index), float(background_id)))
        valid = op.And(valid, other)
    best, chosen = highest(op, masked(op, valid, scores, -np.inf), kept)
    sorted_rows = taken(op, rows, chosen)
    coordinates = columns(op, sorted_rows, coord_start, 4)
    corners = coordinates if in_format == "corner" else to_corners(op, coordinates)
    groups = None
    if id_index >= 0 and not force_suppress:
        groups = _classes(op, column(op, sorted_rows, id_index))
    alive = op.Greater(best, -np.inf)
    keep = survivors(op, corners, alive, groups, overlap_thresh, at_equality=False)
    result = packed(op, sorted_rows, keep, count)
    if in_format != out_format:
        result = _recoded(op, result, coord_start, out_format)
    begins = op.Mul(steps(op, batch), op.scalar(count))
    origin = op.unsqueeze(op.Add(chosen, op.unsqueeze(begins, 1)), 2)
    record = packed(op, op.cast(origin, data.dtype), keep, count)
    return op.reshape(result, data.shape), op.reshape(record, (*data.shape[:-1], 1))


@OPS.lowers("_contrib_box_iou")
def box_iou(
    op: Emit,
    lhs: Value,
    rhs: Value,
    *,
    format: Literal["center", "corner"] = "corner",
) -> Value:
    """Of all pairs over the leading axes; 0 where boxes do not meet."""
    left = op.reshape(lhs, (dims.product(lhs.shape[:-1]), 1, 4))
    right = op.reshape(rhs, (1, dims.product(rhs.shape[:-1]), 4))
    (low, high), (other_low, other_high) = _edges(op, left, format), _edges(op, right, format)
    shared = op.Max(op.Sub(op.Min(high, other_high), op.Max(low, other_low)), 0.0)
    common = op.ReduceProd(shared, [2], keepdims=0)
    union = op.Sub(op.Add(_areas(op, left, format), _areas(op, right, format)), common)
    overlap = masked(op, op.Greater(common, 0.0), op.Div(common, union), 0.0)
    return op.reshape(overlap, (*lhs.shape[:-1], *rhs.shape[:-1]))


@OPS.lowers("_contrib_box_encode")
def box_encode(
    op: Emit,
    samples: Value,
    matches: Value,
    anchors: Value,
    refs: Value,
    means: Value,
    stds: Value,
) -> tuple[Value, Value]:
    """How far anchors are from their matches; the second output masks samples above 0.5."""
    matched = to_centers(op, taken(op, refs, op.cast(matches, DType.INT64)))
    at, size = op.node("Split", matched, outputs=2, axis=2, num_outputs=2)
    own_at, own_size = op.node("Split", to_centers(op, anchors), outputs=2, axis=2, num_outputs=2)
    offset = op.Div(op.Sub(at, own_at), own_size)
    codes = op.Concat(offset, op.Log(op.Div(size, own_size)), axis=2)
    positive = op.unsqueeze(op.Greater(samples, 0.5), 2)
    scaled = op.Div(op.Sub(codes, means), stds)
    masks = op.expand(op.cast(positive, anchors.dtype), anchors.shape)
    return masked(op, positive, scaled, 0.0), masks


@OPS.lowers("_contrib_box_decode")
def box_decode(
    op: Emit,
    data: Value,
    anchors: Value,
    *,
    std0: float = 1.0,
    std1: float = 1.0,
    std2: float = 1.0,
    std3: float = 1.0,
    clip: float = -1.0,
    format: Literal["center", "corner"] = "center",
) -> Value:
    """Corners from codes against anchors; ``clip`` bounds the logarithms of sizes from above."""
    centers = to_centers(op, anchors) if format == "corner" else anchors
    own_at, own_size = op.node("Split", centers, outputs=2, axis=2, num_outputs=2)
    scales = op.const(np.array([std0, std1, std2, std3]).astype(data.dtype.numpy))
    at, size = op.node("Split", op.Mul(data, scales), outputs=2, axis=2, num_outputs=2)
    if clip > 0:
        size = op.Min(size, clip)
    middle = op.Add(op.Mul(at, own_size), own_at)
    half = op.Mul(op.Mul(op.Exp(size), own_size), 0.5)
    return op.Concat(op.Sub(middle, half), op.Add(middle, half), axis=2)


@OPS.lowers("_contrib_bipartite_matching")
def bipartite_matching(
    op: Emit, data: Value, *, threshold: float, is_ascend: bool = False, topk: int = -1
) -> tuple[Value, Value]:
    """Greedy: again and again the best pair left, while it passes the threshold.

    MXNet's ``topk`` lets one more pair through than it says.
    """
    if data.rank < 2:
        raise InvalidModel(f"bipartite matching of {data.rank} dimensions")
    rows, columns = data.shape[-2:]
    batch = dims.product(data.shape[:-2])
    scores = op.reshape(op.Neg(data) if is_ascend else data, (batch, rows, columns))
    limit = -threshold if is_ascend else threshold
    trips = dims.smaller(rows, columns)
    if topk > 0:
        trips = dims.smaller(trips, topk + 1)
    found = _matched(op, scores, limit, trips)
    shapes = (data.shape[:-1], (*data.shape[:-2], columns))
    one, other = (
        op.reshape(op.cast(value, data.dtype), shape)
        for value, shape in zip(found, shapes, strict=True)
    )
    return one, other


def to_corners(op: Emit, boxes: Value) -> Value:
    """(x, y, width, height) as (left, top, right, bottom)."""
    middle, size = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    half = op.Div(size, 2.0)
    return op.Concat(op.Sub(middle, half), op.Add(middle, half), axis=2)


def to_centers(op: Emit, boxes: Value) -> Value:
    """(left, top, right, bottom) as (x, y, width, height)."""
    first, second = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    size = op.Sub(second, first)
    return op.Concat(op.Add(first, op.Mul(size, 0.5)), size, axis=2)


def _edges(op: Emit, boxes: Value, form: Format) -> tuple[Value, Value]:
    corners = boxes if form == "corner" else to_corners(op, boxes)
    low, high = op.node("Split", corners, outputs=2, axis=2, num_outputs=2)
    return low, high


def _areas(op: Emit, boxes: Value, form: Format) -> Value:
    first, second = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    size = second if form == "center" else op.Sub(second, first)
    return op.ReduceProd(op.Max(size, 0.0), [2], keepdims=0)


def _classes(op: Emit, ids: Value) -> Value:
    """Which boxes (N, K) are of each class that occurs: (N, G, K)."""
    whole = op.cast(op.cast(ids, DType.INT32), DType.INT64)
    seen = op.Unique(op.reshape(whole, (dims.product(whole.shape),)), sorted=1)
    return op.Equal(op.unsqueeze(whole, 1), op.unsqueeze(seen, 0, 2))


def _recoded(op: Emit, rows: Value, start: int, form: Format) -> Value:
    """Coordinates in the other format, except where the first of them is negative."""
    boxes = columns(op, rows, start, 4)
    other = to_corners(op, boxes) if form == "corner" else _middles(op, boxes)
    changed = op.Where(op.Less(op.slice(boxes, 2, 0, 1), 0.0), boxes, other)
    before, after = op.slice(rows, 2, 0, start), op.slice(rows, 2, start + 4, None)
    return op.Concat(*(part for part in (before, changed, after) if part.shape[2] != 0), axis=2)


def _middles(op: Emit, boxes: Value) -> Value:
    first, second = op.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    middle = op.Div(op.Add(first, second), 2.0)
    return op.Concat(middle, op.Sub(second, first), axis=2)


def _matched(op: Emit, scores: Value, threshold: float, trips: Dim) -> tuple[Value, Value]:
    """The column of each row and the row of each column, -1 without."""
    batch, rows, columns = scores.shape
    start = (
        op.reshape(scores, (batch, rows * columns)),
        op.filled(-1, (batch, rows), DType.INT64),
        op.filled(-1, (batch, columns), DType.INT64),
    )
    kinds = [(value.dtype, value.shape) for value in start]
    body = op.body([(DType.INT64, ()), (DType.BOOL, ()), *kinds], reads_data=scores.reads_data)
    step, _, _, left, by_row, by_column = body.op, *body.inputs
    best = step.ArgMax(left, axis=1, keepdims=1)
    score = step.ReduceMax(left, [1], keepdims=1)
    good = step.Greater(score, threshold)
    row = step.Div(best, step.scalar(columns))
    at = step.Sub(best, step.Mul(row, step.scalar(columns)))
    here = step.And(good, step.Equal(steps(step, rows), row))
    there = step.And(good, step.Equal(steps(step, columns), at))
    cross = step.Or(step.unsqueeze(here, 2), step.unsqueeze(there, 1))
    crossed = step.reshape(cross, left.shape)
    graph = body.graph(
        step.cast(step.ReduceMax(step.cast(good, DType.INT32), [0, 1], keepdims=0), DType.BOOL),
        masked(step, step.Not(crossed), left, -np.inf),
        step.Where(here, at, by_row),
        step.Where(there, row, by_column),
    )
    _, one, other = op.node(
        "Loop", op.scalar(trips), op.const(np.array(True)), *start, body=graph, outputs=3,
        types=kinds,
    )  # fmt: skip
    return one, other
