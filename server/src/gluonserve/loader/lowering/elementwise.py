"""Arithmetic, comparisons and functions of single elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gluonserve.loader.lowering import unary
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

NAN_IN_MAX = "Max of NaN"
"""What a target lacks whose ``Max`` and ``Min`` answer the second operand beside a NaN."""

Binary: TypeAlias = "Callable[[Emit, Value, Value], Value]"


def truth(op: Emit, value: Value) -> Value:
    """Where a tensor is not zero, as booleans."""
    return value if value.dtype is DType.BOOL else op.cast(value, DType.BOOL)


def modulo(op: Emit, left: Value, right: Value) -> Value:
    """The remainder with the divisor's sign; 0 where the divisor is 0."""
    zero = op.Equal(right, 0)
    if not left.is_float:
        return op.Mod(left, op.Where(zero, op.scalar(1, right.dtype), right))
    rest = op.Mod(left, right, fmod=1)
    other_sign = op.And(op.Xor(op.Less(rest, 0), op.Less(right, 0)), op.Not(op.Equal(rest, 0)))
    signed = op.Where(other_sign, op.Add(rest, right), rest)
    return op.Where(zero, op.scalar(0, left.dtype), signed)


def divide(op: Emit, left: Value, right: Value) -> Value:
    """``Div``; integers towards zero, by 1 where it would end the process: 0, and -1 into most."""
    if left.is_float:
        return op.Div(left, right)
    narrow = left.dtype not in (DType.INT32, DType.INT64)
    kind = DType.INT32 if narrow else left.dtype
    whole, divisor = op.cast(left, kind), op.cast(right, kind)
    if right.constant is not None and not np.isin(right.constant, (0, -1)).any():
        return op.cast(op.quotient(whole, divisor, floor=False), left.dtype)
    one, turned = op.scalar(1, kind), op.Equal(divisor, -1)
    safe = op.Where(op.Or(turned, op.Equal(divisor, 0)), one, divisor)
    result = op.Where(turned, op.Neg(whole), op.quotient(whole, safe, floor=False))
    return op.cast(result, left.dtype)


def power(op: Emit, left: Value, right: Value) -> Value:
    """``Pow``; integers go through float32, as in MXNet."""
    return _wide(op, left, right, op.Pow)


def hypotenuse(op: Emit, left: Value, right: Value) -> Value:
    """sqrt(a^2 + b^2): infinite beside an infinity, even where the other is NaN."""

    def compute(a: Value, b: Value) -> Value:
        root = op.Sqrt(op.Add(op.Mul(a, a), op.Mul(b, b)))
        endless = op.Or(op.Equal(op.Abs(a), np.inf), op.Equal(op.Abs(b), np.inf))
        return op.Where(endless, op.scalar(np.inf, a.dtype), root)

    return _wide(op, left, right, compute)


def compared(op_type: str) -> Binary:
    """A comparison that answers 0 or 1 in the operands' type.

    "Greater" is "less" turned round, which is false beside NaN in all engines.
    """

    def compare(op: Emit, left: Value, right: Value) -> Value:
        if op_type == "NotEqual":
            return op.cast(op.Not(op.Equal(left, right)), left.dtype)
        return op.cast(op.node(op_type, left, right)[0], left.dtype)

    return compare


def turned(compute: Binary) -> Binary:
    """The same with the operands exchanged."""
    return lambda op, left, right: compute(op, right, left)


def logical(op_type: str) -> Binary:
    """A logical operator on "is not zero", as NaN is, that answers 0 or 1 in the operands' type."""

    def holds(op: Emit, value: Value) -> Value:
        return op.Not(op.Equal(value, 0)) if value.is_float else truth(op, value)

    def combine(op: Emit, left: Value, right: Value) -> Value:
        return op.cast(op.node(op_type, holds(op, left), holds(op, right))[0], left.dtype)

    return combine


def arithmetic(op_type: str) -> Binary:
    """An arithmetic operator; bytes wrap, where engines would saturate them."""

    def compute(op: Emit, left: Value, right: Value) -> Value:
        def combined(one: Value) -> Value:
            return op.node(op_type, one, op.cast(right, one.dtype))[0]

        return unary.wrapped(op, left, combined)

    return compute


def extreme(op_type: str) -> Binary:
    """``Max`` or ``Min``; NaN in either operand wins."""

    def compute(op: Emit, left: Value, right: Value) -> Value:
        if left.constant is None and right.constant is not None and right.constant.size == 1:
            left, right = right, left  # engines that overlook NaN do so in the first operand
        result = op.node(op_type, left, right)[0]
        known = left.constant is not None and left.constant.size == 1
        if not left.is_float or known or op.target.has(NAN_IN_MAX):
            return result
        return op.Where(op.IsNaN(left), left, result)

    return compute


def _plain(op_type: str) -> Binary:
    return lambda op, left, right: op.node(op_type, left, right)[0]


def _wide(op: Emit, left: Value, right: Value, compute: Callable[[Value, Value], Value]) -> Value:
    """``compute`` on floating-point numbers; integers go through float32 and are cut back."""
    if left.is_float:
        return compute(left, right)
    wide = compute(op.cast(left, DType.FP32), op.cast(right, DType.FP32))
    return op.cast(wide, left.dtype)


def with_scalar(op: Emit, data: Value, scalar: float, *, is_int: bool) -> tuple[Value, Value]:
    """A tensor and a number in the type of both: beside integers a float makes float64.

    The frontend of MXNet 1.9.1 writes ``is_int`` for integers only where it is True by default,
    so that 1.5 beside integers is 1; booleans become int64.
    """
    if not data.is_float:
        whole = DType.INT64 if data.dtype is DType.BOOL else data.dtype
        data = op.cast(data, whole if is_int else DType.FP64)
    return data, op.scalar(scalar, data.dtype)


BINARY: Mapping[str, Binary] = {
    "add": arithmetic("Add"),
    "sub": arithmetic("Sub"),
    "mul": arithmetic("Mul"),
    "div": divide,
    "mod": modulo,
    "power": power,
    "hypot": hypotenuse,
    "maximum": extreme("Max"),
    "minimum": extreme("Min"),
    "equal": compared("Equal"),
    "not_equal": compared("NotEqual"),
    "greater": turned(compared("Less")),
    "greater_equal": turned(compared("LessOrEqual")),
    "lesser": compared("Less"),
    "lesser_equal": compared("LessOrEqual"),
    "logical_and": logical("And"),
    "logical_or": logical("Or"),
    "logical_xor": logical("Xor"),
}
"""What MXNet's legacy binary operators compute, by the stem of their names."""

_ALIKE = {
    "elemwise_add": "add",
    "elemwise_sub": "sub",
    "elemwise_mul": "mul",
    "elemwise_div": "div",
    "_grad_add": "add",
    "_scatter_elemwise_div": "div",
    **{f"_{stem}": stem for stem in list(BINARY)[4:]},
}
_SCALAR = {
    "_plus_scalar": "add",
    "_minus_scalar": "sub",
    "_mul_scalar": "mul",
    "_div_scalar": "div",
    "_scatter_plus_scalar": "add",
    "_scatter_minus_scalar": "sub",
    **{f"_{stem}_scalar": stem for stem in list(BINARY)[4:]},
}
_REVERSED = {
    "_rminus_scalar": "sub",
    "_rdiv_scalar": "div",
    "_rmod_scalar": "mod",
    "_rpower_scalar": "power",
}


def _register_alike(name: str, compute: Binary) -> None:
    @OPS.lowers(name)
    def alike(op: Emit, lhs: Value, rhs: Value) -> Value:
        """Operands of one shape and type; inputs learn their shapes from each other."""
        result = compute(op, lhs, rhs)
        return op.shaped(result, op.same_shape(lhs, rhs))


def _register_broadcast(name: str, compute: Binary) -> None:
    @OPS.lowers(name)
    def broadcast(op: Emit, lhs: Value, rhs: Value) -> Value:
        """Operands of one type; shapes broadcast as in ONNX."""
        return compute(op, lhs, rhs)


def _register_scalar(name: str, compute: Binary, *, reverse: bool) -> None:
    @OPS.lowers(name)
    def beside_scalar(op: Emit, data: Value, *, scalar: float = 1.0, is_int: bool = True) -> Value:
        """The scalar takes an integer tensor's type, unless it is said not to be an integer."""
        tensor, number = with_scalar(op, data, scalar, is_int=is_int)
        return compute(op, number, tensor) if reverse else compute(op, tensor, number)


def _register_unary(name: str, compute: unary.Unary) -> None:
    @OPS.lowers(name)
    def function(op: Emit, data: Value) -> Value:
        """Element by element, in the type of the data."""
        return compute(op, data)


for _name, _stem in _ALIKE.items():
    _register_alike(_name, BINARY[_stem])
for _stem in BINARY:
    _register_broadcast(f"broadcast_{_stem}", BINARY[_stem])
for _name, _stem in _SCALAR.items():
    _register_scalar(_name, BINARY[_stem], reverse=False)
for _name, _stem in _REVERSED.items():
    _register_scalar(_name, BINARY[_stem], reverse=True)
for _name in unary.LEGACY:
    _register_unary(_name, unary.UNARY[_name])


@OPS.lowers("add_n", ignoring=("num_args",))
def add_n(op: Emit, *args: Value) -> Value:
    """The sum of tensors of one shape."""
    total = args[0]
    for value in args[1:]:
        total = BINARY["add"](op, total, value)
    return op.shaped(total, op.same_shape(*args))


@OPS.lowers("clip")
def clip(op: Emit, data: Value, *, a_min: float, a_max: float) -> Value:
    """``Clip``; NaN stays. MXNet keeps the bounds in float32, whatever the data is."""
    a_min, a_max = float(np.float32(a_min)), float(np.float32(a_max))
    if data.is_float:
        return op.Clip(data, op.scalar(a_min, data.dtype), op.scalar(a_max, data.dtype))
    ends = np.iinfo(data.dtype.numpy)
    if a_min > ends.min:
        data = op.Max(data, op.scalar(int(min(a_min, ends.max)), data.dtype))
    if a_max < ends.max:
        data = op.Min(data, op.scalar(int(max(a_max, ends.min)), data.dtype))
    return data


@OPS.lowers("smooth_l1")
def smooth_l1(op: Emit, data: Value, *, scalar: float = 1.0) -> Value:
    """x^2 s^2 / 2 where abs(x) < 1 / s^2, else abs(x) - 0.5 / s^2."""
    square = scalar * scalar
    size = op.Abs(data)
    near = op.Mul(op.Mul(data, data), 0.5 * square)
    return op.Where(op.Less(size, 1.0 / square), near, op.Sub(size, 0.5 / square))


@OPS.lowers("_contrib_quadratic")
def quadratic(op: Emit, data: Value, *, a: float = 0.0, b: float = 0.0, c: float = 0.0) -> Value:
    """The polynomial a x^2 + b x + c; of integers its whole part."""
    return unary.real(op, data, lambda x: op.Add(op.Mul(op.Add(op.Mul(x, a), b), x), c))


@OPS.lowers("_contrib_div_sqrt_dim")
def div_sqrt_dim(op: Emit, data: Value) -> Value:
    """Divides by the root of the size of the last axis; integers by its whole part."""
    root = op.cast(op.Sqrt(op.scalar(data.shape[-1], DType.FP32)), data.dtype)
    return op.Div(data, root) if data.is_float else op.quotient(data, root, floor=False)


@OPS.lowers("_contrib_gradientmultiplier", ignoring=("scalar", "is_int"))
def gradient_multiplier(op: Emit, data: Value) -> Value:
    """The data itself: only its gradient is scaled."""
    return data


@OPS.lowers("where")
def where(op: Emit, condition: Value, x: Value, y: Value) -> Value:
    """A condition of one axis less chooses whole rows."""
    shape = op.same_shape(x, y)
    chosen = truth(op, condition)
    if condition.rank == 1 and x.rank > 1:
        op.equate(condition.shape[0], x.shape[0], "condition")
        chosen = op.unsqueeze(chosen, *range(1, x.rank))
    else:
        op.same_shape(condition, x)
    return op.shaped(op.Where(chosen, x, y), shape)
