"""Operators that make tensors from nothing, or from another's shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gluonserve.loader.hints import FLAGS
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

Kind: TypeAlias = Literal[
    "bool", "float16", "float32", "float64", "int32", "int64", "int8", "uint8"
]


def kind_of(dtype: str) -> DType:
    """The type that MXNet's text for one names."""
    return DType.of(np.dtype(dtype))


@OPS.lowers("_zeros", ignoring=("ctx",))
def zeros(op: Emit, *, shape: Dims = (), dtype: Kind = "float32") -> Value:
    """A 0 in a legacy shape is a dimension that the operators which read it fix."""
    return op.filled(0, _holed(op, shape), kind_of(dtype))


@OPS.lowers("_ones", ignoring=("ctx",))
def ones(op: Emit, *, shape: Dims = (), dtype: Kind = "float32") -> Value:
    """As ``_zeros``."""
    return op.filled(1, _holed(op, shape), kind_of(dtype))


@OPS.lowers("_full", ignoring=("ctx",))
def full(op: Emit, *, shape: Dims = (), dtype: Kind = "float32", value: float) -> Value:
    """As ``_zeros``."""
    return op.filled(value, _holed(op, shape), kind_of(dtype))


@OPS.lowers("_zeros_without_dtype", ignoring=("ctx",))
def zeros_without_dtype(op: Emit, *, shape: Dims = (), dtype: int = -1) -> Value:
    """As ``_zeros``; the type is a number, -1 the default."""
    return op.filled(0, _holed(op, shape), FLAGS.get(dtype, DType.FP32))


@OPS.lowers("zeros_like")
def zeros_like(op: Emit, data: Value) -> Value:
    """Zeros in the data's shape; its values play no part."""
    return op.filled(0, data.shape, data.dtype)


@OPS.lowers("ones_like")
def ones_like(op: Emit, data: Value) -> Value:
    """Ones in the data's shape; its values play no part."""
    return op.filled(1, data.shape, data.dtype)


@OPS.lowers("_arange", ignoring=("ctx",))
def arange(
    op: Emit,
    *,
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool = False,
    dtype: Literal["float16", "float32", "float64", "int32", "int64", "int8", "uint8"] = "float32",
) -> Value:
    """Without a stop, ``start`` is it, unless the length is to be inferred from who reads it."""
    if infer_range and stop is None:
        return ramp(op, op.hole(0), start, step, repeat=repeat, dtype=kind_of(dtype))
    first, last = (0.0, start) if stop is None else (start, stop)
    count = max(0, math.ceil((last - first) / step)) * repeat
    return ramp(op, count, first, step, repeat=repeat, dtype=kind_of(dtype))


@OPS.lowers("_contrib_arange_like", ignoring=("ctx",))
def arange_like(
    op: Emit,
    data: Value,
    *,
    start: float = 0.0,
    step: float = 1.0,
    repeat: int = 1,
    axis: int | None = None,
) -> Value:
    """As many numbers as the data has elements, in its shape, or as one of its axes is long."""
    if axis is not None:
        return ramp(op, data.shape[data.axis(axis)], start, step, repeat=repeat, dtype=data.dtype)
    count = dims.product(data.shape)
    return op.reshape(ramp(op, count, start, step, repeat=repeat, dtype=data.dtype), data.shape)


@OPS.lowers("_eye", ignoring=("ctx",))
def eye(
    op: Emit,
    *,
    N: int,  # noqa: N803 - MXNet's name
    M: int = 0,  # noqa: N803 - MXNet's name
    k: int = 0,
    dtype: Literal["float16", "float32", "float64", "int32", "int64", "int8", "uint8"] = "float32",
) -> Value:
    """A constant; without columns it is square."""
    return op.const(np.eye(N, M or N, k, dtype=np.dtype(dtype)))


@OPS.lowers("_linspace", ignoring=("ctx",))
def linspace(
    op: Emit,
    *,
    start: float,
    stop: float,
    num: int = 50,
    endpoint: bool = True,
    dtype: Literal["float16", "float32", "float64", "int32", "int64", "int8", "uint8"] = "float32",
) -> Value:
    """A constant."""
    step = (stop - start) / max(num - endpoint, 1)
    return op.const(converted(start + np.arange(num) * step, kind_of(dtype)))


def ramp(
    op: Emit, count: Dim, start: float, step: float, *, repeat: int = 1, dtype: DType
) -> Value:
    """``count`` numbers: start, start + step, ..., each ``repeat`` times in a row.

    Of an integer type the start and the step are too, and so they are of float16 in MXNet.
    """
    if dtype.numpy.kind in "iu" or dtype is DType.FP16:
        start, step = int(start), int(step)
    if isinstance(count, int):
        return op.const(converted(start + (np.arange(count) // repeat) * step, dtype))
    places = op.Range(op.scalar(0), op.scalar(count), op.scalar(1))
    places = op.quotient(places, repeat) if repeat != 1 else places
    exact = DType.INT64 if not _fractional(start, step) else DType.FP32
    numbers = op.cast(places, exact)
    numbers = op.Mul(numbers, step) if step != 1 else numbers
    return op.cast(op.Add(numbers, start) if start else numbers, dtype)


def converted(numbers: np.ndarray, dtype: DType) -> np.ndarray:
    """Numbers cut off and wrapped as C does."""
    if dtype.numpy.kind in "iu":
        numbers = numbers.astype(np.int64)
    return numbers.astype(dtype.numpy)


def _fractional(*numbers: float) -> bool:
    return any(number != int(number) for number in numbers)


def _holed(op: Emit, shape: Dims) -> tuple[Dim, ...]:
    if op.np_shape:
        return shape
    return tuple(size or op.hole(axis) for axis, size in enumerate(shape))
