"""Holds both engines to what live MXNet answers to drawn cases; many share one compilation.

The cases of one example become one graph, whose inputs have a free first dimension each: an engine
takes as long to compile ten operators as one. A case that MXNet itself refuses is left out, and
where that happens too often the row of the table is wrong.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, TypeAlias

from agreement import agreement
from asking import note
from drawing import Asked, rows
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplementedByEngine
from replay import prepared

from gluonserve.loader.importing import InputHint, import_model
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from drawing import Drawing

    Pair: TypeAlias = tuple[Asked, Sequence[np.ndarray]]

    from gluonserve.loader.importing import Imported

EXAMPLES = int(os.environ.get("GLUONSERVE_DRAWN", "6"))
"""How many examples an operator gets, of one to eight cases each."""
SHRINK = (Phase.shrink,) if "GLUONSERVE_DRAWN" in os.environ else ()
"""What fails is named with its inputs, which are small; to make it smaller takes minutes."""
MOST_REFUSED = 0.2
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate, *SHRINK),
    suppress_health_check=list(HealthCheck),
)


def holds(function: Callable[[Drawing], Asked], pinned: Sequence[Asked] = ()) -> None:
    """Both engines answer as MXNet does, to what is pinned and to what ``function`` draws."""
    asked: list[str] = []

    @SETTINGS
    @given(rows(function))
    def examine(cases: list[Asked]) -> None:
        note({case.op for case in cases})
        answered = [(case, ask(case)) for case in cases]
        asked.extend(wanted if isinstance(wanted, str) else "" for _, wanted in answered)
        kept = [(case, wanted) for case, wanted in answered if not isinstance(wanted, str)]
        assume(kept)
        compare(kept)

    for case in pinned:
        examine = example([case])(examine)
    examine()
    refused = [why for why in asked if why]
    share = f"MXNet refused {len(refused)} of {len(asked)} cases"
    assert len(refused) <= MOST_REFUSED * len(asked), f"{share}: {set(refused)}"


def ask(case: Asked) -> tuple[np.ndarray, ...] | str:
    """MXNet's answers, or why it refuses the case."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    with mx.util.np_shape(case.np_shape):
        arrays = {
            f"c0_{name}": mx.nd.array(value, dtype=value.dtype)
            for name, value in case.inputs.items()
        }
        try:
            symbol = mx.sym.load_json(graph([case]))
            bound = symbol.bind(
                mx.cpu(),
                {name: arrays[name] for name in symbol.list_arguments()},
                aux_states={name: arrays[name] for name in symbol.list_auxiliary_states()},
                grad_req="null",
            )
            answers = tuple(output.asnumpy() for output in bound.forward(is_train=False))
            mx.nd.waitall()  # over tensors of nothing its errors come late, or at the very end
        except mx.MXNetError as error:
            return str(error).strip().splitlines()[-1].rpartition("] ")[2][:200]
    return answers


def compare(pairs: Sequence[Pair]) -> None:
    """Import the cases as one network, and hold each engine's answers to MXNet's."""
    refused = _compare("onnxruntime", pairs)
    narrow = [pair for pair in pairs if not _wide(*pair)]
    assert not _compare("openvino", [*narrow, *(pair for pair in refused if _wide(*pair))])


def _compare(engine: str, pairs: Sequence[Pair]) -> list[Pair]:
    """Hold one engine's answers to MXNet's; what it has no kernels for is answered."""
    if not pairs:
        return []
    cases = [case for case, _ in pairs]
    try:
        run = prepared(imported(cases), engine)
    except NotImplementedByEngine:
        if len(pairs) == 1:
            return list(pairs)
        return [pair for one in pairs for pair in _compare(engine, [one])]
    feeds = {
        f"c{at}_{name}": value
        for at, case in enumerate(cases)
        for name, value in case.inputs.items()
    }
    answers = iter(run(feeds))
    for case, expected in pairs:
        given_back = [next(answers) for _ in range(case.outputs)]
        attributes = {name: str(value) for name, value in case.attributes.items()}
        inputs = list(case.inputs.values())
        _, detail = agreement(case.op, attributes, inputs, given_back, expected)
        assert not detail, f"{case} on {engine}: {detail}"
    return []


def _wide(case: Asked, wanted: Sequence[np.ndarray]) -> bool:
    """Whether it goes to ONNX Runtime: ``auto`` takes it for 64 bits, and OpenVINO, which may end
    the process over a tensor of nothing, gets none (executors answer batches without rows).
    """
    arrays = (*case.inputs.values(), *wanted)
    return any(array.dtype.itemsize == 8 or not array.size for array in arrays)


def imported(cases: Sequence[Asked]) -> Imported:
    """The cases as a user's network would be imported; first dimensions are free."""
    data, stored = {}, {}
    for at, case in enumerate(cases):
        for name, value in case.inputs.items():
            (stored if name in case.stored else data)[f"c{at}_{name}"] = value
    hints = {
        name: InputHint(
            dtype=DType.of(value.dtype), shape=(-1, *value.shape[1:])[: value.ndim],
            batch_axis="none",
        )
        for name, value in data.items()
    }  # fmt: skip
    return import_model(graph(cases).encode(), stored, inputs=hints, samples=data)


def graph(cases: Sequence[Asked]) -> str:
    """The cases as one symbol file."""
    nodes: list[dict[str, object]] = []
    heads = []
    for at, case in enumerate(cases):
        first = len(nodes)
        nodes += [{"op": "null", "name": f"c{at}_{name}", "inputs": []} for name in case.inputs]
        heads += [[len(nodes), index, 0] for index in range(case.outputs)]
        nodes.append(
            {
                "op": case.op,
                "name": f"c{at}",
                "attrs": {name: str(value) for name, value in case.attributes.items()},
                "inputs": [[place, 0, 0] for place in range(first, len(nodes))],
            }
        )
    return json.dumps(
        {
            "nodes": nodes,
            "arg_nodes": [at for at, node in enumerate(nodes) if node["op"] == "null"],
            "node_row_ptr": list(range(len(nodes) + 1)),
            "heads": heads,
            "attrs": {
                "mxnet_version": ["int", 10901],
                "is_np_shape": ["int", int(cases[0].np_shape)],
            },
        }
    )
