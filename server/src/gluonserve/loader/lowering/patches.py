"""Windows of pictures as columns and back, cropping, and correlation of two pictures."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.table import OpTable

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("im2col")
def im2col(
    op: Emit, data: Value, *, kernel: Dims, stride: Dims = (), dilate: Dims = (), pad: Dims = ()
) -> Value:
    """Windows as columns: a convolution in which each tap of a channel is a filter."""
    rank, area = len(kernel), prod(kernel)
    channels = op.static(data.shape[1], "the number of channels")
    taps = np.tile(np.eye(area), (channels, 1)).reshape(channels * area, 1, *kernel)
    windows = op.Conv(
        data, taps.astype(data.dtype.numpy), kernel_shape=kernel, strides=stride or (1,) * rank,
        dilations=dilate or (1,) * rank, pads=(pad or (0,) * rank) * 2, group=channels,
    )  # fmt: skip
    count: Dim = 1
    for dim in windows.shape[2:]:
        count = count * dim
    return op.reshape(windows, (data.shape[0], channels * area, count))


@OPS.lowers("col2im")
def col2im(
    op: Emit,
    data: Value,
    *,
    output_size: Dims,
    kernel: Dims,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
) -> Value:
    """Columns added up to pictures."""
    rank = len(kernel)
    shape = (data.shape[0], data.shape[1] // prod(kernel), *output_size)
    return op.node(
        "Col2Im", data, list(output_size), list(kernel), types=[(data.dtype, shape)],
        reads_data=data.reads_data, strides=stride or (1,) * rank,
        dilations=dilate or (1,) * rank, pads=(pad or (0,) * rank) * 2,
    )[0]  # fmt: skip


@OPS.lowers("Crop", ignoring=("num_args",))
def crop(
    op: Emit,
    data: Value,
    like: Value | None = None,
    *,
    offset: Dims = (0, 0),
    h_w: Dims = (0, 0),
    center_crop: bool = False,
) -> Value:
    """A rectangle of the last two axes, as large as the second input's where there is one."""
    sizes = h_w if like is None else like.shape[2:]
    result = data
    for axis, size in enumerate(sizes, start=2):
        whole = data.shape[axis]
        begin = (whole - size) // 2 if center_crop else offset[axis - 2]
        end = begin + size
        if isinstance(whole, int) and isinstance(end, int) and end > whole:
            raise InvalidModel(f"{begin} to {end} of an axis of {whole}")
        shape = (*result.shape[:axis], size, *result.shape[axis + 1 :])
        result = op.node(
            "Slice", result, op.length(begin), op.length(end), [axis], [1],
            types=[(data.dtype, shape)], reads_data=data.reads_data,
        )[0]  # fmt: skip
    return result


@OPS.lowers("Correlation")
def correlation(
    op: Emit,
    data1: Value,
    data2: Value,
    *,
    kernel_size: int = 1,
    max_displacement: int = 1,
    stride1: int = 1,
    stride2: int = 1,
    pad_size: int = 0,
    is_multiply: bool = True,
) -> Value:
    """Means of products (or of distances) of windows, a channel for each displacement."""
    border = max_displacement + (kernel_size - 1) // 2
    counts = [-((2 * border - dim - 2 * pad_size) // stride1) for dim in data1.shape[2:]]
    spans = [(count - 1) * stride1 + kernel_size for count in counts]
    pads = [0, 0, pad_size, pad_size] * 2
    one, other = (
        op.Pad(data, pads, op.scalar(0.0, data.dtype), mode="constant") for data in (data1, data2)
    )
    reach = max_displacement // stride2
    still = _window(op, one, (max_displacement, max_displacement), spans)
    found = []
    for step in np.ndindex(2 * reach + 1, 2 * reach + 1):
        at = tuple(max_displacement + (part - reach) * stride2 for part in step)
        moved = _window(op, other, at, spans)
        alike = op.Mul(still, moved) if is_multiply else op.Abs(op.Sub(still, moved))
        found.append(op.ReduceMean(alike, [1], keepdims=1))
    means = found[0] if len(found) == 1 else op.Concat(*found, axis=1)
    return op.AveragePool(means, kernel_shape=(kernel_size,) * 2, strides=(stride1,) * 2)


def _window(op: Emit, data: Value, begin: tuple[int, ...], spans: list[Dim]) -> Value:
    shape = (*data.shape[:2], *spans)
    begins = op.const(np.array(begin, np.int64))
    ends = op.shape_vector([at + span for at, span in zip(begin, spans, strict=True)])
    return op.node(
        "Slice", data, begins, ends, [2, 3], [1, 1], types=[(data.dtype, shape)],
        reads_data=data.reads_data,
    )[0]  # fmt: skip


OPS.refuses(
    "_contrib_count_sketch",
    reason="MXNet runs it on GPUs only, so that no answer of it can be compared",
)
