"""Changes between real numbers and 8 or 32 bits, as MXNet's oneDNN kernels make them.

A quantised tensor travels with the lowest and highest number that it may hold. From them follows
its unit, what one step of it is worth: the larger magnitude over 127.5 (int8) or 255.5 (uint8),
never a zero point. Emitted is ``QuantizeLinear`` and ``DequantizeLinear``, which round as oneDNN
does, half to even, and which engines fuse with what stands between them into int8 kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

LEVELS: Mapping[DType, float] = {DType.INT8: 127.5, DType.UINT8: 255.5}
"""Steps between zero and the largest magnitude, where MXNet scales by half a step more."""
EXACT_LEVELS: Mapping[DType, float] = {DType.INT8: 127.0, DType.UINT8: 255.0, DType.INT32: 2.0**31}
"""The same where it does not."""
SMALLEST_UNIT = 1 / (2**31 - 1)
"""What MXNet takes for the unit of a tensor that holds nothing but zeros."""


def span(op: Emit, low: Value, high: Value) -> Value:
    """The largest magnitude of a range, of shape (1,)."""
    return op.Max(op.Abs(op.reshape(low, (1,))), op.Abs(op.reshape(high, (1,))))


def unit(op: Emit, kind: DType, low: Value, high: Value) -> Value:
    """What one step is worth, a scalar; a constant where the range is known."""
    if low.constant is not None and high.constant is not None:
        return op.const(_known_unit(kind, low.constant, high.constant))
    magnitude = span(op, low, high)
    step = op.Div(magnitude, LEVELS[kind])
    step = op.Where(op.Equal(magnitude, 0.0), op.scalar(SMALLEST_UNIT, DType.FP32), step)
    return op.Squeeze(step, [0])


def _known_unit(kind: DType, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The same of numbers: int8 networks have thousands, and folding node by node takes long."""
    magnitude = np.maximum(np.abs(low.reshape(())), np.abs(high.reshape(())))
    step = magnitude / magnitude.dtype.type(LEVELS[kind])
    return np.asarray(step if magnitude else magnitude.dtype.type(SMALLEST_UNIT))


def known(op: Emit, number: float) -> Value:
    """An end of a range that calibration found."""
    return op.const(np.array([number], np.float32))


def quantized(op: Emit, value: Value, step: Value, kind: DType) -> Value:
    """Real numbers in steps, rounded half to even and cut to what the type holds."""
    return op.QuantizeLinear(value, step, op.scalar(0, kind))


def dequantized(op: Emit, value: Value, step: Value) -> Value:
    """Steps as real numbers.

    The zero point is said: where it is left out, ONNX Runtime takes int8 for uint8 when it moves
    these nodes through transposes.
    """
    zero = op.scalar(0, value.dtype) if value.dtype in LEVELS else None
    return op.DequantizeLinear(value, step, zero)


def recounted(op: Emit, value: Value, kind: DType) -> Value:
    """Numbers that are steps already, rounded half to even and cut to what the type holds."""
    return quantized(op, value, op.scalar(1.0, DType.FP32), kind)


@OPS.lowers("_contrib_quantize_v2")
def quantize_v2(
    op: Emit,
    data: Value,
    *,
    out_type: Literal["auto", "int8", "uint8"] = "int8",
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, Value, Value]:
    """Without calibration the range is the data's own, that of the whole batch."""
    if data.dtype in LEVELS:
        return (data, *_stored_ends(op, data.dtype, min_calib_range, max_calib_range))
    if min_calib_range is not None and max_calib_range is not None:
        kind = _kind(out_type, min_calib_range)
        low, high = known(op, min_calib_range), known(op, max_calib_range)
    else:
        kind = _kind(out_type, None)
        low = op.reshape(op.ReduceMin(data, keepdims=0), (1,))
        high = op.reshape(op.ReduceMax(data, keepdims=0), (1,))
    steps = quantized(op, data, unit(op, kind, low, high), kind)
    steps = _highest_of_nothing(op, steps, data, op.Squeeze(span(op, low, high), [0]))
    return (steps, *_ends(op, kind, low, high))


@OPS.lowers("_contrib_quantize")
def quantize(
    op: Emit,
    data: Value,
    min_range: Value,
    max_range: Value,
    *,
    out_type: Literal["int8", "uint8"] = "uint8",
) -> tuple[Value, Value, Value]:
    """Scales by 127 or 255, not by half a step more."""
    kind = _kind(out_type, None)
    magnitude = op.Squeeze(span(op, min_range, max_range), [0])
    steps = quantized(op, data, op.Div(magnitude, EXACT_LEVELS[kind]), kind)
    steps = _highest_of_nothing(op, steps, data, magnitude)
    return (steps, *_ends(op, kind, min_range, max_range))


@OPS.lowers("_contrib_quantize_asym")
def quantize_asym(
    op: Emit,
    data: Value,
    *,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, Value, Value]:
    """Bytes from 0 for the lowest number to 255 for the highest, with their scale and shift."""
    if data.dtype is DType.UINT8:
        return data, known(op, 1.0), known(op, 0.0)
    if data.dtype is DType.INT8:
        scale, shift = known(op, 1.0), known(op, 128.0)
    else:
        if min_calib_range is not None and max_calib_range is not None:
            low, high = known(op, min_calib_range), known(op, max_calib_range)
        else:
            low = op.reshape(op.ReduceMin(data, keepdims=0), (1,))
            high = op.reshape(op.ReduceMax(data, keepdims=0), (1,))
        scale = op.Div(known(op, 255.0), op.Sub(high, low))
        shift = op.Sub(known(op, 255.0), op.Mul(high, scale))
    moved = op.Add(op.Mul(op.cast(data, DType.FP32), scale), shift)
    return recounted(op, moved, DType.UINT8), scale, shift


@OPS.lowers("_contrib_dequantize", ignoring=("out_type",))
def dequantize(op: Emit, data: Value, min_range: Value, max_range: Value) -> Value:
    """``DequantizeLinear`` with the range's unit."""
    return dequantized(op, data, unit(op, data.dtype, min_range, max_range))


@OPS.lowers("_contrib_requantize")
def requantize(
    op: Emit,
    data: Value,
    min_range: Value,
    max_range: Value,
    *,
    out_type: Literal["auto", "int8", "uint8"] = "int8",
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, Value, Value]:
    """From 32 bits to 8, within the calibrated range or the data's own."""
    calibrated = min_calib_range is not None and max_calib_range is not None
    kind = _kind(out_type, min_calib_range if calibrated else None)
    worth = op.Div(span(op, min_range, max_range), EXACT_LEVELS[DType.INT32])
    real = op.Mul(op.cast(data, DType.FP32), worth)
    if min_calib_range is not None and max_calib_range is not None:
        magnitude = known(op, max(abs(min_calib_range), abs(max_calib_range)))
    else:
        magnitude = op.reshape(op.ReduceMax(op.Abs(real), keepdims=0), (1,))
    step = op.Squeeze(op.Div(magnitude, EXACT_LEVELS[kind]), [0])
    low = op.Neg(magnitude) if kind is DType.INT8 else known(op, 0.0)
    return quantized(op, real, step, kind), low, magnitude


def _kind(out_type: str, calibrated_low: float | None) -> DType:
    if out_type == "auto":
        out_type = "uint8" if calibrated_low is not None and calibrated_low >= 0 else "int8"
    return DType.UINT8 if out_type == "uint8" else DType.INT8


def _highest_of_nothing(op: Emit, steps: Value, data: Value, magnitude: Value) -> Value:
    """Where an int8 range is empty MXNet stores a zero as the highest step: it was 0 / 0."""
    if steps.dtype is not DType.INT8 or (magnitude.constant is not None and magnitude.constant):
        return steps
    nothing = op.And(op.Equal(magnitude, 0.0), op.Equal(data, 0.0))
    return op.Where(nothing, op.scalar(127, DType.INT8), steps)


def _stored_ends(
    op: Emit, kind: DType, low: float | None, high: float | None
) -> tuple[Value, Value]:
    """The range of bytes that come as they are: calibrated, or that of the steps themselves."""
    if low is not None and high is not None:
        return known(op, low), known(op, high)
    top = LEVELS[kind]
    return known(op, 0.0 if kind is DType.UINT8 else -top), known(op, top)


def _ends(op: Emit, kind: DType, low: Value, high: Value) -> tuple[Value, Value]:
    """The range that MXNet hands on: of int8 that of its magnitude."""
    if kind is DType.UINT8:
        return low, high
    magnitude = span(op, low, high)
    return op.Neg(magnitude), magnitude
