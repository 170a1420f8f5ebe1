"""The executor that ``auto`` chooses against MXNet's best mode, over the networks of `make zoo`.

Like ``engines.py``, but one process of each side works through all networks: modes of one network
take turns, the processes that are not timed are stopped, and the best mode of each side counts.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.plan import Plan

OMP_THREADS = (1, 2)
_AT_MOST = 30
"""Networks for one process: MXNet keeps some of the memory of each."""
_OTHER_PRECISION = ("fp16_", "amp_", "int8_", "onednn_", "shipped_")


@dataclass(frozen=True, slots=True)
class Turn:
    """One mode of one process."""

    worker: Worker
    mode: str

    @property
    def label(self) -> str:
        """The mode's name in the results."""
        return f"{self.worker.label}, {self.mode}"


class Worker:
    """A process of one side; stopped whenever it is not asked."""

    def __init__(self, side: str, python: str, omp_threads: int = 0) -> None:
        self.side = side
        self.label = f"OMP {omp_threads}" if omp_threads else "ours"
        environment = dict(os.environ)
        if omp_threads:
            environment["OMP_NUM_THREADS"] = str(omp_threads)
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.zoo_worker", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def ask(self, line: str) -> dict[str, Any]:
        """The answer to one line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise RuntimeError(f"the worker of {self.label} died at {line!r}")
        self._process.send_signal(signal.SIGSTOP)
        return dict(json.loads(reply))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


class Sides:
    """Our process and MXNet's; made anew when one of them dies of a network."""

    def __init__(self, mxnet_python: str) -> None:
        self._mxnet_python = mxnet_python
        self._workers: list[Worker] = []

    def workers(self) -> list[Worker]:
        """Living processes of both sides."""
        if not self._workers:
            theirs = [Worker("mxnet", self._mxnet_python, threads) for threads in OMP_THREADS]
            self._workers = [Worker("ours", sys.executable), *theirs]
        return self._workers

    def close(self) -> None:
        """End them all."""
        for worker in self._workers:
            worker.close()
        self._workers = []


def measure(plan: Plan, built: Path, every: int = 1, *, go_on: bool = False) -> dict[str, object]:
    """Milliseconds per call of every mode on each (or every n-th) network, and the ratios.

    What is measured is kept beside the networks' folder, and to ``go_on`` is to begin with it: the
    whole zoo takes the better part of an hour.
    """
    kept = built.parent / "bench.jsonl"
    lines = kept.read_text().splitlines() if go_on and kept.exists() else []
    cells: list[dict[str, Any]] = [json.loads(line) for line in lines]
    known = {cell["network"] for cell in cells}
    folders = [one for one in list(comparable(built))[::every] if one.name not in known]
    sides = Sides(plan.mxnet_python)
    try:
        with kept.open("a" if go_on else "w") as stream:
            for at, folder in enumerate(folders):
                print(f"  {folder.name} ({at + 1} of {len(folders)})", file=sys.stderr, flush=True)
                if at % _AT_MOST == 0:
                    sides.close()
                cells.append(_cell_or_failure(folder, sides, plan))
                stream.write(json.dumps(cells[-1]) + "\n")
                stream.flush()
    finally:
        sides.close()
    ratios = [cell["ratio"] for cell in cells if "ratio" in cell]
    return {
        "cells": cells,
        "every": every,
        "geometric_mean": math.exp(statistics.fmean(math.log(ratio) for ratio in ratios)),
        "slower": sorted(cell["network"] for cell in cells if cell.get("ratio", 1.0) < 1.0),
    }


def _cell_or_failure(folder: Path, sides: Sides, plan: Plan) -> dict[str, Any]:
    try:
        cell = _cell(folder, sides.workers(), plan)
        if cell.get("ratio", 1.0) < 1.0:
            cell |= sides.workers()[0].ask(f"profile {folder}")
    except RuntimeError as error:
        sides.close()
        return {"network": folder.name, "failed": str(error)}
    return cell


def comparable(built: Path) -> Iterator[Path]:
    """Networks in fp32 that MXNet itself imports again with the same answers."""
    for file in sorted(built.glob("*/meta.json")):
        meta = json.loads(file.read_text())
        plain = meta.get("reimport_ok") and not meta.get("stochastic")
        if plain and not file.parent.name.startswith(_OTHER_PRECISION):
            yield file.parent


def _cell(folder: Path, workers: Sequence[Worker], plan: Plan) -> dict[str, Any]:
    failed: dict[str, str] = {}
    turns: list[Turn] = []
    for worker in workers:
        reply = worker.ask(f"load {folder}")
        failed |= {f"{worker.label}, {mode}": why for mode, why in reply["failed"].items()}
        turns += [Turn(worker, mode) for mode in reply["ready"]]
        if not reply["ready"]:
            return {"network": folder.name, "failed": failed}
    times: dict[str, list[float]] = {turn.label: [] for turn in turns}
    for at in range(plan.rounds):
        for turn in turns if at % 2 else reversed(turns):
            reply = turn.worker.ask(f"time {turn.mode} {plan.slice_seconds}")
            times[turn.label].append(1000 * reply["seconds"] / reply["calls"])
    medians = {label: statistics.median(values) for label, values in times.items()}
    cell: dict[str, Any] = {"network": folder.name, "ms_per_call": medians, "failed": failed}
    ours = [medians[turn.label] for turn in turns if turn.worker.side == "ours"]
    theirs = [medians[turn.label] for turn in turns if turn.worker.side != "ours"]
    return {**cell, "ratio": min(theirs) / min(ours)}
