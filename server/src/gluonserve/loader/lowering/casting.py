"""Changes of type, and operators that only say something about a tensor's storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gluonserve.loader.lowering.creation import Kind, kind_of
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

BYTES_OF_FLOATS = "Cast of floats beyond the range of bytes"
"""What a target lacks that makes the nearest byte of them, where MXNet keeps the lowest bits."""

_BYTES = frozenset({DType.UINT8, DType.INT8})
_WIDTH = {DType.FP16: 0, DType.FP32: 1, DType.FP64: 2}


@OPS.lowers("Cast")
def cast(op: Emit, data: Value, *, dtype: Kind) -> Value:
    """Fractions are cut off; of what is out of range 8 bits keep the lowest ones of the integer."""
    return _cut(op, data, kind_of(dtype))


@OPS.lowers("amp_cast")
def amp_cast(
    op: Emit,
    data: Value,
    *,
    dtype: Literal["float16", "float32", "float64", "int32", "int64", "int8", "uint8"],
) -> Value:
    """Only floating-point tensors are cast."""
    return _cut(op, data, kind_of(dtype)) if data.is_float else data


@OPS.lowers("amp_multicast")
def amp_multicast(
    op: Emit, *data: Value, num_outputs: int, cast_narrow: bool = False
) -> tuple[Value, ...]:
    """All to the widest floating-point type among them, or to the narrowest."""
    kinds = sorted({v.dtype for v in data if v.is_float}, key=lambda kind: _WIDTH[kind])
    if not kinds:
        return data
    kind = kinds[0] if cast_narrow else kinds[-1]
    return tuple(op.cast(value, kind) if value.is_float else value for value in data)


@OPS.lowers("cast_storage", ignoring=("stype",))
def cast_storage(op: Emit, data: Value) -> Value:
    """Everything is dense here."""
    return data


@OPS.lowers("_identity_with_attr_like_rhs", without=("rhs",))
def identity_like(op: Emit, lhs: Value, rhs: Value | None = None) -> Value:
    """The left tensor: the right one only lends storage."""
    return lhs


def _cut(op: Emit, data: Value, kind: DType) -> Value:
    """The data as another type, floats as bytes by way of integers as processors make them."""
    if kind in _BYTES and data.is_float and not op.target.has(BYTES_OF_FLOATS):
        data = op.cast(data, DType.INT32)
    return op.cast(data, kind)
