"""Compares a network node by node with what ``tests.zoo_recorder`` recorded of MXNet's nodes.

    python -m tests.zoo_nodes FOLDER/NETWORK ...

Every node is a network of its own: what stored parameters feed is a parameter, all else comes with
a request, as MXNet's nodes answered it. Import and engine are those of any network; how near an
answer must be is its operator's tolerance, of integers of a quantised operator one step.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.conforming_worker import replay
from tests.replay import Case

from gluonserve.loader.params import read_params

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "nodes.npz"
MODES = ("auto", "onnxruntime")


def main() -> int:
    """Print how the nodes of networks go with each choice of executor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", type=Path, nargs="+")
    parser.add_argument("--only", choices=MODES)
    options = parser.parse_args()
    wrong = 0
    for network in options.networks:
        for mode in (options.only,) if options.only else MODES:
            found = judged(network, mode)
            bad = found.pop("differing")
            wrong += len(bad)
            print(f"{mode} {network.name}: {found}", *bad, sep="\n    ", flush=True)
    return int(wrong > 0)


def judged(network: Path, mode: str) -> dict[str, Any]:
    """How many nodes there are, how many agree, and which do not."""
    found = [replay(case, mode, name=case.id) for case in nodes(network)]
    missing = _operators(network) - len(found)
    agreed = [one for one in found if one.outcome == "agree"]
    return {
        "nodes": len(found) + missing,
        "agreed": len(agreed),
        "engines": dict(Counter(one.engine for one in agreed)),
        "worst": float(f"{max((one.error for one in agreed), default=0.0):.2g}"),
        "differing": [
            *(f"{one.case}: {one.outcome}: {one.detail}" for one in found if one not in agreed),
            *([f"{missing} nodes have no recorded answers"] if missing else []),
        ],
    }


def _operators(network: Path) -> int:
    text = (network / f"{network.name}-symbol.json").read_text(encoding="utf-8")
    return sum(node["op"] != "null" for node in json.loads(text)["nodes"])


def nodes(network: Path) -> Iterator[Case]:
    """Each node as a recorded case: its graph, what it read, and what MXNet answered."""
    graph = json.loads((network / f"{network.name}-symbol.json").read_text(encoding="utf-8"))
    params = network / f"{network.name}-0000.params"
    stored = read_params(params) if params.exists() else {}
    with np.load(network / f"{network.name}.npz") as recorded:
        given = {name[3:]: recorded[name] for name in recorded.files if name.startswith("in:")}
    with np.load(network / FILE) as values:
        answers: dict[int, list[int]] = {}
        for name in values.files:
            at, _, index = name.partition(":")
            answers.setdefault(int(at), []).append(int(index))
        for at in sorted(answers):
            node = graph["nodes"][at]
            inputs, roles = {}, {}
            for slot, (source, index, *_) in enumerate(node["inputs"]):
                name = graph["nodes"][source]["name"]
                fixed = graph["nodes"][source]["op"] == "null" and name in stored
                variable = graph["nodes"][source]["op"] == "null"
                arrays = stored if fixed else given
                inputs[f"in{slot}"] = arrays[name] if variable else values[f"{source}:{index}"]
                roles[f"in{slot}"] = "param" if fixed else "data"
            yield Case(
                id=f"{node['name']} ({node['op']})",
                op=node["op"],
                attrs=node.get("attrs", {}),
                symbol=_alone(graph, node, sorted(answers[at])).encode(),
                inputs=inputs,
                roles=roles,
                outputs=tuple(values[f"{at}:{index}"] for index in sorted(answers[at])),
            )


def _alone(graph: dict[str, Any], node: dict[str, Any], outputs: list[int]) -> str:
    """The graph of one node, every input a variable."""
    inputs = len(node["inputs"])
    alone: list[dict[str, Any]] = [
        {"op": "null", "name": f"in{at}", "inputs": []} for at in range(inputs)
    ]
    alone.append({**node, "inputs": [[at, 0, 0] for at in range(inputs)]})
    heads = [[inputs, index, 0] for index in outputs]
    return json.dumps(
        {**graph, "nodes": alone, "arg_nodes": list(range(inputs)), "heads": heads,
         "node_row_ptr": list(range(len(alone) + 1))}
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
