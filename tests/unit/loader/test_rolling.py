"""Which chains of recurrent steps become one layer, judged by the graph alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest
from params_writer import dense, params_file

import gluonserve
from gluonserve.inspection import inspect
from gluonserve.loader.graph import Node
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.loader.rolling import LEAST_STEPS, rolled
from gluonserve.loader.symbol import read_symbol

if TYPE_CHECKING:
    from pathlib import Path

UNITS, FEATURES = 4, 3


class Unrolled(exported.Graph):
    """LSTM steps as ``LSTMCell.unroll`` writes them; what they answer is ``self.answers``."""

    def __init__(self, steps: int, *, act: str = "tanh", own_answers: bool = False) -> None:
        super().__init__()
        self.slices: list[int] = []
        data = self.variable("data")
        self.inputs = self.operator(
            "SliceChannel", "split", (data,), num_outputs=steps, axis=1, squeeze_axis=True
        )
        names = ("i2h_weight", "i2h_bias", "h2h_weight", "h2h_bias")
        self.weights = dict(zip(names, map(self.variable, names), strict=True))
        zeros = [self.operator("_zeros", f"b{at}", (), shape=(0, UNITS)) for at in range(2)]
        state, self.cell = zeros
        self.answers: list[int] = []
        for at in range(steps):
            x: int | tuple[int, int] = (self.inputs, at)
            if own_answers and at:
                x = self.operator("slice_axis", "fed", (state,), axis=1, begin=0, end=FEATURES)
            state, self.cell = self._step(at, x, state, self.cell, act)
            self.answers.append(state)

    def _step(
        self, at: int, x: int | tuple[int, int], state: int, cell: int, act: str
    ) -> tuple[int, int]:
        w = self.weights
        size = {"num_hidden": 4 * UNITS}
        inward = self._reading("FullyConnected", [x, w["i2h_weight"], w["i2h_bias"]], **size)
        back = self._reading("FullyConnected", [state, w["h2h_weight"], w["h2h_bias"]], **size)
        total = self.operator("elemwise_add", f"plus{at}", (inward, back))
        gates = self.operator("SliceChannel", f"slice{at}", (total,), num_outputs=4)
        self.slices.append(gates)
        entry, forget, answer = (
            self._reading("Activation", [(gates, part)], act_type="sigmoid") for part in (0, 1, 3)
        )
        new = self._reading("Activation", [(gates, 2)], act_type=act)
        kept = self.operator("elemwise_mul", f"kept{at}", (forget, cell))
        added = self.operator("elemwise_mul", f"added{at}", (entry, new))
        after = self.operator("elemwise_add", f"cell{at}", (kept, added))
        shown = self._reading("Activation", [after], act_type="tanh")
        return self.operator("elemwise_mul", f"out{at}", (answer, shown)), after

    def _reading(self, op: str, refs: list[int | tuple[int, int]], **attributes: object) -> int:
        """An operator that reads any output of a node."""
        at = self.operator(op, f"{op.lower()}{len(self.nodes)}", (), **attributes)
        pairs = [ref if isinstance(ref, tuple) else (ref, 0) for ref in refs]
        self.nodes[at]["inputs"] = [[node, index, 0] for node, index in pairs]
        return at

    def chains(self, *heads: int) -> tuple[str, ...]:
        return rolled(read_symbol(self.text(heads).encode())).chains


def operators(text: str) -> list[str]:
    graph = rolled(read_symbol(text.encode())).graph
    return [node.op for node in graph.nodes if isinstance(node, Node)]


def stored() -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    shapes = {
        "i2h_weight": (4 * UNITS, FEATURES),
        "i2h_bias": (4 * UNITS,),
        "h2h_weight": (4 * UNITS, UNITS),
        "h2h_bias": (4 * UNITS,),
    }
    return {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}


def by_hand(data: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """An LSTM in NumPy: the answers of all steps, (rows, steps, units)."""
    state = cell = np.zeros((len(data), UNITS))
    answers = []
    for x in np.moveaxis(data.astype("d"), 1, 0):
        gates = x @ weights["i2h_weight"].T + weights["i2h_bias"]
        gates = gates + state @ weights["h2h_weight"].T + weights["h2h_bias"]
        entry, forget, new, answer = np.split(gates, 4, axis=1)
        cell = cell / (1 + np.exp(-forget)) + np.tanh(new) / (1 + np.exp(-entry))
        state = np.tanh(cell) / (1 + np.exp(-answer))
        answers.append(state)
    return np.stack(answers, axis=1)


def test_a_chain_becomes_one_layer() -> None:
    graph = Unrolled(6)
    stack = graph.operator("stack", "stack", graph.answers, axis=1, num_args=6)

    (chain,) = graph.chains(stack)

    assert chain == "6 steps of lstm (out0 to out5) run as one layer"
    made = operators(graph.text([stack]))
    assert made.count("RNN") == 1
    assert not {"FullyConnected", "Activation", "elemwise_mul"} & set(made)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_its_answers_are_those_of_the_steps(engine: str, tmp_path: Path) -> None:
    steps, weights = 5, stored()
    graph = Unrolled(steps)
    stack = graph.operator("stack", "stack", graph.answers, axis=1, num_args=steps)
    heads = [stack, graph.answers[-1], graph.cell, graph.answers[1]]
    symbol, params = tmp_path / "net-symbol.json", tmp_path / "net-0000.params"
    symbol.write_text(graph.text(heads))
    arrays, names = [dense(a) for a in weights.values()], [f"arg:{name}" for name in weights]
    params.write_bytes(params_file(arrays, names))
    data = np.random.default_rng(1).normal(size=(3, steps, FEATURES)).astype("f")
    wanted = by_hand(data, weights)

    with gluonserve.load(
        symbol, params, executor=engine, inputs={"data": ("FP32", [-1, steps, FEATURES])}
    ) as model:
        together, last, _, second = model({"data": data}).values()

    np.testing.assert_allclose(together, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, wanted[:, -1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, wanted[:, 1], rtol=1e-5, atol=1e-6)


def test_rows_stay_free_and_steps_stay_fixed(tmp_path: Path) -> None:
    graph = Unrolled(5)
    stack = graph.operator("stack", "stack", graph.answers, axis=1, num_args=5)
    hints = {"data": InputHint(shape=(-1, -1, FEATURES))}

    imported = import_model(graph.text([stack]).encode(), stored(), inputs=hints)

    assert imported.signature.inputs[0].shape == (-1, 5, FEATURES)
    assert imported.signature.outputs[0].shape == (-1, 5, UNITS)
    assert imported.signature.batchable


@pytest.mark.parametrize(
    ("graph", "heads"),
    [
        pytest.param(Unrolled(LEAST_STEPS - 1), lambda g: [g.answers[-1]], id="short"),
        pytest.param(Unrolled(6, act="relu"), lambda g: [g.answers[-1]], id="another activation"),
        pytest.param(Unrolled(6), lambda g: [g.answers[-1], g.slices[2]], id="read from inside"),
        pytest.param(Unrolled(6, own_answers=True), lambda g: [g.answers[-1]], id="own answers"),
    ],
)
def test_stays_as_it_is(graph: Unrolled, heads) -> None:
    chosen = heads(graph)

    assert graph.chains(*chosen) == ()
    assert operators(graph.text(chosen)) == [
        node.op for node in read_symbol(graph.text(chosen).encode()).nodes if isinstance(node, Node)
    ]


def test_weights_of_another_step_end_a_chain() -> None:
    graph = Unrolled(8)
    other = graph.variable("other_weight")
    for node in graph.nodes:
        if node["name"] == "plus4":
            inward = json.loads(json.dumps(node["inputs"]))[0][0]
            graph.nodes[inward]["inputs"][1] = [other, 0, 0]

    chains = graph.chains(graph.answers[-1])

    assert chains == ("4 steps of lstm (out0 to out3) run as one layer",)


def test_inspect_names_what_was_rewritten(tmp_path: Path) -> None:
    graph = Unrolled(6)
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "net-symbol.json").write_text(graph.text([graph.answers[-1]]))
    weights = stored()
    arrays, names = [dense(a) for a in weights.values()], [f"arg:{name}" for name in weights]
    (folder / "net-0000.params").write_bytes(params_file(arrays, names))

    (report,) = inspect(folder)

    assert report.problems == []
    assert report.rewrites == ("6 steps of lstm (out0 to out5) run as one layer",)
