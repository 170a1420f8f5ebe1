"""Indexing of arrays, as operators."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gluonserve_export.arrays import is_array

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    Steps = List[Tuple[str, Dict[str, str], Tuple[int, ...]]]


def is_basic(key: Any) -> bool:
    """Whether it holds numbers, slices, None and Ellipsis only."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, numbers.Integral) and not isinstance(part, bool))
        for part in parts
    )


class Picked(NamedTuple):
    """An axis of which an array or a list of numbers picks; ``others`` index the other axes."""

    axis: int
    numbers: Any
    others: Tuple[Any, ...]


def picked_by(key: Any, rank: int) -> Optional[Picked]:
    """What ``key`` picks, where it is one list or array of numbers among slices; else None."""
    parts = _expanded(key if isinstance(key, tuple) else (key,), rank)
    odd = [at for at, part in enumerate(parts) if not isinstance(part, slice)]
    if len(odd) != 1 or len(parts) != rank:
        return None
    at, picks = odd[0], parts[odd[0]]
    if not is_array(picks):
        made = np.asarray(picks) if isinstance(picks, (list, tuple, np.ndarray)) else np.zeros(0)
        if made.dtype.kind not in "iu" or not made.ndim:
            return None
    elif np.dtype(picks.dtype).kind == "b":
        return None
    return Picked(at, picks, (*parts[:at], slice(None), *parts[at + 1 :]))


def steps_of(
    key: Any, shape: Sequence[int], wanted: Sequence[int], *, scalars: bool = False
) -> Steps:
    """The operators that index an array of this shape; each with its attributes and its result."""
    parts = _expanded(key if isinstance(key, tuple) else (key,), len(shape))
    taken = [part for part in parts if part is not None]
    steps: Steps = []
    after = tuple(shape)
    if any(part != slice(None) for part in taken):
        attributes, after = _slice(taken, shape)
        steps.append(("slice", attributes, after))
    dropped = [axis for axis, part in enumerate(taken) if not isinstance(part, slice)]
    if dropped and len(dropped) == len(after) and not scalars:
        dropped = dropped[:-1]  # the classic interface has no arrays without axes
    if dropped:
        after = tuple(dim for axis, dim in enumerate(after) if axis not in dropped)
        steps.append(("squeeze", {"axis": str(tuple(dropped))}, after))
    at = 0
    for part in parts:
        if part is None:
            after = (*after[:at], 1, *after[at:])
            steps.append(("expand_dims", {"axis": str(at)}, after))
        if part is None or isinstance(part, slice):
            at += 1
    return (
        steps if len(after) == len(wanted) else [("Reshape", {"shape": str(tuple(wanted))}, after)]
    )


def _expanded(parts: Tuple[Any, ...], rank: int) -> List[Any]:
    """Without Ellipsis, and with a part for every axis."""
    missing = rank - sum(part is not None and part is not Ellipsis for part in parts)
    filler = [slice(None)] * missing
    at = next((at for at, part in enumerate(parts) if part is Ellipsis), None)
    if at is None:
        return list(parts) + filler
    return list(parts[:at]) + filler + list(parts[at + 1 :])


def _slice(parts: Sequence[Any], shape: Sequence[int]) -> Tuple[Dict[str, str], Tuple[int, ...]]:
    begin, end, step, after = [], [], [], []
    for part, dim in zip(parts, shape):
        one = part if isinstance(part, slice) else slice(part, part + 1 or None)
        begin.append(one.start)
        end.append(one.stop)
        step.append(one.step)
        after.append(len(range(*one.indices(dim))))
    attributes = {"begin": _text(begin), "end": _text(end)}
    if any(one is not None for one in step):
        attributes["step"] = _text(step)
    return attributes, tuple(after)


def _text(values: Sequence[Any]) -> str:
    return str(tuple(None if value is None else int(value) for value in values))
