"""Opens one exported network with one choice of executor, and compares it with MXNet's answers."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.zoo_detections import NOISY, compared, detects, relative
from tests.zoo_nodes import FILE as NODES
from tests.zoo_nodes import judged

import gluonserve
from gluonserve.errors import GluonserveError, InvalidConfig
from gluonserve.executors import onnxruntime, openvino  # noqa: F401 - their memory is not a model's
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.library import Model

MB = 1 << 20
STEPWISE = "stepwise.npz"
"""What MXNet's nodes answer, run one by one."""
REIMPORTED = "reimported.npz"
"""What MXNet's import of an export answers, where the recorded answers are of another graph."""


def main() -> None:
    """Print one line of JSON."""
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = {}
    try:
        measure(folder, mode, meta, result)
    except GluonserveError as error:
        cause = error.__cause__ or error
        result.setdefault("outcome", "failed" if result.get("engine") else "refused")
        result["detail"] = " ".join(f"{type(error).__name__}: {error} ({cause})".split())[:600]
    except Exception as error:  # noqa: BLE001 - a defect of ours is a result, too
        result["outcome"] = "failed"
        result["detail"] = " ".join(f"{type(error).__name__}: {error}".split())[:600]
    print("RESULT " + json.dumps(result))


def measure(folder: Path, mode: str, meta: dict[str, Any], result: dict[str, Any]) -> None:
    """Import alone, then open and run; fills ``result`` as far as it comes."""
    with np.load(folder / f"{folder.name}.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    inputs = {n.removeprefix("in:"): a for n, a in arrays.items() if n.startswith("in:")}
    count = sum(name.startswith("out:") for name in arrays)
    oracle = arrays
    if (folder / REIMPORTED).exists():
        result["oracle"] = "MXNet's import of the export"
        with np.load(folder / REIMPORTED) as stored:
            oracle = {name: stored[name] for name in stored.files}
    wanted = [oracle[f"out:{at}"] for at in range(count)]
    inputs = {name: array for name, array in inputs.items() if name in meta["symbol_inputs"]}
    symbol, params = (folder / f"{folder.name}{end}" for end in ("-symbol.json", "-0000.params"))
    stored_params = params if params.exists() else None
    result["param_mb"] = round(params.stat().st_size / MB, 1) if stored_params else 0.0
    before, begun, busy = _peak(), time.perf_counter(), time.process_time()
    shapes, result["shapes"] = _stated(symbol, stored_params, inputs)
    result["import_s"] = round(time.perf_counter() - begun, 2)
    result["import_cpu_s"] = round(time.process_time() - busy, 2)
    result["import_mb"] = round(_peak() - before, 1)
    begun = time.perf_counter()
    given = {name: (DType.of(inputs[name].dtype), shape) for name, shape in shapes.items()}
    with gluonserve.load(symbol, stored_params, inputs=given, executor=mode) as model:
        result["open_s"] = round(time.perf_counter() - begun, 2)
        result["engine"] = model.executor.description["executor"]
        result["why"] = model.executor.description["why"][:200]
        answers = list(_answers(model, inputs))
    result["peak_mb"] = round(_peak() - before, 1)
    _judge(folder, mode, meta, (answers, wanted), result)


def _stated(
    symbol: Path, params: Path | None, inputs: dict[str, np.ndarray]
) -> tuple[dict[str, list[int]], str]:
    """Shapes that suffice: rows free, or all as recorded where the network needs them."""
    rows = {name: [-1, *array.shape[1:]] if array.ndim else [] for name, array in inputs.items()}
    try:
        _import(symbol, params, inputs, rows)
    except InvalidConfig:
        whole = {name: list(array.shape) for name, array in inputs.items()}
        _import(symbol, params, inputs, whole)
        return whole, "as recorded"
    return rows, "rows free"


def _import(
    symbol: Path, params: Path | None, inputs: dict[str, np.ndarray], shapes: dict[str, list[int]]
) -> None:
    hints = {
        name: InputHint(dtype=DType.of(array.dtype), shape=tuple(shapes[name]))
        for name, array in inputs.items()
    }
    import_model(symbol, params, inputs=hints).lower()


def _answers(model: Model, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    names = {spec.name for spec in model.signature.inputs}
    return list(model({n: array for n, array in inputs.items() if n in names}).values())


def _judge(
    folder: Path,
    mode: str,
    meta: dict[str, Any],
    sides: tuple[list[np.ndarray], list[np.ndarray]],
    result: dict[str, Any],
) -> None:
    """Every output by itself, against what noise allows.

    Noise above 1e-2 says nothing of the answers: then a detector's detections are matched, and of
    another network every node is compared.
    """
    answers, wanted = sides
    noises = [one if isinstance(one, float) else np.inf for one in meta.get("noise") or []]
    noises += [0.0] * (len(wanted) - len(noises))
    result["noisy"] = any(noise > NOISY for noise in noises)
    result["errors"], problems = [], {}
    half = folder.name.startswith(("fp16_", "amp_"))
    for at, (got, want, noise) in enumerate(zip(answers, wanted, noises, strict=False)):
        error = relative(got, want)
        result["errors"].append(min(error, 1e30))
        allowed = 1e-2 if half else max(1e-4, min(1e-2, 3 * noise))
        if not error <= allowed:
            problems[at] = (
                f"output {at} {list(got.shape)}: {error:.2g} over {allowed:.1g} (noise {noise:.1g})"
            )
    if len(answers) != len(wanted):
        problems[-1] = f"{len(answers)} outputs, not {len(wanted)}"
    elif problems and result["noisy"] and not half:
        if detects(meta, wanted):
            problems = _unmatched(folder, answers, wanted, result)
        elif all(noises[at] > NOISY for at in problems):
            problems = _differing(folder, mode, problems, result)
    result["outcome"] = "differ" if problems else "agree"
    result["detail"] = "; ".join(problems.values())


def _unmatched(
    folder: Path, answers: list[np.ndarray], wanted: list[np.ndarray], result: dict[str, Any]
) -> dict[int, str]:
    """What differs once detections are matched, masks with the boxes that they belong to.

    Where MXNet's nodes, one by one, do not give MXNet's recorded answers either, what it recorded
    is of unwritten memory; then the answers of its nodes are what counts.
    """
    found = compared(answers, wanted)
    if found.problems() and (folder / STEPWISE).exists():
        with np.load(folder / STEPWISE) as stored:
            stepwise = [stored[f"out:{at}"] for at in range(len(wanted))]
        own = compared(wanted, stepwise)
        if own.problems():
            result["oracle"] = "MXNet's nodes one by one"
            result["contradicted"] = "; ".join(own.problems().values())
            found = compared(answers, stepwise)
    result["matched"], result["paired"] = round(found.share, 4), list(found.others)
    return found.problems()


def _differing(
    folder: Path, mode: str, problems: dict[int, str], result: dict[str, Any]
) -> dict[int, str]:
    """The nodes that differ where each is fed what MXNet fed it."""
    if not (folder / NODES).exists():
        return {**problems, -1: f"{NODES} is not recorded (tests.zoo_recorder)"}
    result["nodes"] = judged(folder, mode)
    return dict(enumerate(result["nodes"]["differing"]))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
