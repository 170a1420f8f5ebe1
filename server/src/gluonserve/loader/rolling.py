"""Unrolled recurrent cells become the layers that they are: one node for all their steps.

``cell.unroll`` writes a dozen nodes for each step, and no engine puts them together again; what
that costs is in docs/decisions/. A step is found by what it computes, not by its names:
``LSTMCell`` and ``GRUCell`` of ``gluon.rnn`` and their forebears in ``mx.rnn`` write the same
operators. Steps that hand their state on, with the same weights, are a chain, and ``RNN`` computes
the same from the same weights. A chain stays as it is where something reads it from inside, or
where a step's input depends on an earlier step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from gluonserve.loader.graph import Graph, Node, Ref, Variable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

Pattern: TypeAlias = "str | tuple[str | int | Pattern, ...]"
"""A name for whatever is there; or an operator and the patterns of its inputs; or the part of a
``SliceChannel``: its operator, which part, of how many, and the pattern of what is sliced. With
"cell" before it a pattern has that name besides."""

LEAST_STEPS = 4
"""Shorter chains are left alone: there is nothing to gain."""

_INWARD: Pattern = ("FullyConnected", "x", "i2h_weight", "i2h_bias")
_RECURRENT: Pattern = ("FullyConnected", "h", "h2h_weight", "h2h_bias")
_WEIGHTS = ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
_SUM: Pattern = ("elemwise_add", _INWARD, _RECURRENT)


def _lstm() -> Pattern:
    entry, forget, new, answer = (("SliceChannel", at, 4, _SUM) for at in range(4))
    kept = ("elemwise_mul", ("sigmoid", forget), "c")
    added = ("elemwise_mul", ("sigmoid", entry), ("tanh", new))
    return ("elemwise_mul", ("sigmoid", answer), ("tanh", ("cell", "elemwise_add", kept, added)))


def _gru() -> Iterator[Pattern]:
    inward = [("SliceChannel", at, 3, _INWARD) for at in range(3)]
    recurrent = [("SliceChannel", at, 3, _RECURRENT) for at in range(3)]
    reset, update = (("sigmoid", ("elemwise_add", inward[at], recurrent[at])) for at in range(2))
    new = ("tanh", ("elemwise_add", inward[2], ("elemwise_mul", reset, recurrent[2])))
    rests = (("elemwise_sub", ("ones_like", update), update), ("one minus", update))
    for rest in rests:  # as it is written since 1.7, and before
        yield ("elemwise_add", ("elemwise_mul", rest, new), ("elemwise_mul", update, "h"))


_CELLS: Sequence[tuple[str, int, Pattern]] = (
    ("lstm", 4, _lstm()),
    *(("gru", 3, pattern) for pattern in _gru()),
)
"""Modes of ``RNN``, how many gates, and what a step looks like from its answer backwards.

Not those of ``RNNCell``: ONNX Runtime takes longer for its ``RNN`` than for the steps.
"""


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a cell: what it reads, what it answers, and the nodes that it is made of."""

    mode: str
    hidden: int
    named: Mapping[str, Ref]
    nodes: frozenset[int]
    out: Ref

    @property
    def cell(self) -> Ref | None:
        """The cell state that it hands on; only an LSTM has one."""
        return self.named.get("cell")

    def follows(self, other: _Step) -> bool:
        """Whether it takes up where the other ends."""
        same = all(self.named[name] == other.named[name] for name in _WEIGHTS)
        handed = self.named["h"] == other.out and self.named.get("c") == other.cell
        return same and handed and self.mode == other.mode


@dataclass(frozen=True, slots=True)
class Rolled:
    """A graph whose chains are rolled up, and what was rolled, in words."""

    graph: Graph
    chains: tuple[str, ...] = ()


def rolled(graph: Graph) -> Rolled:
    """The same network with every chain of recurrent steps as one ``RNN``."""
    steps = list(_steps(graph))
    if len(steps) < LEAST_STEPS:
        return Rolled(graph)
    readers = _readers(graph)
    chains = [chain for chain in _chains(steps) if _is_closed(graph, chain, readers)]
    if not chains:
        return Rolled(graph)
    rewriting = _Rewriting(graph)
    for chain in chains:
        rewriting.roll(chain)
    return Rolled(rewriting.graph(), tuple(_words(graph, chain) for chain in chains))


# Finding


def _steps(graph: Graph) -> Iterator[_Step]:
    for position, node in enumerate(graph.nodes):
        if not isinstance(node, Node) or node.subgraphs:
            continue
        for mode, gates, pattern in _CELLS:
            named: dict[str, Ref] = {}
            nodes: set[int] = set()
            if _matches(graph, pattern, Ref(position), named, nodes):
                hidden = _hidden(graph, named, nodes, gates)
                if hidden:
                    yield _Step(mode, hidden, named, frozenset(nodes), Ref(position))


def _matches(
    graph: Graph, pattern: Pattern, ref: Ref, named: dict[str, Ref], nodes: set[int]
) -> bool:
    """Whether a value was computed like that; notes what has a name, and the nodes on the way."""
    if isinstance(pattern, str):
        return named.setdefault(pattern, ref) == ref
    if pattern[0] == "cell":
        return named.setdefault("cell", ref) == ref and _matches(
            graph, pattern[1:], ref, named, nodes
        )
    node = graph.nodes[ref.node]
    if not isinstance(node, Node) or _operator(node) != pattern[0]:
        return False
    inputs: Sequence[object] = pattern[1:]
    if pattern[0] == "SliceChannel":
        if not _slices(node, ref, pattern):
            return False
        inputs = pattern[3:]
    elif ref.index or len(inputs) != len(node.inputs):
        return False
    nodes.add(ref.node)
    return all(
        _matches(graph, inner, read, named, nodes)  # type: ignore[arg-type]
        for inner, read in zip(inputs, node.inputs, strict=True)
    )


def _operator(node: Node) -> str:
    if node.op == "Activation":
        return node.attributes.get("act_type", "")
    if node.op == "FullyConnected" and not (_is(node, "flatten", "True") and len(node.inputs) == 3):
        return "another FullyConnected"
    if node.op == "_rminus_scalar" and node.attributes.get("scalar") in ("1", "1.0"):
        return "one minus"
    return node.op


def _is(node: Node, name: str, default: str) -> bool:
    """Whether a flag is set, as exports write it; other texts are none of a cell's."""
    return node.attributes.get(name, default) in ("True", "1")


def _slices(node: Node, ref: Ref, pattern: Sequence[object]) -> bool:
    """Whether it is that part of so many, along the features and keeping their axis."""
    attributes = node.attributes
    plain = attributes.get("axis", "1") == "1" and not _is(node, "squeeze_axis", "False")
    return plain and [ref.index, attributes.get("num_outputs")] == [pattern[1], str(pattern[2])]


def _hidden(graph: Graph, named: Mapping[str, Ref], nodes: Collection[int], gates: int) -> int:
    """The size of the state, or 0 where weights are computed or sizes do not fit."""
    if not all(isinstance(graph.nodes[named[name].node], Variable) for name in _WEIGHTS):
        return 0
    made_of = [node for at in nodes if isinstance(node := graph.nodes[at], Node)]
    (size, *others) = {n.attributes["num_hidden"] for n in made_of if "num_hidden" in n.attributes}
    return int(size) // gates if not others and size.isdigit() and int(size) % gates == 0 else 0


def _chains(steps: Sequence[_Step]) -> Iterator[list[_Step]]:
    """Steps in a row; one whose state goes to two next steps ends its chain."""
    after: dict[Ref, list[_Step]] = {}
    for step in steps:
        after.setdefault(step.named["h"], []).append(step)
    following = {
        step.out: found[0]
        for step in steps
        if len(found := [next_ for next_ in after.get(step.out, ()) if next_.follows(step)]) == 1
    }
    begun = {step.out for step in following.values()}
    for step in steps:
        if step.out in begun:
            continue
        chain = [step]
        while chain[-1].out in following:
            chain.append(following[chain[-1].out])
        if len(chain) >= LEAST_STEPS:
            yield chain


def _readers(graph: Graph) -> dict[Ref, set[int]]:
    """Who reads a value; -1 is whoever asks for a head."""
    readers: dict[Ref, set[int]] = {}
    for head in graph.heads:
        readers.setdefault(head, set()).add(-1)
    for position, node in enumerate(graph.nodes):
        if isinstance(node, Node):
            for ref in node.inputs:
                readers.setdefault(ref, set()).add(position)
    return readers


def _is_closed(graph: Graph, chain: Sequence[_Step], readers: Mapping[Ref, set[int]]) -> bool:
    """Whether nothing but answers and the last cell leaves it, and no answer comes back in."""
    inside = frozenset().union(*(step.nodes for step in chain))
    open_to_all = {step.out for step in chain} | {chain[-1].cell}
    for ref, reading in readers.items():
        if ref.node in inside and ref not in open_to_all and not reading <= inside:
            return False
    later = set(inside)
    for position, node in enumerate(graph.nodes):
        if isinstance(node, Node) and any(ref.node in later for ref in node.inputs):
            later.add(position)
    return not any(step.named["x"].node in later for step in chain)


def _words(graph: Graph, chain: Sequence[_Step]) -> str:
    first, last = (graph.nodes[step.out.node].name for step in (chain[0], chain[-1]))
    return f"{len(chain)} steps of {chain[0].mode} ({first} to {last}) run as one layer"


# Rewriting


class _Rewriting:
    """A graph under change: new nodes behind the old ones, put into order at the end."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node | Variable] = list(graph.nodes)
        self._instead: dict[Ref, Ref] = {}
        self._last: dict[Ref, Ref] = {}

    def roll(self, chain: Sequence[_Step]) -> None:
        """Put one ``RNN`` in a chain's place."""
        first, name = chain[0], self._nodes[chain[-1].out.node].name
        steps, count = [step.named["x"] for step in chain], len(chain)
        inputs = self._add("stack", name, steps, axis=0, num_args=count)
        weights = [self._add("Reshape", name, [first.named[w]], shape="(-1,)") for w in _WEIGHTS]
        states = [first.named["h"], *([first.named["c"]] if first.cell else [])]
        layer = self._add(
            "RNN",
            name,
            [
                self._add("Reshape", name, [inputs], shape="(0, 0, -1)"),
                self._add("_rnn_param_concat", name, weights, dim=0, num_args=len(weights)),
                *(self._add("expand_dims", name, [state], axis=0) for state in states),
            ],
            mode=first.mode,
            state_size=first.hidden,
            num_layers=1,
            state_outputs=True,
        )
        answers = self._add(
            "SliceChannel", name, [layer], num_outputs=count, axis=0, squeeze_axis=True
        )
        for at, step in enumerate(chain):
            self._instead[step.out] = replace(answers, index=at)
        last = chain[-1]
        self._last[last.out] = self._add("squeeze", name, [replace(layer, index=1)], axis="(0,)")
        if last.cell is not None:
            self._instead[last.cell] = self._add(
                "squeeze", name, [replace(layer, index=2)], axis="(0,)"
            )

    def _add(self, op: str, name: str, inputs: Sequence[Ref], **attributes: object) -> Ref:
        texts = {key: str(value) for key, value in attributes.items()}
        self._nodes.append(Node(op, name, texts, tuple(inputs)))
        return Ref(len(self._nodes) - 1)

    def _now(self, ref: Ref, reader: Node | None) -> Ref:
        """What is read now in a value's place; all answers together are read from their stack."""
        stacked = reader is not None and reader.op == "stack"
        if ref in self._last and not stacked:
            return self._last[ref]
        return self._instead.get(ref, ref)

    def graph(self) -> Graph:
        """What the heads need of it, every input before its reader."""
        heads = [self._now(head, None) for head in self._graph.heads]
        reads = {
            at: [self._now(ref, node) for ref in node.inputs]
            for at, node in enumerate(self._nodes)
            if isinstance(node, Node)
        }
        places: dict[int, int] = {}
        pending = [head.node for head in reversed(heads)]
        while pending:
            at = pending[-1]
            missing = [ref.node for ref in reads.get(at, ()) if ref.node not in places]
            if at in places or not missing:
                places.setdefault(at, len(places))
                pending.pop()
            else:
                pending.extend(reversed(missing))

        def moved(ref: Ref) -> Ref:
            return Ref(places[ref.node], ref.index)

        nodes: list[Node | Variable] = []
        for at in places:
            node = self._nodes[at]
            if isinstance(node, Node):
                node = replace(node, inputs=tuple(map(moved, reads[at])))
            nodes.append(node)
        return replace(self._graph, nodes=tuple(nodes), heads=tuple(map(moved, heads)))
