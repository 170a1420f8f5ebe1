"""What MXNet's oneDNN back end fused: convolutions and dense layers with their neighbours.

As floating-point operators they are the graphs that they hold. In int8 the weights are quantised
at import, per output channel where the range of the answer is calibrated, else as one; engines
find ``DequantizeLinear``, the layer and ``QuantizeLinear`` and run them as one int8 kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.graph import Node
from gluonserve.loader.lowering import activation, convolution, dims, elementwise, normalization
from gluonserve.loader.lowering import quantized_weights as weighing
from gluonserve.loader.lowering.quantization import (
    LEVELS,
    dequantized,
    known,
    quantized,
    unit,
)
from gluonserve.loader.lowering.quantized import product_span
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.quantized_weights import Weights
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_INSIDE = OpTable(activation.OPS, convolution.OPS, elementwise.OPS, normalization.OPS)
_NEVER_NEGATIVE = frozenset({"abs", "exp", "sqrt", "square"})


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """The range of an answer, and how it is stored."""

    low: Value
    high: Value
    kind: DType

    def step(self, op: Emit) -> Value:
        return unit(op, self.kind, self.low, self.high)


@dataclass(frozen=True, slots=True)
class _Summand:
    """What is added to a convolution, and the type in which it came."""

    real: Value
    dtype: DType


@OPS.lowers("_sg_mkldnn_conv", ignoring=("num_args", "dedup_subgraph"))
def fused_convolution(
    op: Emit,
    data: Value,
    weight: Value,
    *rest: Value,
    quantized: bool = False,
    with_bn: bool = False,
    with_act: bool = False,
    with_sum: bool = False,
    with_postsum_act: bool = False,
    with_relu: bool = False,
    with_postsum_relu: bool = False,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, ...]:
    """Inputs are those of the convolution, of the normalisation, the other summand, then ranges."""
    graph = op.mxnet_node.subgraphs[0]
    if not quantized:
        return op.inline(graph, (data, weight, *rest))
    nodes = [node for node in graph.nodes if isinstance(node, Node)]
    layer = _attributes(nodes, "Convolution")
    given = iter(rest)
    bias = None if layer.get("no_bias", False) else next(given)
    kernel, offset = _floats(weight, bias)
    if with_bn:
        norm = _attributes(nodes, "BatchNorm")
        kernel, offset = _normalised(op, kernel, offset, [next(given) for _ in range(4)], norm)
    added = next(given) if with_sum else None
    step = unit(op, data.dtype, next(given), next(given))
    summand = None
    if added is not None:
        real = dequantized(op, added, unit(op, added.dtype, next(given), next(given)))
        summand = _Summand(real, added.dtype)
    acts = [node for node in nodes if node.op in ("Activation", "LeakyReLU", "clip")]
    inner, outer = _placed(
        acts, before=with_act or with_relu, after=with_postsum_act or with_postsum_relu
    )
    work = _Convolution(data, step, kernel, offset, layer)
    if min_calib_range is None or max_calib_range is None:
        return work.whole(op, inner, summand, outer)
    last = outer if with_sum else inner
    kind = DType.UINT8 if last is not None and _non_negative(last) else DType.INT8
    ends = _Calibrated(known(op, min_calib_range), known(op, max_calib_range), kind)
    return work.calibrated(op, ends, inner, summand, outer)


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution of quantised data with weights that are quantised here."""

    data: Value
    step: Value
    kernel: np.ndarray
    offset: np.ndarray | None
    layer: dict[str, Any]

    def calibrated(
        self,
        op: Emit,
        ends: _Calibrated,
        inner: Node | None,
        summand: _Summand | None,
        outer: Node | None,
    ) -> tuple[Value, Value, Value]:
        """In 8 bits, activations and sum before the one rounding."""
        groups = self.layer.get("num_group", 1)
        weights = weighing.per_channel(op, self.kernel, self.offset, self.step, groups=groups)
        kernel = _dequantized_weights(op, weights)
        bias = None
        if self.offset is not None:
            bias = _dequantized_bias(op, self.offset, weights, self.step)
        real = op.Conv(dequantized(op, self.data, self.step), kernel, bias, **self._windows())
        step = ends.step(op)
        real = _activated(op, real, inner, step)
        if summand is not None:
            real = op.Add(real, summand.real)
        real = _activated(op, real, outer, step)
        kept = ends.kind if summand is None else summand.dtype
        return _stored_as(op, real, step, kept, ends.kind), ends.low, ends.high

    def whole(
        self, op: Emit, inner: Node | None, summand: _Summand | None, outer: Node | None
    ) -> tuple[Value, Value, Value]:
        """In 32 bits, without any rounding but the bias's."""
        weights = weighing.together(op, self.kernel)
        total = op.ConvInteger(self.data, op.const(weights.steps), **self._windows())
        if self.offset is not None:
            bias = weighing.bias_steps(op, self.offset, weights, self.step)
            behind = (1,) * (self.kernel.ndim - 2)
            total = op.Add(total, op.reshape(bias, (len(self.kernel), *behind)))
        worth = op.Mul(self.step, op.const(weights.units.reshape(())))
        total = _activated_whole(op, total, inner)
        if summand is not None:
            total = op.Add(total, op.cast(op.Round(op.Div(summand.real, worth)), DType.INT32))
        total = _activated_whole(op, total, outer)
        top = _top(op, self.data, self.step, weights)
        return total, op.Neg(top), top

    def _windows(self) -> dict[str, Any]:
        spatial = len(self.layer["kernel"])
        return {
            "kernel_shape": self.layer["kernel"],
            "strides": self.layer.get("stride") or (1,) * spatial,
            "dilations": self.layer.get("dilate") or (1,) * spatial,
            "pads": (self.layer.get("pad") or (0,) * spatial) * 2,
            "group": self.layer.get("num_group", 1),
        }


@OPS.lowers("_sg_mkldnn_fully_connected", ignoring=("num_args", "dedup_subgraph"))
def fused_fully_connected(
    op: Emit,
    data: Value,
    weight: Value,
    *rest: Value,
    quantized: bool = False,
    with_eltwise: bool = False,
    with_relu: bool = False,
    enable_float_output: bool = False,
    channel_wise_quantize: bool | None = None,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
) -> tuple[Value, ...]:
    """Its weights are stored in int8 with their range, or (channel-wise) quantised at import."""
    graph = op.mxnet_node.subgraphs[0]
    if not quantized:
        return op.inline(graph, (data, weight, *rest))
    nodes = [node for node in graph.nodes if isinstance(node, Node)]
    layer = _attributes(nodes, "FullyConnected")
    last = next((node for node in nodes if node.op != "FullyConnected"), None)
    if not (with_eltwise or with_relu):
        last = None
    bias = None if layer.get("no_bias", False) else rest[0]
    ranges = rest if bias is None else rest[1:]
    step = unit(op, data.dtype, ranges[0], ranges[1])
    if channel_wise_quantize:
        matrix, offset = _floats(weight, bias)
        weights = weighing.per_channel(op, matrix, offset, step)
        steps = None if offset is None else weighing.bias_steps(op, offset, weights, step)
    else:
        weights, steps = _stored(op, weight, bias, ranges[2:], step)
    if layer.get("flatten", True) and data.rank != 2:
        data = op.reshape(data, (data.shape[0], dims.product(data.shape[1:])))
    if not enable_float_output and (min_calib_range is None or max_calib_range is None):
        return _whole_product(op, data, step, weights, steps, last)
    real = _product(op, data, step, weights, steps)
    if min_calib_range is None or max_calib_range is None:
        return (_applied(op, real, last),)
    if enable_float_output:
        return (_applied(op, real, last),)
    kind = DType.UINT8 if last is not None and _non_negative(last) else DType.INT8
    ends = _Calibrated(known(op, min_calib_range), known(op, max_calib_range), kind)
    return quantized_answer(op, _applied(op, real, last), ends)


def quantized_answer(op: Emit, real: Value, ends: _Calibrated) -> tuple[Value, Value, Value]:
    """Real numbers in a calibrated range, and that range."""
    return quantized(op, real, ends.step(op), ends.kind), ends.low, ends.high


def _product(op: Emit, data: Value, step: Value, weights: Weights, bias: Value | None) -> Value:
    rows = dequantized(op, data, step)
    worth = op.Mul(step, op.const(_factor(weights)))
    offset = None
    if bias is not None:
        offset = op.DequantizeLinear(bias, worth, axis=0)
    if data.rank == 2:
        return op.Gemm(rows, _dequantized_weights(op, weights), offset, transB=1)
    columns = op.transpose(_dequantized_weights(op, weights), (1, 0))
    product = op.MatMul(rows, columns)
    return product if offset is None else op.Add(product, offset)


def _whole_product(
    op: Emit, data: Value, step: Value, weights: Weights, bias: Value | None, last: Node | None
) -> tuple[Value, Value, Value]:
    total = op.MatMulInteger(data, op.const(np.ascontiguousarray(weights.steps.T)))
    if bias is not None:
        total = op.Add(total, bias)
    top = _top(op, data, step, weights)
    return _activated_whole(op, total, last), op.Neg(top), top


def _stored(
    op: Emit, weight: Value, bias: Value | None, ranges: Sequence[Value], step: Value
) -> tuple[Weights, Value | None]:
    """Weights and bias that the export holds in int8, the bias in units of the product."""
    numbers = [float(weighing.constant(end, "ranges")[0]) for end in ranges]
    weights = weighing.stored(weighing.constant(weight, "weights"), numbers[0], numbers[1])
    if bias is None:
        return weights, None
    ends = numbers[2], numbers[3]
    given = weighing.constant(bias, "biases")
    if step.constant is None:
        real = given.astype(np.float32) * weighing.stored(given, *ends).units
        return weights, weighing.bias_steps(op, real, weights, step)
    steps, weights = weighing.stored_bias(given, ends, weights, float(step.constant))
    return weights, op.const(steps)


def _floats(weight: Value, bias: Value | None) -> tuple[np.ndarray, np.ndarray | None]:
    kernel = weighing.constant(weight, "weights").astype(np.float32, copy=False)
    return kernel, None if bias is None else weighing.constant(bias, "biases").astype(np.float32)


def _normalised(
    op: Emit,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    stored: Sequence[Value],
    norm: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias that normalise as well."""
    gamma, beta, mean, var = (weighing.constant(value, "statistics") for value in stored)
    if op.sketching:
        return kernel, beta.astype(np.float32)
    if norm.get("fix_gamma", True):
        gamma = np.ones_like(beta)
    factor = (gamma / np.sqrt(var.astype(np.float64) + norm.get("eps", 1e-3))).astype(np.float32)
    offset = (np.float32(0) if bias is None else bias) - mean
    wide = factor.reshape(-1, *(1,) * (kernel.ndim - 1))
    return kernel * wide, (beta + factor * offset).astype(np.float32)


def _dequantized_weights(op: Emit, weights: Weights) -> Value:
    return op.DequantizeLinear(op.const(weights.steps), op.const(_factor(weights)), axis=0)


def _dequantized_bias(op: Emit, bias: np.ndarray, weights: Weights, step: Value) -> Value:
    steps = weighing.bias_steps(op, bias, weights, step)
    return op.DequantizeLinear(steps, op.Mul(op.const(_factor(weights)), step), axis=0)


def _factor(weights: Weights) -> np.ndarray:
    """Units per channel, or a scalar."""
    return weights.units if weights.units.size > 1 else weights.units.reshape(())


def _top(op: Emit, data: Value, step: Value, weights: Weights) -> Value:
    """The largest magnitude of products in 32 bits."""
    magnitude = op.reshape(op.Mul(step, LEVELS[data.dtype]), (1,))
    unsigned = data.dtype is DType.UINT8
    return product_span(op, magnitude, op.const(weights.magnitude), unsigned=unsigned)


def _attributes(nodes: Sequence[Node], kind: str) -> dict[str, Any]:
    """The attributes of the one node of this kind in a fused operator's graph."""
    found = [node for node in nodes if node.op == kind]
    lowering = _INSIDE.lowering(kind)
    if len(found) != 1 or lowering is None:
        raise InvalidModel(f"{len(found)} nodes of {kind} in a fused operator")
    return lowering.read(found[0])[0]


def _placed(acts: Sequence[Node], *, before: bool, after: bool) -> tuple[Node | None, Node | None]:
    """The activations before the sum and after it."""
    if len(acts) < before + after:
        raise InvalidModel(f"{len(acts)} activations in a fused operator")
    return (acts[0] if before else None), (acts[int(before)] if after else None)


def _non_negative(node: Node) -> bool:
    """Whether MXNet stores what this activation answers without a sign."""
    if node.op in _NEVER_NEGATIVE or node.op == "clip":
        return True
    if node.op == "LeakyReLU":
        return False
    return node.attributes.get("act_type") in ("relu", "sigmoid", "softrelu")


def _applied(op: Emit, value: Value, node: Node | None) -> Value:
    if node is None:
        return value
    lowering = _INSIDE.lowering(node.op)
    if lowering is None:
        raise InvalidModel(f"{node.op} in a fused operator")
    return lowering(op, node, [value])[0]


def _activated(op: Emit, real: Value, node: Node | None, step: Value) -> Value:
    """An activation inside oneDNN's convolution, which works on steps and not on real numbers.

    For those that are the same at every scale it makes no difference; ``clip`` is left to the
    range of the bytes, as in MXNet.
    """
    if node is None or node.op == "clip":
        return real
    if _scale_free(node):
        return _applied(op, real, node)
    return op.Mul(_applied(op, op.Div(real, step), node), step)


def _stored_as(op: Emit, real: Value, step: Value, kept: DType, kind: DType) -> Value:
    """Steps as MXNet leaves them: it adds in the summand's memory, and so in the summand's type.

    Where the answer is said to be of the other type its bits are read as that.
    """
    if kept is kind:
        return quantized(op, real, step, kind)
    if kept is DType.INT8:  # never negative, or it would not be said to be bytes
        highest = op.Mul(step, 127.0)
        return quantized(op, op.Clip(real, op.scalar(0.0, DType.FP32), highest), step, kind)
    steps = op.cast(quantized(op, real, step, kept), DType.INT32)
    beyond = op.cast(op.Greater(steps, 127), DType.INT32)
    return op.cast(op.Sub(steps, op.Mul(beyond, 256)), kind)


def _scale_free(node: Node) -> bool:
    kind = node.attributes.get("act_type", "leaky" if node.op == "LeakyReLU" else "")
    return kind in ("relu", "leaky")


def _activated_whole(op: Emit, total: Value, node: Node | None) -> Value:
    """An activation of numbers in 32 bits."""
    if node is None:
        return total
    if node.op == "Activation" and node.attributes.get("act_type") == "relu":
        return op.Max(total, op.scalar(0, DType.INT32))
    return op.cast(op.Round(_applied(op, op.cast(total, DType.FP32), node)), DType.INT32)
