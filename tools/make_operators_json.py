"""Makes the loader's operator table from a dump of MXNet's operator registry.

Usage: python tools/make_operators_json.py SCHEMA.json [OUTPUT.json]

SCHEMA.json maps canonical operator names to {"aliases": [...], "args": [[name, type], ...],
"key_var_num_args": ...}, as ``MXSymbolGetAtomicSymbolInfo`` tells them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "server/src/gluonserve/loader/operators.json"
INPUT_TYPES = ("NDArray-or-Symbol", "Symbol", "NDArray", "SymbolNode", "Symbol or Symbol")
_TYPE = re.compile(r"(?P<type>.*?),\s*(?:required|optional,\s*default=(?P<default>.*))", re.DOTALL)


def entry(schema: dict[str, Any]) -> dict[str, Any]:
    """One operator; empty fields are left out."""
    inputs, attributes = [], {}
    for name, described in schema["args"]:
        if described.removesuffix("[]") in INPUT_TYPES:
            inputs.append(name)
        else:
            attributes[name] = attribute(described)
    fields = {
        "aliases": schema["aliases"],
        "inputs": inputs,
        "attributes": attributes,
        "variadic": schema["key_var_num_args"],
    }
    return {key: value for key, value in fields.items() if value}


def attribute(described: str) -> list[str]:
    """``[type]`` of a required attribute, ``[type, default text]`` of another."""
    match = _TYPE.fullmatch(described)
    if match is None:
        return [described]
    kind, default = match["type"], match["default"]
    if default is None:
        return [kind]
    return [kind, default[1:-1] if default[:1] == default[-1:] == "'" else default]


def main(schema: Path, output: Path) -> None:
    """Writes one line per operator, sorted, so that differences can be read."""
    table = json.loads(schema.read_text(encoding="utf-8"))
    lines = (
        f"{json.dumps(name)}:{json.dumps(entry(table[name]), separators=(',', ':'))}"
        for name in sorted(table)
    )
    output.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else TABLE)
