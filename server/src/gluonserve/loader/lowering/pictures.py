"""Operators on pictures, as ``gluon.data.vision.transforms`` exports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.interpolation import resampled
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims, Floats
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_RANDOM = (
    "it is random: export the network in inference mode without this transform, "
    "or leave it to the client"
)
_EIGENVECTORS = np.array(
    [
        [55.46 * -0.5675, 4.794 * 0.7192, 1.148 * 0.4009],
        [55.46 * -0.5808, 4.794 * -0.0045, 1.148 * -0.8140],
        [55.46 * -0.5836, 4.794 * -0.6948, 1.148 * 0.4203],
    ],
    np.float32,
)
"""The principal colours of ImageNet, as MXNet has them."""


@OPS.lowers("_image_to_tensor")
def to_tensor(op: Emit, data: Value) -> Value:
    """Colours first, in float32, divided by 255 whatever the type was."""
    _check_picture(data)
    order = (2, 0, 1) if data.rank == 3 else (0, 3, 1, 2)
    return op.Div(op.transpose(op.cast(data, DType.FP32), order), 255.0)


@OPS.lowers("_image_normalize")
def normalize(
    op: Emit, data: Value, *, mean: Floats = (0.0,) * 4, std: Floats = (1.0,) * 4
) -> Value:
    """(data - mean) / std, by colours, which come first; three means say that there are three."""
    _check_picture(data)
    stated = {len(values) for values in (mean, std)} - {1, 4}
    colours = data.shape[-3] if not stated else op.equate(data.shape[-3], max(stated), "colours")
    several = any(len(set(values)) > 1 for values in (mean, std))
    channels = op.static(colours, "the number of colours") if several else 1
    kind = data.dtype if data.is_float else DType.FP32
    wide = op.Sub(op.cast(data, kind), _per_colour(op, mean, channels, kind))
    return op.cast(op.Div(wide, _per_colour(op, std, channels, kind)), data.dtype)


@OPS.lowers("_image_resize")
def resize(
    op: Emit, data: Value, *, size: Dims = (), keep_ratio: bool = False, interp: int = 1
) -> Value:
    """As OpenCV resizes, its fixed-point rounding of bytes included; ``size`` is width, height."""
    _check_picture(data)
    height, width = data.shape[-3:-1]
    if not 1 <= len(size) <= 2:
        raise InvalidModel(f"size={size}: not one or two numbers")
    wanted: tuple[Dim, Dim] = (size[-1], size[0])
    if len(size) == 1 and keep_ratio:
        wanted = (_in_ratio(height, width, size[0]), _in_ratio(width, height, size[0]))
    return resampled(op, data, wanted, interp)


@OPS.lowers("_cvimresize")
def cv_resize(op: Emit, src: Value, *, w: int, h: int, interp: int = 1) -> Value:
    """As ``_image_resize`` with a width and a height."""
    return resampled(op, src, (h, w), interp)


@OPS.lowers("_image_crop")
def crop(op: Emit, data: Value, *, x: int, y: int, width: int, height: int) -> Value:
    """A rectangle of rows and columns, which must lie in the picture."""
    _check_picture(data)
    result = data
    sides = data.shape[data.rank - 3 : data.rank - 1]
    for axis, begin, size in ((data.rank - 3, y, height), (data.rank - 2, x, width)):
        whole = data.shape[axis]
        if begin < 0 or size < 1 or (isinstance(whole, int) and begin + size > whole):
            raise InvalidModel(f"{begin} to {begin + size} of a side of {whole}")
        shape = (*result.shape[:axis], size, *result.shape[axis + 1 :])
        result = op.node(
            "Slice", result, [begin], [begin + size], [axis], [1], types=[(data.dtype, shape)]
        )[0]
    if all(isinstance(side, int) for side in sides):
        return result
    # a slice of a smaller picture is smaller; this refuses it
    vector, types = op.shape_vector(result.shape), [(data.dtype, result.shape)]
    return op.node("Reshape", result, vector, types=types)[0]


@OPS.lowers("_image_flip_left_right")
def flip_left_right(op: Emit, data: Value) -> Value:
    """The columns in reverse."""
    return op.slice(data, 1, None, None, -1)


@OPS.lowers("_image_flip_top_bottom")
def flip_top_bottom(op: Emit, data: Value) -> Value:
    """The rows in reverse."""
    return op.slice(data, 0, None, None, -1)


@OPS.lowers("_image_adjust_lighting")
def adjust_lighting(op: Emit, data: Value, *, alpha: Floats) -> Value:
    """Adds so much of each principal colour; bytes stay in their range."""
    if data.shape[2] == 1:
        return data
    shift = (_EIGENVECTORS * np.asarray(alpha, np.float32)).sum(1, dtype=np.float32)
    shifted = op.Add(op.cast(data, DType.FP32), shift)
    if data.dtype is DType.UINT8:
        shifted = op.Min(op.Max(shifted, 0.0), 255.0)
    return op.cast(shifted, data.dtype)


@OPS.lowers("_cvcopyMakeBorder")
def make_border(
    op: Emit,
    src: Value,
    *,
    top: int,
    bot: int,
    left: int,
    right: int,
    type: int = 0,
    value: float = 0.0,
    values: Floats = (),
) -> Value:
    """A frame of one colour (0), of the edge's (1), or of what lies behind the edge (4)."""
    pads = [top, left, 0, bot, right, 0]
    mode = {0: "constant", 1: "edge", 4: "reflect"}.get(type)
    if mode is None:
        raise InvalidModel(f"type={type}: only frames of type 0, 1 and 4 are lowered")
    if mode == "constant" and values:
        raise InvalidModel(f"values={values}: only one colour of frame is lowered")
    fill = op.scalar(value, src.dtype) if mode == "constant" else None
    return op.Pad(src, pads, fill, mode=mode)


OPS.refuses(
    "_image_random_brightness",
    "_image_random_color_jitter",
    "_image_random_contrast",
    "_image_random_flip_left_right",
    "_image_random_flip_top_bottom",
    "_image_random_hue",
    "_image_random_lighting",
    "_image_random_saturation",
    reason=_RANDOM,
)
OPS.refuses("_cvimdecode", "_cvimread", reason="it reads compressed files; send pixels")


def _check_picture(data: Value) -> None:
    if data.rank not in (3, 4):
        raise InvalidModel(f"a picture of {data.rank} dimensions")


def _per_colour(op: Emit, numbers: Sequence[float], channels: int, dtype: DType) -> Value:
    chosen = numbers[:1] if len(set(numbers)) == 1 else numbers[:channels]
    if len(chosen) not in (1, channels):
        raise InvalidModel(f"{len(numbers)} numbers for {channels} colours")
    return op.const(np.array(chosen, np.float32).reshape(-1, 1, 1).astype(dtype.numpy))


def _in_ratio(side: Dim, other: Dim, short: int) -> Dim:
    """A side after the shorter one became ``short``."""
    if isinstance(side, int) and isinstance(other, int):
        return max(short, side * short // other)
    return dims.larger(side * short // other, short)
