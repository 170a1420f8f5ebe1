"""What the operators that read an input make of it first, and what requests may therefore bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.attributes import BadAttribute, Dims, read_attribute
from gluonserve.loader.graph import Node, Variable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gluonserve.loader.graph import Graph

_BEGINS: Mapping[str, tuple[int, ...]] = {"RNN": (2, 3)}
_MOVING = frozenset({
    "BlockGrad", "Flatten", "Reshape", "SliceChannel", "SwapAxis", "_copy", "_image_crop",
    "_image_flip_left_right", "_image_flip_top_bottom", "_np_copy", "_npx_reshape", "expand_dims",
    "reverse", "slice", "slice_axis", "squeeze", "transpose",
})  # fmt: skip
"""Operators that answer elements of their first input as they are, whatever their type."""
_EACH_ALONE = frozenset({
    "Activation", "BlockGrad", "Cast", "Dropout", "_copy", "_np_copy", "_npx_relu",
    "_npx_sigmoid", "amp_cast", "clip", "relu", "sigmoid", "tanh",
})  # fmt: skip
"""Operators that compute each element from the one in its place; so do those with a number."""
_CASTING = frozenset({"Cast", "amp_cast"})
_ROUNDING = frozenset({"_cvimresize", "_image_adjust_lighting", "_image_resize"})
_CHOOSING: Mapping[str, int] = {
    "Embedding": 0, "_contrib_SparseEmbedding": 0, "one_hot": 0, "take": 1,
}  # fmt: skip
"""Operators to which an input, by its place, is numbers of rows, of whatever type."""
_ACCEPTED = (DType.UINT8, DType.INT8, DType.INT32, DType.INT64, DType.FP16)


@dataclass(frozen=True, slots=True)
class Readings:
    """What a graph's operators make of its variables, whatever their shapes, by name."""

    begin_states: frozenset[str]
    flattened: frozenset[str]
    types_alike: Mapping[str, tuple[DType, ...]]

    @classmethod
    def of(cls, graph: Graph) -> Readings:
        """Read the graph."""
        return cls(begin_states(graph), flattened(graph), types_alike(graph))


def begin_states(graph: Graph) -> frozenset[str]:
    """Variables that only begin recurrent layers: an export leaves them; absent means zeros."""
    begins: set[int] = set()
    others = {head.node for head in graph.heads}
    for node in graph.nodes:
        if isinstance(node, Node):
            slots = _BEGINS.get(node.op, ())
            for slot, ref in enumerate(node.inputs):
                (begins if slot in slots else others).add(ref.node)
    return frozenset(
        variable.name for at in begins - others if isinstance(variable := graph.nodes[at], Variable)
    )


def flattened(graph: Graph) -> frozenset[str]:
    """Variables of which nothing but the rows is read: whatever reads them flattens them first.

    A dense layer takes pictures as well as the rows of numbers that they are flattened to.
    """
    ends = _Ends(graph, _keeps_places)
    return frozenset(
        variable.name
        for at, variable in enumerate(graph.nodes)
        if isinstance(variable, Variable)
        and (read := list(ends.of(at)))
        and all(end is not None and _flattens(*end) for end in read)
    )


def types_alike(graph: Graph) -> dict[str, tuple[DType, ...]]:
    """Types of variables that make no difference: their elements are cast, or choose rows, first.

    Whatever is cast to a type that holds all values of two others may come as either of them.
    """
    ends = _Ends(graph, lambda node: node.op in _MOVING)
    alike: dict[str, tuple[DType, ...]] = {}
    for at, variable in enumerate(graph.nodes):
        if isinstance(variable, Variable):
            read = list(ends.of(at))
            types = [dtype for dtype in _ACCEPTED if all(_takes(end, dtype) for end in read)]
            if read and types:
                alike[variable.name] = tuple(types)
    return alike


def rounded(graph: Graph) -> dict[str, str]:
    """Variables whose type makes a difference that goes unseen, and the operators that make it.

    What is between two pixels is rounded if they are bytes, and is not if they are floats.
    """
    ends = _Ends(graph, lambda node: node.op in _MOVING)
    return {
        variable.name: end[0].op
        for at, variable in enumerate(graph.nodes)
        if isinstance(variable, Variable)
        for end in ends.of(at)
        if end is not None and end[0].op in _ROUNDING
    }


class _Ends:
    """Who reads a value first that does not only hand it on."""

    def __init__(self, graph: Graph, passing: Callable[[Node], bool]) -> None:
        self._graph, self._passing = graph, passing
        self._heads = {head.node for head in graph.heads}
        self._readers: dict[int, list[tuple[int, int]]] = {}
        for position, node in enumerate(graph.nodes):
            if isinstance(node, Node):
                for slot, ref in enumerate(node.inputs):
                    self._readers.setdefault(ref.node, []).append((position, slot))

    def of(self, at: int) -> Iterator[tuple[Node, int] | None]:
        """The readers and which of their inputs it is; None for whoever asks for the answer."""
        pending, seen = [at], {at}
        while pending:
            here = pending.pop()
            if here in self._heads:
                yield None
            for position, slot in self._readers.get(here, ()):
                node = self._graph.nodes[position]
                if isinstance(node, Node) and slot == 0 and self._passing(node):
                    pending += [position] if position not in seen else []
                    seen.add(position)
                elif isinstance(node, Node):
                    yield node, slot


def _keeps_places(node: Node) -> bool:
    return node.op in _EACH_ALONE or node.op.endswith("_scalar")


def _flattens(node: Node, slot: int) -> bool:
    """Whether the shape of what it reads makes no difference but for the first dimension."""
    if node.op == "Flatten":
        return True
    if node.op == "FullyConnected":
        return slot == 0 and _attribute(node, "flatten", "True", bool) is True
    codes = _attribute(node, "shape", "()", Dims) if node.op == "Reshape" else None
    if not isinstance(codes, tuple) or _attribute(node, "reverse", "False", bool) is not False:
        return False
    return codes == (0, -1) or (bool(codes) and all(code == -1 or code > 0 for code in codes))


def _takes(end: tuple[Node, int] | None, dtype: DType) -> bool:
    """Whether a reader makes the same of equal numbers, whatever holds them."""
    if end is None:
        return False
    node, slot = end
    if node.op in _CASTING:
        target = _cast_to(node)
        return target is not None and (target.kind == "f" or np.can_cast(dtype.numpy, target))
    return node.op == "_image_to_tensor" or _CHOOSING.get(node.op) == slot


def _cast_to(node: Node) -> np.dtype | None:
    try:
        return np.dtype(node.attributes.get("dtype", ""))
    except TypeError:
        return None  # bfloat16


def _attribute(node: Node, name: str, default: str, annotation: object) -> object:
    """Its value, or None for one that cannot be read, which the lowering reports."""
    try:
        return read_attribute(name, node.attributes.get(name, default), annotation)
    except BadAttribute:
        return None
