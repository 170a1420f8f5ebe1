"""Operators on quantised tensors: each takes and answers ranges beside its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel, UnsupportedModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.pooling import pooling
from gluonserve.loader.lowering.quantization import (
    EXACT_LEVELS,
    LEVELS,
    dequantized,
    known,
    quantized,
    span,
    unit,
)
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value


OPS = OpTable()

OPS.refuses(
    "_contrib_quantized_rnn",
    reason="its quantised weights live inside oneDNN's kernel, and MXNet 1.9.1 cannot replay it",
)


@OPS.lowers("_contrib_quantized_flatten")
def quantized_flatten(
    op: Emit, data: Value, min_data: Value, max_data: Value
) -> tuple[Value, Value, Value]:
    """As ``Flatten``."""
    shape = (data.shape[0], dims.product(data.shape[1:]))
    return op.reshape(data, shape), min_data, max_data


@OPS.lowers("_contrib_quantized_pooling", ignoring=("cudnn_off",))
def quantized_pooling(
    op: Emit,
    data: Value,
    min_data: Value,
    max_data: Value,
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
) -> tuple[Value, Value, Value]:
    """As ``Pooling``; means are of the steps themselves, so that halves round as in MXNet."""
    step = op.scalar(1.0, DType.FP32)
    if pool_type == "max":
        step = unit(op, data.dtype, min_data, max_data)
    pooled = pooling(
        op, dequantized(op, data, step), kernel=kernel, pool_type=pool_type,
        global_pool=global_pool, pooling_convention=pooling_convention, stride=stride, pad=pad,
        p_value=p_value, count_include_pad=count_include_pad, layout=layout,
    )  # fmt: skip
    return quantized(op, pooled, step, data.dtype), min_data, max_data


@OPS.lowers("_contrib_quantized_act")
def quantized_act(
    op: Emit,
    data: Value,
    min_data: Value,
    max_data: Value,
    *,
    act_type: Literal["relu", "sigmoid", "softrelu", "softsign", "tanh"],
) -> tuple[Value, Value, Value]:
    """Only ``relu``, as in MXNet; the range stays. The answer is int8 whatever the data are."""
    if act_type != "relu":
        raise UnsupportedModel(f"act_type={act_type!r}: MXNet quantises 'relu' only")
    step = unit(op, data.dtype, min_data, max_data)
    positive = op.Relu(dequantized(op, data, step))
    steps = quantized(op, positive, step, data.dtype)
    return op.cast(steps, DType.INT8), min_data, max_data


@OPS.lowers("_contrib_quantized_concat", ignoring=("num_args",))
def quantized_concat(op: Emit, *data: Value, dim: int = 1) -> tuple[Value, Value, Value]:
    """In the widest range of all, and in int8 if any of them is; zero is always in the range."""
    count = len(data) // 3
    parts, ends = data[:count], data[count:]
    if count * 3 != len(data) or not parts:
        raise InvalidModel(f"{len(data)} inputs: each part of a concatenation wants a range")
    low = _reduced(op, "Min", [known(op, 0.0), *ends[::2]])
    high = _reduced(op, "Max", [known(op, 0.0), *ends[1::2]])
    signed = any(part.dtype is DType.INT8 for part in parts)
    kind = DType.INT8 if signed else DType.UINT8
    real = [
        dequantized(op, part, unit(op, part.dtype, ends[2 * at], ends[2 * at + 1]))
        for at, part in enumerate(parts)
    ]
    axis, step = parts[0].axis(dim), unit(op, kind, low, high)
    if signed:  # OpenVINO answers otherwise where a convolution reads what was quantised at once
        alike = [quantized(op, value, step, kind) for value in real]
        return op.Concat(*alike, axis=axis), low, high
    return quantized(op, op.Concat(*real, axis=axis), step, kind), low, high


@OPS.lowers("_contrib_quantized_elemwise_add")
def quantized_add(
    op: Emit,
    lhs: Value,
    rhs: Value,
    lhs_min: Value,
    lhs_max: Value,
    rhs_min: Value,
    rhs_max: Value,
    *,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, Value, Value]:
    """In 8 bits within the calibrated range, or in 32 bits within the sum of both ranges."""
    op.same_shape(lhs, rhs)
    if min_calib_range is not None and max_calib_range is not None:
        low, high = known(op, min_calib_range), known(op, max_calib_range)
        kind = lhs.dtype if lhs.dtype is rhs.dtype else DType.INT8
        left = dequantized(op, lhs, unit(op, lhs.dtype, lhs_min, lhs_max))
        right = dequantized(op, rhs, unit(op, rhs.dtype, rhs_min, rhs_max))
        total = op.Add(left, right)
        return quantized(op, total, unit(op, kind, low, high), kind), low, high
    spans = span(op, lhs_min, lhs_max), span(op, rhs_min, rhs_max)
    high = op.Add(*spans)
    both = (_widened(op, lhs, spans[0], high), _widened(op, rhs, spans[1], high))
    stacked = op.Concat(*(op.unsqueeze(value, 0) for value in both), axis=0)
    total = op.ReduceSum(stacked, [0], keepdims=0)  # as Add, OpenVINO leaves out a rounding
    return op.cast(op.Round(total), DType.INT32), op.Neg(high), high


@OPS.lowers("_contrib_quantized_elemwise_mul")
def quantized_mul(
    op: Emit,
    lhs: Value,
    rhs: Value,
    lhs_min: Value,
    lhs_max: Value,
    rhs_min: Value,
    rhs_max: Value,
    *,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
    enable_float_output: bool = False,
) -> tuple[Value, Value, Value] | Value:
    """Cut towards zero, modulo 256; without calibration the plain products in 32 bits."""
    op.same_shape(lhs, rhs)
    product = op.Mul(op.cast(lhs, DType.INT32), op.cast(rhs, DType.INT32))
    units = op.Mul(unit(op, lhs.dtype, lhs_min, lhs_max), unit(op, rhs.dtype, rhs_min, rhs_max))
    if enable_float_output:
        return op.Mul(op.cast(product, DType.FP32), units)
    if min_calib_range is None or max_calib_range is None:
        high = product_span(op, span(op, lhs_min, lhs_max), span(op, rhs_min, rhs_max))
        return product, op.Neg(high), high
    low, high = known(op, min_calib_range), known(op, max_calib_range)
    steps = op.Mul(op.cast(product, DType.FP32), op.Div(units, unit(op, DType.INT8, low, high)))
    whole = op.cast(steps, DType.INT32)
    wrapped = op.Sub(op.Mod(op.Add(whole, 128), 256), 128)
    return op.cast(wrapped, DType.INT8), low, high


@OPS.lowers(
    "_contrib_quantized_batch_norm",
    ignoring=("momentum", "use_global_stats", "output_mean_var", "cudnn_off", "fix_gamma"),
)
def quantized_batch_norm(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    moving_mean: Value,
    moving_var: Value,
    min_data: Value,
    max_data: Value,
    *,
    eps: float = 1e-3,
    axis: int = 1,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, Value, Value]:
    """In int8 within the calibrated range; bytes become int8 first. ``fix_gamma`` plays no part."""
    if min_calib_range is None or max_calib_range is None:
        raise InvalidModel("quantised batch normalisation without a calibrated range")
    step = unit(op, DType.INT8, min_data, max_data)
    if data.dtype is DType.UINT8:
        real = dequantized(op, data, unit(op, DType.UINT8, min_data, max_data))
        data = quantized(op, real, step, DType.INT8)
    factor = op.Div(gamma, op.Sqrt(op.Add(moving_var, eps)))
    offset = op.Sub(beta, op.Mul(moving_mean, factor))
    behind = (1,) * (data.rank - 1 - data.axis(axis))
    scaled = op.Mul(dequantized(op, data, step), op.reshape(factor, (*factor.shape, *behind)))
    moved = op.Add(scaled, op.reshape(offset, (*offset.shape, *behind)))
    low, high = known(op, min_calib_range), known(op, max_calib_range)
    return quantized(op, moved, unit(op, DType.INT8, low, high), DType.INT8), low, high


@OPS.lowers("_contrib_quantized_embedding", ignoring=("dtype", "sparse_grad"))
def quantized_embedding(
    op: Emit,
    data: Value,
    weight: Value,
    min_weight: Value,
    max_weight: Value,
    *,
    input_dim: int,
    output_dim: int,
) -> tuple[Value, Value, Value]:
    """Rows of an int8 table; indices beyond it mean its last row."""
    op.equate(weight.shape[0], input_dim, "input_dim")
    op.equate(weight.shape[1], output_dim, "output_dim")
    rows = op.Clip(
        op.cast(data, DType.INT64), op.const(np.int64(0)), op.const(np.int64(input_dim - 1))
    )
    return op.Gather(weight, rows, axis=0), min_weight, max_weight


@OPS.lowers("_contrib_quantized_conv", ignoring=("workspace", "cudnn_tune", "cudnn_off"))
def quantized_conv(
    op: Emit,
    data: Value,
    weight: Value,
    *rest: Value,
    kernel: Dims,
    num_filter: int,
    stride: Dims = (),
    dilate: Dims = (),
    pad: Dims = (),
    num_group: int = 1,
    no_bias: bool = False,
    layout: Literal["NCW", "NCHW", "NCDHW", "NHWC", "NDHWC"] | None = None,
) -> tuple[Value, Value, Value]:
    """``ConvInteger``; the int8 bias is added as it is, whatever its range, as MXNet adds it."""
    if layout in ("NHWC", "NDHWC"):
        raise UnsupportedModel(f"layout={layout!r}: MXNet quantises channels first only")
    bias, (low, high, weight_low, weight_high) = _ranges(rest, no_bias, 4)
    op.equate(weight.shape[0], num_filter, "num_filter")
    spatial = len(kernel)
    total = op.ConvInteger(
        data,
        weight,
        kernel_shape=kernel,
        strides=stride or (1,) * spatial,
        dilations=dilate or (1,) * spatial,
        pads=(pad or (0,) * spatial) * 2,
        group=num_group,
    )
    if bias is not None:
        added = op.reshape(op.cast(bias, DType.INT32), (num_filter, *(1,) * spatial))
        total = op.Add(total, added)
    top = product_span(op, span(op, low, high), span(op, weight_low, weight_high))
    return total, op.Neg(top), top


@OPS.lowers("_contrib_quantized_fully_connected")
def quantized_fully_connected(
    op: Emit,
    data: Value,
    weight: Value,
    *rest: Value,
    num_hidden: int,
    no_bias: bool = False,
    flatten: bool = True,
) -> tuple[Value, Value, Value]:
    """``MatMulInteger``; the bias goes from its own range to that of the product."""
    bias, (low, high, weight_low, weight_high, *bias_ends) = _ranges(rest, no_bias, 4)
    op.equate(weight.shape[0], num_hidden, "num_hidden")
    if flatten and data.rank != 2:
        data = op.reshape(data, (data.shape[0], dims.product(data.shape[1:])))
    total = op.MatMulInteger(data, op.transpose(weight, (1, 0)))
    if bias is not None:
        units = op.Mul(
            unit(op, data.dtype, low, high), unit(op, DType.INT8, weight_low, weight_high)
        )
        worth = op.Div(unit(op, DType.INT8, *bias_ends), units)
        added = op.Mul(op.cast(bias, DType.FP32), worth)
        total = op.Add(total, op.cast(added, DType.INT32))
    spans = span(op, low, high), span(op, weight_low, weight_high)
    top = product_span(op, *spans, unsigned=data.dtype is DType.UINT8)
    return total, op.Neg(top), top


def product_span(op: Emit, one: Value, other: Value, *, unsigned: bool = False) -> Value:
    """The largest magnitude of a product in 32 bits, as MXNet reckons it."""
    first = op.Div(one, EXACT_LEVELS[DType.UINT8 if unsigned else DType.INT8])
    units = op.Mul(first, op.Div(other, EXACT_LEVELS[DType.INT8]))
    return op.Mul(units, EXACT_LEVELS[DType.INT32])


def _widened(op: Emit, steps: Value, magnitude: Value, top: Value) -> Value:
    """Steps of 8 bits in steps of 32 bits within another range, in MXNet's order of operations."""
    bottom = op.Mul(top, LEVELS[steps.dtype])
    factor = op.Div(op.Mul(magnitude, EXACT_LEVELS[DType.INT32]), bottom)
    return op.Mul(op.cast(steps, DType.FP32), factor)


def _reduced(op: Emit, kind: str, ends: list[Value]) -> Value:
    result, *others = (op.reshape(end, (1,)) for end in ends)
    for other in others:
        result = op.node(kind, result, other)[0]
    return result


def _ranges(
    rest: tuple[Value, ...], no_bias: bool, least: int
) -> tuple[Value | None, tuple[Value, ...]]:
    """The bias where there is one, and the ranges: of data, of weights, of the bias."""
    wanted = least if no_bias else 1 + least + 2
    if len(rest) != wanted:
        raise InvalidModel(f"{len(rest) + 2} inputs, not {wanted + 2}")
    return (None, rest) if no_bias else (rest[0], rest[1:])
