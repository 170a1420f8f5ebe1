"""A network as ONNX: the structure, and weights that stay where they are until someone asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import ModelProto, NodeProto, TensorProto, helper

from gluonserve.errors import UnsupportedModel
from gluonserve.loader.lowering.values import ONNX_TYPE, value_info
from gluonserve.loader.params import Params
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from onnx import ValueInfoProto

    from gluonserve.loader.lowering.building import Built

_EMBEDDED_BYTES = 4096
"""Up to this size a constant is part of the structure: engines look at small ones."""
_LARGEST_MESSAGE = (1 << 31) - (1 << 20)
_IR_VERSION = 9


@dataclass(frozen=True, slots=True)
class Lowered:
    """ONNX for one target.

    ``model`` holds everything but the weights, which are external tensors in it. A weight that
    lies as it is in the parameter file has that file's path as location, with offset and length
    (any offset: files are not aligned), so that engines can map it; the others have an empty
    location and are only in ``weights``, which has every external tensor by name: views into the
    mapped file, and the few arrays that import had to make.
    """

    model: ModelProto
    weights: Mapping[str, np.ndarray]

    @property
    def unfiled(self) -> tuple[str, ...]:
        """Names of the weights that lie in no file."""
        return tuple(
            tensor.name
            for tensor in self.model.graph.initializer
            if tensor.name in self.weights and not _location(tensor)
        )

    def to_bytes(self) -> bytes:
        """The whole model as one ONNX message.

        Raises:
            UnsupportedModel: it is larger than a message can be (2 GiB); save it to a file.
        """
        if sum(array.nbytes for array in self.weights.values()) > _LARGEST_MESSAGE:
            raise UnsupportedModel("the weights take more than the 2 GiB of one ONNX message")
        return self.embedding(self.weights).SerializeToString()

    def embedding(self, names: Mapping[str, np.ndarray] | Sequence[str]) -> ModelProto:
        """A copy of the structure in which these weights are embedded."""
        copy = ModelProto()
        copy.CopyFrom(self.model)
        for tensor in copy.graph.initializer:
            if tensor.name in names and tensor.name in self.weights:
                _embed(tensor, self.weights[tensor.name])
        return copy

    def save(self, path: Path) -> None:
        """Write an ONNX file; weights over 2 GiB go into a file of their own beside it."""
        if sum(array.nbytes for array in self.weights.values()) <= _LARGEST_MESSAGE:
            path.write_bytes(self.to_bytes())
            return
        beside = path.with_name(path.name + ".data")
        copy = ModelProto()
        copy.CopyFrom(self.model)
        with beside.open("wb") as stream:
            for tensor in copy.graph.initializer:
                if tensor.name in self.weights:
                    array = self.weights[tensor.name]
                    _refer(tensor, (beside.name, stream.tell(), array.nbytes))
                    stream.write(array.tobytes())
        path.write_bytes(copy.SerializeToString())


def lowered(built: Built, names: Sequence[str], params: Mapping[str, np.ndarray]) -> Lowered:
    """The ONNX model of a finished pass; ``names`` are its outputs'."""
    kept: dict[str, np.ndarray] = {}
    outputs = _named_outputs(built, names)
    nodes, read = _live(built.op.scope.nodes, [output.name for output in outputs])
    initializers = []
    for name in built.build.used:
        if name not in read:
            continue
        array = built.build.arrays[name]
        if not array.size:
            nodes[:0] = _without_elements(name, array)
            continue
        tensor = TensorProto(name=name, data_type=ONNX_TYPE[DType.of(array.dtype)])
        tensor.dims.extend(array.shape)
        if array.nbytes <= _EMBEDDED_BYTES:
            _embed(tensor, array)
        else:
            stored = built.build.parameters.get(name)
            _refer(tensor, _filed(params, stored))
            kept[name] = array
        initializers.append(tensor)
    graph = helper.make_graph(
        nodes,
        "network",
        [value_info(value) for value in built.inputs],
        outputs,
        initializers,
    )
    opset = [helper.make_opsetid("", built.op.target.opset)]
    model = helper.make_model(
        graph, opset_imports=opset, ir_version=_IR_VERSION, producer_name="gluonserve"
    )
    return Lowered(model, kept)


def _without_elements(name: str, array: np.ndarray) -> list[NodeProto]:
    """An empty constant as nodes: OpenVINO takes an initializer without elements for a scalar."""
    size, kind = f"{name}.shape", ONNX_TYPE[DType.of(array.dtype)]
    shape = helper.make_tensor(size, TensorProto.INT64, [array.ndim], array.shape)
    zero = helper.make_tensor(name, kind, [1], [0])
    return [
        helper.make_node("Constant", [], [size], value=shape),
        helper.make_node("ConstantOfShape", [size], [name], value=zero),
    ]


def _filed(params: Mapping[str, np.ndarray], name: str | None) -> tuple[str, int, int] | None:
    """Where a stored array lies in its file, if ONNX can say so: its texts are UTF-8."""
    if name is None or not isinstance(params, Params):
        return None
    where = params.location(name)
    return where if where is None or _is_utf8(where[0]) else None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named_outputs(built: Built, names: Sequence[str]) -> list[ValueInfoProto]:
    """Outputs under MXNet's names if nothing else has them: a node each, as values may repeat."""
    infos = []
    taken = {value.name for value in built.inputs} | built.build.arrays.keys()
    for wanted, value in zip(names, built.outputs, strict=True):
        name = built.build.unique(wanted) if wanted in taken else wanted
        built.op.answer(value, name)
        infos.append(value_info(value, name))
    return infos


def _live(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> tuple[list[NodeProto], set[str]]:
    """The nodes that outputs need, and every name that they read."""
    read = set(outputs)
    kept = []
    for node in reversed(nodes):
        if not read.isdisjoint(node.output):
            read.update(_reads(node))
            kept.append(node)
    return kept[::-1], read


def _reads(node: NodeProto) -> Iterator[str]:
    """The names that a node reads, bodies of loops and branches included."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (output.name for output in attribute.g.output)
            for inner in attribute.g.node:
                yield from _reads(inner)


def _embed(tensor: TensorProto, array: np.ndarray) -> None:
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.DEFAULT
    tensor.raw_data = array.tobytes()


def _refer(tensor: TensorProto, location: tuple[str, int, int] | None) -> None:
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.EXTERNAL
    path, offset, length = location or ("", 0, 0)
    for key, value in (("location", path), ("offset", str(offset)), ("length", str(length))):
        if key == "location" or location:
            tensor.external_data.add(key=key, value=value)


def _location(tensor: TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
