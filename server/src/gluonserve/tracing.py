"""Finds the first node at which an engine and MXNet part: both run the graph up to inner outputs.

The heads of the symbol file are moved to inner outputs, a few at a time, and both sides run what is
left of the network. The node that is told differs while everything that it reads agrees.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gluonserve.config import InputSettings
from gluonserve.errors import GluonserveError
from gluonserve.loader.symbol import read_symbol
from gluonserve.repository.opening import open_source
from gluonserve.repository.samples import compare, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.opening import Opened
    from gluonserve.repository.samples import OutputError, Samples
    from gluonserve.tensors import Signature

    Opening = Callable[[ModelSource, Samples | None], Opened]

_AT_ONCE = 8
"""Inner outputs compared in one run: more would keep an engine from fusing what it fuses."""
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Place:
    """One output of one node of a symbol file, by their positions."""

    node: int
    output: int


@dataclass(frozen=True, slots=True)
class Parting:
    """The first node at which the two part, and what either side says there.

    ``inputs`` are what the node reads, in words; all of it agrees. ``ours`` and ``mxnets`` are the
    values around the largest difference, at ``index``.
    """

    node: str
    operator: str
    attributes: Mapping[str, str]
    inputs: tuple[str, ...]
    output: int
    engine: str
    relative: float
    largest: float
    note: str
    our_shape: tuple[int, ...]
    mxnets_shape: tuple[int, ...]
    index: tuple[int, ...]
    ours: tuple[float, ...]
    mxnets: tuple[float, ...]
    runs: int


def trace(
    source: ModelSource,
    engine: str,
    signature: Signature,
    feeds: Mapping[str, np.ndarray],
    *,
    tolerance: float,
    opening: Opening = open_source,
) -> Parting | None:
    """The node at which ``engine`` and MXNet part on these inputs; None if the outputs agree.

    Raises:
        GluonserveError: one of the two does not run the network.
    """
    with tempfile.TemporaryDirectory(prefix="gluonserve-trace-") as folder:
        cut = _Cut(source, engine, signature, feeds, folder=Path(folder), opening=opening)
        outputs = cut.compared(cut.heads)
        bad = [at for at, one in zip(cut.heads, outputs, strict=True) if one.over(tolerance)]
        if not bad:
            return None
        first = _first(cut, min(cut.inner.index(at) for at in bad), tolerance)
        return cut.parting(first)


def _first(cut: _Cut, bad: int, tolerance: float) -> Place:
    """Narrows down to a place that differs while all that its node reads agrees."""
    low = 0
    while True:
        while low < bad:
            steps = np.linspace(low, bad - 1, min(_AT_ONCE, bad - low)).astype(int)
            chosen = sorted({int(step) for step in steps})
            outcomes = cut.compared([cut.inner[at] for at in chosen])
            differing = [
                at for at, one in zip(chosen, outcomes, strict=True) if one.over(tolerance)
            ]
            agreeing = [at for at in chosen if at < min([bad, *differing])]
            bad = min([bad, *differing])
            low = max([low, *(at + 1 for at in agreeing)])
        read = [at for at in cut.read_by(cut.inner[bad]) if at in cut.inner]
        if not read:
            return cut.inner[bad]
        outcomes = cut.compared(read)
        earlier = [at for at, one in zip(read, outcomes, strict=True) if one.over(tolerance)]
        if not earlier:
            return cut.inner[bad]
        low, bad = 0, min(cut.inner.index(at) for at in earlier)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Both sides' values of one place; without an error they could not be had."""

    ours: np.ndarray | None
    mxnets: np.ndarray | None
    error: OutputError | None

    def over(self, tolerance: float) -> bool:
        return self.error is not None and self.error.relative > tolerance


class _Cut:
    """A network whose heads can be moved, and what both sides answer there."""

    def __init__(
        self,
        source: ModelSource,
        engine: str,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        *,
        folder: Path,
        opening: Opening,
    ) -> None:
        self._source, self._engine, self._feeds = source, engine, feeds
        self._folder, self._opening = folder, opening
        self._document: dict[str, Any] = json.loads(source.symbol.read_bytes())
        self._nodes: list[dict[str, Any]] = self._document["nodes"]
        self._known: dict[Place, _Outcome] = {}
        self._inputs = tuple(
            InputSettings(
                name=spec.name,
                datatype=spec.dtype,
                shape=spec.shape,
                batch_axis="none" if spec.batch_axis is None else spec.batch_axis,
            )
            for spec in signature.inputs
        )
        self.heads = [at for at in map(_place, self._document["heads"]) if self._computes(at)]
        self.inner = self._inner()
        self.runs = 0

    def read_by(self, at: Place) -> list[Place]:
        """What the node of a place reads, as places."""
        return [_place(ref) for ref in self._nodes[at.node]["inputs"]]

    def compared(self, places: Sequence[Place]) -> list[_Outcome]:
        """Both sides' answers at these places; where one fails on all, each is tried alone."""
        missing = [at for at in dict.fromkeys(places) if at not in self._known]
        if missing:
            try:
                self._known.update(zip(missing, self._run(missing), strict=True))
            except GluonserveError:
                if len(missing) == 1 and missing[0] in self.heads:
                    raise
                for at in missing:
                    self._known[at] = self._alone(at) if len(missing) > 1 else _UNKNOWN
        return [self._known[at] for at in places]

    def parting(self, at: Place) -> Parting:
        """What there is to tell of a place."""
        node, outcome = self._nodes[at.node], self._known[at]
        if outcome.ours is None or outcome.mxnets is None or outcome.error is None:
            raise GluonserveError(f"{node['name']}: its values cannot be had")
        index, ours, theirs = _worst(outcome.ours, outcome.mxnets)
        return Parting(
            node=node["name"],
            operator=node["op"],
            attributes=node.get("attrs") or node.get("attr") or node.get("param") or {},
            inputs=tuple(self._described(ref) for ref in self.read_by(at)),
            output=at.output,
            engine=self._engine,
            relative=outcome.error.relative,
            largest=outcome.error.largest,
            note=outcome.error.note,
            our_shape=outcome.ours.shape,
            mxnets_shape=outcome.mxnets.shape,
            index=index,
            ours=ours,
            mxnets=theirs,
            runs=self.runs,
        )

    def _described(self, at: Place) -> str:
        name = str(self._nodes[at.node]["name"])
        known = self._known.get(at)
        array = self._feeds.get(name) if known is None else known.mxnets
        suffix = f"[{at.output}]" if at.output else ""
        return f"{name}{suffix}" + ("" if array is None else f" {list(array.shape)}")

    def _computes(self, at: Place) -> bool:
        return bool(self._nodes[at.node]["op"] != "null")

    def _inner(self) -> list[Place]:
        """Every output of an operator that the heads need and someone reads, in order."""
        needed, pending = set(self.heads), list(self.heads)
        while pending:
            for at in self.read_by(pending.pop()):
                if at not in needed and self._computes(at):
                    needed.add(at)
                    pending.append(at)
        return sorted(needed, key=lambda at: (at.node, at.output))

    def _alone(self, at: Place) -> _Outcome:
        try:
            return self._run([at])[0]
        except GluonserveError:
            return _UNKNOWN

    def _run(self, places: Sequence[Place]) -> list[_Outcome]:
        self.runs += 1
        file = self._folder / f"cut{self.runs}-symbol.json"
        heads = [[at.node, at.output, 0] for at in places]
        file.write_text(json.dumps({**self._document, "heads": heads}), encoding="utf-8")
        ours, theirs = (self._answers(file, engine) for engine in (self._engine, "mxnet"))
        file.unlink()
        return [
            _Outcome(one, other, compare("", one, other))
            for one, other in zip(ours, theirs, strict=True)
        ]

    def _answers(self, file: Path, engine: str) -> list[np.ndarray]:
        left = {variable.name for variable in read_symbol(file).variables()}
        changed = {
            "executor": engine,
            "inputs": tuple(one for one in self._inputs if one.name in left),
            "outputs": (),
        }
        if engine == "mxnet":
            changed |= {"precision": "fp32", "device": "cpu"}
        settings = self._source.settings.model_copy(update=changed)
        with closing(
            self._opening(replace(self._source, symbol=file, settings=settings), None)
        ) as opened:
            names = [spec.name for spec in opened.executor.signature.inputs]
            answers = run(opened.executor, {name: self._feeds[name] for name in names})
            return list(answers.values())


_UNKNOWN = _Outcome(None, None, None)


def _place(ref: Sequence[int]) -> Place:
    return Place(ref[0], ref[1] if len(ref) > 1 else 0)


def _worst(
    ours: np.ndarray, theirs: np.ndarray
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Where the difference is largest, and both sides' values from there on."""
    left, right = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    start = 0
    if ours.shape == theirs.shape and left.size:
        with np.errstate(invalid="ignore"):
            gap = np.abs(left - right)
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        start = int(np.argmax(np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))))
    index = tuple(int(i) for i in np.unravel_index(start, theirs.shape)) if right.size else ()
    end = start + _SHOWN
    return index, tuple(map(float, left[start:end])), tuple(map(float, right[start:end]))
