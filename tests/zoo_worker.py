"""Opens one exported network with one choice of executor, and compares it with MXNet's answers."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import gluonserve
from gluonserve.errors import GluonserveError, InvalidConfig
from gluonserve.executors import onnxruntime, openvino  # noqa: F401 - their memory is not a model's
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.library import Model

MB = 1 << 20
NOISY = 1e-2
BEST = 1000
ENOUGH = 0.99
"""The share of detections that match in a network whose noise says nothing of its boxes."""


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
    wanted = [arrays[f"out:{at}"] for at in range(count)]
    inputs = {name: array for name, array in inputs.items() if name in meta["symbol_inputs"]}
    symbol, params = (folder / f"{folder.name}{end}" for end in ("-symbol.json", "-0000.params"))
    stored_params = params if params.exists() else None
    result["param_mb"] = round(params.stat().st_size / MB, 1) if stored_params else 0.0
    before, begun = _peak(), time.perf_counter()
    shapes, result["shapes"] = _stated(symbol, stored_params, inputs)
    result["import_s"] = round(time.perf_counter() - begun, 2)
    result["import_mb"] = round(_peak() - before, 1)
    begun = time.perf_counter()
    given = {name: (DType.of(inputs[name].dtype), shape) for name, shape in shapes.items()}
    with gluonserve.load(symbol, stored_params, inputs=given, executor=mode) as model:
        result["open_s"] = round(time.perf_counter() - begun, 2)
        result["engine"] = model.executor.description["executor"]
        result["why"] = model.executor.description["why"][:200]
        answers = list(_answers(model, inputs))
    result["peak_mb"] = round(_peak() - before, 1)
    _judge(folder.name, meta, answers, wanted, result)


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
    name: str,
    meta: dict[str, Any],
    answers: list[np.ndarray],
    wanted: list[np.ndarray],
    result: dict[str, Any],
) -> None:
    """Every output by itself, against what noise allows."""
    result["errors"], problems = [], []
    if len(answers) != len(wanted):
        problems.append(f"{len(answers)} outputs, not {len(wanted)}")
    noises = meta.get("noise") or [0.0] * len(wanted)
    noisy = any(not isinstance(noise, float) or noise > NOISY for noise in noises)
    result["noisy"] = noisy
    half = name.startswith(("fp16_", "amp_"))
    for at, (got, want) in enumerate(zip(answers, wanted, strict=False)):
        error = relative(got, want)
        noise = noises[at] if at < len(noises) and isinstance(noises[at], float) else 0.0
        allowed = 1e-2 if half else max(1e-4, min(1e-2, 3 * noise))
        result["errors"].append(min(error, 1e30))
        if error > allowed:
            problems.append(
                f"output {at} {list(got.shape)}: {error:.2g} over {allowed:.1g} (noise {noise:.1g})"
            )
    if problems and _detects(meta, wanted) and len(answers) == len(wanted):
        share = matched(answers, wanted)
        result["matched"] = round(share, 4)
        problems = [f"{share:.2%} of the detections have a match", *problems]
        if share >= (ENOUGH if noisy else 1.0) and _others_agree(result["errors"][3:]):
            problems = []
    result["outcome"] = "differ" if problems else "agree"
    result["detail"] = "; ".join(problems)


def _detects(meta: dict[str, Any], wanted: list[np.ndarray]) -> bool:
    """Whether the first outputs are classes, scores and boxes."""
    shapes = [array.shape for array in wanted[:3]]
    rows = shapes[0][:-1]
    return str(meta.get("family", "")).startswith("det.") and shapes == [
        (*rows, 1),
        (*rows, 1),
        (*rows, 4),
    ]


def _others_agree(errors: list[float]) -> bool:
    """What belongs to detections (masks) can only be compared where their order is the same."""
    return all(error <= NOISY for error in errors)


def matched(answers: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The share of detections with one of the same class, score and box on the other side.

    Detections whose scores tie may come in any order; each matches one other at most. Of many,
    MXNet's best thousand are looked for.
    """
    (ids, scores, boxes), (ids_, scores_, boxes_) = (
        [array.reshape(-1, array.shape[-1]).astype("f8") for array in side[:3]]
        for side in (answers, wanted)
    )
    real, real_ = ids[:, 0] >= 0, ids_[:, 0] >= 0
    ids, scores, boxes = ids[real, 0], scores[real, 0], boxes[real]
    ids_, scores_, boxes_ = ids_[real_, 0], scores_[real_, 0], boxes_[real_]
    if not len(ids) or not len(ids_):
        return float(len(ids) == len(ids_))
    free = np.ones(len(ids), bool)
    best = range(min(len(ids_), BEST))
    for at in best:
        near = np.abs(boxes - boxes_[at]).max(axis=1)
        alike = np.abs(scores - scores_[at]) <= 1e-4 + 1e-2 * abs(scores_[at])
        allowed = 0.1 + 1e-3 * np.abs(boxes_[at]).max()
        fits = free & (ids == ids_[at]) & alike & (near <= allowed)
        if fits.any():
            free[int(np.argmin(np.where(fits, near, np.inf)))] = False
    found = len(ids) - int(free.sum())
    return found / len(best) * min(len(ids), len(ids_)) / max(len(ids), len(ids_))


def relative(got: np.ndarray, want: np.ndarray) -> float:
    """The L2 norm of the difference over that of what is wanted; infinite where shapes differ."""
    if got.shape != want.shape:
        return float("inf")
    a, b = got.astype("f8"), want.astype("f8")
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    finite = np.isfinite(a) & np.isfinite(b)
    if not (same | finite).all():
        return float("inf")
    size = np.linalg.norm(np.where(finite, b, 0.0))
    gap = np.linalg.norm(np.where(same, 0.0, np.where(finite, a, 0.0) - np.where(finite, b, 0.0)))
    return float(gap / size) if size else float("inf")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
