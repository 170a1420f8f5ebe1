"""Times one network after the other, in every mode of one side: ours, or MXNet's.

`python -m benchmarks.zoo_worker ours|mxnet` reads lines and answers each with a JSON line:
`load FOLDER` makes every mode ready and tells which are and what the others said; `time MODE
SECONDS` tells how many calls were made in about that time, and how long they took; `profile FOLDER`
tells where OpenVINO's time goes. A folder is a network as `make zoo` builds it: symbol, params and
recorded inputs, whose shapes are used.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engine_worker import MXNET_MODES, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Arrays = Mapping[str, np.ndarray]
    Calls = dict[str, Callable[[], object]]

LONGEST_SECONDS = 4.0  # of one call; networks that take longer are named and left out
OUR_MODES = {"1 thread": 1, "2 threads": 2}


def recorded(folder: Path) -> tuple[str, str | None, dict[str, np.ndarray]]:
    """Symbol, params and the inputs by name."""
    meta = json.loads((folder / "meta.json").read_text())
    with np.load(folder / f"{folder.name}.npz") as stored:
        inputs = {name: stored[f"in:{name}"] for name in meta["symbol_inputs"]}
    params = folder / f"{folder.name}-0000.params"
    symbol = folder / f"{folder.name}-symbol.json"
    return str(symbol), str(params) if params.exists() else None, inputs


def mxnet_call(mode: str, folder: Path) -> Callable[[], object]:
    """The network in MXNet, hybridized static; or rewritten for oneDNN on top of that."""
    import mxnet as mx  # noqa: PLC0415 - only the oracle's environment has it

    symbol, params, inputs = recorded(folder)
    network = mx.gluon.SymbolBlock.imports(symbol, list(inputs), params)
    data = [mx.nd.array(array, dtype=array.dtype) for array in inputs.values()]
    if mode == "mxnet-mkldnn":
        network.optimize_for(*data, backend="MKLDNN", static_alloc=True, static_shape=True)
    else:
        network.hybridize(static_alloc=True, static_shape=True)

    def call() -> object:
        answers = network(*data)
        answers = answers if isinstance(answers, (list, tuple)) else [answers]
        return [answer.asnumpy() for answer in answers]

    return call


def our_call(mode: str, folder: Path) -> Callable[[], object]:
    """The network in the executor that ``auto`` chooses."""
    from gluonserve.executors import ExecutorOptions, choose  # noqa: PLC0415
    from gluonserve.loader.importing import InputHint, import_model  # noqa: PLC0415
    from gluonserve.tensors import DType  # noqa: PLC0415

    symbol, params, inputs = recorded(folder)
    hints = {
        name: InputHint(dtype=DType.of(array.dtype), shape=array.shape)
        for name, array in inputs.items()
    }
    imported = import_model(Path(symbol), Path(params) if params else None, inputs=hints)
    executor = choose(imported, "auto", ExecutorOptions(threads=OUR_MODES[mode]))
    taken = {spec.name for spec in executor.signature.inputs}
    inputs = {name: array for name, array in inputs.items() if name in taken}
    shapes = {name: array.shape for name, array in inputs.items()}

    def call() -> object:
        lease = executor.lease(shapes)
        for name, array in inputs.items():
            np.copyto(lease.inputs[name], array)
        executor.run(lease)
        answers = [array.copy() for array in lease.outputs.values()]
        lease.release()
        return answers

    return call


def attempted(
    make: Callable[[str, Path], Callable[[], object]], mode: str, folder: Path
) -> tuple[Callable[[], object] | None, str]:
    """A call that has been made once; or None, and what was said."""
    try:
        call = make(mode, folder)
        _, seconds = timed(call, 0.0)
    except Exception as error:  # noqa: BLE001 - MXNet raises what it likes; the table says so
        return None, (str(error).strip().splitlines() or [repr(error)])[0][:200]
    if seconds > LONGEST_SECONDS:
        return None, f"a call takes {seconds:.0f} s"
    return call, ""


def load(side: str, folder: Path, calls: Calls) -> dict[str, str]:
    """Make every mode ready, once called; what went wrong with those that are not."""
    calls.clear()
    failed = {}
    make, modes = (our_call, tuple(OUR_MODES)) if side == "ours" else (mxnet_call, MXNET_MODES)
    for mode in modes:
        call, why = attempted(make, mode, folder)
        if call is None:
            failed[mode] = why
        else:
            calls[mode] = call
    return failed


def profile(folder: Path) -> list[tuple[str, float]]:
    """Where OpenVINO's time goes in one call: milliseconds by kind of node, longest first."""
    from gluonserve.executors.openvino import TARGET, process_core, read_lowered  # noqa: PLC0415
    from gluonserve.loader.importing import InputHint, import_model  # noqa: PLC0415
    from gluonserve.tensors import DType  # noqa: PLC0415

    symbol, params, inputs = recorded(folder)
    hints = {n: InputHint(dtype=DType.of(a.dtype), shape=a.shape) for n, a in inputs.items()}
    imported = import_model(Path(symbol), Path(params) if params else None, inputs=hints)
    core = process_core()
    settings = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    lowered = imported.lower(TARGET)
    request = core.compile_model(read_lowered(core, lowered), "CPU", settings)
    request = request.create_infer_request()
    feeds = {spec.name: inputs[spec.name] for spec in imported.signature.inputs}
    for _ in range(2):
        request.infer(feeds)
    spent: Counter[str] = Counter()
    for node in request.profiling_info:
        kind = f"{node.node_type} ({node.exec_type})"
        spent[kind] += round(1000 * node.real_time.total_seconds(), 3)
    return spent.most_common(4)


def main(side: str) -> None:
    """Serve standard input until it closes."""
    calls: Calls = {}
    for line in sys.stdin:
        what, rest = line.strip().split(" ", 1)
        if what == "load":
            reply: dict[str, object] = {"failed": load(side, Path(rest), calls)}
            reply["ready"] = list(calls)
        elif what == "profile":
            reply = {"profile": profile(Path(rest))}
        else:
            mode, seconds = rest.rsplit(" ", 1)
            reply = dict(zip(("calls", "seconds"), timed(calls[mode], float(seconds)), strict=True))
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
