"""What is wrong with settings, in the words of their reader: place, value, what would be right.

Takes the facts of one validation error as plain values; who validates is no concern here.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

Steps: TypeAlias = tuple[str | int, ...]

_KINDS: Mapping[str, str] = {
    "model_type": "should be a table",
    "tuple_type": "should be a list",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "string_too_short": "should not be empty",
    "string_unicode": "should be UTF-8",
    "too_short": "should not be empty",
    "missing": "is required",
}


def path_of(values: object, loc: Steps, *, missing: bool) -> Steps:
    """``loc`` without the validator's own marks for the members of a union."""
    path: list[str | int] = []
    for step in loc:
        inside = isinstance(values, dict) and step in values
        if inside or (isinstance(values, list) and isinstance(step, int)):
            path.append(step)
            values = values[step]  # type: ignore[index]
        elif missing and isinstance(values, dict):
            path.append(step)
    return tuple(path)


def complaint(
    error: Mapping[str, Any], path: Steps, values: object, keys: Callable[[Steps], Sequence[str]]
) -> str:
    """What would be right; ``keys`` gives the valid ones of the table at a path."""
    kind = error["type"]
    if kind == "extra_forbidden":
        known = keys(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown key; {hint}The keys here are {', '.join(known)}"
    if kind == "missing":
        return _KINDS[kind]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    wanted: str = _KINDS.get(kind) or error["msg"].replace("Input should be ", "should be ", 1)
    value = _at(values, path)
    return wanted if isinstance(value, dict | list | tuple) else f"{wanted}, not {value!r}"


def joined(complaints: Sequence[str]) -> str:
    """One line of what the members of a union say about the same value."""
    texts = list(dict.fromkeys(complaints))
    endings = {text.rpartition(", not ")[2] for text in texts}
    if len(texts) > 1 and len(endings) == 1 and all(", not " in text for text in texts):
        wishes = [text.rpartition(", not ")[0].removeprefix("should be ") for text in texts]
        return f"should be {' or '.join(wishes)}, not {endings.pop()}"
    return " or ".join(texts)


def dotted(path: Steps) -> str:
    """``inputs[0].shape`` of its steps."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".")


def innermost(paths: Collection[Steps]) -> list[Steps]:
    """The paths without those that another one goes on from.

    Where a member of a list is wrong, the list is also none of the other things that may stand
    there; that helps nobody.
    """
    return [
        path
        for path in paths
        if not any(len(other) > len(path) and other[: len(path)] == path for other in paths)
    ]


def _at(values: object, path: Steps) -> object:
    for step in path:
        values = values[step]  # type: ignore[index]
    return values
