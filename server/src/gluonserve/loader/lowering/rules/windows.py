"""Rules of convolutions, pooling and other operators on spatial windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.rules.call import Call, Rule, Types


def _extents(call: Call, kernel: Sequence[Dim]) -> tuple[Dim, ...]:
    """Output sizes of a sliding window with the call's strides, dilations and pads."""
    spatial = len(kernel)
    strides = call.attribute("strides") or (1,) * spatial
    dilations = call.attribute("dilations") or (1,) * spatial
    pads = call.attribute("pads") or (0,) * (2 * spatial)
    sizes = []
    for at, size in enumerate(call[0].shape[2:]):
        covered = (kernel[at] - 1) * dilations[at] + 1
        space = size + pads[at] + pads[at + spatial] - covered
        if isinstance(space, int) and space < 0:
            raise InvalidModel(f"a window of {covered} does not fit into {size}")
        sizes.append(space // strides[at] + 1)
    return tuple(sizes)


def _conv(call: Call) -> Types:
    data, weight = call[0], call[1]
    _same_rank(call)
    call.equate(data.shape[1], weight.shape[1] * call.attribute("group", 1))
    if call.has(2):
        call.equate(weight.shape[0], call[2].shape[0])
    kernel = call.attribute("kernel_shape") or weight.shape[2:]
    for at, size in enumerate(kernel):
        call.equate(size, weight.shape[2 + at])
    return [(data.dtype, (data.shape[0], weight.shape[0], *_extents(call, kernel)))]


def _conv_integer(call: Call) -> Types:
    ((_, shape),) = _conv(_without_bias(call))
    return [(DType.INT32, shape)]


def _qlinear_conv(call: Call) -> Types:
    inner = _replace(call, [call[0], call[3]])
    ((_, shape),) = _conv(inner)
    return [(call[7].dtype, shape)]


def _conv_transpose(call: Call) -> Types:
    data, weight = call[0], call[1]
    _same_rank(call)
    call.equate(data.shape[1], weight.shape[0])
    spatial = data.rank - 2
    kernel = call.attribute("kernel_shape") or weight.shape[2:]
    strides = call.attribute("strides") or (1,) * spatial
    dilations = call.attribute("dilations") or (1,) * spatial
    pads = call.attribute("pads") or (0,) * (2 * spatial)
    extra = call.attribute("output_padding") or (0,) * spatial
    sizes = tuple(
        (size - 1) * strides[at]
        + extra[at]
        + (kernel[at] - 1) * dilations[at]
        + 1
        - pads[at]
        - pads[at + spatial]
        for at, size in enumerate(data.shape[2:])
    )
    channels = weight.shape[1] * call.attribute("group", 1)
    return [(data.dtype, (data.shape[0], channels, *sizes))]


def _pool(call: Call) -> Types:
    shape = (*call[0].shape[:2], *_extents(call, call.attribute("kernel_shape")))
    return [(call[0].dtype, shape), (DType.INT64, shape)][: call.outputs]


def _global_pool(call: Call) -> Types:
    return [(call[0].dtype, (*call[0].shape[:2], *(1,) * (call[0].rank - 2)))]


def _depth_to_space(call: Call) -> Types:
    block = call.attribute("blocksize")
    batch, channels, height, width = call[0].shape
    return [(call[0].dtype, (batch, channels // (block * block), height * block, width * block))]


def _space_to_depth(call: Call) -> Types:
    block = call.attribute("blocksize")
    batch, channels, height, width = call[0].shape
    return [(call[0].dtype, (batch, channels * block * block, height // block, width // block))]


def _grid_sample(call: Call) -> Types:
    return [(call[0].dtype, (*call[0].shape[:2], *call[1].shape[1:-1]))]


def _roi_align(call: Call) -> Types:
    high, wide = call.attribute("output_height", 1), call.attribute("output_width", 1)
    return [(call[0].dtype, (call[1].shape[0], call[0].shape[1], high, wide))]


def _max_roi_pool(call: Call) -> Types:
    pooled = call.attribute("pooled_shape")
    return [(call[0].dtype, (call[1].shape[0], call[0].shape[1], *pooled))]


def _deform_conv(call: Call) -> Types:
    data, weight, offset = call[0], call[1], call[2]
    call.equate(data.shape[1], weight.shape[1] * call.attribute("group", 1))
    return [(data.dtype, (data.shape[0], weight.shape[0], *offset.shape[2:]))]


def _same_rank(call: Call) -> None:
    if call[0].rank != call[1].rank or call[0].rank < 3:
        raise InvalidModel(
            f"data {list(call[0].shape)} and weight {list(call[1].shape)} do not fit"
        )


def _replace(call: Call, operands: Sequence[object]) -> Call:
    return type(call)(call.op, call.op_type, operands, call.attributes, call.outputs)  # type: ignore[arg-type]


def _without_bias(call: Call) -> Call:
    return _replace(call, [call[0], call[1]])


RULES: Mapping[str, Rule] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "QLinearConv": _qlinear_conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _deform_conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GlobalLpPool": _global_pool,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "GridSample": _grid_sample,
    "RoiAlign": _roi_align,
    "MaxRoiPool": _max_roi_pool,
}
