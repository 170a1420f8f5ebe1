"""Compares networks node by node, where noise says nothing of them from end to end.

    .venv-mxnet/bin/python -m tests.zoo_nodes record NETWORK-FOLDER ...     (needs mxnet)
    .venv/bin/python -m tests.zoo_nodes replay [NAME ...]                   (without mxnet)

``record`` runs a network in MXNet on its recorded inputs and keeps, of every kind of node
(operator, attributes, shapes), what one of them read and answered, as a recorded operator case in
``.zoo/nodes``. ``replay`` feeds each to import and engine, at the operator's tolerance.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from tests.replay import cases

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".zoo" / "nodes"
RESULTS = ROOT / "tests" / "data" / "zoo_nodes.json"
MODES = ("auto", "onnxruntime")


def main() -> int:
    """Record or replay."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["record", "replay"])
    parser.add_argument("networks", nargs="*")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    if options.what == "record":
        for folder in map(Path, options.networks):
            print(f"{folder.name}: {record(folder)} kinds of nodes", flush=True)
        return 0
    names = options.networks or sorted(path.stem for path in KEPT.glob("*.npz"))
    found = []
    for name in names:
        rows = replay(name)
        found += rows
        _write(rows)
    return int(any(row["agreed"] < row["nodes"] for row in found))


def _write(rows: list[dict[str, Any]]) -> None:
    """Put a network's figures in place of its earlier ones."""
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    kept = [row for row in old if row["network"] != rows[0]["network"]]
    text = json.dumps(sorted(kept + rows, key=lambda row: (row["network"], row["mode"])), indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


def record(folder: Path) -> int:
    """Keep one node of each kind as a case; how many there are."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    symbol = mx.sym.load(str(folder / f"{folder.name}-symbol.json"))
    params = folder / f"{folder.name}-0000.params"
    loaded = mx.nd.load(str(params)) if params.exists() else {}
    stored = {name.partition(":")[2] or name: array for name, array in loaded.items()}
    with np.load(folder / f"{folder.name}.npz") as recorded:
        given = {n[3:]: recorded[n] for n in recorded.files if n.startswith("in:")}
    internals = symbol.get_internals()
    graph = json.loads(internals.tojson())
    arrays = dict(stored)
    arrays |= {name: mx.nd.array(array, dtype=array.dtype) for name, array in given.items()}
    call = mx.nd.CachedOp(internals)
    answers = call(*(arrays[name] for name in internals.list_inputs()))
    values = {
        (head[0], head[1]): output for head, output in zip(graph["heads"], answers, strict=True)
    }
    return _keep(folder.name, graph, values, stored.keys())


def _keep(name: str, graph: dict[str, Any], values: dict[Any, Any], stored: Any) -> int:
    kinds: set[str] = set()
    records, kept = [], {}
    for at, node in enumerate(graph["nodes"]):
        refs = [(ref[0], ref[1]) for ref in node["inputs"]]
        outputs = [place for place in values if place[0] == at]
        if node["op"] == "null" or any(ref not in values for ref in refs):
            continue
        shapes = [(values[ref].shape, str(np.dtype(values[ref].dtype))) for ref in refs]
        kind = json.dumps([node["op"], node.get("attrs", {}), shapes], sort_keys=True)
        if kind in kinds:
            continue
        kinds.add(kind)
        prefix = f"c{len(records)}"
        sources = [graph["nodes"][ref[0]] for ref in refs]
        roles = ["param" if s["op"] == "null" and s["name"] in stored else "data" for s in sources]
        inputs = [values[ref].asnumpy() for ref in refs]
        answers = [values[place].asnumpy() for place in sorted(outputs)]
        kept |= {f"{prefix}_in{i}": array for i, array in enumerate(inputs)}
        kept |= {f"{prefix}_out{i}": array for i, array in enumerate(answers)}
        records.append(
            {
                "id": prefix,
                "op": node["op"],
                "attrs": node.get("attrs", {}),
                "inputs": [{"name": f"in{i}", "role": role} for i, role in enumerate(roles)],
                "outputs": [{} for _ in answers],
                "symbol": _single(graph, node, len(refs), len(answers)),
                "notes": [node["name"]],
            }
        )
    np.savez(KEPT / name, index=np.array(json.dumps(records)), **kept)
    return len(records)


def _single(graph: dict[str, Any], node: dict[str, Any], inputs: int, outputs: int) -> str:
    """The node alone, every input a variable."""
    nodes: list[dict[str, Any]] = [
        {"op": "null", "name": f"in{at}", "inputs": []} for at in range(inputs)
    ]
    nodes.append({**node, "inputs": [[at, 0, 0] for at in range(inputs)]})
    heads = [[inputs, at, 0] for at in range(outputs)]
    return json.dumps(
        {**graph, "nodes": nodes, "arg_nodes": list(range(inputs)), "heads": heads,
         "node_row_ptr": list(range(len(nodes) + 1))}
    )  # fmt: skip


def replay(name: str) -> list[dict[str, Any]]:
    """How the kinds of nodes of one network go, with each choice of executor."""
    from tests.conforming_worker import replay as replay_case  # noqa: PLC0415 - needs engines

    rows = []
    for mode in MODES:
        found = [replay_case(case, mode) for case in cases(KEPT / f"{name}.npz")]
        outcomes = Counter(one.outcome for one in found)
        bad = [
            f"{one.case}: {one.outcome}: {one.detail}" for one in found if one.outcome != "agree"
        ]
        worst = max((one.error for one in found if one.outcome == "agree"), default=0.0)
        print(f"{mode} {name}: {len(found)} kinds of nodes, {dict(outcomes)}", *bad, sep="\n    ")
        rows.append(
            {
                "network": name,
                "mode": mode,
                "engines": dict(Counter(one.engine for one in found if one.outcome == "agree")),
                "nodes": len(found),
                "agreed": outcomes["agree"],
                "worst": float(f"{worst:.2g}"),
                "differing": bad,
            }
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
