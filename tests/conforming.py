"""Replays every recorded operator case through import and engines; holds the list of exceptions.

    python -m tests.conforming [--fresh] [--processes N] [--only auto|onnxruntime] [NAME ...]

Each case is imported as a user's network would be and run twice: by the engine that ``auto`` takes
and by ONNX Runtime. Results go to ``tests/data/conformance.json`` (a summary by operator, from
which ``docs/operators.md`` is made), case by case to ``.conformance/``, from where a run that was
broken off goes on. A case that does not agree and is not in ``tests/data/deviations.toml``, and one
that is and agrees, are errors; ``--accept`` writes that file anew.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import deviations
from tests.replay import CORPUS, cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
SUMMARY = ROOT / "tests" / "data" / "conformance.json"
KEPT = ROOT / ".conformance"
MODES = ("auto", "onnxruntime")
PATIENCE_S = 120
"""After this long without an answer a case has failed, and its process ends."""


@dataclass(frozen=True)
class Result:
    """How one case went under one choice of executor; ``engine`` is what ran it."""

    case: str
    mode: str
    engine: str
    outcome: str
    error: float = 0.0
    detail: str = ""


def main() -> int:
    """Replay, write the results, and say whether the list of exceptions is exact."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="operators; all of them by default")
    parser.add_argument("--only", choices=MODES, help="one choice of executor")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--fresh", action="store_true", help="forget an earlier run's results")
    parser.add_argument("--accept", action="store_true", help="write the list of exceptions anew")
    options = parser.parse_args()
    if not CORPUS.is_dir():
        print(f"conformance: no recorded cases at {CORPUS}; GLUONSERVE_CONFORMANCE names a place")
        return 1
    if importlib.util.find_spec("mxnet") is not None:
        print("conformance: mxnet is installed here; figures are taken without it (.venv)")
        return 1
    modes = (options.only,) if options.only else MODES
    names = options.names or sorted(path.stem for path in CORPUS.glob("*.npz"))
    results = replayed(wanted(names, modes), options.processes, fresh=options.fresh)
    chosen = [one for one in results if one.mode in modes and one.case.rpartition("-")[0] in names]
    _print(chosen, modes)
    if options.names or options.only:
        return 0
    SUMMARY.write_text(json.dumps(summary(chosen), indent=1) + "\n", encoding="utf-8")
    if options.accept:
        deviations.write(chosen)
    problems = deviations.problems(chosen)
    for problem in problems[:50]:
        print(problem)
    print(f"{len(problems)} differences from {deviations.FILE.name}")
    return int(bool(problems))


def wanted(names: Iterable[str], modes: Sequence[str]) -> list[tuple[str, str]]:
    """Every recorded case with every choice of executor."""
    found = []
    for name in names:
        count = len(list(cases(CORPUS / f"{name}.npz", headers=True)))
        found += [(f"{name}-{at}", mode) for at in range(count) for mode in modes]
    return found


def replayed(asked: Sequence[tuple[str, str]], processes: int, *, fresh: bool) -> list[Result]:
    """Results of all that is asked, from the kept ones and from processes that run the rest."""
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{replayed_state()}.jsonl"
    if fresh:
        file.unlink(missing_ok=True)
    known = [Result(**json.loads(line)) for line in _lines(file)]
    done = {(one.case, one.mode) for one in known}
    pending = deque(one for one in asked if one not in done)
    if done:
        print(f"{len(done)} results kept from an earlier run, {len(pending)} to come", flush=True)
    with file.open("a", encoding="utf-8") as stream:
        for count, result in enumerate(_run(pending, processes), start=1):
            known.append(result)
            stream.write(json.dumps(asdict(result)) + "\n")
            stream.flush()
            if count % 500 == 0:
                print(f"{count} replayed", flush=True)
    return known


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def replayed_state() -> str:
    """Names what was replayed: the package's sources and the way of comparing."""
    digest = hashlib.sha256()
    places = [*(ROOT / "server" / "src" / "gluonserve").rglob("*.py"), *ROOT.glob("tests/*.py")]
    for path in sorted(path for path in places if "rpc" not in path.parts):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass
class Worker:
    """A process that replays case after case; when an engine takes it down, another comes."""

    process: subprocess.Popen[str]
    task: tuple[str, str] = ("", "")
    since: float = 0.0

    def ask(self, task: tuple[str, str]) -> None:
        """Give it a case."""
        self.task, self.since = task, time.monotonic()
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(task) + "\n")
        self.process.stdin.flush()


def _run(pending: deque[tuple[str, str]], processes: int) -> Iterator[Result]:
    with selectors.DefaultSelector() as selector:
        for _ in range(min(processes, len(pending))):
            _start(selector, pending.popleft())
        while selector.get_map():
            ready = [key for key, _ in selector.select(1.0)]
            for key in ready:
                yield _answer(selector, key.fileobj, key.data, pending)
            late = time.monotonic() - PATIENCE_S
            for key in [key for key in selector.get_map().values() if key.data.since < late]:
                key.data.process.kill()


def _start(selector: selectors.BaseSelector, task: tuple[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conforming_worker"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    worker = Worker(process)
    assert process.stdout is not None
    selector.register(process.stdout, selectors.EVENT_READ, worker)
    worker.ask(task)


def _answer(
    selector: selectors.BaseSelector,
    stream: Any,
    worker: Worker,
    pending: deque[tuple[str, str]],
) -> Result:
    line = stream.readline()
    case, mode = worker.task
    if line:
        result = Result(**json.loads(line))
        if pending:
            worker.ask(pending.popleft())
        else:
            _stop(selector, stream, worker)
        return result
    code = _stop(selector, stream, worker)
    if pending:
        _start(selector, pending.popleft())
    return Result(case, mode, "", "crashed", detail=f"the process ended with {code}")


def _stop(selector: selectors.BaseSelector, stream: Any, worker: Worker) -> int:
    selector.unregister(stream)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    code = worker.process.wait()
    stream.close()
    return code


def summary(results: Iterable[Result]) -> dict[str, Any]:
    """By operator and choice of executor: cases agreed and recorded, engines, the worst error."""
    table: dict[str, dict[str, Any]] = {}
    for one in sorted(results, key=lambda one: (one.case, one.mode)):
        name = one.case.rpartition("-")[0]
        row = table.setdefault(name, {}).setdefault(
            one.mode, {"recorded": 0, "agreed": 0, "worst": 0.0, "engines": {}}
        )
        row["recorded"] += 1
        if one.outcome == "agree":
            row["agreed"] += 1
            row["worst"] = max(row["worst"], float(f"{one.error:.2g}"))
            row["engines"][one.engine] = row["engines"].get(one.engine, 0) + 1
    return {"totals": _totals(table), "operators": table}


def _totals(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for name, modes in table.items():
        part = "graphs" if name == "graphs" else "operators"
        for mode, row in modes.items():
            total = totals.setdefault(mode, {}).setdefault(part, {"recorded": 0, "agreed": 0})
            for key in total:
                total[key] += row[key]
    return totals


def _print(results: Sequence[Result], modes: Sequence[str]) -> None:
    for mode in modes:
        ours = [one for one in results if one.mode == mode]
        counts = Counter(one.outcome for one in ours)
        engines = Counter(one.engine for one in ours if one.outcome == "agree")
        share = counts["agree"] / max(1, len(ours))
        print(f"{mode}: {len(ours)} cases, {share:.2%} agree {dict(engines)}; {dict(counts)}")


if __name__ == "__main__":
    sys.exit(main())
