"""Upgrades of graphs that older MXNet wrote, in the order in which MXNet 1.9 applies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluonserve.loader.graph import Graph, Ref
from gluonserve.loader.schema import operators

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")
"""Keys about training that old files wrote among the operator's own, without underscores."""
AUXILIARY_NAMES = {
    "BatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"),
    "CuDNNBatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"),
    "IdentityAttachKLSparseReg": ("data", "moving_avg"),
}
"""Inputs of the operators whose last inputs are states, which files before 0.9.0 leave out."""


@dataclass(slots=True)
class RawNode:
    """A node as the file has it, with its operator's name already canonical."""

    place: str
    op: str
    name: str
    attributes: dict[str, str]
    inputs: list[Ref]
    subgraphs: tuple[Graph, ...] = ()

    @property
    def is_variable(self) -> bool:
        """Whether the node is a placeholder and no operator."""
        return self.op == "null"


def is_metadata(key: str) -> bool:
    """Whether an attribute is about the node and not the operator's own: ``__shape__`` ..."""
    return key.startswith("__")


def upgrade(nodes: list[RawNode], version: int) -> None:
    """Brings nodes of a file of this version to what MXNet 1.9.1 means by them."""
    if version < 10901:
        for node in nodes:
            _uncover_hidden(node, nodes)
    if version < 900:
        for node in tuple(nodes):
            _append_states(node, nodes)
    if version < 905:
        for node in nodes:
            if node.op in {"argmax", "argmin"} and node.attributes.get("axis") == "-1":
                del node.attributes["axis"]


def _uncover_hidden(node: RawNode, nodes: Sequence[RawNode]) -> None:
    """``lr_mult`` becomes ``__lr_mult__``; ``weight_lr_mult`` moves to the weight's variable."""
    for key in [key for key in node.attributes if key.endswith(HIDDEN) and not is_metadata(key)]:
        word = next(word for word in HIDDEN if key.endswith(word))
        if key == word:
            node.attributes[f"__{word}__"] = node.attributes.pop(key)
        elif variable := _input_called(key.removesuffix(word).removesuffix("_"), node, nodes):
            variable.attributes[f"__{word}__"] = node.attributes.pop(key)


def _input_called(name: str, node: RawNode, nodes: Sequence[RawNode]) -> RawNode | None:
    schema = operators().get(node.op)
    names = schema.inputs if schema else ()
    if name not in names or names.index(name) >= len(node.inputs):
        return None
    source = nodes[node.inputs[names.index(name)].node]
    return source if source.is_variable else None


def _append_states(node: RawNode, nodes: list[RawNode]) -> None:
    for name in AUXILIARY_NAMES.get(node.op, ())[len(node.inputs) :]:
        node.inputs.append(Ref(len(nodes)))
        nodes.append(RawNode(node.place, "null", f"{node.name}_{name}", {}, []))
