"""Sizes for free dimensions at which the shapes inside a network fit each other."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, TypeAlias

from gluonserve.loader.axes import BATCH
from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from gluonserve.loader.lowering.dims import Atom, Dim

Demand: TypeAlias = "tuple[Dim, Dim]"
"""Two dimensions that an operator wants alike and of which at least one is free."""
Sizes: TypeAlias = "int | Mapping[str, tuple[int, ...]]"
"""What to give free dimensions: one size for all of them, or a whole shape for every input."""

_LARGEST = 512
_MOST = 3


def fitting_sizes(
    demands: Collection[Demand],
    usual: Sequence[int],
    broadcasts: Collection[Demand] = (),
    shapes: Mapping[str, Sequence[Dim]] | None = None,
) -> tuple[Sizes, ...]:
    """The ``usual`` sizes, those that fit first; where none does, such as do before them.

    A size is meant for all free dimensions at once, as pictures are mostly square. A picture that
    is flattened before a dense layer is of one size, and a range of neighbours often comes to the
    same, of which the first is taken. Of two dimensions in ``broadcasts`` one may be 1, but they
    are likelier alike: three channels less their three means. Where no usual size does for all,
    dimensions that nothing ties to each other get a size each, and ``shapes``, the inputs', tell
    what to make of them.
    """
    apart = [tie for tie in broadcasts if _symbols([tie])]
    ties = [*demands, *apart]
    fitting: list[Sizes] = [size for size in usual if _fits(ties, _alike(ties, size))]
    if not fitting:
        fitting = [*_shaped(_solutions(demands, apart, usual), usual, shapes or {})]
        everywhere = [next(iter(sizes.values())) for sizes in _ascending(ties) if sizes]
        fitting += [size for size in everywhere if size not in fitting]
    return (*fitting, *(size for size in usual if size not in fitting))


def _solutions(
    demands: Collection[Demand], broadcasts: Collection[Demand], usual: Sequence[int]
) -> Iterator[dict[str, int]]:
    """Sizes of all dimensions that are tied to anything, found for each group by itself.

    A group whose broadcast dimensions cannot all be alike has them as its demands leave them, and
    of size 1 where there are none.
    """
    found: list[list[dict[str, int]]] = []
    for group in _groups([*demands, *broadcasts]):
        needed = [tie for tie in group if tie in demands]
        choices = _choices(group, usual) or _choices(needed, usual)
        if needed and not choices:
            return
        ones = dict.fromkeys(_symbols(group), 1)
        found.append([ones | choice for choice in choices] or [ones])
    for turn in range(max(map(len, found), default=0)):
        sizes: dict[str, int] = {}
        for choices in found:
            sizes |= choices[min(turn, len(choices) - 1)]
        yield sizes


def _groups(ties: Sequence[Demand]) -> list[list[Demand]]:
    """The ties by what they speak of: no dimension is in two groups."""
    groups: list[list[Demand]] = []
    for tie in ties:
        names = _symbols([tie])
        near = [group for group in groups if names & _symbols(group)]
        groups = [group for group in groups if group not in near]
        groups.append([tie, *(one for group in near for one in group)])
    return groups


def _choices(ties: Sequence[Demand], usual: Sequence[int]) -> list[dict[str, int]]:
    """Sizes of a group's dimensions: alike if that fits, else of two the first pairs that do."""
    alike = [_alike(ties, size) for size in usual if ties and _fits(ties, _alike(ties, size))]
    return alike or [*_ascending(ties)] or _pairs(ties)


def _ascending(ties: Sequence[Demand]) -> Iterator[dict[str, int]]:
    """One size for all, the smallest that fit; a range of neighbours counts as one."""
    found, before = 0, False
    for size in range(1, _LARGEST + 1) if ties else ():
        fits = _fits(ties, _alike(ties, size))
        if fits and not before:
            yield _alike(ties, size)
            found += 1
        if found == _MOST:
            return
        before = fits


def _pairs(ties: Sequence[Demand]) -> list[dict[str, int]]:
    """Two sizes that differ, the likest first: oblong pictures that are flattened.

    What a picture comes to grows with each side, so that for one side the other is looked for by
    halving.
    """
    names = sorted(_symbols(ties))
    both = [tie for tie in ties if len(_symbols([tie])) == len(names) == 2]
    if not both:
        return []
    one, other = both[0]

    def excess(first: int, second: int) -> int:
        sizes = dict(zip(names, (first, second), strict=True))
        return _number(one, sizes) - _number(other, sizes)

    found: dict[int, int] = {}
    sides = range(1, _LARGEST + 1)
    try:
        sign = 1 if excess(_LARGEST, _LARGEST) > excess(1, 1) else -1
        for first in sides:
            if sign * (excess(first, _LARGEST) - excess(first, 1)) <= 0:
                continue  # too small for the windows that go over it
            at = bisect_left(sides, 0, key=lambda second: sign * excess(first, second))
            if at < len(sides) and _fits(ties, dict(zip(names, (first, sides[at]), strict=True))):
                found.setdefault(sides[at], first)
    except ZeroDivisionError:
        return []
    likest = sorted(found, key=lambda second: abs(second - found[second]))[:_MOST]
    return [dict(zip(names, (found[second], second), strict=True)) for second in likest]


def _shaped(
    solutions: Iterator[dict[str, int]],
    usual: Sequence[int],
    shapes: Mapping[str, Sequence[Dim]],
) -> Iterator[Sizes]:
    """The inputs' shapes in which what is tied to nothing has a usual size; one row of them."""
    free = _symbols([tuple(shape) for shape in shapes.values()])
    for turn, solution in enumerate(solutions):
        sizes = dict.fromkeys(free, usual[turn % len(usual)]) | dict(solution)
        if len({*sizes.values()}) == 1:
            yield from {*sizes.values()}
        elif shapes:
            numbers = {
                name: tuple(_number(dim, sizes) for dim in shape) for name, shape in shapes.items()
            }
            if all(number > 0 for shape in numbers.values() for number in shape):
                yield numbers  # what one input is longer than another may come to less than nothing


def _symbols(dims_: Collection[tuple[Dim, ...]]) -> frozenset[str]:
    """The free dimensions that occur, without the rows."""
    return frozenset(name for one in dims_ for dim in one for name in dims.symbols(dim)) - {BATCH}


def _alike(ties: Collection[Demand], size: int) -> dict[str, int]:
    return dict.fromkeys(_symbols(ties), size)


def _fits(ties: Collection[Demand], sizes: Mapping[str, int]) -> bool:
    """Whether one row of these sizes meets all demands."""
    try:
        return all(_number(one, sizes) == _number(other, sizes) for one, other in ties)
    except ZeroDivisionError:
        return False


def _number(dim: Dim, sizes: Mapping[str, int]) -> int:
    """What a dimension comes to for one row."""
    if isinstance(dim, int):
        return dim
    total = 0
    for monomial, factor in dim.terms:
        term = factor
        for atom, power in monomial:
            term *= _atom(atom, sizes) ** power
        total += term
    return total


def _atom(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, dims.Free):
        return sizes.get(atom.name, 1)
    if isinstance(atom, dims.Quotient):
        return _number(atom.top, sizes) // _number(atom.bottom, sizes)
    return max(_number(atom.one, sizes), _number(atom.other, sizes))
