"""Bare executors against MXNet's two best modes: one run, interleaved, medians, fp32.

All engines of one network are alive at the same time, each in its own process, and take turns; the
others are stopped meanwhile, so that no idle thread pool spins on the cores that are measured.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engine_worker import MXNET_MODES
from benchmarks.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.networks import Network
    from benchmarks.plan import Plan

OURS = ("openvino", "onnxruntime")
BATCHES = (1, 8)


@dataclass(frozen=True, slots=True)
class Contestant:
    """An engine and the OpenMP threads it is given; 0 leaves threads to the engine."""

    engine: str
    omp_threads: int = 0

    @property
    def label(self) -> str:
        """The engine's name in tables."""
        return f"{self.engine}, OMP {self.omp_threads}" if self.omp_threads else self.engine


CONTESTANTS = (
    *(Contestant(engine) for engine in OURS),
    *(Contestant(mode, threads) for mode in MXNET_MODES for threads in (1, 2)),
)


class EngineProcess:
    """A worker that times one engine on one network; stopped whenever it is not asked."""

    def __init__(self, contestant: Contestant, network: Network, python: str) -> None:
        self.contestant = contestant
        environment = dict(os.environ)
        if contestant.omp_threads:
            environment["OMP_NUM_THREADS"] = str(contestant.omp_threads)
        self._process = subprocess.Popen(
            [
                *(python, "-m", "benchmarks.engine_worker", contestant.engine),
                *(str(network.symbol), str(network.params), ",".join(map(str, network.row))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if contestant.engine in MXNET_MODES else None,
            env=environment,
            text=True,
        )
        self.answers: dict[int, np.ndarray] = {}

    def rate(self, batch: int, seconds: float) -> float:
        """Rows per second over about ``seconds``; the first call of a batch size warms up."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(f"{batch} {seconds}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        self._process.send_signal(signal.SIGSTOP)
        if not line:
            raise RuntimeError(f"{self.contestant.label} died")
        reply = json.loads(line)
        if "answer" in reply:
            self.answers[batch] = np.array(reply["answer"])
        return float(reply["calls"] * batch / reply["seconds"])

    def close(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()


def measure(plan: Plan) -> dict[str, object]:
    """Rates of every contestant on every network and batch size, and the ratios that follow."""
    cells = [cell for network in NETWORKS for cell in _network(network, plan)]
    ratios = [cell["ratio"] for cell in cells]
    return {
        "cells": cells,
        "geometric_mean": math.exp(statistics.fmean(math.log(ratio) for ratio in ratios)),
        "lowest": min(ratios),
    }


def _network(network: Network, plan: Plan) -> list[dict[str, object]]:
    workers = [EngineProcess(contestant, network, plan.mxnet_python) for contestant in CONTESTANTS]
    try:
        return [_cell(network, batch, workers, plan) for batch in BATCHES]
    finally:
        for worker in workers:
            worker.close()


def _cell(
    network: Network, batch: int, workers: list[EngineProcess], plan: Plan
) -> dict[str, object]:
    rates: dict[str, list[float]] = {worker.contestant.label: [] for worker in workers}
    for worker in workers:
        worker.rate(batch, min(plan.slice_seconds, 1.0))
    for turn in plan.turns(f"{network.name} batch {batch}"):
        for worker in workers if turn % 2 else reversed(workers):
            rates[worker.contestant.label].append(worker.rate(batch, plan.slice_seconds))
    medians = {label: statistics.median(values) for label, values in rates.items()}
    ours, theirs = _best(medians, OURS), _best(medians, MXNET_MODES)
    return {
        "network": network.name,
        "batch": batch,
        "rows_per_second": medians,
        "spread": {label: [min(values), max(values)] for label, values in rates.items()},
        "best_executor": ours,
        "best_mxnet": theirs,
        "ratio": medians[ours] / medians[theirs],
        "relative_l2_error": {
            worker.contestant.label: _error(worker.answers[batch], workers[-1].answers[batch])
            for worker in workers
        },
    }


def _best(medians: dict[str, float], engines: Iterable[str]) -> str:
    mine = [label for label in medians if label.split(",")[0] in engines]
    return max(mine, key=lambda label: medians[label])


def _error(answer: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(answer - reference) / np.linalg.norm(reference))
