"""A symbol file under construction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import mxnet as mx

from gluonserve_export.registry import VERSION

if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Sequence


_VERSION = VERSION[0] * 10000 + VERSION[1] * 100 + VERSION[2]


class Ref(NamedTuple):
    """One output of one node."""

    node: int
    output: int = 0

    def through(self, moved: Mapping[int, Ref]) -> Ref:
        """The same output where the nodes stand elsewhere."""
        there = moved[self.node]
        return Ref(there.node, there.output or self.output)


class Graph:
    """Nodes in the order of their making, as MXNet's JSON has them; names are unique."""

    def __init__(self) -> None:
        self.nodes: List[Dict[str, Any]] = []
        self._variables: Dict[str, Ref] = {}
        self._taken: Dict[str, int] = {}

    def variable(self, name: str, attributes: Mapping[str, str] = {}) -> Ref:
        """The variable of this name, made when first asked for."""
        if name not in self._variables:
            node: Dict[str, Any] = {"op": "null", "name": name, "inputs": []}
            if attributes:
                node["attrs"] = dict(attributes)
            self._taken.setdefault(name, 1)
            self._variables[name] = self._add(node)
        return self._variables[name]

    def operator(
        self, op: str, name: str, attributes: Mapping[str, str], inputs: Sequence[Ref]
    ) -> Ref:
        """A node's first output; ``name`` gets a number where it is taken."""
        refs = [[ref.node, ref.output, 0] for ref in inputs]
        node: Dict[str, Any] = {"op": op, "name": self._unique(name), "inputs": refs}
        if attributes:
            node["attrs"] = dict(attributes)
        return self._add(node)

    def splice(self, symbol: Any, inputs: Mapping[str, Ref]) -> List[Ref]:
        """Take a symbol's nodes in, ``inputs`` for its variables of those names; its outputs."""
        source = json.loads(text_of(symbol))
        at: List[Ref] = []
        for node in source["nodes"]:
            given = inputs.get(node["name"]) if node["op"] == "null" else None
            if given is not None:
                at.append(given)
                continue
            at.append(self.moved(node, dict(enumerate(at))))
        moved = dict(enumerate(at))
        return [Ref(head[0], head[1]).through(moved) for head in source["heads"]]

    def moved(
        self,
        node: Mapping[str, Any],
        moved: Mapping[int, Ref],
        attributes: Mapping[str, str] = {},
    ) -> Ref:
        """A node of another graph, ``moved`` saying where its inputs stand here."""
        if node["op"] == "null":
            return self.variable(node["name"], node.get("attrs", {}))
        taken = {**node, "name": self._unique(node["name"])}
        refs = [Ref(step[0], step[1]).through(moved) for step in node["inputs"]]
        taken["inputs"] = [[ref.node, ref.output, 0] for ref in refs]
        if attributes:
            taken["attrs"] = {**node.get("attrs", {}), **attributes}
        return self._add(taken)

    def symbol(self, heads: Sequence[Ref]) -> Any:
        """The symbol that answers ``heads``, without nodes that they do not need."""
        needed = {head.node for head in heads}
        for at in range(len(self.nodes) - 1, -1, -1):
            if at in needed:
                needed.update(step[0] for step in self.nodes[at]["inputs"])
        kept = sorted(needed)
        moved = {old: new for new, old in enumerate(kept)}
        nodes = [
            {**self.nodes[at], "inputs": [[moved[n], i, v] for n, i, v in self.nodes[at]["inputs"]]}
            for at in kept
        ]
        return mx.sym.load_json(
            json.dumps(
                {
                    "nodes": nodes,
                    "arg_nodes": [at for at, node in enumerate(nodes) if node["op"] == "null"],
                    "node_row_ptr": list(range(len(nodes) + 1)),
                    "heads": [[moved[head.node], head.output, 0] for head in heads],
                    "attrs": {"mxnet_version": ["int", _VERSION]},
                }
            )
        )

    def _add(self, node: Dict[str, Any]) -> Ref:
        self.nodes.append(node)
        return Ref(len(self.nodes) - 1)

    def _unique(self, name: str) -> str:
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        return self._unique(f"{name}_{count}") if count else name


def text_of(symbol: Any) -> str:
    """Its JSON with every node kept, casts of mixed precision too."""
    try:
        return str(symbol.tojson(remove_amp_cast=False))
    except TypeError:  # before 1.7 nothing was removed
        return str(symbol.tojson())


def operators_of(symbol: Any) -> List[Dict[str, Any]]:
    """Its operator nodes, those of loop bodies and branches too."""
    return _operators(json.loads(text_of(symbol)))


def _operators(graph: Mapping[str, Any]) -> List[Dict[str, Any]]:
    found = [node for node in graph["nodes"] if node["op"] != "null"]
    inner = [one for node in found for one in node.get("subgraphs", ())]
    return found + [node for one in inner for node in _operators(one)]
