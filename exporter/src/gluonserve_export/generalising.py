"""Numbers that a run took from shapes, found by running other shapes, and freed where possible.

A plain Block may compute with ``x.shape``. Two recorded runs of different shapes then differ in
attributes of operators. Some of those say the same in a way that holds for every shape (0 and -1 in
reshape, an open end of a slice, 0 for "to be inferred" in zeros); the others are fixed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gluonserve_export.arrays import difference
from gluonserve_export.graphs import Graph

if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

    from gluonserve_export.graphs import Ref
    from gluonserve_export.recorded import Recorded, Step
    from gluonserve_export.sources import Where

    Patches = Mapping[int, "Patch"]
    Changes = Sequence["Change"]

_RESHAPE = {"Reshape", "reshape"}
_NUMPY_RESHAPE = {"_np_reshape", "_npi_reshape"}
_STRETCHED = {
    *("_zeros", "_ones", "_full", "_zeros_without_dtype", "broadcast_to"),
    *("_npi_zeros", "_npi_ones", "_npi_full"),
}
_ENDS = {"slice", "slice_axis", "_slice_assign", "_slice_assign_scalar"}


class Change(NamedTuple):
    """An axis of an input that two runs had in different sizes."""

    name: str
    axis: int
    size: int
    other: int


@dataclass(frozen=True)
class Patch:
    """Other attributes of a node, and axes of its output to stretch to axes of inputs."""

    attributes: Mapping[str, str]
    stretched: Tuple[Tuple[int, str, int], ...] = ()


def differing(first: Recorded, second: Recorded) -> Optional[List[Tuple[int, str]]]:
    """Which attributes of which nodes are not the same; None where the runs are not alike."""
    ones, others = first.graph.nodes, second.graph.nodes
    if len(ones) != len(others):
        return None
    found = []
    for at, (one, other) in enumerate(zip(ones, others)):
        if one["op"] != other["op"] or one["inputs"] != other["inputs"]:
            return None
        before, after = one.get("attrs", {}), other.get("attrs", {})
        if before.keys() != after.keys():
            return None
        found += [(at, key) for key in before if before[key] != after[key] and at in first.steps]
    return found


def unlike(first: Recorded, second: Recorded) -> Optional[Tuple[str, Optional[Where]]]:
    """Where two runs first called other operators, as a path and a line; None: nowhere."""
    ones, others = first.graph.nodes, second.graph.nodes
    for at in range(max(len(ones), len(others))):
        if at >= min(len(ones), len(others)) or not _alike(ones[at], others[at]):
            step = first.steps.get(at) or second.steps.get(at) or first.steps.get(at + 1)
            return (step.path, step.where) if step else ("", None)
    return None


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two nodes compute the same; names, which may be counted on, tell nothing."""
    if any(one[key] != other[key] for key in ("op", "inputs")):
        return False
    if _own(one) != _own(other):
        return False
    pairs = list(zip(one.get("subgraphs", ()), other.get("subgraphs", ())))
    return all(
        len(a["nodes"]) == len(b["nodes"]) and all(map(_alike, a["nodes"], b["nodes"]))
        for a, b in pairs
    )


def _own(node: Mapping[str, Any]) -> Dict[str, str]:
    return {key: text for key, text in node.get("attrs", {}).items() if not key.startswith("__")}


def unlike_constants(first: Recorded, second: Recorded) -> Optional[Tuple[str, Optional[Where]]]:
    """Where the first reads an array that Python made, and the second another; None: nowhere."""
    for at, step in first.steps.items():
        for ref in first.graph.nodes[at]["inputs"]:
            name = first.graph.nodes[ref[0]]["name"]
            one, other = first.constants.get(name), second.constants.get(name)
            if one is None:
                continue
            if other is None or difference(other.asnumpy(), one.asnumpy()):
                return step.path, step.where
    return None


def patches(first: Recorded, second: Recorded, before: Patches, changes: Changes) -> Patches:
    """``before`` and what makes the first run's graph fit the second's shapes too."""
    after = dict(before)
    for at, key in differing(first, second) or ():
        patch = after.get(at, Patch({}))
        one = patch.attributes.get(key, first.graph.nodes[at]["attrs"][key])
        other = second.graph.nodes[at]["attrs"][key]
        step = first.steps[at]
        if step.op == "broadcast_to" and key == "shape":
            one, other = _kept(step, second.steps[at], one), _kept(step, second.steps[at], other)
            patch = after[at] = Patch({**patch.attributes, key: one}, patch.stretched)
        if step.op in _STRETCHED and key == "shape":
            after[at] = _stretched(patch, one, other, changes)
            continue
        text = _general(step, second.steps[at], key, one, other)
        if text is not None:
            after[at] = Patch({**patch.attributes, key: text}, patch.stretched)
    return after


def patched(graph: Graph, heads: Sequence[Ref], by_node: Patches) -> Tuple[Graph, List[Ref]]:
    """Another graph with the patches applied."""
    made = Graph()
    moved: Dict[int, Ref] = {}
    for at, node in enumerate(graph.nodes):
        patch = by_node.get(at, Patch({}))
        ref = moved[at] = made.moved(node, moved, patch.attributes)
        for axis, name, of_axis in patch.stretched:
            like = {"lhs_axes": str((axis,)), "rhs_axes": str((of_axis,))}
            inputs = [ref, made.variable(name)]
            ref = made.operator("broadcast_like", node["name"] + "_like", like, inputs)
            moved[at] = ref
    return made, [head.through(moved) for head in heads]


def _kept(first: Step, second: Step, text: str) -> str:
    """0 for dimensions that a broadcast leaves as its input has them."""
    values = _values(text) or []
    shape, other_shape = first.shapes[0], second.shapes[0]
    if len(values) != len(shape):
        return text
    return _text(
        0 if a != b and value in (a, b) else value
        for value, a, b in zip(values, shape, other_shape)
    )


def _stretched(patch: Patch, one: str, other: str, changes: Changes) -> Patch:
    """Made with size 1 where it has the size of an input's axis, then stretched to that."""
    values, others = _values(one), _values(other)
    if values is None or others is None or len(values) != len(others):
        return patch
    stretched = list(patch.stretched)
    for at, (value, new) in enumerate(zip(values, others)):
        fits = [change for change in changes if (change.size, change.other) == (value, new)]
        if value != new and fits:
            values[at] = 1
            stretched.append((at, fits[0].name, fits[0].axis))
    return Patch({**patch.attributes, "shape": _text(values)}, tuple(stretched))


def _general(first: Step, second: Step, key: str, one: str, other: str) -> Optional[str]:
    values, others = _values(one), _values(other)
    if values is None or others is None or len(values) != len(others):
        return None
    places = [at for at, (a, b) in enumerate(zip(values, others)) if a != b]
    if first.op in _RESHAPE and key == "shape":
        return _reshape(values, others, places, first.shapes[0], second.shapes[0])
    if first.op in _NUMPY_RESHAPE and key == "newshape":
        return _numpy_reshape(values, others, first.shapes[0], second.shapes[0])
    if first.op in _ENDS and key == "end":
        return _open_ends(first, second, values, others)
    return None


def _reshape(
    values: List[Any],
    others: List[Any],
    places: Sequence[int],
    shape: Sequence[int],
    other_shape: Sequence[int],
) -> Optional[str]:
    """0 where it copies the input's dimension of that place, else -1 for one that is left."""
    made = list(values)
    left = []
    for at in places:
        plain = all(value >= 0 or value == -1 for value in values[:at])
        inside = at < len(shape) and at < len(other_shape)
        if values[at] == 0:  # an earlier pair of shapes said so
            continue
        if plain and inside and values[at] == shape[at] and others[at] == other_shape[at]:
            made[at] = 0
        else:
            left.append(at)
    if len(left) == 1 and all(value >= 0 for at, value in enumerate(made) if at not in left):
        made[left[0]] = -1
    return None if len(left) > 1 else _text(made)


def _numpy_reshape(
    values: List[Any], others: List[Any], shape: Sequence[int], other_shape: Sequence[int]
) -> Optional[str]:
    """-1 for the one dimension that changes; the NumPy interface has no code that copies."""
    one, other = _whole(values, shape), _whole(others, other_shape)
    made = [a if a == b else -1 for a, b in zip(one, other)]
    return _text(made) if made.count(-1) == 1 else None


def _whole(values: Sequence[int], shape: Sequence[int]) -> List[int]:
    """With a number for -1."""
    rest = int(np.prod(shape)) // max(1, int(np.prod([one for one in values if one != -1])))
    return [rest if one == -1 else one for one in values]


def _open_ends(first: Step, second: Step, values: List[Any], others: List[Any]) -> Optional[str]:
    """None where an end is the dimension itself, a negative number where it is just before."""
    pairs = [(a, b) for a, b in zip(first.shapes[0], second.shapes[0]) if a != b]
    if len(values) == 1 and first.op == "slice_axis":
        fitting = [pair for pair in pairs if values[0] - pair[0] == others[0] - pair[1]]
        return str(_from_end(values[0], fitting[0][0])) if fitting else None
    made = [
        _from_end(value, a) if value != other and value - a == other - b else value
        for value, other, a, b in zip(values, others, first.shapes[0], second.shapes[0])
    ]
    return _text(made)


def _from_end(value: int, size: int) -> Optional[int]:
    return None if value == size else value - size


def _values(text: str) -> Optional[List[Any]]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _text(values: Any) -> str:
    return str(tuple(values))
