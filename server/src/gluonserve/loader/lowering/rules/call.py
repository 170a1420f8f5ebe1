"""One application of an ONNX operator, as its shape rule sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Shape, Value
    from gluonserve.tensors import DType

Types: TypeAlias = "list[tuple[DType, Shape]]"
Rule: TypeAlias = "Callable[[Call], Types]"


@dataclass(frozen=True, slots=True)
class Call:
    """An ONNX operator with its operands and attributes."""

    op: Emit
    op_type: str
    operands: Sequence[Value | None]
    attributes: Mapping[str, Any]
    outputs: int

    @property
    def reads_data(self) -> bool:
        """Whether any operand's values depend on a model input's values."""
        if self.op_type in _SHAPES_ONLY:
            return False
        return any(operand is not None and operand.reads_data for operand in self.operands)

    def __getitem__(self, index: int) -> Value:
        value = self.operands[index] if index < len(self.operands) else None
        if value is None:
            raise InvalidModel(f"{self.op_type} lacks its input {index}")
        return value

    def has(self, index: int) -> bool:
        """Whether an optional operand is given."""
        return index < len(self.operands) and self.operands[index] is not None

    def numbers(self, index: int) -> tuple[int, ...] | None:
        """The elements of an operand that is a known vector of integers."""
        elements = self.dims(index)
        if elements is None or not all(isinstance(element, int) for element in elements):
            return None
        return tuple(element for element in elements if isinstance(element, int))

    def dims(self, index: int) -> tuple[Dim, ...] | None:
        """The elements of an operand that is a vector of integers, symbolic ones included."""
        return self[index].integers if self.has(index) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, or what it means that it is not there."""
        return self.attributes.get(name, default)

    def equate(self, one: Dim, other: Dim) -> Dim:
        """Learn that the operator wants two dimensions the same."""
        if one == other or not (isinstance(one, int) and isinstance(other, int)):
            return self.op.equate(one, other)  # no error, for which long shapes would be written
        shown = ", ".join(str(list(o.shape)) for o in self.operands if o is not None)
        return self.op.equate(one, other, f"{self.op_type} of {shown}")

    def broadcast(self, *shapes: Shape) -> Shape:
        """The shape that operands of these shapes broadcast to."""
        rank = max(len(shape) for shape in shapes)
        padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
        return tuple(self._common(axis) for axis in zip(*padded, strict=True))

    def _common(self, axis: tuple[Dim, ...]) -> Dim:
        common: Dim = 1
        for dim in axis:
            if dim in (1, common):
                continue
            if common == 1:
                common = dim
            elif isinstance(common, int) and isinstance(dim, int):
                self.equate(common, dim)
            else:
                self.op.broadcasts(common, dim)
                known = [one for one in (common, dim) if isinstance(one, int)]
                common = known[0] if known else dims.larger(common, dim)
        return common


_SHAPES_ONLY = frozenset({"Shape", "Size"})
