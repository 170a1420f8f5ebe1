"""Reads ``symbol.json``, as MXNet 0.8 to 2.0 wrote it, into a :class:`Graph`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from gluonserve.errors import InvalidModel
from gluonserve.loader.graph import EMPTY, Graph, Node, Ref, Variable
from gluonserve.loader.legacy import RawNode, is_metadata, upgrade
from gluonserve.loader.schema import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_BYTES = 256 << 20
"""Far above any network known; a file this long is not a symbol."""
MAX_DEPTH = 16
"""Subgraphs inside subgraphs; MXNet's own loops rarely reach 3."""
OLDEST = 800
"""The version that MXNet takes for a file which does not state its own."""
_SHOWN = 60

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file we are, for messages."""

    text: str

    def at(self, more: str) -> _Place:
        return _Place(f"{self.text}: {more}")

    def refuse(self, expected: str, got: Json) -> NoReturn:
        raise InvalidModel(f"{self.text}: expected {expected}, got {_shown(got)}")


@dataclass(frozen=True, slots=True)
class _Era:
    """What the whole file says about itself; subgraphs inherit it."""

    mxnet_version: int
    np_shape: bool


@dataclass(slots=True)
class _Order:
    """A depth-first walk in MXNet's order; each node comes after its inputs."""

    nodes: Sequence[RawNode]
    done: list[int] = field(default_factory=list)
    position: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def visit(self, start: int) -> None:
        pending = [start]
        while pending:
            index = pending[-1]
            if index in self.position:
                pending.pop()
            elif index in self.open:
                pending.pop()
                self.open.remove(index)
                self.position[index] = len(self.done)
                self.done.append(index)
            else:
                self.open.add(index)
                pending.extend(self._inputs(index))

    def _inputs(self, index: int) -> list[int]:
        node = self.nodes[index]
        for ref in node.inputs:
            if ref.node in self.open:
                raise InvalidModel(f"{node.place}: expected a graph without cycles, got one here")
        return [ref.node for ref in reversed(node.inputs) if ref.node not in self.position]


def read_symbol(
    source: Path | bytes, *, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Graph:
    """The graph of a ``symbol.json``: aliases resolved, old dialects upgraded, in post-order.

    ``name`` stands in messages for the file. Nodes that no head needs are left out, as in MXNet.

    Raises:
        InvalidModel: the file cannot be read or is broken; names file, node and what was expected.
    """
    file = name or (str(source) if isinstance(source, Path) else "symbol.json")
    place = _Place(file)
    top = _object(_parsed(_content(source, file, max_bytes), place), place)
    version = _graph_attribute(top, "mxnet_version", place)
    era = _Era(
        mxnet_version=OLDEST if version is None else version,
        np_shape=bool(_graph_attribute(top, "is_np_shape", place)),
    )
    return _graph(top, place, era, depth=0)


def _content(source: Path | bytes, file: str, max_bytes: int) -> bytes:
    if isinstance(source, bytes):
        content = source[: max_bytes + 1]
    else:
        try:
            with source.open("rb") as stream:
                content = stream.read(max_bytes + 1)
        except (OSError, ValueError) as cause:
            raise InvalidModel(f"{file}: cannot be read: {cause}") from cause
    if len(content) > max_bytes:
        raise InvalidModel(f"{file}: expected at most {max_bytes} bytes, got more")
    return content


def _parsed(content: bytes, place: _Place) -> Json:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise InvalidModel(f"{place.text}: byte {cause.start}: expected UTF-8 text") from cause
    try:
        parsed: Json = json.loads(text, strict=False, parse_constant=_no_constant)
    except json.JSONDecodeError as cause:
        where = f"line {cause.lineno} column {cause.colno}"
        raise InvalidModel(f"{place.text}: {where}: expected JSON: {cause.msg}") from cause
    except RecursionError:
        raise InvalidModel(f"{place.text}: expected a graph, got deeply nested JSON") from None
    except ValueError as cause:
        raise InvalidModel(f"{place.text}: expected JSON with sensible numbers: {cause}") from cause
    return parsed


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _graph(value: Json, place: _Place, era: _Era, depth: int) -> Graph:
    if depth > MAX_DEPTH:
        raise InvalidModel(f"{place.text}: expected at most {MAX_DEPTH} levels of subgraphs")
    top = _object(value, place)
    listed = _list(_required(top, "nodes", place), place.at("nodes"))
    nodes = [
        _raw_node(entry, place.at(f"node {index}"), len(listed), era, depth)
        for index, entry in enumerate(listed)
    ]
    _check_variables(top.get("arg_nodes"), nodes, place.at("arg_nodes"))
    at = place.at("heads")
    entries = _list(_required(top, "heads", place), at)
    heads = [_ref(entry, at, len(nodes)) for entry in entries]
    if not heads:
        raise InvalidModel(f"{at.text}: expected at least one output")
    for node in nodes:
        _check_refs(node.inputs, nodes, node.place)
    _check_refs(heads, nodes, at.text)
    upgrade(nodes, era.mxnet_version)
    if depth == 0:
        _merge_namesakes(nodes, heads)
    return _ordered(nodes, heads, era)


def _ordered(nodes: Sequence[RawNode], heads: Sequence[Ref], era: _Era) -> Graph:
    order = _Order(nodes)
    for head in heads:
        order.visit(head.node)
    return Graph(
        nodes=tuple(_node(nodes[index], order.position) for index in order.done),
        heads=tuple(Ref(order.position[head.node], head.index) for head in heads),
        np_shape=era.np_shape,
        mxnet_version=era.mxnet_version,
    )


def _merge_namesakes(nodes: Sequence[RawNode], heads: list[Ref]) -> None:
    """Makes variables of one name one variable, as Gluon does when it binds values by name."""
    first: dict[str, int] = {}
    merged = [
        first.setdefault(node.name, index) if node.is_variable else index
        for index, node in enumerate(nodes)
    ]
    if len(first) < sum(node.is_variable for node in nodes):
        for refs in (heads, *(node.inputs for node in nodes)):
            refs[:] = [Ref(merged[ref.node], ref.index) for ref in refs]


def _node(raw: RawNode, position: Mapping[int, int]) -> Node | Variable:
    metadata = {key: text for key, text in raw.attributes.items() if is_metadata(key)}
    if raw.is_variable:
        return Variable(raw.name, MappingProxyType(metadata) if metadata else EMPTY)
    attributes = {key: text for key, text in raw.attributes.items() if key not in metadata}
    return Node(
        op=raw.op,
        name=raw.name,
        attributes=MappingProxyType(attributes) if attributes else EMPTY,
        inputs=tuple(Ref(position[ref.node], ref.index) for ref in raw.inputs),
        subgraphs=raw.subgraphs,
        metadata=MappingProxyType(metadata) if metadata else EMPTY,
    )


def _raw_node(value: Json, place: _Place, count: int, era: _Era, depth: int) -> RawNode:
    entry = _object(value, place)
    op = _string(_required(entry, "op", place), place.at("op"))
    name = _string(_required(entry, "name", place), place.at("name"))
    place = place.at(f"{_shown(name)} ({_shown(op)})")
    backward = entry.get("backward_source_id", -1)
    if type(backward) is not int or backward >= 0:
        place.refuse("a forward node (backward_source_id -1)", backward)
    inputs = _list(_required(entry, "inputs", place), place.at("inputs"))
    subgraphs = _list(entry.get("subgraphs", []), place.at("subgraphs"))
    node = RawNode(
        place=place.text,
        op=canonical(op),
        name=name,
        attributes=_attributes(entry, place),
        inputs=[_ref(item, place.at("inputs"), count) for item in inputs],
        subgraphs=tuple(
            _graph(item, place.at(f"subgraph {index}"), era, depth + 1)
            for index, item in enumerate(subgraphs)
        ),
    )
    if node.is_variable and (node.inputs or node.subgraphs):
        place.refuse("a variable without inputs and subgraphs", inputs or subgraphs)
    return node


def _attributes(entry: Mapping[str, Json], place: _Place) -> dict[str, str]:
    """The three names under which MXNet's versions wrote attributes; the first that has a key."""
    merged: dict[str, str] = {}
    for key in ("attrs", "attr", "param"):
        at = place.at(key)
        for attribute, text in _object(entry.get(key, {}), at).items():
            merged.setdefault(attribute, _string(text, at.at(_shown(attribute))))
    return merged


def _ref(value: Json, place: _Place, count: int) -> Ref:
    """``[node, output]`` or ``[node, output, version]``; the version selects no other value."""
    if not isinstance(value, list) or len(value) not in {2, 3}:
        place.refuse("[node, output, version]", value)
    node = _integer(value[0], place.at("node of an entry"), count)
    index = _integer(value[1], place.at("output of an entry"), 1 << 31)
    if len(value) == 3:
        _integer(value[2], place.at("version of an entry"), 1 << 32)
    return Ref(node, index)


def _check_refs(refs: Sequence[Ref], nodes: Sequence[RawNode], place: str) -> None:
    for ref in refs:
        if ref.index and nodes[ref.node].is_variable:
            variable = _shown(nodes[ref.node].name)
            raise InvalidModel(
                f"{place}: expected output 0 of variable {variable}, got output {ref.index}"
            )


def _check_variables(value: Json, nodes: Sequence[RawNode], place: _Place) -> None:
    """Nothing reads ``arg_nodes`` here, but a wrong one says that the file is broken."""
    if value is None:
        return
    for item in _list(value, place):
        index = _integer(item, place, len(nodes))
        if not nodes[index].is_variable:
            place.refuse(f"variables, and {_shown(nodes[index].name)} is none", index)


def _graph_attribute(top: Mapping[str, Json], key: str, place: _Place) -> int | None:
    """A graph attribute such as ``"mxnet_version": ["int", 10901]``."""
    at = place.at("attrs")
    value = _object(top.get("attrs", {}), at).get(key)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or value[0] != "int":
        at.at(key).refuse('["int", number]', value)
    return _integer(value[1], at.at(key), 1 << 31)


def _required(entry: Mapping[str, Json], key: str, place: _Place) -> Json:
    if key not in entry:
        raise InvalidModel(f"{place.text}: expected a key {key!r}, got none")
    return entry[key]


def _object(value: Json, place: _Place) -> dict[str, Json]:
    if not isinstance(value, dict):
        place.refuse("an object", value)
    return value


def _list(value: Json, place: _Place) -> list[Json]:
    if not isinstance(value, list):
        place.refuse("a list", value)
    return value


def _string(value: Json, place: _Place) -> str:
    if not isinstance(value, str):
        place.refuse("text", value)
    return value


def _integer(value: Json, place: _Place, end: int) -> int:
    if type(value) is not int or not 0 <= value < end:
        place.refuse(f"an integer from 0 to {end - 1}", value)
    return value


def _shown(value: Json) -> str:
    """A value as text of bounded length and depth."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge integer"
    shown = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
