"""Tells a graph's variables apart: inputs, labels, parameters and auxiliary states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.attributes import BadAttribute, Dims, read_attribute
from gluonserve.loader.graph import Graph, Node, Variable
from gluonserve.loader.legacy import AUXILIARY_NAMES
from gluonserve.loader.schema import operators

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
_LABEL = 1
_PARAMETER_SLOTS = frozenset({
    "beta", "bias", "gamma", "moving_avg", "moving_mean", "moving_var", "parameters", "weight",
})  # fmt: skip
_SUBGRAPH_INPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "_cond": ("cond_input_locs", "then_input_locs", "else_input_locs"),
        "_while_loop": ("cond_input_locs", "func_input_locs"),
    }
)
"""For each subgraph the attribute that says which input of the node feeds each of its inputs."""
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
    """Tells the variables apart, given the names of the stored arrays.

    Raises:
        InvalidModel: the attributes of a control-flow operator do not fit its inputs.
    """
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
    """The names that MXNet's ``list_auxiliary_states()`` gives, in its order."""
    positions = _auxiliary_positions(graph)
    variables = graph.variables()
    return tuple(v.name for position, v in enumerate(variables) if position in positions)


def _auxiliary_positions(graph: Graph) -> set[int]:
    """Which of the graph's variables, counted in order, feed a slot that training writes to."""
    variables = [at for at, node in enumerate(graph.nodes) if isinstance(node, Variable)]
    position = {at: count for count, at in enumerate(variables)}
    return {
        position[node.inputs[slot].node]
        for node in graph.nodes
        if isinstance(node, Node)
        for slot in _auxiliary_slots(node)
        if slot < len(node.inputs) and node.inputs[slot].node in position
    }


def _auxiliary_slots(node: Node) -> Iterator[int]:
    yield from _AUXILIARY.get(node.op, ())
    for number, subgraph in enumerate(node.subgraphs):
        inner = _auxiliary_positions(subgraph)
        if not inner:
            continue
        feeds = _subgraph_feeds(node, number, len(subgraph.variables()))
        for at in inner:
            if at not in feeds:
                raise InvalidModel(f"{node.name!r} ({node.op}): nothing feeds input {at} inside it")
            yield feeds[at]


def _subgraph_feeds(node: Node, number: int, inputs: int) -> Mapping[int, int]:
    """For each input of a subgraph (by position) the input of the node that feeds it."""
    if node.op == "_foreach":
        groups = ("in_data_locs", "in_state_locs", "remain_locs")
        places = [place for group in groups for place in _places(node, group)]
        return {place: slot for slot, place in enumerate(places)}
    attributes = _SUBGRAPH_INPUTS.get(node.op, ())
    if number < len(attributes):
        return dict(enumerate(_places(node, attributes[number])))
    return {at: at for at in range(inputs)}


def _places(node: Node, attribute: str) -> Sequence[int]:
    try:
        places = read_attribute(attribute, node.attributes.get(attribute, "()"), Dims)
    except BadAttribute as cause:
        raise InvalidModel(f"{node.name!r} ({node.op}): {cause}") from cause
    return places if isinstance(places, tuple) else ()


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
