"""Writes small symbol.json texts for tests, node by node."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Network:
    """A symbol under construction; ``add`` answers a reference that further nodes may take."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    np_shape: bool = False

    def variable(self, name: str, **metadata: str) -> list[int]:
        """A data input, a parameter, or a label."""
        return self._node("null", name, [], metadata)

    def add(self, op: str, *inputs: list[int], name: str = "", **attributes: object) -> list[int]:
        """An operator; attributes are written as Python prints them."""
        texts = {key: str(value) for key, value in attributes.items()}
        return self._node(op, name or f"{op.lower()}{len(self.nodes)}", list(inputs), texts)

    def to_bytes(self, *heads: list[int]) -> bytes:
        """The file; without heads the last node is the only one."""
        attrs: dict[str, Any] = {"mxnet_version": ["int", 10901]}
        if self.np_shape:
            attrs["is_np_shape"] = ["int", 1]
        top = {
            "nodes": self.nodes,
            "arg_nodes": [at for at, node in enumerate(self.nodes) if node["op"] == "null"],
            "heads": list(heads) or [[len(self.nodes) - 1, 0, 0]],
            "attrs": attrs,
        }
        return json.dumps(top).encode()

    def _node(
        self, op: str, name: str, inputs: list[list[int]], attrs: dict[str, str]
    ) -> list[int]:
        node: dict[str, Any] = {"op": op, "name": name, "inputs": inputs}
        if attrs:
            node["attrs"] = attrs
        self.nodes.append(node)
        return [len(self.nodes) - 1, 0, 0]
