"""Breaks real exports in thousands of ways, the same ones each time.

``mutations(symbol, params, count)`` yields :class:`Mutation` after :class:`Mutation`: a pair of
files of which one was changed, with words for what was done to it. Whoever reads such a pair must
either accept it or raise exactly one GluonserveError.
"""

from __future__ import annotations

import copy
import json
import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 1.5, 10**6, 2**31, 2**63, 2**64, 10**400, "", "null", "0", "[1]",
    "\x00", "ü", "x" * 5000, [], {}, [[]], [0], [0, 0], [0, 0, 0], [-1, 0, 0], [0, -1, 0],
    [10**9, 0, 0], [0, 10**9, 0], ["0", "0", "0"], {"a": "b"}, {"a": 1}, [[0, 0, 0]],
)  # fmt: skip
ODD_ATTRIBUTES = (
    "", "None", "-1", "0", "1", "(0, 0)", "(-1, -1)", "(1,)", "()", "(1, 2, 3, 4, 5)", "True",
    "99999999999", "1e400", "nan", "((1, 1))", "(", "[" * 5000, "float32", "NHWC", "1.5", "2, 2",
)  # fmt: skip
ODD_WORDS = (0, 1, 2, 3, 31, 33, 0x112, 0x7FFFFFFF, 0x80000000, 0xF993FAC8, 0xF993FAC9, 0xFFFFFFFF)
ODD_LONGS = (0, 1, 2, 33, 0x112, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
OPERATORS = ("null", "_copy", "BatchNorm", "Concat", "_foreach", "Reshape", "nothing_known", "")


@dataclass(frozen=True)
class Mutation:
    """Two files of a network, one of them changed."""

    what: str
    symbol: bytes
    params: bytes


def mutations(symbol: bytes, params: bytes, count: int, seed: int = 0) -> Iterator[Mutation]:
    """``count`` mutations of a network, of all kinds in turn; the same for the same seed."""
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        change = _CHANGES[number % len(_CHANGES)]
        what, new_symbol, new_params = change(rng, symbol, params)
        yield Mutation(f"{number}: {what}", new_symbol, new_params)


def _flip(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    changed = bytearray(content)
    places = [rng.randrange(len(content)) for _ in range(rng.choice((1, 1, 2, 8)))]
    for place in places:
        changed[place] ^= 1 << rng.randrange(8)
    return f"bits flipped at {places}", bytes(changed)


def _cut(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    end = rng.choice((rng.randrange(len(content)), len(content) - 1, rng.randrange(64)))
    return f"cut to {end} bytes", content[:end]


def _splice(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    start, size = rng.randrange(len(content)), rng.randrange(1, 64)
    if rng.random() < 0.5:
        return f"{size} bytes gone at {start}", content[:start] + content[start + size :]
    added = content[start : start + size] * rng.randrange(1, 4)
    return f"{len(added)} bytes repeated at {start}", content[:start] + added + content[start:]


def _overwrite(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    """A number in the binary file becomes another, most often one of a header."""
    form, odd = rng.choice((("<I", ODD_WORDS), ("<Q", ODD_LONGS)))
    value, size = rng.choice(odd), struct.calcsize(form)
    place = rng.choice((rng.randrange(24, 72), rng.randrange(len(content) - size)))
    place = min(place, len(content) - size)
    changed = content[:place] + struct.pack(form, value) + content[place + size :]
    return f"{form} {value:#x} at {place}", changed


def _edited(edit: Callable[[random.Random, dict[str, Any]], str]) -> Any:
    def change(rng: random.Random, symbol: bytes, params: bytes) -> tuple[str, bytes, bytes]:
        graph = json.loads(symbol)
        what = edit(rng, graph)
        return what, json.dumps(graph).encode(), params

    return change


def _delete_key(rng: random.Random, graph: dict[str, Any]) -> str:
    holder, key = rng.choice(_places(graph))
    del holder[key]
    return f"deleted {key!r}"


def _odd_value(rng: random.Random, graph: dict[str, Any]) -> str:
    holder, key = rng.choice(_places(graph))
    holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    return f"{key!r} became {str(holder[key])[:40]!r}"


def _odd_attribute(rng: random.Random, graph: dict[str, Any]) -> str:
    node = rng.choice([n for n in graph["nodes"] if n.get("attrs") or n.get("param")])
    attributes = node.get("attrs") or node["param"]
    key = rng.choice([*attributes, "unknown"])
    attributes[key] = rng.choice(ODD_ATTRIBUTES)
    return f"{node['name']}: {key}={attributes[key][:40]!r}"


def _rewire(rng: random.Random, graph: dict[str, Any]) -> str:
    """Another input: a cycle, a node too far, an output that is not there."""
    node = rng.choice([node for node in graph["nodes"] if node["inputs"]])
    entry = rng.choice(node["inputs"])
    entry[rng.choice((0, 0, 1))] = rng.choice((*range(len(graph["nodes"]) + 1), 2**31, -1))
    return f"{node['name']}: an input became {entry}"


def _other_operator(rng: random.Random, graph: dict[str, Any]) -> str:
    node = rng.choice(graph["nodes"])
    node["op"] = rng.choice((*OPERATORS, rng.choice(graph["nodes"])["op"]))
    return f"{node['name']}: op became {node['op']!r}"


def _other_inputs(rng: random.Random, graph: dict[str, Any]) -> str:
    node = rng.choice([node for node in graph["nodes"] if node["inputs"]])
    if rng.random() < 0.5:
        node["inputs"].pop(rng.randrange(len(node["inputs"])))
        return f"{node['name']}: one input fewer"
    node["inputs"] += [rng.choice(node["inputs"])] * rng.choice((1, 100))
    return f"{node['name']}: {len(node['inputs'])} inputs"


def _rename(rng: random.Random, graph: dict[str, Any]) -> str:
    node, other = rng.choice(graph["nodes"]), rng.choice(graph["nodes"])
    node["name"] = rng.choice((other["name"], "", "\udcff", "a/b", "x" * 70_000))
    return f"a node called {node['name'][:40]!r}"


def _nest(rng: random.Random, graph: dict[str, Any]) -> str:
    """Depth: brackets in a value, or the graph inside itself many times."""
    depth, node = rng.choice((3, 20, 400)), rng.choice(graph["nodes"])
    if rng.random() < 0.5:
        value: Any = []
        for _ in range(depth):
            value = [value]
        node["inputs"] = value
        return f"{node['name']}: {depth} brackets for inputs"
    for _ in range(min(depth, 60)):
        inner = {key: graph[key] for key in ("nodes", "arg_nodes", "heads")}
        outer = {"op": "_cond", "name": "outer", "inputs": [], "subgraphs": [inner]}
        graph.update(nodes=[outer], arg_nodes=[], heads=[[0, 0, 0]])
    return f"the graph {depth} deep in itself"


def _version(rng: random.Random, graph: dict[str, Any]) -> str:
    value = rng.choice((0, 700, 800, 904, 1200, 20000, -1, 2**40, "10901"))
    graph["attrs"] = {"mxnet_version": ["int", value], "is_np_shape": ["int", rng.randrange(3)]}
    return f"of version {value}"


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    found, pending = [], [value]
    while pending:
        holder = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        found += [(holder, key) for key in keys]
        pending += [holder[key] for key in keys if isinstance(holder[key], dict | list)]
    return found


def _of_symbol(change: Callable[[random.Random, bytes], tuple[str, bytes]]) -> Any:
    def both(rng: random.Random, symbol: bytes, params: bytes) -> tuple[str, bytes, bytes]:
        what, changed = change(rng, symbol)
        return f"symbol: {what}", changed, params

    return both


def _of_params(change: Callable[[random.Random, bytes], tuple[str, bytes]]) -> Any:
    def both(rng: random.Random, symbol: bytes, params: bytes) -> tuple[str, bytes, bytes]:
        what, changed = change(rng, params)
        return f"params: {what}", symbol, changed

    return both


_CHANGES = (
    *(_of_symbol(change) for change in (_flip, _cut, _splice)),
    *(_of_params(change) for change in (_flip, _cut, _splice, _overwrite, _overwrite)),
    *(
        _edited(edit)
        for edit in (
            _delete_key, _odd_value, _odd_value, _odd_attribute, _odd_attribute, _rewire, _rewire,
            _other_operator, _other_inputs, _rename, _nest, _version,
        )
    ),
)  # fmt: skip
