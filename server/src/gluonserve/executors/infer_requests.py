"""OpenVINO's infer requests, the memory that is bound to them, and who holds one for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gluonserve.errors import ExecutionFailed
from gluonserve.executors.memory import FreeList, SlotLease, input_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import openvino

    from gluonserve.tensors import Signature

Shape: TypeAlias = "tuple[int, ...]"
Expected: TypeAlias = "tuple[Shape | None, ...]"


class RequestSlot:
    """An infer request and the memory that is bound to its inputs."""

    def __init__(self, signature: Signature) -> None:
        self.memory = input_memory(signature)
        self._compiled: openvino.CompiledModel | None = None
        self._request: openvino.InferRequest | None = None
        self._read: frozenset[str] = frozenset()
        self._bound: dict[str, np.ndarray] = {}

    def bind(
        self, compiled: openvino.CompiledModel, inputs: Mapping[str, np.ndarray]
    ) -> openvino.InferRequest:
        """The request with these arrays as its inputs; does nothing when they already are.

        OpenVINO drops an input of which only the shape is read once that is known.
        """
        request = self._request
        if request is None or self._compiled is not compiled:
            request, self._compiled, self._bound = compiled.create_infer_request(), compiled, {}
            self._request = request
            self._read = frozenset().union(*(port.names for port in compiled.inputs))
        for name, array in inputs.items():
            if self._bound.get(name) is not array and name in self._read:
                self._bound.pop(name, None)
                request.set_tensor(name, _tensor(array))
                self._bound[name] = array
        return request


def _tensor(array: np.ndarray) -> openvino.Tensor:
    import openvino  # noqa: PLC0415 (only where the engine has been imported already)

    return openvino.Tensor(array, shared_memory=True)


class Compiled:
    """A compiled network, about how much it takes, and the slots of its requests."""

    def __init__(
        self, model: openvino.CompiledModel, size: int, signature: Signature, keep: int
    ) -> None:
        self.model, self.bytes = model, size
        self.free = FreeList(lambda: RequestSlot(signature), keep)


@dataclass(slots=True)
class Combination:
    """One combination of input shapes, and the outputs' for it: None where values decide them.

    ``alone`` is the network compiled for just these shapes, where there is one; ``runs`` counts the
    batches that ran without, and ``tried`` tells that it was compiled, for that happens once.
    """

    expected: Expected
    alone: Compiled | None = None
    runs: int = 0
    tried: bool = False


class RequestLease(SlotLease[RequestSlot]):
    """One holder's use of a slot, for one combination of shapes.

    ``alone`` is whose slot it is, where that is a network compiled for just these shapes.
    """

    def __init__(
        self,
        free: FreeList[RequestSlot],
        names: tuple[str, ...],
        shapes: Mapping[str, Shape],
        alone: Compiled | None = None,
    ) -> None:
        super().__init__(free, shapes)
        self._names, self.shapes, self.alone = names, dict(shapes), alone

    def run(self, compiled: openvino.CompiledModel, expected: Expected) -> None:
        """Infer; the outputs are views of the request's own tensors.

        Raises:
            ExecutionFailed: the engine's own error is the cause, or outputs have other shapes.
        """
        try:
            request = self.slot.bind(compiled, self.inputs)
            answers = request.infer(share_outputs=True, decode_strings=False).to_tuple()
        except RuntimeError as error:
            raise ExecutionFailed("openvino failed on a batch") from error
        for answer, shape in zip(answers, expected, strict=True):
            if shape is not None and answer.shape != shape:
                raise ExecutionFailed(f"openvino gave shape {answer.shape} instead of {shape}")
        self.outputs = dict(zip(self._names, answers, strict=True))
