"""Works out the codes of MXNet's ``Reshape``: which dimensions a tensor gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.values import Shape


def resolved(source: Shape, codes: Sequence[int], *, reverse: bool = False) -> Shape:
    """The shape that ``codes`` make of ``source``.

    0 copies a dimension, -1 is inferred (one of them), -2 copies all that are left, -3 merges two,
    -4 splits one into the next two; other numbers are themselves. ``reverse`` works from the right,
    so that the sizes of a split stand before its -4.
    """
    if reverse:
        return resolved(source[::-1], codes[::-1])[::-1]
    wanted: list[Dim | None] = []
    at = 0
    rest = iter(codes)
    for code in rest:
        if code == -4:
            wanted.extend(_split(_dim(source, at), next(rest, None), next(rest, None)))
            at += 1
        elif code == -3:
            wanted.append(_dim(source, at) * _dim(source, at + 1))
            at += 2
        elif code == -2:
            wanted.extend(source[at:])
            at = len(source)
        else:
            wanted.append(_dim(source, at) if code == 0 else None if code == -1 else code)
            at += 1
    return _inferred(source, wanted)


def legacy_target(source: Shape, target: Sequence[int], *, keep_first: bool) -> Shape:
    """The shape of the old ``target_shape``: 0 is inferred, ``keep_highest`` copies axis 0."""
    wanted: list[Dim | None] = [size or None for size in target]
    if keep_first:
        wanted[0] = source[0]
    return _inferred(source, wanted)


def _dim(source: Shape, at: int) -> Dim:
    if at >= len(source):
        raise InvalidModel(f"shape {list(source)} has no dimension {at} to reshape")
    return source[at]


def _split(whole: Dim, first: int | None, second: int | None) -> tuple[Dim, Dim]:
    if first is None or second is None or (first == -1 and second == -1):
        raise InvalidModel("-4 in a shape needs two sizes behind it, one of them known")
    if first == -1:
        return _ratio(whole, second), second
    if second == -1:
        return first, _ratio(whole, first)
    return first, second


def _inferred(source: Shape, wanted: Sequence[Dim | None]) -> Shape:
    known = dims.product(dim for dim in wanted if dim is not None)
    holes = len([dim for dim in wanted if dim is None])
    if holes > 1:
        raise InvalidModel("more than one dimension of a shape is to be inferred")
    if not holes:
        return tuple(dim for dim in wanted if dim is not None)
    missing = _ratio(dims.product(source), known)
    return tuple(missing if dim is None else dim for dim in wanted)


def _ratio(whole: Dim, part: Dim) -> Dim:
    exact = dims.exact_quotient(whole, part)
    if exact is not None:
        return exact
    if part == 0 or (isinstance(whole, int) and isinstance(part, int)):
        raise InvalidModel(f"{whole} elements do not divide into rows of {part}")
    return whole // part
