"""Model directories without networks in them, and loads that need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unit.batching.fakes import FakeExecutor

from gluonserve.batching.policy import BatchPolicy
from gluonserve.errors import InvalidModel
from gluonserve.repository.loading import Loaded

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from gluonserve.repository.layout import ModelSource

DESCRIPTION = {"executor": "fake", "device": "cpu", "precision": "fp32", "why": "a test"}


def export(folder: Path, prefix: str = "model", *epochs: int) -> Path:
    """The files of one export, with something in them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-symbol.json").write_text("{}")
    for epoch in epochs or (0,):
        (folder / f"{prefix}-{epoch:04d}.params").write_bytes(b"weights")
    return folder


class FakeLoad:
    """Stands for import, engine and checks; fails for models whose name says ``broken``."""

    def __init__(self, gate: threading.Event | None = None, **executor) -> None:
        self.gate = gate
        self.loaded: list[tuple[str, int]] = []
        self.closed: list[str] = []
        self.executors: dict[str, FakeExecutor] = {}
        self._executor = executor

    def __call__(self, source: ModelSource, stopping: threading.Event) -> Loaded:
        if self.gate is not None:
            assert self.gate.wait(timeout=20), "nobody opened the gate"
        self.loaded.append((source.name, source.version))
        if "broken" in source.name:
            raise InvalidModel(f"{source.symbol}: not a graph")
        if "bug" in source.name:
            raise KeyError("a bug of ours")
        executor = FakeExecutor(**self._executor)
        self.executors[source.name] = executor
        return Loaded(
            executor,
            executor.signature,
            BatchPolicy(max_rows=source.settings.batching.max_rows),
            DESCRIPTION,
            notes=source.notes,
            device_bytes=7,
            release=lambda: self.closed.append(source.name),
        )
