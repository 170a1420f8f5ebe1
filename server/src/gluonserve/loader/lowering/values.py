"""What lowerings pass around: tensors of the graph being built, and how to know about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
from onnx import TensorProto, helper

from gluonserve.loader.lowering import dims
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import ValueInfoProto

    from gluonserve.loader.lowering.dims import Dim

Shape: TypeAlias = "tuple[Dim, ...]"
Operand: TypeAlias = Union["Value", np.ndarray, int, float, list[int], None]

_LONGEST_CONTENT = 64

FLOATS = frozenset({DType.FP16, DType.FP32, DType.FP64})

ONNX_TYPE: Mapping[DType, int] = {
    DType.BOOL: TensorProto.BOOL,
    DType.UINT8: TensorProto.UINT8,
    DType.UINT16: TensorProto.UINT16,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.INT8: TensorProto.INT8,
    DType.INT16: TensorProto.INT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.FP16: TensorProto.FLOAT16,
    DType.FP32: TensorProto.FLOAT,
    DType.FP64: TensorProto.DOUBLE,
}
FROM_ONNX: Mapping[int, DType] = {number: dtype for dtype, number in ONNX_TYPE.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Where a tensor was one of ``count`` slices of size one along an axis, which it lost."""

    whole: Value
    axis: int
    at: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of the graph being built.

    ``reads_data`` says that some model input's values (not only its shape) reach it. ``constant``
    holds its elements where they are known at import; ``content`` those of a short vector of
    integers that may be symbolic, as the shape of a tensor is. ``parts`` are what a vector was
    joined from, where its users want them apart again; ``piece`` is what it was taken from, where
    they want that whole again.
    """

    name: str
    dtype: DType
    shape: Shape
    reads_data: bool = False
    constant: np.ndarray | None = field(default=None, repr=False)
    content: tuple[Dim, ...] | None = field(default=None, repr=False)
    parts: tuple[Value, ...] = field(default=(), repr=False)
    piece: Piece | None = field(default=None, repr=False)

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return self.dtype in FLOATS

    @property
    def integers(self) -> tuple[Dim, ...] | None:
        """The elements of a short vector (or scalar) of integers, symbolic ones included."""
        if self.content is not None:
            return self.content
        if self.constant is None or self.rank > 1 or self.constant.size > _LONGEST_CONTENT:
            return None
        if self.constant.dtype.kind not in "iub":
            return None
        return tuple(int(element) for element in self.constant.reshape(-1))

    def axis(self, axis: int) -> int:
        """``axis`` counted from the front.

        Raises:
            ValueError: it has no such axis.
        """
        if not -self.rank <= axis < self.rank:
            raise ValueError(f"no axis {axis} in {self.rank} dimensions")
        return axis % self.rank


class UnknownDimension(Exception):
    """A lowering needs a dimension as a number and it is free; ``names`` are what it hangs on."""

    def __init__(self, what: str, names: frozenset[str]) -> None:
        super().__init__(what)
        self.what, self.names = what, names


def value_info(value: Value, name: str | None = None) -> ValueInfoProto:
    """How ONNX declares an input or output; free dimensions by their names."""
    shape = [dim if isinstance(dim, int) else dims.free_name(dim) for dim in value.shape]
    return helper.make_tensor_value_info(name or value.name, ONNX_TYPE[value.dtype], shape)


def wrapped(number: float, dtype: DType) -> np.ndarray:
    """``number`` as C converts it to the type: towards zero, integers modulo their range."""
    if dtype.numpy.kind in "iu":
        whole = int(number) if np.isfinite(number) else int(np.sign(number)) << 63
        return np.array(whole & 0xFFFFFFFFFFFFFFFF, np.uint64).astype(dtype.numpy)
    return np.array(number).astype(dtype.numpy)
