"""Pooling of regions whose bins are moved as a network says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.ranking import column, columns
from gluonserve.loader.lowering.rois import bin_channels, existing_rows, halves_away
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_contrib_DeformablePSROIPooling")
def deformable_psroi_pooling(
    op: Emit,
    data: Value,
    rois: Value,
    trans: Value | None = None,
    *,
    spatial_scale: float,
    output_dim: int,
    group_size: int,
    pooled_size: int,
    part_size: int = 0,
    sample_per_part: int = 1,
    trans_std: float = 0.0,
    no_trans: bool = False,
) -> Value:
    """Means of the samples of each bin that lie inside; every bin reads a channel of its own.

    Axes of what is sampled: regions, classes, rows and columns of bins, samples of a bin.
    """
    places = op.cast(rois, DType.FP32)
    row, _ = existing_rows(op, places, data.shape[0])
    corners = halves_away(op, columns(op, places, 1, 4))
    moves = None if no_trans or trans is None else op.cast(trans, DType.FP32)
    parts = part_size or pooled_size
    samples = []
    for axis in (1, 0):
        begin = op.Sub(op.Mul(column(op, corners, axis), spatial_scale), 0.5)
        end = op.Sub(op.Mul(op.Add(column(op, corners, axis + 2), 1.0), spatial_scale), 0.5)
        extent = op.unsqueeze(op.Max(op.Sub(end, begin), float(np.float32(0.1))), 1, 2, 3, 4)
        at = op.Add(
            op.unsqueeze(begin, 1, 2, 3, 4),
            op.Mul(extent, _bin_places(pooled_size, sample_per_part, axis)),
        )
        if moves is not None:
            shift = _shifts(op, moves, parts, pooled_size, axis)
            at = op.Add(at, op.Mul(op.Mul(shift, trans_std), extent))
        samples.append(at)
    classes = 1 if moves is None else op.static(moves.shape[1], "the number of classes") // 2
    channels = bin_channels(output_dim, pooled_size, group_size)
    shape = (1, classes, output_dim // classes, pooled_size, pooled_size, 1)
    mean = _means(op, op.cast(data, DType.FP32), row, channels.reshape(shape), samples)
    result = op.reshape(mean, (rois.shape[0], output_dim, pooled_size, pooled_size))
    return op.cast(result, data.dtype)


def _bin_places(bins: int, samples: int, axis: int) -> np.ndarray:
    """Where samples of bins begin on an axis, in parts of the region: (1, 1, P, P, S S)."""
    bin_at, sample_at = np.indices((bins, samples))
    places = ((bin_at + sample_at / samples) / bins).astype(np.float32)
    if axis == 1:
        spread = np.repeat(places[:, None, :, None], samples, axis=3).repeat(bins, axis=1)
    else:
        spread = np.repeat(places[None, :, None, :], samples, axis=2).repeat(bins, axis=0)
    return spread.reshape(1, 1, bins, bins, samples * samples)


def _shifts(op: Emit, moves: Value, parts: int, bins: int, which: int) -> Value:
    """How far bins move on an axis (0 x, 1 y), in parts of the region: (R, classes, P, P, 1)."""
    regions, channels = moves.shape[:2]
    split = op.reshape(moves, (regions, channels // 2, 2, parts, parts))
    own = op.squeeze(op.slice(split, 2, which, which + 1), 2)
    chosen = (np.arange(bins, dtype=np.float32) / np.float32(bins) * parts).astype(np.int64)
    picked = op.Gather(op.Gather(own, chosen, axis=2), chosen, axis=3)
    return op.unsqueeze(picked, 4)


def _means(op: Emit, data: Value, row: Value, channels: np.ndarray, samples: list[Value]) -> Value:
    """The mean over samples inside the data: (R, classes, outputs of a class, P, P)."""
    _, depth, height, width = data.shape
    inside, ends = [], []
    for place, size in zip(samples, (height, width), strict=True):
        limit = op.scalar(size, DType.FP32)
        beyond = op.Or(op.Less(place, -0.5), op.Greater(place, op.Sub(limit, 0.5)))
        inside.append(op.unsqueeze(op.Not(beyond), 2))
        clamped = op.unsqueeze(op.Min(op.Max(place, 0.0), op.Sub(limit, 1.0)), 2)
        low = op.Floor(clamped)
        near = op.cast(low, DType.INT64)
        ends.append((near, op.Min(op.Add(near, 1), op.scalar(size - 1)), op.Sub(clamped, low)))
    origin = op.Add(op.Mul(op.unsqueeze(row, 1, 2, 3, 4, 5), op.scalar(depth)), channels)
    total = _blended(op, data, op.Mul(origin, op.scalar(height * width)), ends, width)
    counted = op.cast(op.And(*inside), DType.FP32)
    summed = op.ReduceSum(op.Mul(total, counted), [5], keepdims=0)
    return op.Div(summed, op.Max(op.ReduceSum(counted, [5], keepdims=0), 1.0))


def _blended(
    op: Emit,
    data: Value,
    origin: Value,
    ends: list[tuple[Value, Value, Value]],
    width: Dim,
) -> Value:
    """Elements around each place, weighted by nearness."""
    elements = op.reshape(data, (dims.product(data.shape),))
    (top, bottom, down), (left, right, across) = ends
    blended = []
    for line in (top, bottom):
        begin = op.Add(origin, op.Mul(line, op.scalar(width)))
        near, far = (op.Gather(elements, op.Add(begin, spot), axis=0) for spot in (left, right))
        blended.append(op.Add(op.Mul(near, op.Sub(1.0, across)), op.Mul(far, across)))
    return op.Add(op.Mul(blended[0], op.Sub(1.0, down)), op.Mul(blended[1], down))
