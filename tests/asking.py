"""Which operators are asked of live MXNet, and by which files of tests: the list in ``tests/data``.

``GLUONSERVE_LIST_LIVE=1`` writes the list anew when a run of all of ``tests/conformance`` ends, as
``make conformance`` does.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LIST = Path(__file__).parent / "data" / "live_operators.json"
ASKED: defaultdict[str, set[str]] = defaultdict(set)


def note(ops: Iterable[str]) -> None:
    """These operators are asked of MXNet by the file of tests that called."""
    frame = sys._getframe(1)
    while frame is not None:
        name = Path(frame.f_code.co_filename).name
        if name.startswith("test_"):
            for op in ops:
                ASKED[op].add(name)
            return
        frame = frame.f_back


def in_graph(text: str) -> set[str]:
    """Every operator of a symbol file, those of its subgraphs included."""
    return _operators(json.loads(text))


def listed() -> dict[str, list[str]]:
    """The files that ask each operator."""
    found: dict[str, list[str]] = json.loads(LIST.read_text(encoding="utf-8"))
    return found


def write() -> None:
    """Write the list."""
    found = {op: sorted(files) for op, files in sorted(ASKED.items())}
    LIST.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _operators(graph: dict[str, list[dict[str, object]]]) -> set[str]:
    found = {str(node["op"]) for node in graph["nodes"]} - {"null"}
    for node in graph["nodes"]:
        for inner in node.get("subgraphs", ()):  # type: ignore[attr-defined]
            found |= _operators(inner)
    return found
