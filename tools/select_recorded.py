"""Chooses, of the recorded operator cases, a selection small enough for the repository.

    python tools/select_recorded.py

Of every operator of ``../shared/conformance`` (GLUONSERVE_CONFORMANCE names another place) the
smallest cases that differ in their attributes or types go to ``tests/data/recorded``, in the same
format. Files that are there already stay as they are, so that they can be chosen by hand, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.replay import CORPUS  # noqa: E402 - the root is not on the path of a script

TARGET = ROOT / "tests" / "data" / "recorded"
MOST_CASES = 2
MOST_BYTES = 6_000


def main() -> None:
    """Write what is missing."""
    for path in sorted(CORPUS.glob("*.npz")):
        target = TARGET / path.name
        if not target.exists():
            _select(path, target)
    size = sum(path.stat().st_size for path in TARGET.glob("*.npz"))
    print(f"{len(list(TARGET.glob('*.npz')))} operators, {size / 1024:.0f} KiB")


def _select(path: Path, target: Path) -> None:
    with np.load(path, allow_pickle=False) as stored:
        records: list[dict[str, Any]] = json.loads(str(stored["index"]))
        sizes = {r["id"]: _bytes(r) for r in records}
        chosen: dict[tuple[object, ...], dict[str, Any]] = {}
        for record in sorted(records, key=lambda r: sizes[r["id"]]):
            kind = (
                tuple(sorted(record["attrs"])),
                record["inputs"][0]["dtype"] if record["inputs"] else "",
            )
            if sizes[record["id"]] <= MOST_BYTES and len(chosen) < MOST_CASES:
                chosen.setdefault(kind, record)
        if not chosen:
            return
        kept = sorted(chosen.values(), key=records.index)
        prefixes = tuple(f"{record['id']}_" for record in kept)
        arrays = {name: stored[name] for name in stored.files if name.startswith(prefixes)}
    np.savez_compressed(target, index=np.array(json.dumps(kept)), **arrays)


def _bytes(record: dict[str, Any]) -> int:
    """The bytes of a case's arrays."""
    tensors = (*record["inputs"], *record["outputs"])
    return sum(int(np.prod(t["shape"])) * np.dtype(t["dtype"]).itemsize for t in tensors)


if __name__ == "__main__":
    main()
