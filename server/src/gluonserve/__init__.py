"""Serves exported MXNet Gluon networks, without MXNet.

``gluonserve.load`` is the engine without the server. It is imported when it is first asked for, so
that parts of the package can be used without the weight of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gluonserve.library import Model, load

    __version__: str

__all__ = ["Model", "__version__", "load"]


def __getattr__(name: str) -> object:
    if name in {"Model", "load"}:
        from gluonserve import library  # noqa: PLC0415 (see module)

        return getattr(library, name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 (see module)

        return version("gluonserve")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
