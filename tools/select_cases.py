"""Choose few and small cases of recorded operators for the repository's own tests.

    python tools/select_cases.py CORPUS NAME ... [--count 6] [--into tests/data/recorded]

Cases with attributes, types and ranks that none before them had come first; those that differ from
what both engines answer are left to the replay of the whole corpus.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
_MOST_ELEMENTS = 4096


def main() -> None:
    """Write one file per operator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--into", type=Path, default=ROOT / "tests" / "data" / "recorded")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        kept = select(options.corpus / f"{name}.npz", options.into / f"{name}.npz", options.count)
        print(f"{name}: {kept} cases")


def select(source: Path, target: Path, count: int) -> int:
    """Copy the chosen cases; how many they are."""
    sys.path.insert(0, str(ROOT / "tests"))
    from replay import (  # type: ignore[import-not-found]  # noqa: PLC0415 - on the path by now
        ENGINES,
        cases,
        replay,
    )

    good = {
        case.id
        for case in cases(source)
        if all(replay(case, engine).outcome == "agree" for engine in ENGINES)
    }
    with np.load(source, allow_pickle=False) as stored:
        records = [r for r in json.loads(str(stored["index"])) if r["id"] in good]
        chosen = varied([r for r in records if elements(r) <= _MOST_ELEMENTS], count)
        arrays = {
            name: stored[name]
            for record in chosen
            for name in stored.files
            if name.startswith(f"{record['id']}_")
        }
    np.savez_compressed(target, index=np.array(json.dumps(chosen)), **arrays)
    return len(chosen)


def elements(record: dict[str, Any]) -> int:
    """How many elements the arrays of a case have."""
    return sum(int(np.prod(array["shape"])) for array in [*record["inputs"], *record["outputs"]])


def varied(records: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Cases that add most to what the chosen ones show, the small ones first."""
    left, seen = sorted(records, key=elements), set[str]()
    chosen: list[dict[str, Any]] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda record: len(traits(record) - seen))
        seen |= traits(best)
        chosen.append(best)
        left.remove(best)
    return chosen


def traits(record: dict[str, Any]) -> set[str]:
    """What is special about a case."""
    found = {f"{name}={value}" for name, value in record["attrs"].items()}
    found |= {f"{at}:{i['dtype']}:{len(i['shape'])}" for at, i in enumerate(record["inputs"])}
    return found | {f"op {op}" for op in record.get("ops", ())}


if __name__ == "__main__":
    main()
