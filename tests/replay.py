"""Replays recorded operator cases through import and an engine, and says how far they agree.

    python -m tests.replay [--engine onnxruntime|openvino|both] [--free] [--show N] NAME ...

NAME is an operator; without names every recorded operator is replayed. The cases lie in
``../shared/conformance`` (GLUONSERVE_CONFORMANCE names another place). ``--free`` gives inputs
free dimensions in place of their sizes, so that the symbolic paths of lowerings are replayed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gluonserve.errors import GluonserveError
from gluonserve.loader.importing import Imported, InputHint, import_model
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gluonserve.loader.importing import Target

CORPUS = Path(
    os.environ.get("GLUONSERVE_CONFORMANCE", Path(__file__).parents[2] / "shared" / "conformance")
)
ENGINES = ("onnxruntime", "openvino")
Run: TypeAlias = "Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]"
_BOUND = {"float16": (1e-2, 1e-2), "float32": (1e-5, 1e-4), "float64": (1e-5, 1e-4)}


@dataclass(frozen=True)
class Case:
    """One recorded case: a symbol, its inputs by name, and MXNet's answers."""

    id: str
    op: str
    attrs: Mapping[str, str]
    symbol: bytes
    inputs: Mapping[str, np.ndarray]
    roles: Mapping[str, str]
    outputs: tuple[np.ndarray, ...]
    alternatives: tuple[np.ndarray, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.op}-{self.id}"

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """What would be stored in a parameter file."""
        return {n: a for n, a in self.inputs.items() if self.roles[n] in ("param", "aux")}

    @property
    def data(self) -> dict[str, np.ndarray]:
        """What a request would bring."""
        return {n: a for n, a in self.inputs.items() if self.roles[n] not in ("param", "aux")}


@dataclass(frozen=True)
class Verdict:
    """How one case went on one engine: agree, differ, refused (by the importer) or failed."""

    case: Case
    engine: str
    outcome: str
    error: float = 0.0
    detail: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def cases(path: Path, *, headers: bool = False) -> Iterator[Case]:
    """Every case of one recorded operator; ``headers`` leaves out the arrays, which take long."""
    with np.load(path, allow_pickle=False) as stored:
        for record in json.loads(str(stored["index"])):
            if headers:
                yield Case(record["id"], record["op"], record["attrs"], b"", {}, {}, ())
                continue
            prefix = record["id"]
            names = [i["name"] for i in record["inputs"]]
            count = record.get("alt", {}).get("outputs", 0)
            yield Case(
                id=prefix,
                op=record["op"],
                attrs=record["attrs"],
                symbol=record["symbol"].encode(),
                inputs={n: stored[f"{prefix}_in{at}"] for at, n in enumerate(names)},
                roles={i["name"]: i["role"] for i in record["inputs"]},
                outputs=tuple(stored[f"{prefix}_out{at}"] for at in range(len(record["outputs"]))),
                alternatives=tuple(stored[f"{prefix}_alt{at}"] for at in range(count)),
                notes=tuple(record.get("notes") or ()),
            )


def imported(case: Case, *, free: bool = False) -> Imported:
    """The case's network; ``free`` leaves every dimension of its inputs open."""
    hints = {
        name: InputHint(
            dtype=DType.of(array.dtype),
            shape=(-1,) * array.ndim if free else array.shape,
            batch_axis="none" if free else None,
        )
        for name, array in case.data.items()
    }
    return import_model(case.symbol, case.parameters, inputs=_known(case, hints), samples=case.data)


def _known(case: Case, hints: dict[str, InputHint]) -> dict[str, InputHint]:
    names = {n["name"] for n in json.loads(case.symbol)["nodes"] if n["op"] == "null"}
    return {name: hint for name, hint in hints.items() if name in names}


def run(network: Imported, engine: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The network's outputs on one engine, in float32 where it is told to be."""
    return prepared(network, engine)(feeds)


def prepared(network: Imported, engine: str) -> Run:
    """The network compiled for one engine; inputs that it does not read are left out."""
    model = network.lower(_target(engine)).to_bytes()
    names = [spec.name for spec in network.signature.inputs]
    compiled = _onnxruntime(model) if engine == "onnxruntime" else _openvino(model)
    return lambda feeds: compiled({name: feeds[name] for name in names})


def _target(engine: str) -> Target:
    """What the executor of this engine lowers for."""
    target: Target = importlib.import_module(f"gluonserve.executors.{engine}").TARGET
    return target


def _onnxruntime(model: bytes) -> Run:
    import onnxruntime  # noqa: PLC0415 - either engine may be absent

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda feeds: [np.asarray(output) for output in session.run(None, dict(feeds))]


def _openvino(model: bytes) -> Run:
    from gluonserve.executors.openvino import process_core  # noqa: PLC0415 - may be absent

    core = process_core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",  # else int8 weights make it quantise activations
        "INFERENCE_NUM_THREADS": 1,
    }
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    request = compiled.create_infer_request()
    ports = {name for port in compiled.inputs for name in port.names}

    def run(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = request.infer({name: array for name, array in feeds.items() if name in ports})
        return [np.array(results[output]) for output in compiled.outputs]

    return run


def replay(case: Case, engine: str, *, free: bool = False) -> Verdict:
    """Import, run and compare one case."""
    try:
        network = imported(case, free=free)
        network.lower()
    except GluonserveError as error:
        return Verdict(case, engine, "refused", detail=f"{type(error).__name__}: {error}")
    try:
        answers = run(network, engine, case.data)
    except Exception as error:  # noqa: BLE001 - engines raise what they like
        return Verdict(case, engine, "failed", detail=f"{type(error).__name__}: {error}"[:400])
    worst, detail = compare(answers, case.outputs, _steps(case))
    if detail and case.alternatives:
        worst, detail = compare(answers, case.alternatives, _steps(case))
    return Verdict(case, engine, "differ" if detail else "agree", worst, detail)


def compare(
    answers: Sequence[np.ndarray], wanted: Sequence[np.ndarray], steps: int = 0
) -> tuple[float, str]:
    """The worst error over its bound, and in words what differs first."""
    worst = 0.0
    if len(answers) != len(wanted):
        return float("inf"), f"{len(answers)} outputs, not {len(wanted)}"
    for at, (got, want) in enumerate(zip(answers, wanted, strict=True)):
        if got.shape != want.shape or got.dtype != want.dtype:
            return float("inf"), (
                f"output {at} is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
            )
        error = _error(got, want, steps)
        worst = max(worst, error)
        if error > 1:
            bad = np.argmax(np.abs(got.astype("f8") - want.astype("f8")).ravel())
            return worst, f"output {at}: {got.ravel()[bad]} is not {want.ravel()[bad]} (at {bad})"
    return worst, ""


def _error(got: np.ndarray, want: np.ndarray, steps: int) -> float:
    """The largest error in units of what is allowed."""
    if not want.size:
        return 0.0
    if want.dtype.kind in "iub":
        difference = np.abs(got.astype("f8") - want.astype("f8"))
        return float("inf") if np.any(difference > steps) else 0.0
    alike = (got == want) | (np.isnan(got) & np.isnan(want))
    finite = np.isfinite(got) & np.isfinite(want)
    if np.any(~alike & ~finite):
        return float("inf")
    a, b = got.astype("f8")[finite], want.astype("f8")[finite]
    if not a.size:
        return 0.0
    absolute, relative = _BOUND[want.dtype.name]
    scale = max(1.0, float(np.abs(b).max()))
    return float(np.max(np.abs(a - b) / (absolute * scale + relative * np.abs(b))))


def _steps(case: Case) -> int:
    return int("quant" in case.op)


def main() -> None:
    """Replay and print a line per operator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--engine", default="both", choices=[*ENGINES, "both"])
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--show", type=int, default=3)
    options = parser.parse_args()
    engines = ENGINES if options.engine == "both" else (options.engine,)
    names = options.names or sorted(path.stem for path in CORPUS.glob("*.npz"))
    total: Counter[str] = Counter()
    for name in names:
        recorded = list(cases(CORPUS / f"{name}.npz"))
        for engine in engines:
            verdicts = [replay(case, engine, free=options.free) for case in recorded]
            counts = Counter(verdict.outcome for verdict in verdicts)
            total.update(counts)
            worst = max((v.error for v in verdicts if v.outcome == "agree"), default=0.0)
            print(f"{name:36s} {engine:12s} {dict(counts)} worst {worst:.2g}", flush=True)
            bad = [v for v in verdicts if v.outcome != "agree"]
            for verdict in bad[: options.show]:
                print(
                    f"    {verdict.case.id} {dict(verdict.case.attrs)}"
                    f" {[list(a.shape) for a in verdict.case.inputs.values()]}"
                    f"\n        {verdict.outcome}: {verdict.detail}"
                )
    print(dict(total))


if __name__ == "__main__":
    main()
