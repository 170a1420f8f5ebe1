"""The table of lowerings: MXNet operator names, and the functions that lower them."""

from __future__ import annotations

import functools
import inspect
import typing
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from gluonserve.loader.attributes import (
    BadAttribute,
    Dims,
    DimsList,
    Floats,
    OptDims,
    expected,
    read_attribute,
)
from gluonserve.loader.graph import Graph, Node
from gluonserve.loader.lowering.emit import Emit
from gluonserve.loader.lowering.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Function: TypeAlias = "Callable[..., Any]"
F = TypeVar("F", bound="Callable[..., Any]")

_REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an operator: how its text is read, and its default."""

    name: str
    annotation: object
    default: Any

    @property
    def required(self) -> bool:
        """Whether MXNet has no default for it."""
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True)
class Lowering:
    """How one MXNet operator becomes ONNX.

    ``ignoring`` are attributes that cannot change inference, ``without`` the names of inputs that
    play no part in it (labels of loss heads): what feeds only those is not part of the network.
    """

    name: str
    function: Function
    ignoring: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """The operator's attributes by name."""
        return _signature(self.function).attributes

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs; of a variadic operator, those before the rest."""
        return _signature(self.function).inputs

    @property
    def variadic(self) -> bool:
        """Whether it takes any number of inputs."""
        return _signature(self.function).variadic

    @property
    def notes(self) -> str:
        """What its docstring says is peculiar about the mapping."""
        return inspect.getdoc(self.function) or ""

    def takes_part(self, index: int) -> bool:
        """Whether the input at this position has a part in inference."""
        return index >= len(self.inputs) or self.inputs[index] not in self.without

    def read(self, node: Node) -> tuple[dict[str, Any], list[str]]:
        """The attributes of a node as Python values, and what is wrong with them."""
        values: dict[str, Any] = {}
        problems = []
        for name, text in node.attributes.items():
            if name in self.ignoring:
                continue
            attribute = self.attributes.get(name)
            if attribute is None and not self.attributes and not self.ignoring:
                continue  # as MXNet: an operator without parameters takes any
            if attribute is None:
                problems.append(f"{name}={text!r}: not an attribute that {self.name} has")
                continue
            try:
                values[name] = read_attribute(name, text, attribute.annotation)
            except BadAttribute as error:
                problems.append(str(error))
        for name, attribute in self.attributes.items():
            if attribute.required and name not in node.attributes:
                problems.append(f"{name}: missing; {expected(attribute.annotation)}")
        return values, problems

    def __call__(self, op: Emit, node: Node, inputs: list[Value | None]) -> tuple[Value, ...]:
        """Lower one node; every output that the function answers."""
        answered = self.function(op, *inputs, **self.read(node)[0])
        return tuple(answered) if isinstance(answered, (tuple, list)) else (answered,)

    def problems(self, node: Node) -> list[str]:
        """What stands against lowering this node, before anything is built."""
        problems = self.read(node)[1]
        count, (least, most) = len(node.inputs), _signature(self.function).arity
        if count < least or (most is not None and count > most):
            wanted = str(least) if least == most else f"{least} to {most or 'any number'}"
            problems.append(f"{count} inputs: {self.name} takes {wanted}")
        return problems


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator that is not lowered on purpose, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Signature:
    inputs: tuple[str, ...]
    arity: tuple[int, int | None]
    variadic: bool
    attributes: Mapping[str, Attribute]


class OpTable:
    """Lowerings by MXNet operator name; a second lowering of a name is an error."""

    def __init__(self, *tables: OpTable) -> None:
        self._entries: dict[str, Lowering | Refusal] = {}
        for table in tables:
            for entry in table.entries():
                self._add(entry)

    def lowers(
        self, *names: str, ignoring: Iterable[str] = (), without: Iterable[str] = ()
    ) -> Callable[[F], F]:
        """Register a function for these canonical operator names.

        Its first parameter is the :class:`Emit`, its other positional ones are the operator's
        inputs in MXNet's order (``= None`` where an input may be absent), and its keyword-only
        ones the attributes with MXNet's names and defaults, annotated as their text is read.
        """

        def register(function: F) -> F:
            for name in names:
                self._add(Lowering(name, function, frozenset(ignoring), frozenset(without)))
            return function

        return register

    def refuses(self, *names: str, reason: str) -> None:
        """Say why these operators have no lowering."""
        for name in names:
            self._add(Refusal(name, reason))

    def entries(self) -> Iterator[Lowering | Refusal]:
        """Everything that is registered."""
        return iter(self._entries.values())

    def lowering(self, name: str) -> Lowering | None:
        """The lowering of an operator, if it has one."""
        entry = self._entries.get(name)
        return entry if isinstance(entry, Lowering) else None

    def reason(self, name: str) -> str:
        """Why an operator is not lowered; empty where it simply is not yet."""
        entry = self._entries.get(name)
        return entry.reason if isinstance(entry, Refusal) else ""

    def missing(self, ops: Iterable[str]) -> tuple[str, ...]:
        """Those operators that have no lowering."""
        return tuple(op for op in ops if self.lowering(op) is None)

    def problems(self, nodes: Iterable[Node]) -> list[str]:
        """Everything that stands against lowering these nodes, in words."""
        seen = list(nodes)
        problems = self._missing_text(Counter(n.op for n in seen if self.lowering(n.op) is None))
        for node in seen:
            lowering = self.lowering(node.op)
            if lowering is not None:
                problems.extend(f"{node.name}: {problem}" for problem in lowering.problems(node))
        return problems

    def _missing_text(self, missing: Counter[str]) -> list[str]:
        unknown = {op: count for op, count in missing.items() if not self.reason(op)}
        texts = []
        if unknown:
            listed = ", ".join(f"{op} ({_nodes(count)})" for op, count in unknown.items())
            one = len(unknown) == 1
            verb = "operator has" if one else "operators have"
            texts.append(f"{len(unknown)} {verb} no lowering: {listed}")
        texts.extend(
            f"{op} ({_nodes(count)}): {self.reason(op)}"
            for op, count in missing.items()
            if op not in unknown
        )
        return texts

    def _add(self, entry: Lowering | Refusal) -> None:
        if entry.name in self._entries:
            raise ValueError(f"{entry.name} has a lowering already")
        self._entries[entry.name] = entry


def reachable(graph: Graph, table: OpTable) -> frozenset[int]:
    """Positions of the nodes that the heads need, inputs that play no part left out."""
    needed = {head.node for head in graph.heads}
    for position in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[position]
        if position not in needed or not isinstance(node, Node):
            continue
        lowering = table.lowering(node.op)
        needed.update(
            ref.node
            for index, ref in enumerate(node.inputs)
            if lowering is None or lowering.takes_part(index)
        )
    return frozenset(needed)


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


@functools.cache
def _signature(function: Function) -> _Signature:
    hints = typing.get_type_hints(function, localns=_NAMES)
    inputs, attributes, variadic, least = [], {}, False, 0
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY:
            name = parameter.name
            attributes[name] = Attribute(name, hints[name], parameter.default)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            variadic = True
        else:
            inputs.append(parameter.name)
            least += parameter.default is _REQUIRED
    most = None if variadic else len(inputs)
    return _Signature(tuple(inputs), (least, most), variadic, attributes)


_NAMES: dict[str, object] = {
    "Dims": Dims,
    "DimsList": DimsList,
    "Emit": Emit,
    "Floats": Floats,
    "Literal": typing.Literal,
    "OptDims": OptDims,
    "Value": Value,
}
"""What lowerings use in annotations, so that they may import it for type checkers only."""
