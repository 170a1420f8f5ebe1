"""Lowers a whole graph once: every node in order, each by its operator's lowering."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from gluonserve.errors import GluonserveError, InvalidModel
from gluonserve.loader.graph import Variable
from gluonserve.loader.lowering.emit import HOLE, Build, Emit
from gluonserve.loader.lowering.table import OpTable, reachable
from gluonserve.loader.lowering.values import UnknownDimension, Value
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from gluonserve.loader.graph import Graph, Node
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Target
    from gluonserve.loader.lowering.values import Shape


@dataclass(frozen=True, slots=True)
class Plan:
    """What is lowered: a graph, what its variables are, and the table to do it with."""

    graph: Graph
    table: OpTable
    parameters: Mapping[str, np.ndarray]

    def lower(
        self,
        inputs: Mapping[str, tuple[DType, Shape]],
        target: Target,
        learned: Mapping[str, Dim] = MappingProxyType({}),
        *,
        sketch: bool = False,
    ) -> Built:
        """One pass over the graph; ``learned`` is what earlier passes fixed of its holes.

        Of a ``sketch`` only types and shapes hold.
        """
        known = {name: dim for name, dim in learned.items() if name.startswith(HOLE)}
        build = Build(target, self.graph.np_shape, sketch, inline=self._inline, known=known)
        op = Emit(build)
        feeds = {name: _input(build, op, name, *kind) for name, kind in inputs.items()}
        constants: dict[str, Value] = {}

        def bound(variable: Variable) -> Value | None:
            if variable.name in feeds:
                return feeds[variable.name]
            if variable.name not in constants and variable.name in self.parameters:
                constants[variable.name] = _parameter(build, variable.name, self.parameters)
            return constants.get(variable.name)

        try:
            outputs = self._lowered(op, self.graph, bound)
        except UnknownDimension as unknown:
            return Built(op, build, tuple(feeds.values()), (), unknown)
        return Built(op, build, tuple(feeds.values()), outputs)

    def _inline(self, op: Emit, graph: Graph, inputs: Sequence[Value]) -> tuple[Value, ...]:
        names = [variable.name for variable in graph.variables()]
        if len(names) != len(inputs):
            raise InvalidModel(f"a subgraph takes {len(names)} inputs, not {len(inputs)}")
        by_position = {id(v): value for v, value in zip(graph.variables(), inputs, strict=True)}
        return self._lowered(op, graph, lambda variable: by_position[id(variable)])

    def _lowered(
        self, op: Emit, graph: Graph, bound: Callable[[Variable], Value | None]
    ) -> tuple[Value, ...]:
        needed = reachable(graph, self.table)
        values: dict[tuple[int, int], Value] = {}
        for position, node in enumerate(graph.nodes):
            if position not in needed:
                continue
            if isinstance(node, Variable):
                value = bound(node)
                answered: tuple[Value, ...] = () if value is None else (value,)
            else:
                read = [values.get((ref.node, ref.index)) for ref in node.inputs]
                answered = self._node(op, node, position, read)
            values.update({(position, index): value for index, value in enumerate(answered)})
        missing = [head for head in graph.heads if (head.node, head.index) not in values]
        if missing:
            raise InvalidModel(f"nothing answers output {missing[0].index} of a head")
        return tuple(values[head.node, head.index] for head in graph.heads)

    def _node(
        self, op: Emit, node: Node, position: int, inputs: list[Value | None]
    ) -> tuple[Value, ...]:
        lowering = self.table.lowering(node.op)
        if lowering is None:
            raise InvalidModel(f"{node.name}: {node.op} has no lowering")
        place = f"{node.name} ({node.op})"
        for index, value in enumerate(inputs):
            if value is None and lowering.takes_part(index):
                raise InvalidModel(f"{place}: nothing feeds input {index}")
        try:
            with op.lowering(node, position):
                return lowering(op, node, inputs)
        except UnknownDimension as unknown:
            raise UnknownDimension(f"{place}: {unknown.what}", unknown.names) from unknown
        except GluonserveError as error:
            raise type(error)(f"{place}: {error}") from error
        except (ValueError, LookupError, ArithmeticError) as error:
            raise InvalidModel(f"{place}: {error}") from error


@dataclass(frozen=True, slots=True)
class Built:
    """One pass over a graph: what was emitted and learned; ``unknown`` says what stopped it."""

    op: Emit
    build: Build
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    unknown: UnknownDimension | None = None


def _input(build: Build, op: Emit, name: str, dtype: DType, shape: Shape) -> Value:
    value = Value(build.unique(name), dtype, shape, reads_data=True)
    build.note_sources(value, op.scope)
    return value


def _parameter(build: Build, name: str, parameters: Mapping[str, np.ndarray]) -> Value:
    array = parameters[name]
    unique = build.unique(name)
    build.arrays[unique] = array
    build.parameters[unique] = name
    return Value(unique, DType.of(array.dtype), array.shape, constant=array)
