"""The ONNX that comes out: weights by reference, one file when asked, answers on an engine."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from tests.networks import Network

from gluonserve.loader.importing import InputHint, import_model

if TYPE_CHECKING:
    from pathlib import Path

onnxruntime = pytest.importorskip("onnxruntime")

WEIGHT = np.random.default_rng(3).standard_normal((8, 400)).astype(np.float32)
BIAS = np.arange(8, dtype=np.float32)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A parameter file with a large and a small array, the large one at an odd offset."""
    path = tmp_path / "net-0000.params"
    names = [b"arg:v", b"arg:b"]
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, 2))
        for array in (WEIGHT, BIAS):
            file.write(struct.pack("<Iii", 0xF993FAC9, 0, array.ndim))
            file.write(struct.pack(f"<{array.ndim}q", *array.shape))
            file.write(struct.pack("<iii", 1, 0, 0) + array.tobytes())
        file.write(struct.pack("<Q", 2))
        for name in names:
            file.write(struct.pack("<Q", len(name)) + name)
    return path


def _dense() -> bytes:
    net = Network()
    net.add("FullyConnected", net.variable("data"), net.variable("v"), net.variable("b"),
            num_hidden=8, name="dense")  # fmt: skip
    return net.to_bytes()


def test_large_weights_stay_in_the_file_and_small_ones_are_part_of_the_model(stored: Path) -> None:
    lowered = import_model(_dense(), stored).lower()

    tensors = {tensor.name: tensor for tensor in lowered.model.graph.initializer}
    where = {entry.key: entry.value for entry in tensors["v"].external_data}
    assert set(lowered.weights) == {"v"}
    assert not lowered.weights["v"].flags.owndata
    assert where["location"] == str(stored)
    with stored.open("rb") as file:
        file.seek(int(where["offset"]))
        assert file.read(int(where["length"])) == WEIGHT.tobytes()
    assert tensors["b"].raw_data == BIAS.tobytes()
    assert lowered.unfiled == ()


def test_file_that_onnx_cannot_name_is_no_obstacle(stored: Path) -> None:
    folder = stored.parent / os.fsdecode(b"\xff")
    folder.mkdir()

    lowered = import_model(_dense(), stored.rename(folder / stored.name)).lower()

    assert lowered.weights["v"].tobytes() == WEIGHT.tobytes()
    assert lowered.unfiled == ("v",)


def test_weights_that_lie_in_no_file_are_named() -> None:
    lowered = import_model(_dense(), {"v": WEIGHT, "b": BIAS}).lower()

    assert lowered.unfiled == ("v",)


def test_one_file_holds_everything_when_saved(stored: Path, tmp_path: Path) -> None:
    saved = tmp_path / "out" / "net.onnx"
    saved.parent.mkdir()
    rows = np.ones((3, 400), np.float32)

    import_model(_dense(), stored).lower().save(saved)

    onnx.checker.check_model(str(saved), full_check=True)
    session = onnxruntime.InferenceSession(saved, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"data": rows})
    np.testing.assert_allclose(answer, rows @ WEIGHT.T + BIAS, rtol=1e-5)
    assert [output.name for output in session.get_outputs()] == ["dense_output"]


def test_shape_arithmetic_on_known_dimensions_leaves_no_nodes() -> None:
    net = Network()
    flat = net.add("Reshape", net.variable("data"), shape=(0, -1))
    net.add("FullyConnected", flat, net.variable("v"), num_hidden=8, no_bias=True)
    symbol = net.to_bytes()

    lowered = import_model(
        symbol, {"v": WEIGHT}, samples={"data": np.zeros((2, 4, 100), np.float32)}
    ).lower()

    assert [node.op_type for node in lowered.model.graph.node] == ["Reshape", "Gemm", "Identity"]


@pytest.mark.parametrize(("variance", "operator"), [(0.5, "Relu"), (-0.5, "ThresholdedRelu")])
def test_relu_drops_nan_only_where_the_network_makes_it(variance: float, operator: str) -> None:
    net = Network()
    statistics = [net.variable(name) for name in ("gamma", "beta", "mean", "var")]
    net.add("Activation", net.variable("data"), act_type="relu", name="before")
    normal = net.add("BatchNorm", [5, 0, 0], *statistics, fix_gamma=False, name="norm")
    net.add("Activation", normal, act_type="relu", name="after")
    stored = {name: np.ones(2, np.float32) for name in ("gamma", "beta", "mean")}
    stored["var"] = np.array([1, variance], np.float32)
    hint = InputHint(shape=(-1, 2, 3))

    lowered = import_model(net.to_bytes(), stored, inputs={"data": hint}).lower()

    kinds = {node.output[0]: node.op_type for node in lowered.model.graph.node}
    assert (kinds["before"], kinds["after"]) == ("Relu", operator)
    session = onnxruntime.InferenceSession(lowered.to_bytes(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"data": np.ones((1, 2, 3), np.float32)})
    assert np.isfinite(answer).all()
