"""How the inputs of loops and branches reach the variables of their subgraphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluonserve.loader.attributes import BadAttribute, Dims, read_attribute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gluonserve.loader.graph import Node


@dataclass(frozen=True, slots=True)
class Binding:
    """Input ``source`` of a node is variable ``place`` of its subgraph; ``apart`` step by step."""

    subgraph: int
    place: int
    source: int
    apart: bool = False


def bindings(node: Node) -> Iterator[Binding]:
    """Every binding that the attributes of a control-flow node name; none of other nodes."""
    if node.op == "_foreach":
        source = 0
        for name in ("in_data_locs", "in_state_locs", "remain_locs"):
            for place in _places(node, name):
                yield Binding(0, place, source, apart=name == "in_data_locs")
                source += 1
    for subgraph, name in enumerate(_LOCATIONS.get(node.op, ())):
        for place, source in enumerate(_places(node, name)):
            yield Binding(subgraph, place, source)


_LOCATIONS = {
    "_cond": ("cond_input_locs", "then_input_locs", "else_input_locs"),
    "_while_loop": ("cond_input_locs", "func_input_locs"),
}


def _places(node: Node, name: str) -> tuple[int, ...]:
    try:
        read = read_attribute(name, node.attributes.get(name, "()"), Dims)
    except BadAttribute:
        return ()
    return tuple(int(place) for place in read) if isinstance(read, tuple) else ()
