"""Float16 networks for engines that had better compute them in float32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tests.networks import Network

from gluonserve.loader.importing import InputHint, Target, import_model
from gluonserve.loader.widening import FLOAT16
from gluonserve.tensors import DType

onnxruntime = pytest.importorskip("onnxruntime")

NARROW = Target(lacks=frozenset({FLOAT16}))
WEIGHT = np.random.default_rng(1).normal(size=(5, 2048)).astype(np.float16)


def dense() -> bytes:
    net = Network()
    data = net.add("Cast", net.variable("data"), dtype="float16")
    weight = net.variable("w")
    return net.to_bytes(net.add("FullyConnected", data, weight, num_hidden=5, no_bias=True))


def kinds(model: onnx.ModelProto) -> set[int]:
    return {tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize("kind", [DType.FP16, DType.FP32])
def test_only_inputs_and_answers_stay_narrow(kind: DType) -> None:
    network = import_model(
        dense(), {"w": WEIGHT}, inputs={"data": InputHint(dtype=kind, shape=(3, 2048))}
    )
    data = np.random.default_rng(2).normal(size=(3, 2048)).astype(kind.numpy)

    lowered = network.lower(NARROW)

    assert onnx.TensorProto.FLOAT16 not in kinds(lowered.model)
    session = onnxruntime.InferenceSession(lowered.to_bytes())
    (answer,) = session.run(None, {"data": data})
    wanted = data.astype("f4") @ WEIGHT.astype("f4").T
    assert answer.dtype == np.float16
    np.testing.assert_allclose(answer, wanted.astype(np.float16), rtol=1e-3)


def test_a_target_with_float16_gets_it() -> None:
    network = import_model(dense(), {"w": WEIGHT}, inputs={"data": InputHint(shape=(3, 2048))})

    assert onnx.TensorProto.FLOAT16 in kinds(network.lower().model)


def test_bodies_of_loops_are_widened_too() -> None:
    matrix = np.array([[4.0, 2.0], [2.0, 5.0]], np.float16)
    net = Network()
    symbol = net.to_bytes(net.add("_linalg_potrf", net.variable("data")))
    network = import_model(symbol, inputs={"data": InputHint(dtype=DType.FP16, shape=(2, 2))})

    session = onnxruntime.InferenceSession(network.lower(NARROW).to_bytes())

    (answer,) = session.run(None, {"data": matrix})
    np.testing.assert_allclose(answer, np.linalg.cholesky(matrix.astype("f4")), atol=2e-3)
