"""Works out the codes of MXNet's reshapes: which dimensions a tensor gets."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.values import Shape

Code: TypeAlias = Literal["copy", "infer", "merge", "rest", "skip", "split"]


LEGACY: Mapping[int, Code] = MappingProxyType(
    {0: "copy", -1: "infer", -2: "rest", -3: "merge", -4: "split"}
)
"""What the codes of ``Reshape`` mean."""
NUMPY: Mapping[int, Code] = MappingProxyType(
    {-1: "infer", -2: "copy", -3: "skip", -4: "rest", -5: "merge", -6: "split"}
)
"""What the codes of ``_npx_reshape`` mean."""


def resolved(
    source: Shape,
    codes: Sequence[int],
    *,
    reverse: bool = False,
    meanings: Mapping[int, Code] = LEGACY,
) -> Shape:
    """The shape that ``codes`` make of ``source``.

    They copy a dimension, all that are left, or none of size one; infer one of them; merge two; or
    split one into the next two. Other numbers are themselves. ``reverse`` works from the right,
    so that the sizes of a split stand before its code.
    """
    if reverse:
        return resolved(source[::-1], codes[::-1], meanings=meanings)[::-1]
    wanted: list[Dim | None] = []
    at = 0
    rest = iter(codes)
    for code in rest:
        meaning = meanings.get(code)
        if meaning == "split":
            wanted.extend(_split(_dim(source, at), next(rest, None), next(rest, None)))
        elif meaning == "merge":
            wanted.append(_dim(source, at) * _dim(source, at + 1))
        elif meaning == "rest":
            wanted.extend(source[at:])
        elif meaning == "skip":
            _check_one(_dim(source, at))
        else:
            known = _dim(source, at) if meaning == "copy" else code
            wanted.append(None if meaning == "infer" else known)
        at = len(source) if meaning == "rest" else at + 1 + (meaning == "merge")
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


def _check_one(dim: Dim) -> None:
    if isinstance(dim, int) and dim != 1:
        raise InvalidModel(f"a dimension of {dim} cannot be left out of a shape")


def _split(whole: Dim, first: int | None, second: int | None) -> tuple[Dim, Dim]:
    if first is None or second is None or (first == -1 and second == -1):
        raise InvalidModel("a split in a shape needs two sizes behind it, one of them known")
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
    numbers = isinstance(whole, int) and isinstance(part, int)
    if part == 0 or numbers or isinstance(dims.exact_quotient(part, whole), int):
        raise InvalidModel(f"{whole} elements do not divide into rows of {part}")
    return whole // part
