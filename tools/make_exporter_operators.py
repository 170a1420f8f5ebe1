"""Writes the exporter's list of operators that the server lowers, or checks it.

Run by ``make docs`` and, with ``--check``, by ``make check``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import Lowering, Refusal
from gluonserve.loader.schema import operators

FILE = Path(__file__).parents[1] / "exporter/src/gluonserve_export/operators.json"


def text() -> str:
    """Every name that MXNet has for what is lowered, and why others are refused."""
    lowered: set[str] = set()
    refused: dict[str, str] = {}
    for entry in TABLE.entries():
        schema = operators().get(entry.name)
        names = {entry.name, *(schema.aliases if schema else ())}
        if isinstance(entry, Lowering):
            lowered |= names
        elif isinstance(entry, Refusal):
            refused |= dict.fromkeys(names, entry.reason)
    table = {"lowered": sorted(lowered), "refused": dict(sorted(refused.items()))}
    return json.dumps(table, indent=0) + "\n"


def main() -> int:
    """Write the list, or with ``--check`` say whether it is current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if FILE.exists() and FILE.read_text(encoding="utf-8") == text():
        return 0
    if parser.parse_args().check:
        print(f"not current: {FILE.name} of the exporter (run: make docs)", file=sys.stderr)
        return 1
    FILE.write_text(text(), encoding="utf-8")
    print(f"wrote {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
