"""Everything in a graph that stands in the way of lowering it, node by node, with what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gluonserve.loader.graph import Node
from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import reachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gluonserve.loader.graph import Graph
    from gluonserve.loader.lowering.table import OpTable

_MXNET = 'set executor = "mxnet" where mxnet is installed'
_REFUSED = f"export the network without it, or {_MXNET}"
_UNKNOWN = f"{_MXNET}, or ask for a lowering of it"
_ATTRIBUTE = f"set it in the layer to what is expected and export again, or {_MXNET}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing in the way: an operator without lowering, or an attribute that cannot be read.

    ``nodes`` are all nodes that it is about; ``remedy`` is what a person can do.
    """

    operator: str
    nodes: tuple[str, ...]
    reason: str
    remedy: str


def obstacles(graph: Graph, table: OpTable = TABLE) -> tuple[Obstacle, ...]:
    """What stands in the way, each operator and each complaint once; bodies of loops included."""
    found: dict[tuple[str, str], Obstacle] = {}
    for node in _nodes(graph, table):
        lowering = table.lowering(node.op)
        if lowering is None:
            why = table.reason(node.op)
            reasons, remedy = [why or "it has no lowering"], _REFUSED if why else _UNKNOWN
        else:
            reasons, remedy = lowering.problems(node), _ATTRIBUTE
        for reason in reasons:
            known = found.get((node.op, reason), Obstacle(node.op, (), reason, remedy))
            found[node.op, reason] = replace(known, nodes=(*known.nodes, node.name))
    return tuple(found.values())


def _nodes(graph: Graph, table: OpTable) -> Iterator[Node]:
    for position in sorted(reachable(graph, table)):
        node = graph.nodes[position]
        if isinstance(node, Node):
            yield node
            for subgraph in node.subgraphs:
                yield from _nodes(subgraph, table)
