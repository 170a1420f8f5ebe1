"""Bodies of loops and branches, and emission at another precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from onnx import helper

from gluonserve.loader.lowering.values import Value, value_info
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from onnx import GraphProto

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Operand


class OnnxOp(Protocol):
    """One ONNX operator with a single output, bound to the graph being built."""

    def __call__(self, *inputs: Operand, **attributes: Any) -> Value:
        """Emit the node."""
        ...


class Narrowed:
    """Emits nodes whose float64 operands are cast to float32, and their results back."""

    def __init__(self, op: Emit) -> None:
        self._op = op

    def __getattr__(self, op_type: str) -> OnnxOp:
        emit = getattr(self._op, op_type)

        def narrow(*inputs: Operand, **attributes: Any) -> Value:
            operands = [self._narrow(one) for one in inputs]
            return self._op.cast(emit(*operands, **attributes), DType.FP64)

        return narrow

    def _narrow(self, given: Operand) -> Operand:
        if isinstance(given, Value) and given.dtype is DType.FP64:
            return self._op.cast(given, DType.FP32)
        return given


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a Loop, Scan or If while it is built; ``op`` emits into it."""

    op: Emit
    inputs: tuple[Value, ...]
    name: str

    def graph(self, *outputs: Value) -> GraphProto:
        """The finished body; every output gets a node of its own, as ONNX demands."""
        named = [
            self.op.node("Identity", value, types=[(value.dtype, value.shape)])[0]
            for value in outputs
        ]
        return helper.make_graph(
            self.op.scope.nodes,
            self.name,
            [value_info(value) for value in self.inputs],
            [value_info(value) for value in named],
        )
