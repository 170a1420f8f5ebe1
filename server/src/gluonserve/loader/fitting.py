"""Sizes for free dimensions at which the shapes inside a network fit each other."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from gluonserve.loader.axes import BATCH
from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from gluonserve.loader.lowering.dims import Dim

Demand: TypeAlias = "tuple[Dim, Dim]"
"""Two dimensions that an operator wants alike and of which at least one is free."""

_LARGEST = 512
_MOST = 3


def fitting_sizes(demands: Collection[Demand], usual: Sequence[int]) -> tuple[int, ...]:
    """The ``usual`` sizes, those that fit first; where none does, the smallest that do before them.

    A size is meant for all free dimensions at once, as pictures are mostly square. A picture that
    is flattened before a dense layer is of one size, and a range of neighbours often comes to the
    same, of which the first is taken.
    """
    fitting = [size for size in usual if _fits(demands, size)]
    if not fitting:
        fitting = list(islice(_others(demands), _MOST))
    return (*fitting, *(size for size in usual if size not in fitting))


def _others(demands: Collection[Demand]) -> Iterator[int]:
    before = False
    for size in range(1, _LARGEST + 1):
        fits = _fits(demands, size)
        if fits and not before:
            yield size
        before = fits


def _fits(demands: Collection[Demand], size: int) -> bool:
    """Whether one row of this size meets all demands."""
    try:
        return all(_sized(one, size) == _sized(other, size) for one, other in demands)
    except ZeroDivisionError:
        return False


def _sized(dim: Dim, size: int) -> Dim:
    return dims.replaced(dim, {name: 1 if name == BATCH else size for name in dims.symbols(dim)})
