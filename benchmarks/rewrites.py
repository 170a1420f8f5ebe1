"""What it gains to run networks in another form than they were exported in: with and without.

Today that is unrolled recurrent cells, which run as one layer. The networks are written by
`python -m benchmarks.rewrites` in the oracle's environment, with MXNet's own ``unroll``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.engine_worker import executor_call, rows, timed
from benchmarks.networks import CACHE

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.engine_worker import Call
    from benchmarks.plan import Plan

ENGINES = ("openvino", "onnxruntime")
BATCHES = (1, 8)
THREADS = 1


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A cell of so many units over so many steps of so many features."""

    cell: str
    units: int
    steps: int
    features: int

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        return f"{self.cell}_{self.units}x{self.steps}"

    @property
    def files(self) -> tuple[Path, Path]:
        """The exported graph and its parameters."""
        prefix = CACHE / "unrolled" / self.name
        return prefix.with_name(f"{self.name}-symbol.json"), prefix.with_name(
            f"{self.name}-0000.params"
        )


NETWORKS = (
    Unrolled("LSTMCell", 32, 100, 16),
    Unrolled("LSTMCell", 200, 35, 200),
    Unrolled("GRUCell", 32, 100, 16),
    Unrolled("GRUCell", 128, 20, 64),
)


def measure(plan: Plan) -> dict[str, object]:
    """Milliseconds per call of every network, engine and batch, as exported and rewritten."""
    subprocess.run([plan.mxnet_python, "-m", "benchmarks.rewrites"], check=True, stdout=sys.stderr)
    return {
        f"{network.name}, {engine}, batch {batch}": _cell(network, engine, batch, plan)
        for network in NETWORKS
        for engine in ENGINES
        for batch in BATCHES
    }


def _cell(network: Unrolled, engine: str, batch: int, plan: Plan) -> dict[str, float]:
    calls = {
        "as_exported_ms": _call(network, engine, batch, rewritten=False),
        "rewritten_ms": _call(network, engine, batch, rewritten=True),
    }
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {form: [] for form in calls}
    for _ in plan.turns(f"{network.name} {engine} batch {batch}"):
        for form, call in calls.items():
            count, seconds = timed(call, plan.slice_seconds / 4)
            times[form].append(1000 * seconds / count)
    medians = {form: statistics.median(values) for form, values in times.items()}
    return {**medians, "gain": medians["as_exported_ms"] / medians["rewritten_ms"]}


def _call(network: Unrolled, engine: str, batch: int, *, rewritten: bool) -> Call:
    from gluonserve.executors import ExecutorOptions, choose  # noqa: PLC0415 - not where MXNet is
    from gluonserve.loader import importing  # noqa: PLC0415
    from gluonserve.loader.rolling import Rolled, rolled  # noqa: PLC0415

    shape = (batch, network.steps, network.features)
    importing.rolled = rolled if rewritten else Rolled
    try:
        hints = {"data": importing.InputHint(shape=(-1, *shape[1:]))}
        imported = importing.import_model(*network.files, inputs=hints)
    finally:
        importing.rolled = rolled
    executor = choose(imported, engine, ExecutorOptions(threads=THREADS))
    return executor_call(executor, {"data": rows(shape[1:], batch)})


def export_all() -> None:
    """Export whatever is not in the cache yet."""
    import mxnet as mx  # noqa: PLC0415 - only the oracle's environment has it

    class Unrolling(mx.gluon.HybridBlock):
        def __init__(self, network: Unrolled) -> None:
            super().__init__()
            self.steps = network.steps
            with self.name_scope():
                self.cell = getattr(mx.gluon.rnn, network.cell)(network.units)

        def hybrid_forward(self, _: object, x: object) -> object:
            return self.cell.unroll(self.steps, x, layout="NTC", merge_outputs=True)[0]

    for network in NETWORKS:
        symbol, _ = network.files
        if symbol.exists():
            continue
        symbol.parent.mkdir(parents=True, exist_ok=True)
        block = Unrolling(network)
        block.initialize(mx.init.Xavier())
        block.hybridize()
        block(mx.nd.zeros((1, network.steps, network.features)))
        block.export(str(symbol.parent / network.name))


if __name__ == "__main__":
    export_all()
