"""The numpy interface's operators on single elements, and what type each answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.lowering.elementwise import truth, with_scalar
from gluonserve.loader.lowering.numpy_arithmetic import (
    ARITHMETIC,
    COMPARISONS,
    WHOLE,
    alike,
    choose,
    divide,
)
from gluonserve.loader.lowering.table import OpTable
from gluonserve.loader.lowering.unary import UNARY, round_even
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.numpy_arithmetic import Binary
    from gluonserve.loader.lowering.unary import Unary
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_UNARY = (
    *("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "cbrt", "ceil", "cos", "cosh"),
    *("degrees", "exp", "expm1", "fix", "floor", "log", "log10", "log1p", "log2", "negative"),
    *("radians", "reciprocal", "rint", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh"),
    "trunc",
)
_SAME: Mapping[str, str] = {
    "_npi_absolute": "abs",
    "_npx_relu": "relu",
    "_npx_sigmoid": "sigmoid",
    "_np_copy": "_copy",
    **{f"_npi_{name}": name for name in _UNARY},
}


def _register_unary(name: str, compute: Unary) -> None:
    @OPS.lowers(name)
    def function(op: Emit, x: Value) -> Value:
        """As the legacy operator, in the type of the data: integers stay integers."""
        return compute(op, x)


def _register_binary(name: str, compute: Binary) -> None:
    @OPS.lowers(name)
    def broadcast(op: Emit, lhs: Value, rhs: Value) -> Value:
        """In the common type of both operands; shapes broadcast as in ONNX."""
        return compute(op, *alike(op, lhs, rhs))


def _register_scalar(name: str, compute: Binary, *, reverse: bool) -> None:
    @OPS.lowers(name)
    def beside_scalar(op: Emit, data: Value, *, scalar: float = 1.0, is_int: bool = True) -> Value:
        """The scalar takes an integer tensor's type, unless it is said not to be an integer."""
        tensor, number = with_scalar(op, data, scalar, is_int=is_int)
        return compute(op, number, tensor) if reverse else compute(op, tensor, number)


def _register_comparison(name: str, compute: Binary) -> None:
    @OPS.lowers(name)
    def compare(op: Emit, data: Value, *, scalar: float = 1.0, is_int: bool = True) -> Value:
        """Booleans; beside booleans the scalar is one too."""
        if data.dtype is DType.BOOL:
            return compute(op, data, op.const(np.array(bool(scalar))))
        return compute(op, *with_scalar(op, data, scalar, is_int=is_int))


def _register_whole(name: str, compute: Binary) -> None:
    @OPS.lowers(name, ignoring=("is_int",))
    def combine(op: Emit, data: Value, *, scalar: float = 1.0) -> Value:
        """Integers or booleans with a number in their type."""
        return compute(op, data, op.scalar(scalar, data.dtype))


def _register_division(name: str, *, reverse: bool) -> None:
    @OPS.lowers(name, ignoring=("is_int",))
    def quotient(op: Emit, data: Value, *, scalar: float = 1.0) -> Value:
        """Integers divide as float32."""
        tensor = data if data.is_float else op.cast(data, DType.FP32)
        number = op.scalar(scalar, tensor.dtype)
        return divide(op, number, tensor) if reverse else divide(op, tensor, number)


def _register_test(name: str, compute: Callable[[Emit, Value], Value], *, whole: bool) -> None:
    @OPS.lowers(name)
    def test(op: Emit, x: Value) -> Value:
        """Booleans; integers are always finite."""
        return compute(op, x) if x.is_float else op.filled(whole, x.shape, DType.BOOL)


for _name, _stem in _SAME.items():
    _register_unary(_name, UNARY[_stem])
for _name in (*ARITHMETIC, *COMPARISONS, *WHOLE):
    _register_binary(f"_npi_{_name}", {**ARITHMETIC, **COMPARISONS, **WHOLE}[_name])
_register_binary("_npi_true_divide", divide)
for _name in ("add", "subtract", "multiply", "mod", "power", "copysign", "arctan2", "ldexp"):
    _register_scalar(f"_npi_{_name}_scalar", ARITHMETIC[_name], reverse=False)
for _name in ("subtract", "mod", "power", "copysign", "arctan2", "ldexp"):
    _register_scalar(f"_npi_r{_name}_scalar", ARITHMETIC[_name], reverse=True)
for _name in COMPARISONS:
    _register_comparison(f"_npi_{_name}_scalar", COMPARISONS[_name])
for _name in WHOLE:
    _register_whole(f"_npi_{_name}_scalar", WHOLE[_name])
_register_division("_npi_true_divide_scalar", reverse=False)
_register_division("_npi_rtrue_divide_scalar", reverse=True)
_register_test("_npi_isnan", lambda op, x: op.IsNaN(x), whole=False)
_register_test("_npi_isinf", lambda op, x: op.Equal(op.Abs(x), np.inf), whole=False)
_register_test("_npi_isposinf", lambda op, x: op.Equal(x, np.inf), whole=False)
_register_test("_npi_isneginf", lambda op, x: op.Equal(x, -np.inf), whole=False)
_register_test("_npi_isfinite", lambda op, x: op.Less(op.Abs(x), np.inf), whole=True)


@OPS.lowers("_npi_logical_not")
def logical_not(op: Emit, x: Value) -> Value:
    """Where an element is zero, as booleans."""
    return op.Not(truth(op, x))


@OPS.lowers("_npi_bitwise_not")
def bitwise_not(op: Emit, x: Value) -> Value:
    """``BitwiseNot``, or ``Not`` of booleans."""
    return op.Not(x) if x.dtype is DType.BOOL else op.BitwiseNot(x)


@OPS.lowers("_npi_around")
def around(op: Emit, x: Value, *, decimals: int = 0) -> Value:
    """Halves to even; integers are cut off, as MXNet divides them before it rounds."""
    if not x.is_float:
        return x if decimals >= 0 else _cut(op, x, 10**-decimals)
    if decimals == 0:
        return round_even(op, x)
    scale = float(10 ** abs(decimals))
    if decimals > 0:
        return op.Div(round_even(op, op.Mul(x, scale)), scale)
    return op.Mul(round_even(op, op.Div(x, scale)), scale)


@OPS.lowers("_npi_nan_to_num", ignoring=("copy",))
def nan_to_num(
    op: Emit,
    data: Value,
    *,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Value:
    """Numbers for NaN and the infinities: without any, the largest of the type."""
    if not data.is_float:
        return data
    limits = np.finfo(data.dtype.numpy)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    number = op.Where(op.IsNaN(data), op.scalar(nan, data.dtype), data)
    number = op.Where(op.Equal(data, np.inf), op.scalar(high, data.dtype), number)
    return op.Where(op.Equal(data, -np.inf), op.scalar(low, data.dtype), number)


@OPS.lowers("_npi_where")
def where(op: Emit, condition: Value, x: Value, y: Value) -> Value:
    """All three broadcast; the condition is what is not 0."""
    return choose(op, truth(op, condition), *alike(op, x, y))


@OPS.lowers("_npi_where_lscalar")
def where_left(op: Emit, condition: Value, x: Value, *, scalar: float = 0.0) -> Value:
    """The scalar where the condition holds, whatever the input is called."""
    return choose(op, truth(op, condition), op.scalar(scalar, x.dtype), x)


@OPS.lowers("_npi_where_rscalar")
def where_right(op: Emit, condition: Value, y: Value, *, scalar: float = 0.0) -> Value:
    """The scalar where the condition fails, whatever the input is called."""
    return choose(op, truth(op, condition), y, op.scalar(scalar, y.dtype))


@OPS.lowers("_npi_where_scalar2")
def where_scalars(op: Emit, condition: Value, *, x: float = 0.0, y: float = 0.0) -> Value:
    """One of two numbers, float32."""
    return op.Where(truth(op, condition), op.scalar(x, DType.FP32), op.scalar(y, DType.FP32))


@OPS.lowers("_npi_share_memory", without=("a", "b"))
def share_memory(op: Emit, a: Value | None = None, b: Value | None = None) -> Value:
    """False: every value of a graph has memory of its own here."""
    return op.const(np.array(False))


def _cut(op: Emit, data: Value, unit: int) -> Value:
    kind = DType.INT64 if data.dtype is DType.INT64 else DType.INT32
    wide = op.cast(data, kind)
    return op.cast(op.Sub(wide, op.Mod(wide, op.scalar(unit, kind), fmod=1)), data.dtype)
