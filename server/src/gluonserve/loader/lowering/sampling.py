"""Sampling between elements: grids, spatial transformers, deformable convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.ranking import steps
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("GridGenerator")
def grid_generator(
    op: Emit, data: Value, *, transform_type: Literal["affine", "warp"], target_shape: Dims = (0, 0)
) -> Value:
    """Places to sample, (N, 2, H, W) with x first, from -1 at one corner to 1 at the other."""
    if transform_type == "affine":
        return _affine_grid(op, data, target_shape)
    op.equate(data.shape[1], 2, f"shifts of {list(data.shape)}, not one across and one down")
    height, width = data.shape[2:]
    across = op.unsqueeze(op.cast(steps(op, width), data.dtype), 0, 1, 2)
    down = op.unsqueeze(op.cast(steps(op, height), data.dtype), 0, 1, 3)
    x, y = op.node("Split", data, outputs=2, axis=1, num_outputs=2)
    parts = [
        op.Sub(op.Div(op.Add(part, start), op.Div(op.scalar(size - 1, data.dtype), 2.0)), 1.0)
        for part, start, size in ((x, across, width), (y, down, height))
    ]
    return op.Concat(*parts, axis=1)


@OPS.lowers("BilinearSampler", ignoring=("cudnn_off",))
def bilinear_sampler(op: Emit, data: Value, grid: Value) -> Value:
    """Interpolates at the places of a grid; what lies outside is 0."""
    op.equate(grid.shape[1], 2, f"a grid of {list(grid.shape)} has not x and y")
    op.equate(data.shape[0], grid.shape[0], f"{data.shape[0]} pictures, {grid.shape[0]} grids")
    places = op.transpose(grid, (0, 2, 3, 1))
    return _sampled(op, data, places, align_corners=1, padding_mode="zeros")


@OPS.lowers("SpatialTransformer", ignoring=("cudnn_off",))
def spatial_transformer(
    op: Emit,
    data: Value,
    loc: Value,
    *,
    target_shape: Dims = (0, 0),
    transform_type: Literal["affine"],
    sampler_type: Literal["bilinear"],
) -> Value:
    """An affine grid, and the sampler on it."""
    return bilinear_sampler(op, data, _affine_grid(op, loc, target_shape))


@OPS.lowers("_contrib_DeformableConvolution", ignoring=("workspace",))
def deformable_convolution(
    op: Emit,
    data: Value,
    offset: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    kernel: Dims,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
    num_filter: int,
    num_group: int = 1,
    num_deformable_group: int = 1,
    no_bias: bool = False,
    layout: Literal["NCW", "NCHW", "NCDHW"] | None = None,
) -> Value:
    """Samples outside the data are 0, those behind its last row or column are the edge's.

    ONNX's ``DeformConv`` would fade at the edges, so this samples and multiplies by itself.
    """
    rows, columns = _places(op, data, offset, (kernel, stride, dilate, pad), num_deformable_group)
    height, width = (op.scalar(size, DType.FP32) for size in data.shape[2:])
    inside = op.And(
        op.And(op.GreaterOrEqual(rows, 0.0), op.Less(rows, height)),
        op.And(op.GreaterOrEqual(columns, 0.0), op.Less(columns, width)),
    )
    picked = _picked(op, data, rows, columns, num_deformable_group, padding_mode="border")
    taps = op.Mul(picked, op.cast(op.unsqueeze(inside, 1), data.dtype))
    return _weighted(op, taps, offset, weight, bias, num_group, num_deformable_group)


@OPS.lowers("_contrib_ModulatedDeformableConvolution", ignoring=("workspace", "im2col_step"))
def modulated_deformable_convolution(
    op: Emit,
    data: Value,
    offset: Value,
    mask: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    kernel: Dims,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
    num_filter: int,
    num_group: int = 1,
    num_deformable_group: int = 1,
    no_bias: bool = False,
    layout: Literal["NCW", "NCHW", "NCDHW"] | None = None,
) -> Value:
    """As ONNX's ``DeformConv`` with a mask, which engines lack: samples fade at the edges."""
    groups = num_deformable_group
    rows, columns = _places(op, data, offset, (kernel, stride, dilate, pad), groups)
    picked = _picked(op, data, rows, columns, groups, padding_mode="zeros")
    taps = op.Mul(picked, op.unsqueeze(op.reshape(mask, rows.shape), 1))
    return _weighted(op, taps, offset, weight, bias, num_group, groups)


def _affine_grid(op: Emit, theta: Value, target: Dims) -> Value:
    """Matrices (N, 6) applied to the places of a picture, (N, 2, H, W)."""
    if len(target) != 2 or min(target) < 1:
        raise InvalidModel(f"target_shape={target}: not a height and a width")
    height, width = target
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    base = np.stack([across.ravel(), down.ravel(), np.ones(height * width)])
    batch = theta.shape[0]
    grid = op.MatMul(op.reshape(theta, (batch, 2, 3)), op.const(base.astype(theta.dtype.numpy)))
    return op.reshape(grid, (batch, 2, height, width))


def _sampled(op: Emit, data: Value, grid: Value, *, align_corners: int, padding_mode: str) -> Value:
    kind = DType.FP32
    result = op.GridSample(
        op.cast(data, kind), op.cast(grid, kind), mode=_BILINEAR, padding_mode=padding_mode,
        align_corners=align_corners,
    )  # fmt: skip
    return op.cast(result, data.dtype)


def _places(
    op: Emit, data: Value, offset: Value, windows: tuple[Dims, Dims, Dims, Dims], groups: int
) -> tuple[Value, Value]:
    """Row and column in the data of every tap of every window: (N groups, taps, H, W), float32."""
    kernel, stride, dilate, pad = windows
    batch, _, height, width = offset.shape
    taps = kernel[0] * kernel[1]
    moves = op.reshape(op.cast(offset, DType.FP32), (batch * groups, taps, 2, height, width))
    found = []
    for axis, size in enumerate((height, width)):
        step, pace = (stride or (1, 1))[axis], (dilate or (1, 1))[axis]
        tap = np.indices(kernel)[axis].reshape(1, taps, 1, 1) * pace - (pad or (0, 0))[axis]
        begin = op.Mul(op.cast(steps(op, size), DType.FP32), float(step))
        begin = op.unsqueeze(begin, 0, 1, 3 - axis)
        start = op.Add(begin, tap.astype(np.float32))
        found.append(op.Add(op.squeeze(op.slice(moves, 2, axis, axis + 1), 2), start))
    return found[0], found[1]


def _picked(
    op: Emit, data: Value, rows: Value, columns: Value, groups: int, *, padding_mode: str
) -> Value:
    """The data at these places: (N groups, C / groups, taps, H, W)."""
    batch, channels, height, width = data.shape
    split = op.reshape(data, (batch * groups, channels // groups, height, width))
    count, taps, high, wide = rows.shape
    grid = op.Concat(
        *(
            op.unsqueeze(op.reshape(_scaled(op, part, size), (count, taps * high, wide)), 3)
            for part, size in ((columns, width), (rows, height))
        ),
        axis=3,
    )
    picked = _sampled(op, split, grid, align_corners=0, padding_mode=padding_mode)
    return op.reshape(picked, (count, channels // groups, taps, high, wide))


def _scaled(op: Emit, places: Value, size: Dim) -> Value:
    """Places counted in elements as GridSample counts them: from edge to edge, -1 to 1."""
    doubled = op.Add(op.Mul(places, 2.0), 1.0)
    return op.Sub(op.Div(doubled, op.scalar(size, DType.FP32)), 1.0)


def _weighted(
    op: Emit,
    taps: Value,
    offset: Value,
    weight: Value,
    bias: Value | None,
    num_group: int,
    deformable: int,
) -> Value:
    """The product of weights with taps (N groups, C / groups, taps, H, W)."""
    batch, _, height, width = offset.shape
    filters = weight.shape[0]
    depth = dims.product(weight.shape[1:])
    columns = op.reshape(taps, (batch, num_group, depth, height * width))
    kernels = op.reshape(weight, (1, num_group, filters // num_group, depth))
    result = op.reshape(op.MatMul(kernels, columns), (batch, filters, height, width))
    if bias is None:
        return result
    return op.Add(result, op.reshape(bias, (1, filters, 1, 1)))


_BILINEAR = "bilinear"
"""GridSample's name of it until opset 20, which says linear."""
