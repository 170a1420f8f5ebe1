"""Rules of operators that work element by element, or keep the shape they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.loader.lowering.values import FROM_ONNX
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.loader.lowering.rules.call import Call, Rule, Types

_SAME = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LRN",
    "LeakyRelu",
    "Log",
    "LpNormalization",
    "Mish",
    "Neg",
    "Not",
    "PRelu",
    "Reciprocal",
    "Relu",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
    "InstanceNormalization",
    "GroupNormalization",
    "Bernoulli",
    "RandomNormalLike",
    "RandomUniformLike",
]
_ALONG = ("CumSum", "Hardmax", "LogSoftmax", "LpNormalization", "Softmax")
_BROADCAST = [
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "Pow",
    "Sub",
    "Sum",
    "Xor",
]
_COMPARE = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
_TEST = ["IsInf", "IsNaN"]


def same(call: Call) -> Types:
    """Type and shape of the first operand."""
    return [(call[0].dtype, call[0].shape)]


def _along(call: Call) -> Types:
    """Elements along one axis depend on each other."""
    axis = call.numbers(1) if call.op_type == "CumSum" else (call.attribute("axis", -1),)
    call.op.couple(*(call[0].shape[at] for at in axis or range(call[0].rank)))
    return same(call)


def _reversed(call: Call) -> Types:
    call.op.couple(call[0].shape[call.attribute("time_axis", 0)])
    return same(call)


def _broadcast(call: Call) -> Types:
    shapes = [operand.shape for operand in call.operands if operand is not None]
    return [(call[0].dtype, call.broadcast(*shapes))]


def _compare(call: Call) -> Types:
    return [(DType.BOOL, call.broadcast(call[0].shape, call[1].shape))]


def _test(call: Call) -> Types:
    return [(DType.BOOL, call[0].shape)]


def _where(call: Call) -> Types:
    shape = call.broadcast(call[0].shape, call[1].shape, call[2].shape)
    return [(call[1].dtype, shape)]


def _cast(call: Call) -> Types:
    return [(FROM_ONNX[call.attribute("to")], call[0].shape)]


def _cast_like(call: Call) -> Types:
    return [(call[1].dtype, call[0].shape)]


def _quantize(call: Call) -> Types:
    return [(call[2].dtype if call.has(2) else DType.UINT8, call[0].shape)]


def _dequantize(call: Call) -> Types:
    return [(call[1].dtype, call[0].shape)]


def _dynamic_quantize(call: Call) -> Types:
    return [(DType.UINT8, call[0].shape), (DType.FP32, ()), (DType.UINT8, ())]


def _batch_normalization(call: Call) -> Types:
    channels = call[0].shape[1] if call[0].rank > 1 else 1
    for index in range(1, 5):
        call.equate(channels, call[index].shape[0])
    return same(call)


def _layer_normalization(call: Call) -> Types:
    axis = call[0].axis(call.attribute("axis", -1))
    call.op.couple(*call[0].shape[axis:])
    reduced = tuple(1 if at >= axis else dim for at, dim in enumerate(call[0].shape))
    return [*same(call), (DType.FP32, reduced), (DType.FP32, reduced)][: call.outputs]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_ALONG, _along),
    "ReverseSequence": _reversed,
    **dict.fromkeys(_BROADCAST, _broadcast),
    **dict.fromkeys(_COMPARE, _compare),
    **dict.fromkeys(_TEST, _test),
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast_like,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
}
