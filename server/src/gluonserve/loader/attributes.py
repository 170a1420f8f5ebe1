"""Reads the text of operator attributes as a type annotation says, as MXNet 1.9 would read it."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, TypeAlias, Union, get_args, get_origin

Dims: TypeAlias = tuple[int, ...]
"""``(3, 3)``; a bare ``3`` is ``(3,)``; ``None`` is ``()``, which operators take as "default"."""
OptDims: TypeAlias = tuple[int | None, ...]
"""``(None, 1)``: begin, end and step of slices."""
Floats: TypeAlias = tuple[float, ...]
"""``(0.5, 1.0)``."""
DimsList: TypeAlias = tuple[tuple[int, ...], ...]
"""``((0, 0), (1, 1))``."""

Reader: TypeAlias = Callable[[str], object]

_INT = re.compile(r"\s*([+-]?[0-9]{1,20})\s*")
_INT_IN_TUPLE = re.compile(r"\s*([+-]?[0-9]{1,20})L?\s*")
_FLOAT = re.compile(
    r"\s*([+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan))f?\s*",
    re.IGNORECASE,
)
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_BRACKETS = {"(": ")", "[": "]"}
_LONGEST = 1 << 20
_SHOWN = 60


class BadAttribute(ValueError):
    """The text of an attribute is not what its operator takes; says which, and what would be."""


def read_attribute(name: str, text: str, annotation: object) -> object:
    """The value that ``text`` stands for where ``annotation`` is expected.

    Annotations are bool, int, float, str, Literal, tuple[X, ...] of these (or of tuples), and
    unions of them with each other and with None.

    Raises:
        BadAttribute: the text is nothing of the kind.
        TypeError: the annotation itself is not one of those above.
    """
    read = reader(annotation)
    try:
        return read(text)
    except ValueError as cause:
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        raise BadAttribute(f"{name}={shown!r}: not {expected(annotation)}") from cause


@functools.cache
def reader(annotation: object) -> Reader:
    """The function that reads text of this annotation, raising ValueError on any other text."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    arguments = get_args(annotation)
    if _is_union(annotation):
        return _union(tuple(reader(argument) for argument in arguments))
    if get_origin(annotation) is Literal:
        return _literal({str(choice): choice for choice in arguments})
    if _is_tuple(annotation):
        return _tuple(_element(arguments[0]), one=not _is_tuple(arguments[0]))
    raise TypeError(f"attributes cannot be annotated with {annotation!r}")


@functools.cache
def expected(annotation: object) -> str:
    """What texts an annotation takes, in words for an error message."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    arguments = get_args(annotation)
    if _is_union(annotation):
        return " or ".join(expected(argument) for argument in arguments)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(repr(str(choice)) for choice in arguments)
    if _is_tuple(annotation):
        return _TUPLE_WORDS.get(annotation, f"a tuple of which each is {expected(arguments[0])}")
    raise TypeError(f"attributes cannot be annotated with {annotation!r}")


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_tuple(annotation: object) -> bool:
    arguments = get_args(annotation)
    return get_origin(annotation) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis


def _bool(text: str) -> bool:
    try:
        return _BOOLS[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _int(text: str, pattern: re.Pattern[str] = _INT) -> int:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(text)
    value = int(match[1])
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(text)
    return value


def _int_in_tuple(text: str) -> int:
    return _int(text, _INT_IN_TUPLE)


def _float(text: str) -> float:
    match = _FLOAT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match[1])


def _none(text: str) -> None:
    if text.strip() != "None":
        raise ValueError(text)


def _literal(choices: dict[str, object]) -> Reader:
    def read(text: str) -> object:
        try:
            return choices[text]
        except KeyError:
            raise ValueError(text) from None

    return read


def _union(readers: tuple[Reader, ...]) -> Reader:
    """The first member that takes the text; None goes first, since empty tuples also take it."""
    ordered = sorted(readers, key=lambda read: read is not _none)

    def read(text: str) -> object:
        for one in ordered[:-1]:
            with suppress(ValueError):
                return one(text)
        return ordered[-1](text)

    return read


def _element(annotation: object) -> Reader:
    if annotation is int:
        return _int_in_tuple
    if _is_union(annotation):
        return _union(tuple(_element(argument) for argument in get_args(annotation)))
    return reader(annotation)


def _tuple(element: Reader, *, one: bool) -> Reader:
    """Bracketed elements; ``one`` also takes a bare element for a tuple of one."""

    def read(text: str) -> tuple[object, ...]:
        stripped = text.strip()
        if stripped == "None":
            return ()
        if stripped[:1] in _BRACKETS:
            return tuple(element(part) for part in _parts(stripped))
        if not one or stripped.endswith("L"):
            raise ValueError(text)
        return (element(stripped),)

    return read


def _parts(text: str) -> list[str]:
    """The comma-separated elements between the outer brackets of ``text``."""
    if len(text) > _LONGEST or text[-1] != _BRACKETS[text[0]]:
        raise ValueError(text)
    parts, depth, start = [], 0, 1
    for position in range(1, len(text) - 1):
        character = text[position]
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            raise ValueError(text)
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    last = text[start:-1]
    if depth or len(text) < 2:
        raise ValueError(text)
    return [*parts, last] if last.strip() else parts


_SCALARS: dict[object, Reader] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: str,
    type(None): _none,
    None: _none,
}
_WORDS: dict[object, str] = {
    bool: "'True' or 'False'",
    int: "an integer",
    float: "a number",
    str: "text",
    type(None): "'None'",
    None: "'None'",
}
_TUPLE_WORDS: dict[object, str] = {
    Dims: "a tuple of integers such as '(2, 2)'",
    OptDims: "a tuple of integers or None such as '(None, 1)'",
    Floats: "a tuple of numbers such as '(0.5, 1.0)'",
    DimsList: "a tuple of tuples such as '((0, 0), (1, 1))'",
}
