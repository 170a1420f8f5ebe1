"""The operators that the server lowers, as the list shipped with this package says."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from gluonserve_export import networks
from gluonserve_export.findings import Finding
from gluonserve_export.graphs import operators_of

if TYPE_CHECKING:
    from typing import Any, Dict, List

    from mxnet import gluon

_FILE = Path(__file__).with_name("operators.json")
_PYTHON = {"Custom", "_CustomFunction"}


@functools.lru_cache(maxsize=None)
def _table() -> Dict[str, Any]:
    table: Dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return table


def unsupported(net: gluon.Block, symbol: Any, steps: Dict[str, str]) -> List[Finding]:
    """Operators of ``symbol`` that cannot be served, each once per Block.

    ``steps`` maps names of recorded nodes to paths; other nodes are told by their name's prefix.
    """
    lowered = set(_table()["lowered"])
    prefixes = {block.prefix: path for path, block in networks.blocks(net).values() if block.prefix}
    found: Dict[Any, Finding] = {}
    for node in operators_of(symbol):
        op = node["op"]
        if op in lowered:
            continue
        path = steps.get(node["name"], _owner(node["name"], prefixes))
        code = "custom-operator" if op in _PYTHON else "unsupported-operator"
        kind = node.get("attrs", {}).get("op_type", "")
        reason = _table()["refused"].get(op, "")
        what = f"{op} {kind}".strip() + (f": {reason}" if reason and code[0] == "u" else "")
        found.setdefault((path, op), Finding(code, path, what))
    return list(found.values())


def _owner(name: str, prefixes: Dict[str, str]) -> str:
    fitting = [prefix for prefix in prefixes if name.startswith(prefix)]
    return prefixes[max(fitting, key=len)] if fitting else ""
