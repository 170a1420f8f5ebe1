"""Attention with heads side by side in one tensor, and what transformers need beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel, UnsupportedModel
from gluonserve.loader.lowering.quantization import dequantized, known, unit
from gluonserve.loader.lowering.quantization import quantized as in_steps
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_contrib_interleaved_matmul_selfatt_qk")
def selfatt_qk(op: Emit, queries_keys_values: Value, *, heads: int) -> Value:
    """Per head the scaled products of all queries with all keys; rows are (sample, head)."""
    queries, keys, _ = _apart(op, queries_keys_values, heads, 3)
    return _scores(op, queries, keys)


@OPS.lowers("_contrib_interleaved_matmul_selfatt_valatt")
def selfatt_valatt(op: Emit, queries_keys_values: Value, attention: Value, *, heads: int) -> Value:
    """Values weighted by attention, heads side by side again."""
    return _weighted(op, _apart(op, queries_keys_values, heads, 3)[2], attention, heads)


@OPS.lowers("_contrib_interleaved_matmul_encdec_qk")
def encdec_qk(op: Emit, queries: Value, keys_values: Value, *, heads: int) -> Value:
    """As ``selfatt_qk``, the queries from another sequence than keys and values."""
    (asked,) = _apart(op, queries, heads, 1)
    return _scores(op, asked, _apart(op, keys_values, heads, 2)[0])


@OPS.lowers("_contrib_interleaved_matmul_encdec_valatt")
def encdec_valatt(op: Emit, keys_values: Value, attention: Value, *, heads: int) -> Value:
    """As ``selfatt_valatt``, the attention from another sequence."""
    return _weighted(op, _apart(op, keys_values, heads, 2)[1], attention, heads)


@OPS.lowers("_sg_mkldnn_selfatt_qk")
def fused_selfatt_qk(
    op: Emit,
    queries_keys_values: Value,
    *ends: Value,
    heads: int,
    quantized: bool = False,
    enable_float_output: bool = False,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, ...]:
    """As ``_contrib_interleaved_matmul_selfatt_qk``; of int8 the products of real numbers."""
    if not quantized:
        return (selfatt_qk(op, queries_keys_values, heads=heads),)
    joined = _real(op, queries_keys_values, *ends)
    real = selfatt_qk(op, joined, heads=heads)
    return _answer(op, real, min_calib_range, max_calib_range, as_float=enable_float_output)


@OPS.lowers("_sg_mkldnn_selfatt_valatt")
def fused_selfatt_valatt(
    op: Emit,
    queries_keys_values: Value,
    attention: Value,
    *ends: Value,
    heads: int,
    quantized: bool = False,
    enable_float_output: bool = False,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, ...]:
    """As ``_contrib_interleaved_matmul_selfatt_valatt``; of int8 the sums of real numbers."""
    if not quantized:
        return (selfatt_valatt(op, queries_keys_values, attention, heads=heads),)
    joined, weights = _real(op, queries_keys_values, *ends[:2]), _real(op, attention, *ends[2:])
    real = selfatt_valatt(op, joined, weights, heads=heads)
    return _answer(op, real, min_calib_range, max_calib_range, as_float=enable_float_output)


@OPS.lowers("_contrib_index_array")
def index_array(op: Emit, data: Value, *, axes: Dims | None = None) -> Value:
    """Every element's place, along all axes or some; the values of the data play no part."""
    chosen = range(data.rank) if axes is None else [data.axis(axis) for axis in axes]
    if 0 in data.shape or not chosen:
        return op.filled(0, (*data.shape, len(chosen)), DType.INT64)
    shape: tuple[Dim, ...] = (*data.shape, 1)
    places = []
    for axis in chosen:
        along = op.Range(0, op.scalar(data.shape[axis]), 1)
        lifted = op.unsqueeze(along, *(at for at in range(data.rank + 1) if at != axis))
        places.append(op.expand(lifted, shape))
    return places[0] if len(places) == 1 else op.Concat(*places, axis=data.rank)


@OPS.lowers("_contrib_index_copy")
def index_copy(op: Emit, old_tensor: Value, index_vector: Value, new_tensor: Value) -> Value:
    """The rows of the old tensor that the indices name are the new tensor's, by ``ScatterND``."""
    op.couple(old_tensor.shape[0])
    rows = op.unsqueeze(op.cast(index_vector, DType.INT64), 1)
    return op.ScatterND(old_tensor, rows, new_tensor)


def _apart(op: Emit, joined: Value, heads: int, parts: int) -> Sequence[Value]:
    """(steps, samples, heads * parts * size) as its parts, each (samples * heads, steps, size)."""
    if joined.rank != 3:
        raise InvalidModel(f"attention of {list(joined.shape)}: 3 axes are wanted")
    steps, samples, features = joined.shape
    size = features // (heads * parts)
    op.equate(features, size * heads * parts, f"{features} features in {heads} heads")
    apart = op.reshape(joined, (steps, samples * heads, parts, size))
    turned = op.transpose(apart, (2, 1, 0, 3))
    flat = (samples * heads, steps, size)
    return [op.reshape(op.slice(turned, 0, at, at + 1), flat) for at in range(parts)]


def _scores(op: Emit, queries: Value, keys: Value) -> Value:
    scaled = op.Div(queries, op.Sqrt(op.scalar(queries.shape[2], queries.dtype)))
    return op.MatMul(scaled, op.transpose(keys, (0, 2, 1)))


def _weighted(op: Emit, values: Value, attention: Value, heads: int) -> Value:
    """(samples * heads, steps, size) weighted, as (steps, samples, heads * size)."""
    rows, steps, size = values.shape
    op.equate(attention.shape[0], rows, "rows of attention")
    op.equate(attention.shape[2], steps, "steps of attention")
    asked = attention.shape[1]
    turned = op.transpose(op.MatMul(attention, values), (1, 0, 2))
    return op.reshape(turned, (asked, rows // heads, heads * size))


def _real(op: Emit, steps: Value, low: Value, high: Value) -> Value:
    return dequantized(op, steps, unit(op, steps.dtype, low, high))


def _answer(
    op: Emit, real: Value, low: float | None, high: float | None, *, as_float: bool
) -> tuple[Value, ...]:
    """Real numbers as a quantised operator answers them: in int8 where it was calibrated."""
    if low is None or high is None:
        if not as_float:
            raise UnsupportedModel("attention in int32, which no calibration has narrowed")
        return (real,)
    ends = known(op, low), known(op, high)
    return (in_steps(op, real, unit(op, DType.INT8, *ends), DType.INT8), *ends)
