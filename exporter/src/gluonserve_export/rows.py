"""Which axes count rows, and how many rows to try."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any, Mapping, Optional, Sequence, Set, Union

    Axis = Union[int, str]

NONE = "none"
"""What stands for the axis where all rows share an array."""


def check_axes(
    inputs: Mapping[str, Any],
    batch_axes: Optional[Sequence[Axis]],
    free: Mapping[str, Set[int]],
) -> None:
    """Raise ValueError where an axis that was given is not there."""
    if batch_axes is not None and len(batch_axes) != len(inputs):
        raise ValueError(f"{len(inputs)} inputs need as many batch_axes, not {list(batch_axes)}")
    given = list(zip(inputs, batch_axes or ()))
    given += [(name, axis) for name, axes in free.items() for axis in axes]
    for name, axis in given:
        if name not in inputs:
            raise ValueError(f"free_axes: no input is called {name!r}; there are {list(inputs)}")
        rank = len(inputs[name].shape)
        if axis != NONE and axis not in range(rank):
            raise ValueError(f"{name} has axes 0 to {rank - 1} (or {NONE!r}), not {axis!r}")


def more_than(rows: int, shapes: Sequence[Sequence[int]]) -> int:
    """A larger number of rows, one that no dimension of the inputs has."""
    taken = {dim for shape in shapes for dim in shape}
    return next(more for more in itertools.count(rows + 1) if more not in taken)


def axis_of(one: np.ndarray, other: np.ndarray, rows: int, more: int) -> Optional[Axis]:
    """The axis that counts rows; "none" for what other rows do not change; else None."""
    if one.shape == other.shape:
        return NONE if np.array_equal(one, other) else None
    if one.ndim != other.ndim:
        return None
    places = [at for at, (a, b) in enumerate(zip(one.shape, other.shape)) if a != b]
    counts = len(places) == 1 and (one.shape[places[0]], other.shape[places[0]]) == (rows, more)
    return places[0] if counts else None
