"""Computes float16 networks in float32 where an engine would round after every operator.

ONNX Runtime has few float16 kernels for processors: it casts around each operator, which costs
time and, in deep networks, most of the digits. Inputs and answers keep their type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from gluonserve.loader.lowered import Lowered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onnx import ValueInfoProto

FLOAT16 = "float16"
"""What a target lacks that had better compute in float32."""

_NARROW, _WIDE = TensorProto.FLOAT16, TensorProto.FLOAT


def widened(given: Lowered) -> Lowered:
    """The same network with float32 in place of float16 everywhere but at its ends."""
    if not _mentions(given.model.graph):
        return given
    model = ModelProto()
    model.CopyFrom(given.model)
    graph = model.graph
    weights = dict(given.weights)
    for tensor in graph.initializer:
        if tensor.data_type == _NARROW:
            _widen_initializer(tensor, weights)
    _widen_nodes(graph.node)
    answers = {output.name for output in graph.output if _is_narrow(output)}
    for node in graph.node:
        if node.output[0] in answers:  # the importer gives every answer a node of its own
            node.op_type = "Cast"
            node.attribute.append(helper.make_attribute("to", _NARROW))
    _widen_inputs(graph)
    return Lowered(model, weights)


def _mentions(graph: GraphProto) -> bool:
    """Whether float16 occurs: as an input, as an initializer, or as what a node makes."""
    if any(_is_narrow(value) for value in (*graph.input, *graph.output)):
        return True
    if any(tensor.data_type == _NARROW for tensor in graph.initializer):
        return True
    return any(_makes_narrow(attribute) for node in graph.node for attribute in node.attribute)


def _makes_narrow(attribute: AttributeProto) -> bool:
    if attribute.type == AttributeProto.GRAPH:
        return _mentions(attribute.g)
    if attribute.type == AttributeProto.TENSOR:
        return bool(attribute.t.data_type == _NARROW)
    return attribute.name in _TYPE_ATTRIBUTES and attribute.i == _NARROW


def _widen_initializer(tensor: TensorProto, weights: dict[str, np.ndarray]) -> None:
    if tensor.name in weights:
        weights[tensor.name] = weights[tensor.name].astype(np.float32)
        tensor.data_type = _WIDE
        tensor.ClearField("external_data")
        tensor.external_data.add(key="location", value="")
    else:
        _widen_tensor(tensor)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type != _NARROW:
        return
    wide = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _widen_nodes(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                for value in (*attribute.g.input, *attribute.g.output):
                    if _is_narrow(value):
                        value.type.tensor_type.elem_type = _WIDE
                _widen_nodes(attribute.g.node)
            elif attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.name in _TYPE_ATTRIBUTES and attribute.i == _NARROW:
                attribute.i = _WIDE


def _widen_inputs(graph: GraphProto) -> None:
    """Casts behind the inputs; everything reads what they answer."""
    names = {value.name: f"{value.name}.wide" for value in graph.input if _is_narrow(value)}
    _rename(graph.node, names)
    casts = [
        helper.make_node("Cast", [name], [wide], name=wide, to=_WIDE)
        for name, wide in names.items()
    ]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(nodes: Iterable[NodeProto], names: Mapping[str, str]) -> None:
    for node in nodes:
        for at, name in enumerate(node.input):
            if name in names:
                node.input[at] = names[name]
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                for output in attribute.g.output:
                    output.name = names.get(output.name, output.name)
                _rename(attribute.g.node, names)


def _is_narrow(value: ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == _NARROW)


_TYPE_ATTRIBUTES = frozenset({"to", "dtype"})
