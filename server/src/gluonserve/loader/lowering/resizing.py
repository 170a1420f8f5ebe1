"""Operators that change the height and width of pictures."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_FINEST_SCALE = 10000
"""Scales are decimal fractions that float32 has blurred; MXNet's product rounds back to them."""


@OPS.lowers("Pad")
def pad(
    op: Emit,
    data: Value,
    *,
    mode: Literal["constant", "edge", "reflect"],
    pad_width: Dims,
    constant_value: float = 0.0,
) -> Value:
    """Pairs of begin and end per axis; ONNX takes all begins, then all ends."""
    pads = [*pad_width[0::2], *pad_width[1::2]]
    if len(pads) != 2 * data.rank:
        raise InvalidModel(f"pad_width {pad_width} on data of {data.rank} dimensions")
    fill = op.scalar(constant_value, data.dtype) if mode == "constant" else None
    return op.Pad(data, pads, fill, mode=mode)


@OPS.lowers("UpSampling", ignoring=("workspace", "num_args"))
def up_sampling(
    op: Emit,
    *data: Value,
    scale: int,
    sample_type: Literal["bilinear", "nearest"],
    num_filter: int = 0,
    multi_input_mode: Literal["concat", "sum"] = "concat",
) -> Value:
    """Nearest: every input grows to ``scale`` times the first's size; bilinear: a stored kernel."""
    if sample_type == "bilinear":
        return _by_kernel(op, data[0], data[1], scale)
    size = tuple(dim * scale for dim in data[0].shape[2:])
    grown = [_grown(op, value, size) for value in data]
    if len(grown) == 1:
        return grown[0]
    if multi_input_mode == "concat":
        return op.Concat(*grown, axis=1)
    total = grown[0]
    for value in grown[1:]:
        total = op.Add(total, value)
    return total


@OPS.lowers("_contrib_BilinearResize2D")
def bilinear_resize(
    op: Emit,
    data: Value,
    like: Value | None = None,
    *,
    height: int = 1,
    width: int = 1,
    scale_height: float | None = None,
    scale_width: float | None = None,
    mode: Literal[
        "like", "odd_scale", "size", "to_even_down", "to_even_up", "to_odd_down", "to_odd_up"
    ] = "size",
    align_corners: bool = True,
) -> Value:
    """Linear, corners aligned unless told otherwise; ``mode`` says how the size is found."""
    sizes = data.shape[2:]
    if mode == "like" and like is not None:
        wanted: tuple[Dim, ...] = like.shape[2:]
    elif mode == "size" and scale_height is None:
        wanted = (height, width)
    else:
        scales = (scale_height or 1.0, scale_width or 1.0)
        if mode == "odd_scale":
            sizes = tuple(op.static(size, "mode='odd_scale'") for size in sizes)
        wanted = tuple(_resized(mode, *pair) for pair in zip(sizes, scales, strict=True))
    for axis, size in enumerate(wanted, start=2):
        if size == 1 and not align_corners:
            data = op.slice(
                data, axis, 0, 1
            )  # MXNet takes the first, where engines take the middle
    return resized(op, data, wanted, align_corners=align_corners)


@OPS.lowers("_contrib_AdaptiveAvgPooling2D")
def adaptive_average(op: Emit, data: Value, *, output_size: Dims = ()) -> Value:
    """Bin i is floor(i H / o) to ceil((i + 1) H / o): matrices of means, where bins differ."""
    height, width = (output_size or (1,)) * (2 if len(output_size) < 2 else 1)
    high, wide = data.shape[2:]
    pools = data.dtype is not DType.FP64  # which ONNX Runtime only multiplies
    if pools and (height, width) == (1, 1):
        return op.GlobalAveragePool(data)
    known = isinstance(high, int) and isinstance(wide, int)
    if pools and known and not (high % height or wide % width):
        kernel = (high // height, wide // width)
        return op.AveragePool(data, kernel_shape=kernel, strides=kernel)
    rows = op.MatMul(_means(op, high, height, data.dtype), data)
    return op.MatMul(rows, op.transpose(_means(op, wide, width, data.dtype), (1, 0)))


def resized(op: Emit, data: Value, size: tuple[Dim, ...], *, align_corners: bool) -> Value:
    """Bilinear interpolation to a height and width."""
    if size == data.shape[2:]:
        return data
    shape = (*data.shape[:2], *size)
    result = op.node(
        "Resize", data, None, None, op.shape_vector(shape), types=[(data.dtype, shape)],
        reads_data=data.reads_data, mode="linear",
        coordinate_transformation_mode="align_corners" if align_corners else "half_pixel",
    )  # fmt: skip
    return result[0]


def _resized(mode: str, size: Dim, scale: float) -> Dim:
    """The size of one axis; MXNet's rules for even and odd ones."""
    if mode == "size":
        return _scaled(size, scale)
    if mode == "odd_scale" and isinstance(size, int):
        return int(size * scale) if size % 2 == 0 else int((size - 1) * scale) + 1
    odd = size % 2
    shift = {
        "to_even_down": -odd,
        "to_even_up": odd,
        "to_odd_down": odd - 1,
        "to_odd_up": 1 - odd,
    }
    return size + shift[mode]


def _scaled(size: Dim, scale: float) -> Dim:
    if isinstance(size, int):
        return int(np.float32(size) * np.float32(scale))
    ratio = Fraction(scale).limit_denominator(_FINEST_SCALE)
    return size * ratio.numerator // ratio.denominator


def _grown(op: Emit, value: Value, size: tuple[Dim, ...]) -> Value:
    """Nearest neighbours, by whole factors; which ones may only show at run time."""
    factors = [dims.exact_quotient(a, b) for a, b in zip(size, value.shape[2:], strict=True)]
    if factors == [1, 1]:
        return value
    known = [factor for factor in factors if isinstance(factor, int)]
    shape = (*value.shape[:2], *size)
    scales = op.const(np.array([1, 1, *known], np.float32)) if len(known) == 2 else None
    result = op.node(
        "Resize", value, None, scales, None if scales else op.shape_vector(shape),
        types=[(value.dtype, shape)], reads_data=value.reads_data, mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    return result[0]


def _by_kernel(op: Emit, data: Value, weight: Value, scale: int) -> Value:
    """Each channel through its own transposed convolution, with the weights as stored."""
    side = 2 * scale - scale % 2
    cut = -(-(scale - 1) // 2)
    return op.ConvTranspose(
        data, weight, kernel_shape=(side, side), strides=(scale, scale), pads=(cut,) * 4,
        group=op.static(weight.shape[0], "num_filter"),
    )  # fmt: skip


def _means(op: Emit, size: Dim, bins: int, dtype: DType) -> Value:
    """A matrix whose row i takes the mean of bin i of an axis."""
    if isinstance(size, int):
        matrix = np.zeros((bins, size))
        for at in range(bins):
            begin, end = at * size // bins, -(-(at + 1) * size // bins)
            matrix[at, begin:end] = 1 / (end - begin)
        return op.const(matrix.astype(dtype.numpy))
    rows = op.const(np.arange(bins, dtype=np.int64)[:, None])
    count = op.scalar(size)
    first = op.quotient(op.Mul(rows, count), bins)
    last = op.quotient(op.Add(op.Mul(op.Add(rows, 1), count), bins - 1), bins)
    places = op.Range(op.scalar(0), count, op.scalar(1))
    inside = op.And(op.GreaterOrEqual(places, first), op.Less(places, last))
    share = op.Div(op.cast(inside, dtype), op.cast(op.Sub(last, first), dtype))
    return op.shaped(share, (bins, size))
