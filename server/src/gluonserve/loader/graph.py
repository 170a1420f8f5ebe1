"""What an exported network is, once read: a small, typed, immutable graph in post-order."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ref:
    """One value: an output of the node at position ``node`` of its graph."""

    node: int
    index: int = 0


@dataclass(frozen=True, slots=True)
class Variable:
    """A named value that comes from outside: a parameter, an auxiliary state, an input or a label.

    ``metadata`` holds what MXNet wrote beside the name (``__shape__``, ``__dtype__`` ...) as text.
    It may be stale; a stored array is the authority on its own shape and type.
    """

    name: str
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator application.

    ``op`` is MXNet's canonical operator name, ``name`` is for people and not unique, ``attributes``
    are the operator's parameters as text (defaults are usually left out), ``metadata`` the rest.
    """

    op: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    inputs: tuple[Ref, ...] = ()
    subgraphs: tuple[Graph, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in post-order (every input stands before its consumer) and the values they answer.

    Only what the heads need is in it, in the order in which MXNet visits it, so that
    :meth:`variables` has the order of MXNet's ``list_inputs()``; ``np_shape`` says that rank 0 and
    size 0 are real; ``mxnet_version`` is major * 10000 + minor * 100 + patch.
    """

    nodes: tuple[Node | Variable, ...]
    heads: tuple[Ref, ...]
    np_shape: bool = False
    mxnet_version: int = 0

    def variables(self) -> tuple[Variable, ...]:
        """Every variable, in MXNet's order; a subgraph's inputs are bound by position in it."""
        return tuple(node for node in self.nodes if isinstance(node, Variable))

    def operators(self) -> Iterator[Node]:
        """Every operator node, each followed by those of its subgraphs."""
        pending: list[Node | Variable] = list(reversed(self.nodes))
        while pending:
            node = pending.pop()
            if isinstance(node, Variable):
                continue
            yield node
            for subgraph in reversed(node.subgraphs):
                pending.extend(reversed(subgraph.nodes))
