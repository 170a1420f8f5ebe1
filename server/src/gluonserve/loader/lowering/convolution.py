"""Convolutions, transposed convolutions and fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.bodies import Narrowed
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

STRIDED_FRAMES = "Conv of single elements with pads and strides"
"""What a target lacks that steps over the data before it puts the frame around them."""

_ENGINE = ("workspace", "cudnn_tune", "cudnn_off")
_END = (1 << 63) - 1
_CHANNELS_LAST = frozenset({"NWC", "NHWC", "NDHWC"})


def channels_first(op: Emit, value: Value) -> Value:
    """A channels-last tensor (or weight) with channels second."""
    return op.transpose(value, (0, value.rank - 1, *range(1, value.rank - 1)))


def channels_last(op: Emit, value: Value) -> Value:
    """The reverse of :func:`channels_first`."""
    return op.transpose(value, (0, *range(2, value.rank), 1))


@OPS.lowers("Convolution", ignoring=_ENGINE)
def convolution(
    op: Emit,
    data: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    kernel: Dims,
    num_filter: int,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
    num_group: int = 1,
    no_bias: bool = False,
    layout: Literal["NCW", "NCHW", "NCDHW", "NWC", "NHWC", "NDHWC"] | None = None,
) -> Value:
    """A direct ``Conv``; MXNet pads symmetrically, ONNX takes begins then ends."""
    last = layout in _CHANNELS_LAST
    spatial = len(kernel)
    if last:
        data, weight = channels_first(op, data), channels_first(op, weight)
    op.equate(weight.shape[0], num_filter, "num_filter")
    steps = any(step > 1 for step in stride)
    if steps and any(pad) and set(kernel) == {1} and not op.target.has(STRIDED_FRAMES):
        data, stride, pad = _sampled(op, data, stride, pad), (), ()
    result = as_float(op, data).Conv(
        data,
        weight,
        None if no_bias else bias,
        kernel_shape=kernel,
        strides=stride or (1,) * spatial,
        dilations=dilate or (1,) * spatial,
        pads=(pad or (0,) * spatial) * 2,
        group=num_group,
    )
    return channels_last(op, result) if last else result


def _sampled(op: Emit, data: Value, stride: Dims, pad: Dims) -> Value:
    """The elements that a convolution of single ones meets, zeros of the frame among them."""
    frame = [0, 0, *pad]
    framed = op.Pad(data, frame * 2, op.scalar(0.0, data.dtype), mode="constant")
    axes = list(range(2, data.rank))
    return op.Slice(framed, [0] * len(axes), [_END] * len(axes), axes, list(stride))


@OPS.lowers("Convolution_v1", ignoring=_ENGINE)
def convolution_v1(
    op: Emit,
    data: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    kernel: Dims,
    num_filter: int,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
    num_group: int = 1,
    no_bias: bool = False,
    layout: Literal["NCHW", "NCDHW", "NHWC", "NDHWC"] | None = None,
) -> Value:
    """As ``Convolution``."""
    return convolution(
        op, data, weight, bias, kernel=kernel, num_filter=num_filter, stride=stride, dilate=dilate,
        pad=pad, num_group=num_group, no_bias=no_bias, layout=layout,
    )  # fmt: skip


@OPS.lowers("Deconvolution", ignoring=_ENGINE)
def deconvolution(
    op: Emit,
    data: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    kernel: Dims,
    num_filter: int,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
    adj: Dims = (),
    target_shape: Dims = (),
    num_group: int = 1,
    no_bias: bool = True,
    layout: Literal["NCW", "NCHW", "NCDHW", "NWC", "NHWC", "NDHWC"] | None = None,
) -> Value:
    """``ConvTranspose``; ``target_shape``, if any of it is set, replaces ``pad`` and ``adj``."""
    last = layout in _CHANNELS_LAST
    spatial = len(kernel)
    if last:
        data, weight = channels_first(op, data), channels_first(op, weight)
    targeted = any(target_shape)
    added = () if targeted or not any(adj) else adj
    cut = (0,) * spatial if targeted else pad or (0,) * spatial
    result = as_float(op, data).ConvTranspose(
        data,
        weight,
        None if no_bias else bias,
        kernel_shape=kernel,
        strides=stride or (1,) * spatial,
        dilations=dilate or (1,) * spatial,
        pads=cut * 2,
        output_padding=added or None,
        group=num_group,
    )
    op.equate(result.shape[1], num_filter, "num_filter")
    if targeted:
        result = _cut_to(op, result, target_shape)
    return channels_last(op, result) if last else result


@OPS.lowers("FullyConnected")
def fully_connected(
    op: Emit,
    data: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    num_hidden: int,
    no_bias: bool = False,
    flatten: bool = True,
) -> Value:
    """``Gemm`` over rows; with ``flatten`` (the default) all axes but the first are one row."""
    op.equate(weight.shape[0], num_hidden, "num_hidden")
    offset = None if no_bias else bias
    if flatten and data.rank != 2:
        rows = data.shape[0] if data.rank else 1
        data = op.reshape(data, (rows, dims.product(data.shape[1:])))
    if data.rank == 2:
        return op.Gemm(data, weight, offset, transB=1)
    product = op.MatMul(data, op.transpose(weight, (1, 0)))
    return product if offset is None else op.Add(product, offset)


def as_float(op: Emit, data: Value) -> Emit | Narrowed:
    """The emitter itself, or one that computes float64 in float32, for which engines have code."""
    return op.narrowed() if data.dtype is DType.FP64 else op


def _cut_to(op: Emit, full: Value, target: Sequence[int]) -> Value:
    """The middle of a full transposed convolution; the larger half is cut at the beginning."""
    for axis, size in enumerate(target, start=2):
        excess = full.shape[axis] - size
        begin = (excess + 1) // 2
        full = op.slice(full, axis, begin, begin + size)
    return full
