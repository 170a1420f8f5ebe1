"""Weights of recurrent layers: taken from where they lie, as pieces or as one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.networks import Network
from tests.params_writer import dense, params_file

from gluonserve.loader.importing import import_model

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN, SIZE = 64, 24
SHAPES = {
    "i2h_weight": (4 * HIDDEN, SIZE),
    "h2h_weight": (4 * HIDDEN, HIDDEN),
    "i2h_bias": (4 * HIDDEN,),
    "h2h_bias": (4 * HIDDEN,),
}
ARRAYS = {
    name: np.random.default_rng(at).normal(0, 0.3, shape).astype(np.float32)
    for at, (name, shape) in enumerate(SHAPES.items())
}
FLAT = np.concatenate([array.ravel() for array in ARRAYS.values()])


def recurrent(net: Network, parameters: list[int]) -> bytes:
    """One LSTM with steps first, its begin states of unknown rows."""
    begin = [
        net.add("_zeros", shape=(1, 0, HIDDEN), name=f"begin{at}", dtype="float32")
        for at in range(2)
    ]
    net.add(
        "RNN", net.variable("data"), parameters, *begin, mode="lstm", state_size=HIDDEN,
        num_layers=1, name="rnn",
    )  # fmt: skip
    return net.to_bytes()


def in_pieces() -> bytes:
    """As Gluon exports it: every piece flattened, all joined."""
    net = Network()
    flat = [net.add("Reshape", net.variable(name), shape=(-1,)) for name in ARRAYS]
    joined = net.add("_rnn_param_concat", *flat, dim=0, num_args=len(flat))
    return recurrent(net, joined)


def as_one() -> bytes:
    net = Network()
    return recurrent(net, net.variable("parameters"))


def stored(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path.write_bytes(params_file([dense(a) for a in arrays.values()], [f"arg:{n}" for n in arrays]))
    return path


def test_pieces_stay_in_the_file_and_no_vector_is_joined(tmp_path: Path) -> None:
    lowered = import_model(in_pieces(), stored(tmp_path / "net.params", ARRAYS)).lower()

    assert lowered.unfiled == ()
    assert not any(weight.flags.owndata for weight in lowered.weights.values())
    assert sum(weight.size for weight in lowered.weights.values()) == sum(
        ARRAYS[name].size for name in ("i2h_weight", "h2h_weight")
    )


def test_a_vector_is_taken_apart_without_a_copy(tmp_path: Path) -> None:
    network = import_model(as_one(), stored(tmp_path / "net.params", {"parameters": FLAT}))

    assert all(
        np.shares_memory(weight, network.params["parameters"])
        for weight in network.lower().weights.values()
    )


@pytest.mark.parametrize("steps", [1, 4])
def test_both_forms_answer_the_same(steps: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    given = np.random.default_rng(9).normal(0, 1, (steps, 3, SIZE)).astype(np.float32)
    answers = []
    for symbol, arrays in ((in_pieces(), ARRAYS), (as_one(), {"parameters": FLAT})):
        model = import_model(symbol, arrays).lower().to_bytes()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"data": given})[0])

    assert answers[0].shape == (steps, 3, HIDDEN)
    np.testing.assert_array_equal(answers[0], answers[1])
