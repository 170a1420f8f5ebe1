"""One engine in one process, timed on demand: MXNet in its two best modes, or one of our executors.

`python -m benchmarks.engine_worker ENGINE SYMBOL PARAMS SHAPE` (SHAPE: one row of `data`, such as
1,28,28) reads `BATCH SECONDS` lines and answers each with a JSON line: the calls made in about that
time, and how long they took. Each call takes a batch that stands in memory and ends with its answer
in a NumPy array.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.executors.protocol import Executor

    Arrays = Mapping[str, np.ndarray]
    Call = Callable[[], list[np.ndarray]]

MXNET_MODES = ("mxnet-static", "mxnet-mkldnn")


def rows(shape: tuple[int, ...], count: int) -> np.ndarray:
    """The same random rows in every process."""
    return np.random.default_rng(7).random((count, *shape), dtype=np.float32)


def mxnet_call(mode: str, symbol: str, params: str | None, inputs: Arrays) -> Call:
    """The network in MXNet, hybridized static; or rewritten for oneDNN on top of that."""
    import mxnet as mx  # noqa: PLC0415 - only the oracle's environment has it

    numpy_like = json.loads(Path(symbol).read_text())["attrs"].get("is_np_shape") == ["int", 1]
    (mx.npx.set_np if numpy_like else mx.npx.reset_np)()
    network = mx.gluon.SymbolBlock.imports(symbol, list(inputs), params)
    array_of = mx.np.array if numpy_like else mx.nd.array
    data = [array_of(array, dtype=array.dtype) for array in inputs.values()]
    if mode == "mxnet-mkldnn":
        network.optimize_for(*data, backend="MKLDNN", static_alloc=True, static_shape=True)
    else:
        network.hybridize(static_alloc=True, static_shape=True)

    def call() -> list[np.ndarray]:
        answers = network(*data)
        answers = answers if isinstance(answers, (list, tuple)) else [answers]
        return [answer.asnumpy() for answer in answers]

    return call


def executor_call(executor: Executor, inputs: Arrays) -> Call:
    """A call of one of our executors with these inputs, of which it may have dropped some."""
    taken = {spec.name: inputs[spec.name] for spec in executor.signature.inputs}
    shapes = {name: array.shape for name, array in taken.items()}

    def call() -> list[np.ndarray]:
        lease = executor.lease(shapes)
        for name, array in taken.items():
            np.copyto(lease.inputs[name], array)
        executor.run(lease)
        answers = [array.copy() for array in lease.outputs.values()]
        lease.release()
        return answers

    return call


def our_call(engine: str, symbol: str, params: str, inputs: Arrays) -> Call:
    """The network in one of our executors, with all of this process's cores."""
    from gluonserve.executors import ExecutorOptions, choose  # noqa: PLC0415
    from gluonserve.loader.importing import InputHint, import_model  # noqa: PLC0415

    hints = {name: InputHint(shape=(-1, *array.shape[1:])) for name, array in inputs.items()}
    imported = import_model(Path(symbol), Path(params), inputs=hints)
    options = ExecutorOptions(threads=len(os.sched_getaffinity(0)))
    return executor_call(choose(imported, engine, options), inputs)


def timed(call: Call, seconds: float) -> tuple[int, float]:
    """Calls made, at least one, and the seconds they took."""
    count, began = 0, time.perf_counter()
    while True:
        call()
        count += 1
        spent = time.perf_counter() - began
        if spent >= seconds:
            return count, spent


def answer_requests(make: Callable[[Arrays], Call], shape: tuple[int, ...]) -> None:
    """Time whatever standard input asks for; a batch's first answer goes along, for comparison."""
    calls: dict[int, Call] = {}
    for line in sys.stdin:
        batch, seconds = int(line.split()[0]), float(line.split()[1])
        reply: dict[str, object] = {}
        if batch not in calls:
            calls[batch] = make({"data": rows(shape, batch)})
            reply["answer"] = calls[batch]()[0].tolist()
            timed(calls[batch], seconds)
        reply["calls"], reply["seconds"] = timed(calls[batch], seconds)
        print(json.dumps(reply), flush=True)


def main(engine: str, symbol: str, params: str, shape: str) -> None:
    """Serve standard input until it closes."""
    make = mxnet_call if engine in MXNET_MODES else our_call
    answer_requests(partial(make, engine, symbol, params), tuple(map(int, shape.split(","))))


if __name__ == "__main__":
    main(*sys.argv[1:])
