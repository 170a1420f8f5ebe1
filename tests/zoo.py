"""Replays exported networks of the public zoos against MXNet's recorded answers.

    python -m tests.zoo FOLDER [--only auto|onnxruntime] [--processes N] [--match REGEX] [--fresh]

FOLDER holds what ``../shared/zoo/build.py`` wrote and ``tests.zoo_recorder`` put beside it (``make
zoo`` does both). Each network is opened as a user would, in a process of its own, by the engine
that ``auto`` takes and by ONNX Runtime. Results, one by one, go to ``tests/data/zoo.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.conforming import replayed_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "tests" / "data" / "zoo.json"
DEVIATIONS = ROOT / "tests" / "data" / "zoo_deviations.toml"
KEPT = ROOT / ".zoo"
MODES = ("auto", "onnxruntime")
PATIENCE_S = 900


def main() -> int:
    """Replay, print a line per network that does not agree, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--match", default="", help="networks whose names this regex finds")
    parser.add_argument("--only", choices=MODES)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--fresh", action="store_true", help="forget an earlier run's results")
    options = parser.parse_args()
    networks = [one for folder in options.folder for one in exported(folder, options.match)]
    if not networks:
        print(f"zoo: no networks at {', '.join(map(str, options.folder))}: build them (make zoo)")
        return 1
    modes = (options.only,) if options.only else MODES
    results = replayed([(n, m) for m in modes for n in networks], options.processes, options.fresh)
    for mode in modes:
        _print([one for one in results if one["mode"] == mode], mode)
    if not options.match and not options.only:
        RESULTS.write_text(json.dumps(results, indent=0) + "\n", encoding="utf-8")
    unlisted = problems(results)
    for problem in unlisted:
        print(f"zoo: {problem}")
    return int(bool(unlisted))


def deviations() -> dict[str, dict[str, Any]]:
    """The networks that are known not to agree: on which choices of executor, and why."""
    return tomllib.loads(DEVIATIONS.read_text(encoding="utf-8"))


def problems(results: Iterable[dict[str, Any]]) -> list[str]:
    """Where the list of deviations does not say what happened."""
    listed = deviations()
    found = []
    for one in results:
        known = one["mode"] in listed.get(one["network"], {}).get("executors", ())
        agrees = one["outcome"] == "agree"
        if one["counts"] and known == agrees:
            is_so = "agrees, and is listed as differing" if agrees else "differs, and is not listed"
            found.append(f"{one['network']} on {one['mode']} {is_so} in {DEVIATIONS.name}")
    return found


def exported(folder: Path, match: str = "") -> list[Path]:
    """The networks that MXNet exported, whatever it made of them afterwards."""
    return sorted(
        one
        for one in folder.iterdir()
        if re.search(match, one.name)
        and (one / f"{one.name}-symbol.json").exists()
        and _meta(one).get("status") == "ok"
    )


def _meta(network: Path) -> dict[str, Any]:
    file = network / "meta.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def replayed(
    tasks: Sequence[tuple[Path, str]],
    processes: int,
    fresh: bool,
) -> list[dict[str, Any]]:
    """A result per task; those of an earlier run of the same code are kept unless ``fresh``."""
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"results-{replayed_state()}.jsonl"
    if fresh:
        file.unlink(missing_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    known = {(one["network"], one["mode"]): one for one in map(json.loads, lines)}
    missing = [task for task in tasks if (task[0].name, task[1]) not in known]
    with ThreadPoolExecutor(processes) as pool, file.open("a", encoding="utf-8") as stream:
        for result in pool.map(lambda task: _one(*task), missing):
            known[result["network"], result["mode"]] = result
            stream.write(json.dumps(result) + "\n")
            stream.flush()
    return [known[folder.name, mode] for folder, mode in tasks]


def _one(network: Path, mode: str) -> dict[str, Any]:
    """One network in one process; a process that dies is a network that fails."""
    blank = {"network": network.name, "mode": mode, "engine": "", "counts": counts(_meta(network))}
    command = [sys.executable, "-m", "tests.zoo_worker", str(network), mode]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {**blank, "outcome": "failed", "detail": f"no answer in {PATIENCE_S} s"}
    marked = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not marked:
        tail = done.stderr.strip().splitlines()[-1:] or [""]
        detail = f"the process ended with {done.returncode}: {tail[0][:200]}"
        return {**blank, "outcome": "crashed", "detail": detail}
    return {**blank, **json.loads(marked[-1].removeprefix("RESULT "))}


def counts(meta: dict[str, Any]) -> bool:
    """Whether MXNet is an oracle here: it re-imports its own export with the same answers.

    Networks in float16 and with mixed precision have recorded float32 evaluations instead.
    """
    half = meta["name"].startswith(("fp16_", "amp_"))
    return not meta.get("stochastic") and bool(meta.get("reimport_ok") or half)


def _print(results: Sequence[dict[str, Any]], mode: str) -> None:
    ours = [one for one in results if one["counts"]]
    for one in ours:
        if one["outcome"] != "agree":
            print(f"{mode} {one['network']}: {one['outcome']}: {one.get('detail', '')[:300]}")
    outcomes = Counter(one["outcome"] for one in ours)
    engines = Counter(one["engine"] for one in ours if one["outcome"] == "agree")
    loaded = sum(one["outcome"] in ("agree", "differ") for one in ours)
    print(
        f"{mode}: {len(ours)} networks of which MXNet is an oracle: {loaded} load,"
        f" {outcomes['agree']} agree {dict(engines)}; {dict(outcomes)};"
        f" {_slow(ours)}"
    )


def _slow(results: Iterable[dict[str, Any]]) -> str:
    """Imports that break the bounds: 3 s of a processor, 2.5 times the parameters."""
    slow = [one["network"] for one in results if one.get("import_cpu_s", 0) > 3]
    large = [
        one["network"]
        for one in results
        if one.get("param_mb", 0) > 4 and one.get("import_mb", 0) > 2.5 * one["param_mb"]
    ]
    beyond = f"over 2.5 times the parameters: {large or 'none'}"
    return f"imports over 3 s: {slow or 'none'}; {beyond}"


if __name__ == "__main__":
    sys.exit(main())
