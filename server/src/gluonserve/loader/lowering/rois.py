"""Pooling of regions of interest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.ranking import column, columns
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("ROIPooling")
def roi_pooling(
    op: Emit, data: Value, rois: Value, *, pooled_size: Dims, spatial_scale: float
) -> Value:
    """``MaxRoiPool``; regions of a row that there is not are 0."""
    places = op.cast(rois, DType.FP32)
    row, missing = existing_rows(op, places, data.shape[0])
    safe = op.Concat(op.unsqueeze(op.cast(row, DType.FP32), 1), columns(op, places, 1, 4), axis=1)
    pooled = op.MaxRoiPool(
        op.cast(data, DType.FP32), safe, pooled_shape=pooled_size, spatial_scale=spatial_scale
    )
    return op.cast(_cleared(op, pooled, missing), data.dtype)


@OPS.lowers("_contrib_ROIAlign")
def roi_align(
    op: Emit,
    data: Value,
    rois: Value,
    *,
    pooled_size: Dims,
    spatial_scale: float,
    sample_ratio: int = -1,
    position_sensitive: bool = False,
    aligned: bool = False,
) -> Value:
    """``RoiAlign``; regions of a row below 0 are 0; ``aligned`` shifts by half an element."""
    places = op.cast(rois, DType.FP32)
    height, width = pooled_size * (2 if len(pooled_size) == 1 else 1)
    row, missing = existing_rows(op, places, data.shape[0])
    pooled = op.RoiAlign(
        op.cast(data, DType.FP32), columns(op, places, 1, 4), row,
        output_height=height, output_width=width,
        sampling_ratio=max(sample_ratio, 0), spatial_scale=spatial_scale,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )  # fmt: skip
    if position_sensitive:
        pooled = _by_position(op, pooled, height, width)
    return op.cast(_cleared(op, pooled, missing), data.dtype)


@OPS.lowers("_contrib_PSROIPooling")
def psroi_pooling(
    op: Emit,
    data: Value,
    rois: Value,
    *,
    spatial_scale: float,
    output_dim: int,
    pooled_size: int,
    group_size: int = 0,
) -> Value:
    """Means of bins, each in a channel of its own: differences of sums over the data so far.

    The mean of each channel is taken out of the sums, which keeps them small.
    """
    kind = DType.FP32
    wide, places = op.cast(data, kind), op.cast(rois, kind)
    means = op.ReduceMean(wide, [2, 3], keepdims=1)
    sums = _running_sums(op, op.Sub(wide, means))
    row, missing = existing_rows(op, places, data.shape[0])
    scale = np.float32(spatial_scale)
    corners = halves_away(op, columns(op, places, 1, 4))
    ends = []
    for at, size in ((1, data.shape[2]), (0, data.shape[3])):
        start = op.Mul(column(op, corners, at), float(scale))
        stop = op.Mul(op.Add(column(op, corners, at + 2), 1.0), float(scale))
        ends.append(_bins(op, start, stop, pooled_size, size))
    (top, bottom), (left, right) = ends
    channel = bin_channels(output_dim, pooled_size, group_size or pooled_size)
    shape = (rois.shape[0], output_dim, pooled_size, pooled_size)
    taken = [
        _elements(op, sums, row, channel, (vertical, horizontal), shape)
        for vertical, horizontal in ((bottom, right), (top, right), (bottom, left), (top, left))
    ]
    total = op.Add(op.Sub(op.Sub(taken[0], taken[1]), taken[2]), taken[3])
    heights = op.unsqueeze(op.Max(op.Sub(bottom, top), 0), 1, 3)
    widths = op.unsqueeze(op.Max(op.Sub(right, left), 0), 1, 2)
    area = op.cast(op.Mul(heights, widths), kind)
    flat_means = op.reshape(means, (data.shape[0], data.shape[1]))
    own_means = op.GatherND(flat_means, _paired(op, row, channel, shape))
    mean = op.Add(op.Div(total, op.Max(area, 1.0)), own_means)
    result = op.Where(op.Greater(area, 0.0), mean, np.zeros((), np.float32))
    return op.cast(_cleared(op, result, missing), data.dtype)


@OPS.lowers("_contrib_RROIAlign")
def rotated_roi_align(
    op: Emit,
    data: Value,
    rois: Value,
    *,
    pooled_size: Dims,
    spatial_scale: float,
    sampling_ratio: int = -1,
) -> Value:
    """Means of samples on a turned grid (batch, x, y, width, height, degrees)."""
    if sampling_ratio < 1:
        raise InvalidModel(f"sampling_ratio={sampling_ratio}: only fixed numbers are lowered")
    places = op.cast(rois, DType.FP32)
    row, missing = existing_rows(op, places, data.shape[0])
    scaled = op.Mul(columns(op, places, 1, 4), spatial_scale)
    angle = _cell(op, op.Mul(column(op, places, 5), float(np.float32(np.pi / 180))))
    cosine, sine = op.Cos(angle), op.Sin(angle)
    across, down = (
        op.Mul(_cell(op, op.Max(column(op, scaled, at), 1.0)), _spread(count, sampling_ratio, axis))
        for at, count, axis in ((2, pooled_size[1], 2), (3, pooled_size[0], 1))
    )
    x = op.Add(op.Add(op.Mul(across, cosine), op.Mul(down, sine)), _cell(op, column(op, scaled, 0)))
    y = op.Add(op.Sub(op.Mul(down, cosine), op.Mul(across, sine)), _cell(op, column(op, scaled, 1)))
    samples = _interpolated(op, op.cast(data, DType.FP32), row, y, x)
    (high, wide), channels = pooled_size, data.shape[1]
    bins = (rois.shape[0], high, sampling_ratio, wide, sampling_ratio, channels)
    pooled = op.ReduceMean(op.reshape(samples, bins), [2, 4], keepdims=0)
    return op.cast(_cleared(op, op.transpose(pooled, (0, 3, 1, 2)), missing), data.dtype)


def existing_rows(op: Emit, places: Value, batch: Dim) -> tuple[Value, Value]:
    """The row of the batch of each region, and which of them name one that there is not.

    Where a request brings the regions beside the data, it may bring any number of them; they name
    rows of all its data, whose first axis is then no row of a batch.
    """
    if dims.free_name(places.shape[0]) not in {None, *dims.symbols(batch)}:
        op.couple(batch)
    wanted = op.cast(column(op, places, 0), DType.INT64)
    last = op.scalar(batch - 1)
    missing = op.Or(op.Less(wanted, 0), op.Greater(wanted, last))
    return op.Min(op.Max(wanted, 0), last), missing


def _cleared(op: Emit, pooled: Value, missing: Value) -> Value:
    zero = op.scalar(0.0, pooled.dtype)
    return op.Where(op.unsqueeze(missing, 1, 2, 3), zero, pooled)


def _by_position(op: Emit, pooled: Value, height: int, width: int) -> Value:
    """Of each group of channels the one whose number the bin has."""
    regions, channels = pooled.shape[:2]
    area = height * width
    bins = op.reshape(pooled, (regions, channels // area, area, area))
    own = op.Mul(bins, np.eye(area, dtype=np.float32))
    return op.reshape(
        op.ReduceSum(own, [2], keepdims=0), (regions, channels // area, height, width)
    )


def halves_away(op: Emit, value: Value) -> Value:
    """Rounded as C does: halves away from zero."""
    return op.Mul(op.Sign(value), op.Floor(op.Add(op.Abs(value), 0.5)))


def _running_sums(op: Emit, data: Value) -> Value:
    """Sums of all that lies above and to the left, (N, C, H + 1, W + 1)."""
    along = op.CumSum(op.CumSum(data, op.const(np.array(2))), op.const(np.array(3)))
    return op.Pad(along, [0, 0, 1, 1, 0, 0, 0, 0], op.scalar(0.0, data.dtype), mode="constant")


def _bins(op: Emit, start: Value, stop: Value, count: int, size: Dim) -> tuple[Value, Value]:
    """Where the bins of each region begin and end on an axis, (R, count), inside it.

    Where engines round a product and a sum in one they miss edges that are whole; a maximum that
    changes nothing keeps them from it.
    """
    extent = op.Max(op.Sub(stop, start), float(np.float32(0.1)))
    width = _quotient(op, extent, count)
    numbers = np.arange(count + 1, dtype=np.float32).reshape(1, -1)
    steps = op.Max(op.Mul(op.unsqueeze(width, 1), numbers), 0.0)
    edges = op.Add(steps, op.unsqueeze(start, 1))
    begins, ends = op.Floor(op.slice(edges, 1, 0, count)), op.Ceil(op.slice(edges, 1, 1, None))
    last = op.scalar(size)
    one, other = (op.Min(op.Max(op.cast(e, DType.INT64), 0), last) for e in (begins, ends))
    return one, other


def _quotient(op: Emit, value: Value, count: int) -> Value:
    """The correctly rounded quotient: engines may multiply by a reciprocal instead.

    What is missing is computed exactly, with the quotient split so that its products are.
    """
    near = op.Div(value, float(count))
    high = op.Mul(op.Floor(op.Mul(near, 1024.0)), 1 / 1024)
    rest = op.Sub(
        op.Sub(value, op.Mul(high, float(count))), op.Mul(op.Sub(near, high), float(count))
    )
    return op.Add(near, op.Div(rest, float(count)))


def bin_channels(outputs: int, pooled: int, group: int) -> np.ndarray:
    """The channel that each bin of each output reads, (1, outputs, pooled, pooled)."""
    part = np.minimum(np.arange(pooled) * group // pooled, group - 1)
    grid = part[:, None] * group + part[None, :]
    channels: np.ndarray = np.arange(outputs).reshape(1, -1, 1, 1) * group * group + grid
    return channels.astype(np.int64)


def _paired(op: Emit, row: Value, channel: np.ndarray, shape: tuple[Dim, ...]) -> Value:
    parts = (op.unsqueeze(row, 1, 2, 3), op.const(channel))
    return op.Concat(*(op.unsqueeze(op.expand(part, shape), 4) for part in parts), axis=4)


def _elements(
    op: Emit,
    sums: Value,
    row: Value,
    channel: np.ndarray,
    corner: tuple[Value, Value],
    shape: tuple[Dim, ...],
) -> Value:
    vertical, horizontal = op.unsqueeze(corner[0], 1, 3), op.unsqueeze(corner[1], 1, 2)
    at = (op.unsqueeze(op.expand(part, shape), 4) for part in (vertical, horizontal))
    return op.GatherND(sums, op.Concat(_paired(op, row, channel, shape), *at, axis=4))


def _cell(op: Emit, value: Value) -> Value:
    return op.unsqueeze(value, 1, 2)


def _spread(count: int, samples: int, axis: int) -> np.ndarray:
    """Where samples lie in a region of size 1 around 0, along one of three axes."""
    total = count * samples
    middles = (np.arange(total) + 0.5) / total - 0.5
    return middles.astype(np.float32).reshape([total if at == axis else 1 for at in range(3)])


def _interpolated(op: Emit, data: Value, row: Value, y: Value, x: Value) -> Value:
    """Samples at places (R, A, B) of rows of the data, (R, A, B, C); 0 from one element outside."""
    batch, channels, height, width = data.shape
    elements = op.reshape(op.transpose(data, (0, 2, 3, 1)), (batch * height * width, channels))
    origin = op.Mul(_cell(op, row), op.scalar(height * width))
    inside, ends = [], []
    for place, size in ((y, height), (x, width)):
        limit = op.scalar(size, DType.FP32)
        inside.append(op.Not(op.Or(op.Less(place, -1.0), op.Greater(place, limit))))
        clamped = op.Min(op.Max(place, 0.0), op.scalar(size - 1, DType.FP32))
        low = op.Floor(clamped)
        near = op.cast(low, DType.INT64)
        ends.append((near, op.Min(op.Add(near, 1), op.scalar(size - 1)), op.Sub(clamped, low)))
    parts: list[Value] = []
    (top, bottom, down), (left, right, across) = ends
    for line, weight in ((top, op.Sub(1.0, down)), (bottom, down)):
        for spot, share in ((left, op.Sub(1.0, across)), (right, across)):
            place = op.Add(op.Add(op.Mul(line, op.scalar(width)), spot), origin)
            part = op.unsqueeze(op.Mul(weight, share), 3)
            parts.append(op.Mul(op.Gather(elements, place, axis=0), part))
    total = op.Add(op.Add(parts[0], parts[1]), op.Add(parts[2], parts[3]))
    return op.Mul(total, op.unsqueeze(op.cast(op.And(*inside), DType.FP32), 3))
