"""Functions of one element: what each of MXNet's is in ONNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

Unary: TypeAlias = "Callable[[Emit, Value], Value]"

BYTES = frozenset({DType.INT8, DType.UINT8})
_WIDE_FROM = 10.0
NAN_IN_EXP = "Exp of NaN"
"""What a target lacks whose ``Exp`` makes infinity of NaN."""
_UNSIGNED = frozenset({DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64})


def real(op: Emit, data: Value, compute: Callable[[Value], Value]) -> Value:
    """``compute`` on floating-point numbers; integers go through float32 and are cut back."""
    if data.is_float:
        return compute(data)
    return op.cast(compute(op.cast(data, DType.FP32)), data.dtype)


def round_away(op: Emit, data: Value) -> Value:
    """To the nearest integer; halves away from zero (ONNX rounds them to even)."""
    if not data.is_float:
        return data
    whole = truncate(op, data)
    half = op.GreaterOrEqual(op.Abs(op.Sub(data, whole)), 0.5)
    return op.Where(half, op.Add(whole, op.Sign(data)), whole)


def round_down(op: Emit, data: Value) -> Value:
    """To the nearest integer; halves to the lower one, as MXNet's ``rint`` has it."""
    if not data.is_float:
        return data
    low, high = op.Floor(data), op.Ceil(data)
    return op.Where(op.LessOrEqual(op.Sub(data, low), op.Sub(high, data)), low, high)


def round_even(op: Emit, data: Value) -> Value:
    """To the nearest integer; halves to the even one."""
    return op.Round(data) if data.is_float else data


def truncate(op: Emit, data: Value) -> Value:
    """The whole part, towards zero."""
    if not data.is_float:
        return data
    return op.Where(op.Less(data, 0), op.Ceil(data), op.Floor(data))


def cube_root(op: Emit, data: Value) -> Value:
    """The real root, also of negative numbers."""
    return real(op, data, lambda x: op.Mul(op.Sign(x), op.Pow(op.Abs(x), 1.0 / 3)))


def _over_cube_root(op: Emit, data: Value) -> Value:
    """1 / the real root; of -0 it is -infinity, though the root drops that sign."""

    def compute(x: Value) -> Value:
        return op.Where(op.Equal(x, 0), op.Reciprocal(x), op.Reciprocal(cube_root(op, x)))

    return real(op, data, compute)


def logical_not(op: Emit, data: Value) -> Value:
    """1 where an element is zero, in the data's type."""
    return op.cast(op.Equal(data, 0) if data.dtype is not DType.BOOL else op.Not(data), data.dtype)


def wrapped(op: Emit, data: Value, compute: Callable[[Value], Value]) -> Value:
    """``compute`` in the data's type; bytes wrap, where engines would saturate them."""
    if data.dtype not in BYTES:
        return compute(data)
    low = 0 if data.dtype is DType.UINT8 else 128
    wide = compute(op.cast(data, DType.INT32))
    return op.cast(op.Sub(op.Mod(op.Add(wide, low), 256), low), data.dtype)


def _absolute(op: Emit, data: Value) -> Value:
    return data if data.dtype in _UNSIGNED else wrapped(op, data, op.Abs)


def _negative(op: Emit, data: Value) -> Value:
    if data.dtype in _UNSIGNED and data.dtype not in BYTES:
        return op.Sub(op.scalar(0, data.dtype), data)
    return wrapped(op, data, op.Neg)


def exponential(op: Emit, data: Value) -> Value:
    """``Exp``; NaN stays."""
    power = op.Exp(data)
    return power if op.target.has(NAN_IN_EXP) else op.Where(op.IsNaN(data), data, power)


def _sign(op: Emit, data: Value) -> Value:
    """``Sign``; MXNet says 0 of NaN."""
    sign = op.Sign(data)
    return op.Where(op.IsNaN(data), op.scalar(0, data.dtype), sign) if data.is_float else sign


def _relu(op: Emit, data: Value) -> Value:
    return op.Relu(data) if data.is_float else op.Max(data, 0)


def _kept(op_type: str) -> Unary:
    """An operator that leaves integers alone."""
    return lambda op, data: op.node(op_type, data)[0] if data.is_float else data


def _real(op_type: str) -> Unary:
    """An operator that is only there for floating-point numbers."""
    return lambda op, data: real(op, data, lambda x: op.node(op_type, x)[0])


def _single(op_type: str) -> Unary:
    """An operator for which engines have no float64 code."""

    def compute(op: Emit, data: Value) -> Value:
        single = op.node(op_type, op.cast(data, DType.FP32) if _other(data) else data)[0]
        return op.cast(single, data.dtype)

    return compute


def _hyperbolic(op_type: str, combine: str) -> Unary:
    """Its float64 by exponentials where float32 would overflow."""

    def compute(op: Emit, data: Value) -> Value:
        single = _single(op_type)(op, data)
        if data.dtype is not DType.FP64:
            return single
        both = op.Exp(data), op.Exp(op.Neg(data))
        wide = op.Mul(op.node(combine, *both)[0], 0.5)
        return op.Where(op.Greater(op.Abs(data), _WIDE_FROM), wide, single)

    return compute


def _other(data: Value) -> bool:
    return data.dtype not in (DType.FP32, DType.FP16)


def _scaled(op_type: str, factor: float) -> Unary:
    return lambda op, data: real(op, data, lambda x: op.Mul(op.node(op_type, x)[0], factor))


def _times(factor: float) -> Unary:
    return lambda op, data: real(op, data, lambda x: op.Mul(x, factor))


UNARY: Mapping[str, Unary] = {
    "abs": _absolute,
    "arccos": _single("Acos"),
    "arccosh": _single("Acosh"),
    "arcsin": _single("Asin"),
    "arcsinh": _single("Asinh"),
    "arctan": _single("Atan"),
    "arctanh": _single("Atanh"),
    "cbrt": cube_root,
    "ceil": _kept("Ceil"),
    "cos": _real("Cos"),
    "cosh": _hyperbolic("Cosh", "Add"),
    "degrees": _times(180 / math.pi),
    "erf": _single("Erf"),
    "exp": lambda op, data: real(op, data, lambda x: exponential(op, x)),
    "expm1": lambda op, data: real(op, data, lambda x: op.Sub(exponential(op, x), 1.0)),
    "fix": truncate,
    "floor": _kept("Floor"),
    "log": _real("Log"),
    "log10": _scaled("Log", 1 / math.log(10)),
    "log1p": lambda op, data: real(op, data, lambda x: op.Log(op.Add(x, 1.0))),
    "log2": _scaled("Log", 1 / math.log(2)),
    "logical_not": logical_not,
    "negative": _negative,
    "radians": _times(math.pi / 180),
    "rcbrt": _over_cube_root,
    "reciprocal": _real("Reciprocal"),
    "relu": _relu,
    "rint": round_down,
    "round": round_away,
    "rsqrt": lambda op, data: real(op, data, lambda x: op.Reciprocal(op.Sqrt(x))),
    "sigmoid": _real("Sigmoid"),
    "sign": _sign,
    "sin": _real("Sin"),
    "sinh": _hyperbolic("Sinh", "Sub"),
    "softsign": _single("Softsign"),
    "sqrt": _real("Sqrt"),
    "square": lambda op, data: wrapped(op, data, lambda x: op.Mul(x, x)),
    "tan": _single("Tan"),
    "tanh": _real("Tanh"),
    "trunc": truncate,
}
"""What a function computes, by MXNet's legacy name; the numpy interface has others for the same."""

_STRAIGHT_THROUGH = {"_contrib_round_ste": round_away, "_contrib_sign_ste": UNARY["sign"]}
_COPIES = ("_copy", "BlockGrad", "_copyto", "_CrossDeviceCopy")
_NOTHING: Mapping[str, Unary] = dict.fromkeys(_COPIES, lambda _, data: data)

UNARY = {**UNARY, **_STRAIGHT_THROUGH, **_NOTHING}
LEGACY = tuple(UNARY)
"""The names that are MXNet operators."""
