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

from benchmarks.engine_worker import MXNET_MODES, executor_call, mxnet_call, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.engine_worker import Call
    from gluonserve.loader.importing import Imported

    Calls = dict[str, Call]

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


def imported(folder: Path) -> tuple[Imported, dict[str, np.ndarray]]:
    """The network with the recorded shapes, and its inputs."""
    from gluonserve.loader.importing import InputHint, import_model  # noqa: PLC0415
    from gluonserve.tensors import DType  # noqa: PLC0415

    symbol, params, inputs = recorded(folder)
    hints = {
        name: InputHint(dtype=DType.of(array.dtype), shape=array.shape)
        for name, array in inputs.items()
    }
    return import_model(Path(symbol), Path(params) if params else None, inputs=hints), inputs


def their_call(mode: str, folder: Path) -> Call:
    """The network in MXNet."""
    return mxnet_call(mode, *recorded(folder))


def our_call(mode: str, folder: Path) -> Call:
    """The network in the executor that ``auto`` chooses."""
    from gluonserve.executors import ExecutorOptions, choose  # noqa: PLC0415

    network, inputs = imported(folder)
    return executor_call(choose(network, "auto", ExecutorOptions(threads=OUR_MODES[mode])), inputs)


def attempted(
    make: Callable[[str, Path], Call], mode: str, folder: Path
) -> tuple[Call | None, str]:
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
    make, modes = (our_call, tuple(OUR_MODES)) if side == "ours" else (their_call, MXNET_MODES)
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

    network, inputs = imported(folder)
    core = process_core()
    settings = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    lowered = network.lower(TARGET)
    request = core.compile_model(read_lowered(core, lowered), "CPU", settings)
    request = request.create_infer_request()
    feeds = {spec.name: inputs[spec.name] for spec in network.signature.inputs}
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
