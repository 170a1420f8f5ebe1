"""Pooling in all of MXNet's modes, never with ONNX's ``ceil_mode``, on which engines disagree."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.convolution import channels_first, channels_last
from gluonserve.loader.lowering.table import OpTable
from gluonserve.loader.lowering.unary import cube_root
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

STEPS_OF_LARGEST = "GlobalMaxPool before QuantizeLinear"
"""OpenVINO fuses the two and rounds the largest to a whole number first: all answers are 127."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the windows of a pooling lie: sizes, steps, padding, and what sticks out behind it."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    overhang: tuple[int, ...]
    """Per axis, how far the last window may reach beyond the padding."""

    @property
    def area(self) -> int:
        """Elements of one window."""
        return prod(self.kernel)

    @property
    def ends(self) -> tuple[int, ...]:
        """Padding at the end of each axis with which no window is lost."""
        return tuple(pad + over for pad, over in zip(self.pads, self.overhang, strict=True))

    @property
    def fits(self) -> bool:
        """Whether every window holds some element, as engines demand of padding."""
        return all(end < size for end, size in zip(self.ends, self.kernel, strict=True))


@OPS.lowers("Pooling", ignoring=("cudnn_off",))
def pooling(
    op: Emit,
    data: Value,
    *,
    kernel: Dims = (),
    pool_type: Literal["avg", "lp", "max", "sum"] = "max",
    global_pool: bool = False,
    pooling_convention: Literal["full", "same", "valid"] = "valid",
    stride: Dims = (),
    pad: Dims = (),
    p_value: int | None = None,
    count_include_pad: bool | None = None,
    layout: Literal["NCW", "NCHW", "NCDHW", "NWC", "NHWC", "NDHWC"] | None = None,
) -> Value:
    """``full`` pads behind the data, ``avg`` divides by the part of a window on data and padding.

    Windows wholly in padding answer the lowest number (max) or 0. ``lp`` takes no absolute values.
    """
    last = layout in ("NWC", "NHWC", "NDHWC")
    first = channels_first(op, data) if last else data
    wide = first if first.dtype in (DType.FP32, DType.FP16) else op.cast(first, DType.FP32)
    if global_pool:
        result = _global(op, wide, pool_type, p_value)
    else:
        if len(kernel) != data.rank - 2:
            raise InvalidModel(f"kernel {kernel} on data of {data.rank} dimensions")
        windows = _windows(wide.shape[2:], kernel, stride, pad, pooling_convention)
        padded = count_include_pad is not False
        result = _windowed(op, wide, windows, pool_type, p_value, padded=padded)
    result = op.cast(result, data.dtype)
    return channels_last(op, result) if last else result


@OPS.lowers("Pooling_v1")
def pooling_v1(
    op: Emit,
    data: Value,
    *,
    kernel: Dims = (),
    pool_type: Literal["avg", "max", "sum"] = "max",
    global_pool: bool = False,
    pooling_convention: Literal["full", "valid"] = "valid",
    stride: Dims = (),
    pad: Dims = (),
) -> Value:
    """As ``Pooling``, but ``avg`` always divides by the whole window; ``max`` pads with zeros.

    A window behind the padding answers -inf.
    """
    if pool_type == "max" and not global_pool:
        padded = _padded(op, data, pad, pad)
        windows = _windows(padded.shape[2:], kernel, stride, (), pooling_convention)
        most = _maximum(op, padded, windows)
        if not any(windows.overhang):
            return most
        lowest = float(np.finfo(data.dtype.numpy).min)
        return op.Where(op.LessOrEqual(most, lowest), op.scalar(-np.inf, data.dtype), most)
    if pool_type == "avg" and not global_pool:
        total = pooling(
            op, data, kernel=kernel, pool_type="sum", stride=stride, pad=pad,
            pooling_convention=pooling_convention,
        )  # fmt: skip
        return op.Div(total, float(prod(kernel)))
    return pooling(
        op, data, kernel=kernel, pool_type=pool_type, global_pool=global_pool, stride=stride,
        pad=pad, pooling_convention=pooling_convention,
    )  # fmt: skip


def _windows(
    sizes: Sequence[Dim], kernel: Dims, stride: Dims, pad: Dims, convention: str
) -> Windows:
    steps = stride or (1,) * len(kernel)
    pads = (pad or (0,) * len(kernel))[: len(kernel)]
    overhang = [0] * len(kernel)
    for axis, size in enumerate(sizes if convention != "valid" else ()):
        overhang[axis] = _overhang(size, kernel[axis], steps[axis], pads[axis], convention)
    return Windows(tuple(kernel), tuple(steps), tuple(pads), tuple(overhang))


def _overhang(size: Dim, kernel: int, step: int, pad: int, convention: str) -> int:
    """How far windows reach beyond the end; the most that they can where the size is free."""
    if not isinstance(size, int):
        return step - 1 if convention == "full" else kernel - 1 - pad
    full = -((kernel - size - 2 * pad) // step) + 1
    count = full if convention == "full" else -(-size // step)
    return max(0, (count - 1) * step + kernel - size - 2 * pad)


def _windowed(
    op: Emit, data: Value, windows: Windows, kind: str, power: int | None, *, padded: bool
) -> Value:
    if kind == "max":
        return _maximum(op, data, windows)
    if kind == "avg":
        return _average(op, data, windows, padded=padded)
    if kind == "sum":
        return _total(op, data, windows)
    return _norm(op, data, power, lambda value: _total(op, value, windows))


def _maximum(op: Emit, data: Value, windows: Windows) -> Value:
    pads = windows.pads + windows.ends
    if not windows.fits:
        lowest = np.finfo(data.dtype.numpy).min
        data, pads = _padded(op, data, windows.pads, windows.ends, float(lowest)), (0,) * len(pads)
    return op.MaxPool(data, kernel_shape=windows.kernel, strides=windows.strides, pads=pads)


def _average(op: Emit, data: Value, windows: Windows, *, padded: bool) -> Value:
    """The mean of data (and padding): what reaches beyond the padding never counts."""
    if padded and not any(windows.overhang):
        return _engine_average(op, data, windows, windows.pads * 2, count_include_pad=1)
    if not padded and windows.fits:
        return _engine_average(op, data, windows, windows.pads + windows.ends, count_include_pad=0)
    if padded and all(o < k for o, k in zip(windows.overhang, windows.kernel, strict=True)):
        wider = _padded(op, data, windows.pads, windows.pads)
        pads = (0,) * len(windows.pads) + windows.overhang
        return _engine_average(op, wider, windows, pads, count_include_pad=0)
    ones = op.filled(1.0, (1, 1, *data.shape[2:]), data.dtype)
    if padded:
        ones = _padded(op, ones, windows.pads, windows.pads, 1.0)
        counted = Windows(
            windows.kernel, windows.strides, (0,) * len(windows.pads), windows.overhang
        )
    else:
        counted = windows
    counts = op.Max(_total(op, ones, counted), 1.0)
    return op.Div(_total(op, data, windows), counts)


def _total(op: Emit, data: Value, windows: Windows) -> Value:
    pads = windows.pads + windows.ends
    if not windows.fits:
        data, pads = _padded(op, data, windows.pads, windows.ends), (0,) * len(pads)
    mean = _engine_average(op, data, windows, pads, count_include_pad=1)
    return op.Mul(mean, float(windows.area))


def _engine_average(
    op: Emit, data: Value, windows: Windows, pads: tuple[int, ...], *, count_include_pad: int
) -> Value:
    return op.AveragePool(
        data,
        kernel_shape=windows.kernel,
        strides=windows.strides,
        pads=pads,
        count_include_pad=count_include_pad,
    )


def _global(op: Emit, data: Value, kind: str, power: int | None) -> Value:
    axes = list(range(2, data.rank))
    if kind == "max":
        most = op.GlobalMaxPool(data)
        if not data.is_float or op.target.has(STEPS_OF_LARGEST):
            return most
        return op.node("Max", op.scalar(-np.inf, data.dtype), most)[0]
    if kind == "avg":
        return op.GlobalAveragePool(data)
    if kind == "sum":
        return op.ReduceSum(data, axes, keepdims=1)
    return _norm(op, data, power, lambda value: op.ReduceSum(value, axes, keepdims=1))


def _norm(op: Emit, data: Value, power: int | None, total: Callable[[Value], Value]) -> Value:
    """(sum of x^p)^(1/p), the sign of x kept; a sum of cubes below 0 has a root below 0."""
    if power == 1:
        return total(data)
    squared = op.Mul(data, data)
    if power == 2:
        return op.Sqrt(total(squared))
    if power == 3:
        return cube_root(op, total(op.Mul(squared, data)))
    raise InvalidModel(f"pool_type='lp' with p_value={power}: MXNet has 1, 2 and 3")


def _padded(
    op: Emit, data: Value, begins: Sequence[int], ends: Sequence[int], value: float = 0.0
) -> Value:
    pads = [0, 0, *begins, 0, 0, *ends]
    return op.Pad(data, pads, op.scalar(value, data.dtype), mode="constant") if any(pads) else data
