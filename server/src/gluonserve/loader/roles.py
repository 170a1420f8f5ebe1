"""Tells a graph's variables apart: inputs, labels, parameters and auxiliary states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from gluonserve.loader.graph import Graph, Node, Variable
from gluonserve.loader.legacy import AUXILIARY_NAMES
from gluonserve.loader.schema import operators

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_AUXILIARY: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "BatchNorm": (3, 4),
        "BatchNorm_v1": (3, 4),
        "CuDNNBatchNorm": (3, 4),
        "IdentityAttachKLSparseReg": (1,),
        "_contrib_BatchNormWithReLU": (3, 4),
        "_contrib_SyncBatchNorm": (3, 4),
        "_contrib_quantized_batch_norm": (3, 4),
        "_contrib_quantized_batch_norm_relu": (3, 4),
    }
)
"""Input slots that training writes to: what makes a variable an auxiliary state."""
_LOSSES = frozenset({
    "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput", "SVMOutput",
    "SoftmaxOutput",
})  # fmt: skip
_FUSED = "_sg_"
_LABEL = 1
_PARAMETER_SLOTS = frozenset({
    "beta", "bias", "gamma", "moving_avg", "moving_mean", "moving_var", "parameters", "weight",
})  # fmt: skip
_NUMBERED = re.compile(r"data([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Roles:
    """The variables of a graph by what they are for; each name stands in one place.

    ``inputs`` are in the order of the network's call where names tell it (``data0``, ``data1``),
    else in MXNet's. ``labels`` feed nothing but losses, which need none at inference. ``missing``
    are not stored and yet must be parameters: auxiliary states, variables that Gluon made for a
    parameter, and those that MXNet made for an operator's weight.
    """

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    parameters: tuple[str, ...]
    auxiliaries: tuple[str, ...]
    missing: tuple[str, ...]


def roles(graph: Graph, stored: Collection[str]) -> Roles:
    """Tells the variables apart, given the names of the stored arrays."""
    names = [variable.name for variable in graph.variables()]
    auxiliary = set(auxiliaries(graph))
    labels, made = _labels(graph), _made_for_parameters(graph)
    unbound = [name for name in names if name not in stored]
    inputs = [n for n in unbound if n not in auxiliary and n not in labels and n not in made]
    return Roles(
        inputs=_in_call_order(inputs),
        labels=tuple(name for name in unbound if name in labels and name not in auxiliary),
        parameters=tuple(n for n in names if n in stored and n not in auxiliary),
        auxiliaries=tuple(name for name in names if name in stored and name in auxiliary),
        missing=tuple(n for n in unbound if n in auxiliary or (n in made and n not in labels)),
    )


def auxiliaries(graph: Graph) -> tuple[str, ...]:
    """The names that MXNet's ``list_auxiliary_states()`` gives, in its order.

    Those that only the body of a loop or condition writes to are not among them, as in MXNet.
    """
    written = {
        node.inputs[slot].node
        for node in graph.nodes
        if isinstance(node, Node)
        for slot in _written_slots(node)
        if slot < len(node.inputs)
    }
    return tuple(
        node.name
        for at, node in enumerate(graph.nodes)
        if at in written and isinstance(node, Variable)
    )


def _written_slots(node: Node) -> tuple[int, ...]:
    """The inputs that training writes to; a fused operator's are those of the nodes inside it."""
    if not node.op.startswith(_FUSED):
        return _AUXILIARY.get(node.op, ())
    return tuple(
        slot
        for subgraph in node.subgraphs
        if (inside := set(auxiliaries(subgraph)))
        for slot, variable in enumerate(subgraph.variables())
        if variable.name in inside
    )


def _labels(graph: Graph) -> set[str]:
    """Variables that only the label slots of losses read."""
    labels: set[int] = set()
    others = {head.node for head in graph.heads}
    for node in graph.nodes:
        if isinstance(node, Variable):
            continue
        for slot, ref in enumerate(node.inputs):
            (labels if node.op in _LOSSES and slot == _LABEL else others).add(ref.node)
    return {graph.nodes[at].name for at in labels - others}


def _made_for_parameters(graph: Graph) -> set[str]:
    """Variables that bear a trace of having been made for a parameter."""
    made = {v.name for v in graph.variables() if "__lr_mult__" in v.metadata}
    for node in graph.nodes:
        if isinstance(node, Variable):
            continue
        schema = operators().get(node.op)
        names = AUXILIARY_NAMES.get(node.op) or (schema.inputs if schema else ())
        for name, ref in zip(names[1:], node.inputs[1:], strict=False):
            source = graph.nodes[ref.node]
            if name not in _PARAMETER_SLOTS or not isinstance(source, Variable):
                continue
            if source.name == f"{node.name}_{name}":
                made.add(source.name)
    return made


def _in_call_order(names: Sequence[str]) -> tuple[str, ...]:
    matches = [_NUMBERED.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) < len(names):
        return tuple(names)
    return tuple(name for _, name in sorted(zip(numbers, names, strict=True)))
