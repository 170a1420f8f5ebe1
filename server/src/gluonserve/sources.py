"""The models that a path given on a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig, InvalidModel
from gluonserve.repository.layout import ModelSource, Unusable, find

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def found_at(path: Path, model_name: str | None = None) -> list[ModelSource | Unusable]:
    """Every version of every model under ``path``.

    Raises:
        InvalidConfig: there is no such path, or no model in it.
    """
    found = find(path, model_name)
    if not found:
        raise InvalidConfig(f"{path} holds no model")
    return found


def single_source(
    path: Path,
    name: str | None = None,
    version: int | None = None,
    *,
    remedy: str = "say the path of one of them",
) -> ModelSource:
    """The one model version under ``path``; ``name`` and ``version`` choose among several.

    ``remedy`` is what a caller should do where there are several.

    Raises:
        InvalidConfig: there is none, or more than one.
        InvalidModel: it cannot be used as it stands.
    """
    everything = found_at(path)
    found = [
        one for one in everything if name in (None, one.name) and version in (None, one.version)
    ]
    if not found:
        wanted = " ".join(
            [f"model {name!r}" if name else "model", *([f"version {version}"] if version else [])]
        )
        raise InvalidConfig(f"{path}: no {wanted}; there {_listed(everything)}")
    if len(found) > 1:
        latest = max(one.version or 0 for one in found)
        if len({one.name for one in found}) == 1:
            found = [one for one in found if one.version == latest]
    if len(found) != 1:
        listed = ", ".join(sorted({one.name for one in found}))
        raise InvalidConfig(f"{path}: expected one model, found {listed}; {remedy}")
    if not isinstance(found[0], ModelSource):
        raise InvalidModel(f"{found[0].name}: {found[0].reason}")
    return found[0]


def _listed(found: Sequence[ModelSource | Unusable]) -> str:
    names = [one.name if one.version is None else f"{one.name} {one.version}" for one in found]
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}"
