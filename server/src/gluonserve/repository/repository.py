"""Every model of one directory: found once, loaded side by side, looked up for each request."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from structlog import get_logger

from gluonserve.errors import InvalidRequest, ModelNotFound, ModelNotReady, ServerNotReady
from gluonserve.recording import ModelRecorder
from gluonserve.repository.layout import find
from gluonserve.repository.loading import load_version
from gluonserve.repository.model import ModelState, ModelVersion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.loading import Loaded

log = get_logger(__name__)

_LONGEST_SHOWN = 40


class Repository:
    """The models under ``path``. Lives on the event loop's thread.

    ``changed`` is called whenever a version's state has changed, ``load`` turns found files into
    an engine (tests give their own).
    """

    def __init__(
        self,
        path: Path,
        *,
        model_name: str | None = None,
        load_threads: int = 2,
        load: Callable[[ModelSource, threading.Event], Loaded] = load_version,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._path, self._model_name = path, model_name
        self._load, self._load_threads, self._tell = load, load_threads, changed
        self._stopping = threading.Event()
        self._versions: dict[str, list[ModelVersion]] = {}
        self._default: dict[str, ModelVersion] = {}
        self._ready: dict[tuple[str, str], ModelVersion] = {}
        self._refusals: dict[str, ModelRecorder] = {"": ModelRecorder("", "")}
        self._found = False
        self.settled = False
        """Whether every model that was found has been tried."""

    def find(self) -> None:
        """Take stock of the directory.

        Raises:
            InvalidConfig: there is nothing of the kind.
        """
        for source in find(self._path, self._model_name):
            version = ModelVersion(source, self._changed)
            self._versions.setdefault(source.name, []).append(version)
        self._found = True
        if not self._versions:
            log.warning("the model repository holds no model", path=str(self._path))

    async def load_all(self) -> None:
        """Find and load everything; a model that cannot be loaded stops no other."""
        if not self._found:
            self.find()
        threads = ThreadPoolExecutor(self._load_threads, thread_name_prefix="gluonserve-load")
        try:
            await asyncio.gather(
                *(version.load(self._load_one, threads) for version in self.all_versions())
            )
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        self.settled = True
        self._tell()

    def get(self, name: str, version: str = "") -> ModelVersion:
        """The READY version of this number, by default the highest.

        Raises:
            ModelNotFound: nothing of this name or version.
            ModelNotReady: it is there but does not serve.
            InvalidRequest: the version is no number.
        """
        found = self._ready.get((name, version)) if version else self._default.get(name)
        if found is None:
            raise self._absence(name, version)
        return found

    def all_ready(self) -> bool:
        """Whether every version that was found serves."""
        return all(version.state is ModelState.READY for version in self.all_versions())

    def all_versions(self) -> list[ModelVersion]:
        """Everything that was found, by name and number."""
        return [version for versions in self._versions.values() for version in versions]

    def ready_versions(self, name: str = "") -> list[ModelVersion]:
        """What serves, of one model or of all."""
        return [
            version
            for version in (self._versions.get(name, []) if name else self.all_versions())
            if version.state is ModelState.READY
        ]

    def recorder(self, name: str, version: str = "") -> ModelRecorder:
        """Where something of this name and version counts, READY or not.

        What clients make up is no label: an unknown name counts under the empty one.
        """
        serving = self._ready.get((name, version))
        if serving is not None:
            return serving.recorder
        known = self._versions.get(name)
        if known is None:
            return self._refusals[""]
        for one in reversed(known):
            if version in ("", one.version_text) or one.version is None:
                return one.recorder
        return self._refusals.setdefault(name, ModelRecorder(name, ""))

    def refusals(self) -> list[ModelRecorder]:
        """The recorders of refused requests that belong to no version."""
        return list(self._refusals.values())

    def give_up_loading(self) -> None:
        """Let loads end at their next step; what has not begun does not begin."""
        self._stopping.set()

    async def close(self, within: float) -> None:
        """Give up loading, drain every version for so many seconds, close the engines."""
        self.give_up_loading()
        await asyncio.gather(*(version.unload(within) for version in self.all_versions()))

    def _load_one(self, source: ModelSource) -> Loaded:
        if self._stopping.is_set():
            raise ServerNotReady("the server is shutting down")
        return self._load(source, self._stopping)

    def _changed(self, version: ModelVersion) -> None:
        """Renew what ``get`` looks up."""
        name, key = version.name, (version.name, version.version_text)
        if version.state is ModelState.READY:
            self._ready[key] = version
        elif self._ready.get(key) is version:
            del self._ready[key]
        serving = [one for one in self.ready_versions(name) if one.version is not None]
        if serving:
            self._default[name] = max(serving, key=lambda one: one.version or 0)
        else:
            self._default.pop(name, None)
        self._tell()

    def _absence(self, name: str, version: str) -> Exception:
        shown = version if len(version) <= _LONGEST_SHOWN else f"{version[:_LONGEST_SHOWN]}..."
        if version and not version.isdecimal():
            return InvalidRequest(f"model version must be a whole number, not {shown!r}")
        known = self._versions.get(name)
        if not known:
            return ModelNotFound(name)
        of_version = [one for one in known if version in ("", one.version_text)]
        if not of_version:
            return ModelNotFound(name, shown)
        worst = of_version[-1]
        return ModelNotReady(name, worst.version, worst.state.value, worst.reason)
