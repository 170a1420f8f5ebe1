"""Resampling of pictures as OpenCV does it, to the bit where it rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

DIVISION = "Div rounded once"
"""OpenVINO multiplies by the reciprocal, which rounds twice."""
_NEAREST, _LINEAR = 0, 1
_SCALE = 2048.0
"""OpenCV's fixed point of weights for bytes: eleven bits."""


def resampled(op: Emit, data: Value, size: tuple[Dim, Dim], method: int) -> Value:
    """Rows and columns of (..., H, W, C) to another height and width."""
    rows, columns = data.rank - 3, data.rank - 2
    if size == data.shape[rows : columns + 1]:
        return data
    if method == _NEAREST:
        for axis, length in ((rows, size[0]), (columns, size[1])):
            data = op.Gather(data, _nearest(op, data.shape[axis], length), axis=axis)
        return data
    if method != _LINEAR:
        raise InvalidModel(f"interp={method}: only 0 (nearest) and 1 (linear) are lowered")
    if data.dtype is DType.UINT8:
        return _bytes(op, data, size)
    for axis, length in ((columns, size[1]), (rows, size[0])):
        near, far, weight = _neighbours(op, data, axis, length)
        data = op.Add(op.Mul(near, op.Sub(1.0, weight)), op.Mul(far, weight))
    return data


def _neighbours(op: Emit, data: Value, axis: int, length: Dim) -> tuple[Value, Value, Value]:
    """The elements on both sides of every new middle, and the weight of the second.

    Middles are quotients of whole numbers, rounded once to float32 as OpenCV has them. Beyond
    the edge columns weigh once; rows weigh the edge twice, which rounds differently.
    """
    size = data.shape[axis]
    if data.dtype not in (DType.FP32, DType.FP64, DType.UINT8):
        raise InvalidModel(f"pictures of {data.dtype.value} are not resized")
    doubled = op.Add(op.Mul(_steps(op, length), 2), 1)
    top = op.Sub(op.Mul(doubled, op.scalar(size)), op.scalar(length))
    middle = _divided(op, top, op.scalar(length * 2))
    floor = op.Floor(middle)
    last = op.scalar(size - 1)
    place = op.cast(floor, DType.INT64)
    weight = op.Sub(middle, floor)
    if axis == data.rank - 2:
        inside = op.And(op.Not(op.Less(place, 0)), op.Less(place, last))
        weight = op.Where(inside, weight, np.zeros((), np.float32))
    near = op.Min(op.Max(place, 0), last)
    far = op.Min(op.Max(op.Add(place, 1), 0), last)
    kind = DType.FP32 if data.dtype is DType.UINT8 else data.dtype
    trailing = range(1, data.rank - axis)
    wide = op.cast(data, kind)
    return (
        op.Gather(wide, near, axis=axis),
        op.Gather(wide, far, axis=axis),
        op.unsqueeze(op.cast(weight, kind), *trailing),
    )


def _divided(op: Emit, top: Value, bottom: Value) -> Value:
    """A quotient in float32; the remainder goes first where the engine multiplies instead."""
    if top.constant is not None or op.target.has(DIVISION):
        return op.Div(op.cast(top, DType.FP32), op.cast(bottom, DType.FP32))
    whole = op.quotient(top, bottom)
    rest = op.cast(op.Sub(top, op.Mul(whole, bottom)), DType.FP32)
    return op.Add(op.cast(whole, DType.FP32), op.Div(rest, op.cast(bottom, DType.FP32)))


def _nearest(op: Emit, size: Dim, length: Dim) -> Value:
    """Which element is taken for each of ``length`` new ones."""
    if isinstance(size, int) and isinstance(length, int):
        step = 1.0 / (length / size)
        return op.const(np.minimum(np.floor(np.arange(length) * step), size - 1).astype(np.int64))
    places = op.Div(op.Mul(_steps(op, length), op.scalar(size)), op.scalar(length))
    return op.Min(places, op.scalar(size - 1))


def _bytes(op: Emit, data: Value, size: tuple[Dim, Dim]) -> Value:
    """OpenCV's whole-number arithmetic, in float32 numbers that are whole and exact."""
    near, far, weight = _neighbours(op, data, data.rank - 2, size[1])
    first, second = _fixed(op, weight)
    wide = op.Add(op.Mul(near, first), op.Mul(far, second))
    near, far, weight = _neighbours(op, wide, data.rank - 3, size[0])
    first, second = _fixed(op, weight)
    total = op.Add(_product(op, near, first), _product(op, far, second))
    return op.cast(op.Floor(op.Mul(op.Add(total, 2.0), 0.25)), DType.UINT8)


def _fixed(op: Emit, weight: Value) -> tuple[Value, Value]:
    """Both weights in fixed point."""
    first = op.Round(op.Mul(op.Sub(1.0, weight), _SCALE))
    return first, op.Round(op.Mul(weight, _SCALE))


def _product(op: Emit, value: Value, weight: Value) -> Value:
    """The product shifted right by 20 bits in two steps; halves keep it within 24 bits."""
    short = op.Floor(op.Mul(value, 1 / 16))
    high = op.Floor(op.Mul(short, 1 / 256))
    low = op.Sub(short, op.Mul(high, 256.0))
    carried = op.Floor(op.Mul(op.Mul(low, weight), 1 / 256))
    return op.Floor(op.Mul(op.Add(op.Mul(high, weight), carried), 1 / 256))


def _steps(op: Emit, count: Dim) -> Value:
    return op.Range(op.scalar(0), op.scalar(count), op.scalar(1))
