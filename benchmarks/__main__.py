"""Measures, and writes benchmarks/results/: one JSON file per part, a table and a plot."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import engines, memory, report, rewrites, served, zoo
from benchmarks.plan import Plan, conditions

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
ORACLE = ROOT / ".venv-mxnet" / "bin" / "python"

PARTS: dict[str, Callable[[Plan], dict[str, object]]] = {
    "engines": engines.measure,
    "served_resnet": served.resnet,
    "served_lenet": served.lenet,
    "empty_model": served.empty_model,
    "memory": memory.measure,
    "rewrites": rewrites.measure,
}


def main() -> None:
    """Measure the parts asked for, one after the other, then draw what results there are."""
    arguments = _arguments()
    os.chdir(ROOT)
    results = arguments.results
    results.mkdir(parents=True, exist_ok=True)
    rounds, seconds = (2, 0.3) if arguments.quick else (arguments.rounds, arguments.seconds)
    plan = Plan(rounds=rounds, slice_seconds=seconds, mxnet_python=str(ORACLE))
    subprocess.run([str(ORACLE), "-m", "benchmarks.networks"], check=True, stdout=sys.stderr)
    parts = dict(PARTS)
    if arguments.zoo:
        parts["zoo"] = partial(
            zoo.measure, built=arguments.zoo, every=arguments.every, go_on=arguments.go_on
        )
    for name in arguments.only or parts:
        print(f"{name}:", file=sys.stderr, flush=True)
        repeat = f"--only {name} --rounds {rounds} --seconds {seconds:g}"
        if name == "zoo":
            repeat += f" --zoo .zoo/networks --every {arguments.every}"
        before = conditions(plan, repeat)
        figures = {"conditions": before, "figures": parts[name](plan)}
        (results / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(report.write(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=[*PARTS, "zoo"], help="all by default")
    parser.add_argument("--zoo", type=Path, help="networks built by make zoo: measures them, too")
    parser.add_argument("--every", type=int, default=1, help="of these only every n-th (1)")
    parser.add_argument("--go-on", action="store_true", help="with the zoo where it was cut short")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repeats (7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one turn (2)")
    parser.add_argument("--quick", action="store_true", help="tiny: to see that it works")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the files go")
    arguments = parser.parse_args()
    if "zoo" in (arguments.only or ()) and not arguments.zoo:
        parser.error("--only zoo needs --zoo FOLDER, where make zoo has built networks")
    return arguments


if __name__ == "__main__":
    main()
