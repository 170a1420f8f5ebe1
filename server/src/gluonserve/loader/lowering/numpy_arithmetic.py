"""Arithmetic of the numpy interface: its rules of types over the legacy functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gluonserve.loader.lowering.elementwise import BINARY, hypotenuse, modulo, power, turned
from gluonserve.loader.lowering.table import OpTable
from gluonserve.loader.lowering.unary import UNARY
from gluonserve.loader.lowering.values import FLOATS
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

Binary: TypeAlias = "Callable[[Emit, Value, Value], Value]"


def common(one: DType, other: DType) -> DType:
    """The type of a result: the wider float, a float beside integers, else the wider integer."""
    floats = [kind for kind in (one, other) if kind in FLOATS]
    if floats:
        return max(floats, key=lambda kind: kind.numpy.itemsize)
    return DType.of(np.promote_types(one.numpy, other.numpy))


def alike(op: Emit, left: Value, right: Value) -> tuple[Value, Value]:
    """Both operands in their common type."""
    kind = common(left.dtype, right.dtype)
    return op.cast(left, kind), op.cast(right, kind)


def real_numbers(op: Emit, data: Value) -> Value:
    """Integers and booleans as float32; floating-point numbers as they are."""
    return data if data.is_float else op.cast(data, DType.FP32)


def choose(op: Emit, condition: Value, one: Value, other: Value) -> Value:
    """``Where``; ONNX Runtime has none for booleans."""
    if one.dtype is not DType.BOOL:
        return op.Where(condition, one, other)
    chosen = op.Where(condition, op.cast(one, DType.UINT8), op.cast(other, DType.UINT8))
    return op.cast(chosen, DType.BOOL)


def compared(op_type: str) -> Binary:
    """A comparison that answers booleans; booleans compare as 0 and 1."""

    def compare(op: Emit, left: Value, right: Value) -> Value:
        if left.dtype is DType.BOOL:
            left, right = op.cast(left, DType.INT32), op.cast(right, DType.INT32)
        if op_type == "NotEqual":
            return op.Not(op.Equal(left, right))
        return op.node(op_type, left, right)[0]

    return compare


def negative_sign(op: Emit, data: Value) -> Value:
    """Where the sign bit is set, that of -0.0 too."""
    return op.Or(op.Less(data, 0), op.Less(op.Div(op.scalar(1, data.dtype), data), 0))


def with_sign(op: Emit, left: Value, right: Value) -> Value:
    """The left operand's size with the right one's sign; to MXNet -0.0 is as good as 0.0."""
    alike = op.Equal(op.Less(left, 0), op.Less(right, 0))
    return op.Where(alike, left, UNARY["negative"](op, left))


def angle(op: Emit, top: Value, bottom: Value) -> Value:
    """The angle of a point (bottom, top), from ``Atan`` of a ratio between 0 and infinity."""
    if not top.is_float:
        wide = angle(op, op.cast(top, DType.FP32), op.cast(bottom, DType.FP32))
        return op.cast(wide, top.dtype)
    high, wide = op.Abs(top), op.Abs(bottom)
    zero, one = op.scalar(0, top.dtype), op.scalar(1, top.dtype)
    ratio = op.Where(op.Equal(high, wide), one, op.Div(high, wide))
    ratio = op.Where(op.And(op.Equal(high, zero), op.Equal(wide, zero)), zero, ratio)
    acute = UNARY["arctan"](op, ratio)
    turned = op.Sub(op.scalar(math.pi, top.dtype), acute)
    right = op.Where(negative_sign(op, bottom), turned, acute)
    return op.Where(negative_sign(op, top), op.Neg(right), right)


def scaled_by_power(op: Emit, left: Value, right: Value) -> Value:
    """``left`` times two to the power of ``right``, in float64 where both are integers."""
    if left.is_float:
        return op.Mul(left, op.Pow(op.scalar(2, left.dtype), right))
    wide = scaled_by_power(op, op.cast(left, DType.FP64), op.cast(right, DType.FP64))
    return op.cast(wide, left.dtype)


def common_multiple(op: Emit, left: Value, right: Value) -> Value:
    """The least common multiple: Euclid's algorithm on all elements at once."""
    kind = DType.INT64 if left.dtype is DType.INT64 else DType.INT32
    one, other = op.Abs(op.cast(left, kind)), op.Abs(op.cast(right, kind))
    larger, smaller = op.Max(one, other), op.Min(one, other)
    pair = (kind, larger.shape)
    reads = left.reads_data or right.reads_data
    body = op.body([(DType.INT64, ()), (DType.BOOL, ()), pair, pair], reads_data=reads)
    inner, (_, goes_on, top, bottom) = body.op, body.inputs
    done = inner.Equal(bottom, 0)
    rest = inner.Mod(top, inner.Where(done, inner.scalar(1, kind), bottom))
    graph = body.graph(goes_on, inner.Where(done, top, bottom), inner.Where(done, bottom, rest))
    divisor, _ = op.node(
        "Loop", op.scalar(_EUCLID[kind]), op.const(True), larger, smaller,
        outputs=2, types=[pair, pair], reads_data=reads, body=graph,
    )  # fmt: skip
    shared = op.Where(op.Equal(divisor, 0), op.scalar(1, kind), divisor)
    return op.cast(op.Mul(op.quotient(one, shared), other), left.dtype)


def _bitwise(name: str) -> Binary:
    def combine(op: Emit, left: Value, right: Value) -> Value:
        whole = left.dtype is not DType.BOOL
        return op.node(f"Bitwise{name}" if whole else name, left, right)[0]

    return combine


def _through_integers(compute: Binary) -> Binary:
    """Booleans take part as 0 and 1, and what is not 0 is true again."""

    def counted(op: Emit, left: Value, right: Value) -> Value:
        if left.dtype is not DType.BOOL:
            return compute(op, left, right)
        result = compute(op, op.cast(left, DType.INT32), op.cast(right, DType.INT32))
        return op.cast(result, DType.BOOL)

    return counted


def divide(op: Emit, left: Value, right: Value) -> Value:
    """Integers divide as float32."""
    return op.Div(real_numbers(op, left), real_numbers(op, right))


_EUCLID: Mapping[DType, int] = {DType.INT32: 46, DType.INT64: 92}
"""The most steps that numbers of a type can take."""
ARITHMETIC: Mapping[str, Binary] = {
    "add": _through_integers(BINARY["add"]),
    "subtract": BINARY["sub"],
    "multiply": _through_integers(BINARY["mul"]),
    "mod": modulo,
    "power": _through_integers(power),
    "copysign": with_sign,
    "arctan2": angle,
    "hypot": hypotenuse,
    "ldexp": scaled_by_power,
}
COMPARISONS: Mapping[str, Binary] = {
    "equal": compared("Equal"),
    "not_equal": compared("NotEqual"),
    "greater": turned(compared("Less")),
    "greater_equal": turned(compared("LessOrEqual")),
    "less": compared("Less"),
    "less_equal": compared("LessOrEqual"),
}
WHOLE: Mapping[str, Binary] = {
    "bitwise_and": _bitwise("And"),
    "bitwise_or": _bitwise("Or"),
    "bitwise_xor": _bitwise("Xor"),
    "lcm": _through_integers(common_multiple),
}
