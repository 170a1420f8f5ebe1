"""Records with MXNet what replays of noisy networks need and exports do not hold.

    .venv-zoo/bin/python -m tests.zoo_recorder FOLDER ... [--match REGEX]

Where noise says nothing of a network from end to end, MXNet runs its nodes one after the other,
each on copies of what it reads and into memory of its own. ``nodes.npz`` beside the network has
what every node answers; ``stepwise.npz``, of a detector, only what the network answers: MXNet's
executor reuses memory that some operators leave unwritten, and then contradicts its own nodes.
``reimported.npz`` is what MXNet's import of the export answers, for mixed precision in bfloat16,
whose recorded answers are not those of the exported graph (it has no casts). Nothing of the project
is imported, so that the environment of the networks' builders will do.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

NOISY = 1e-2


def main() -> int:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--match", help="record every node of these networks")
    options = parser.parse_args()
    os.environ |= {"MXNET_SUBGRAPH_BACKEND": "NONE", "MXNET_SUBGRAPH_VERBOSE": "0"}  # fuse nothing
    for network in sorted(one for folder in options.folder for one in folder.iterdir()):
        for what, record in wanted(network, options.match):
            symbol = network / f"{network.name}-symbol.json"
            file = network / what
            if not file.exists() or file.stat().st_mtime < symbol.stat().st_mtime:
                print(f"{network.name}: {what}: {record(network, file)}", flush=True)
    return 0


def wanted(network: Path, match: str | None) -> Iterator[tuple[str, Any]]:
    """The files that belong beside this network, and what writes them."""
    meta_file = network / "meta.json"
    if not meta_file.exists():
        return
    meta = json.loads(meta_file.read_text(encoding="utf-8"))
    if meta.get("status") != "ok" or (match and not re.search(match, network.name)):
        return
    if network.name.startswith("amp_bfloat16_"):
        yield "reimported.npz", record_import
    if match:
        yield "nodes.npz", record_nodes
    elif meta.get("reimport_ok") and noisy(meta):
        detects = str(meta.get("family", "")).startswith("det.")
        yield ("stepwise.npz", record_steps) if detects else ("nodes.npz", record_nodes)


def noisy(meta: dict[str, Any]) -> bool:
    """Whether some output moves by more than 1e-2 when every weight moves by 1e-6."""
    return any(not isinstance(one, float) or one > NOISY for one in meta.get("noise") or [])


def record_import(network: Path, file: Path) -> str:
    """The answers of MXNet's own import; how many."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    inputs = _inputs(network)
    block = mx.gluon.SymbolBlock.imports(
        str(network / f"{network.name}-symbol.json"),
        list(inputs),
        str(network / f"{network.name}-0000.params"),
    )
    answers = block(*(mx.nd.array(array, dtype=array.dtype) for array in inputs.values()))
    outputs = answers if isinstance(answers, list | tuple) else [answers]
    np.savez(file, **{f"out:{at}": output.asnumpy() for at, output in enumerate(outputs)})
    return f"{len(outputs)} answers"


def record_nodes(network: Path, file: Path) -> str:
    """Every node's answers; how many, and how near the last are to the recorded answers."""
    graph = _graph(network)
    heads: dict[tuple[int, int], np.ndarray] = {}
    count = 0
    part = file.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for (at, index), answer in walked(network, graph):
            heads[at, index] = answer
            heads = {place: heads[place] for place in _heads(graph) if place in heads}
            count += 1
            with archive.open(f"{at}:{index}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(answer))
    part.rename(file)
    own = [_apart(heads[place], want) for place, want in _recorded(network, graph)]
    return f"{count} answers; the network's {max(own, default=0.0):.1g} from the recorded"


def record_steps(network: Path, file: Path) -> str:
    """The network's answers, nodes one by one; how near they are to the recorded answers."""
    graph = _graph(network)
    wanted_places = set(_heads(graph))
    heads = {place: a for place, a in walked(network, graph) if place in wanted_places}
    np.savez_compressed(file, **{f"out:{at}": heads[p] for at, p in enumerate(_heads(graph))})
    own = [_apart(heads[place], want) for place, want in _recorded(network, graph)]
    return f"{max(own, default=0.0):.1g} from the recorded answers"


def walked(network: Path, graph: dict[str, Any]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """What MXNet's nodes answer, each run alone on copies of what it reads."""
    values: dict[tuple[int, int], np.ndarray] = dict(_variables(network, graph))
    last = {place: at for at, node in enumerate(graph["nodes"]) for place in read(node)}
    for at, node in enumerate(graph["nodes"]):
        if node["op"] == "null" or any(place not in values for place in read(node)):
            continue
        answers = _answers(single(graph, node), [values[place] for place in read(node)])
        for index, answer in enumerate(answers):
            values[at, index] = answer
            yield (at, index), answer
        for place in [p for p in values if last.get(p, -1) <= at]:
            del values[place]


def read(node: dict[str, Any]) -> list[tuple[int, int]]:
    """What a node reads: nodes and which of their answers."""
    return [(ref[0], ref[1]) for ref in node["inputs"]]


def single(graph: dict[str, Any], node: dict[str, Any]) -> str:
    """A graph of one node alone, every input a variable."""
    inputs = len(node["inputs"])
    nodes: list[dict[str, Any]] = [
        {"op": "null", "name": f"in{at}", "inputs": []} for at in range(inputs)
    ]
    nodes.append({**node, "inputs": [[at, 0, 0] for at in range(inputs)]})
    return json.dumps(
        {**graph, "nodes": nodes, "arg_nodes": list(range(inputs)), "heads": [[inputs, 0, 0]],
         "node_row_ptr": list(range(len(nodes) + 1))}
    )  # fmt: skip


def _answers(text: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What MXNet answers for a graph of one node, all its outputs."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    whole = mx.sym.load_json(text).get_internals()
    names = whole.list_outputs()
    outputs = [at for at, name in enumerate(names) if not re.fullmatch(r"in\d+", name)]
    group = mx.sym.Group([whole[at] for at in outputs])
    arrays = {f"in{at}": mx.nd.array(array, dtype=array.dtype) for at, array in enumerate(inputs)}
    states = {name: arrays.pop(name) for name in group.list_auxiliary_states()}
    bound = group.bind(mx.cpu(), arrays, grad_req="null", aux_states=states)
    return [one.asnumpy() for one in bound.forward(is_train=False)]


def _variables(
    network: Path, graph: dict[str, Any]
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    params = network / f"{network.name}-0000.params"
    loaded = (mx.nd.load(str(params)) if params.exists() else {}) or {}
    stored = {name.partition(":")[2] or name: array.asnumpy() for name, array in loaded.items()}
    arrays = stored | _inputs(network)
    for at, node in enumerate(graph["nodes"]):
        if node["op"] == "null" and node["name"] in arrays:
            yield (at, 0), arrays[node["name"]]


def _graph(network: Path) -> dict[str, Any]:
    text = (network / f"{network.name}-symbol.json").read_text(encoding="utf-8")
    graph: dict[str, Any] = json.loads(text)
    return graph


def _heads(graph: dict[str, Any]) -> list[tuple[int, int]]:
    return [(head[0], head[1]) for head in graph["heads"]]


def _inputs(network: Path) -> dict[str, np.ndarray]:
    with np.load(network / f"{network.name}.npz") as recorded:
        return {name[3:]: recorded[name] for name in recorded.files if name.startswith("in:")}


def _recorded(network: Path, graph: dict[str, Any]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    with np.load(network / f"{network.name}.npz") as recorded:
        for at, place in enumerate(_heads(graph)):
            yield place, recorded[f"out:{at}"]


def _apart(got: np.ndarray, want: np.ndarray) -> float:
    size = float(np.linalg.norm(want.astype("f8")))
    return float(np.linalg.norm(got.astype("f8") - want.astype("f8"))) / (size or 1.0)


if __name__ == "__main__":
    sys.exit(main())
