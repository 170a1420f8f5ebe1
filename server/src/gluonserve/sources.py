"""The models that a path given on a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig, InvalidModel
from gluonserve.repository.layout import ModelSource, find

if TYPE_CHECKING:
    from pathlib import Path


def single_source(path: Path, name: str | None = None, version: int | None = None) -> ModelSource:
    """The one model version under ``path``; ``name`` and ``version`` choose among several.

    Raises:
        InvalidConfig: there is none, or more than one.
        InvalidModel: it cannot be used as it stands.
    """
    found = [
        one for one in find(path) if name in (None, one.name) and version in (None, one.version)
    ]
    if len(found) > 1:
        latest = max(one.version or 0 for one in found)
        if len({one.name for one in found}) == 1:
            found = [one for one in found if one.version == latest]
    if len(found) != 1:
        listed = ", ".join(sorted({one.name for one in found})) or "none"
        raise InvalidConfig(f"{path}: expected one model, found {listed}; --name says which")
    if not isinstance(found[0], ModelSource):
        raise InvalidModel(f"{found[0].name}: {found[0].reason}")
    return found[0]
