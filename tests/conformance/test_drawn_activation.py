"""Activations, softmaxes and heads of losses, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import ANY, FINITE, FLOATS, INTEGERS, SINGLE, WIDER, Asked
from holding import holds
from oracle import Operator

if TYPE_CHECKING:
    from drawing import Drawing

pytestmark = pytest.mark.mxnet

ORDERED = tuple(value for value in ANY if not np.isnan(value))
"""Without NaN, of which oneDNN's relu makes 0."""
SCORES = (*FINITE[:-3], 5.0, -8.0)


def activation(d: Drawing) -> Asked:
    kind = d.of(["relu", "sigmoid", "tanh", "softrelu", "softsign"])
    kinds = (*WIDER, *INTEGERS) if kind == "relu" else WIDER
    data = d.array(d.shape(1, low=1), d.of(kinds), ORDERED)
    return Asked("Activation", {"data": data}, {"act_type": kind}, np_shape=d.np_shape)


def leaky_relu(d: Drawing) -> Asked:
    kind = d.of(["leaky", "prelu", "rrelu", "elu", "selu", "gelu"])
    shape = d.shape(2 if kind == "prelu" else 1, low=1)
    inputs = {"data": d.array(shape, d.of(SINGLE), ORDERED)}
    attributes: dict[str, object] = {"act_type": kind}
    if kind == "prelu":
        inputs["gamma"] = d.array((d.of([1, shape[1]]),), "float32", FINITE)
    if kind in ("leaky", "elu") and d.flag():
        attributes["slope"] = d.of([0.1, 1.0, 0.0])
    if kind == "rrelu" and d.flag():
        attributes.update(lower_bound=0.1, upper_bound=0.3)
    return Asked("LeakyReLU", inputs, attributes, ("gamma",), np_shape=d.np_shape)


def hard_sigmoid(d: Drawing) -> Asked:
    data = d.array(d.shape(), d.of(WIDER), ORDERED)
    given = d.of([{}, {"alpha": 0.5, "beta": 0.1}, {"alpha": -1.0}])
    return Asked("hard_sigmoid", {"data": data}, given, np_shape=d.np_shape)


def softmax_of(d: Drawing, op: str) -> Asked:
    shape = d.shape(1, low=1)
    axis = d.axis(len(shape))
    kind = d.of(FLOATS)
    attributes: dict[str, object] = {"axis": axis} if d.flag() else {}
    if d.flag():
        attributes["temperature"] = d.of([0.5, 2.0, 1.0])
    if kind == "float32" and d.flag():  # of float16 MXNet makes a rounder float32
        attributes["dtype"] = d.of(["float32", "float64"])
    return Asked(op, {"data": d.array(shape, kind, SCORES)}, attributes, np_shape=d.np_shape)


def softmax(d: Drawing) -> Asked:
    plain = softmax_of(d, "softmax")
    shape = plain.inputs["data"].shape
    if len(shape) < 2 or d.flag():
        return plain
    axis = int(str(plain.attributes.get("axis", -1))) % len(shape)
    rest = shape[:axis] + shape[axis + 1 :]
    lengths = d.array(rest, d.of(["int32", "int64"]), range(shape[axis] + 1))
    inputs = {**plain.inputs, "length": lengths}
    return Asked("softmax", inputs, {**plain.attributes, "use_length": True}, np_shape=d.np_shape)


def softmax_activation(d: Drawing) -> Asked:
    mode = d.of(["instance", "channel"])
    data = d.array(d.shape(3 if mode == "channel" else 2, low=1), "float32", SCORES)
    return Asked("SoftmaxActivation", {"data": data}, {"mode": mode}, np_shape=d.np_shape)


def softmax_output(d: Drawing) -> Asked:
    kind = d.of(["multi_output", "preserve_shape", ""])
    shape = d.shape(3 if kind == "multi_output" else 1, low=1)
    label = shape[:1] + shape[2:] if kind == "multi_output" else shape[:-1]
    inputs = {"data": d.array(shape, d.of(WIDER), SCORES)}
    inputs["label"] = np.zeros(label, inputs["data"].dtype)
    return Asked("SoftmaxOutput", inputs, {kind: True} if kind else {}, np_shape=d.np_shape)


def regression(op: str):
    def drawn(d: Drawing) -> Asked:
        shape, kind = d.shape(2, low=1), d.of(WIDER)
        data = d.array(shape, kind, ORDERED)
        return Asked(op, {"data": data, "label": np.zeros(shape, kind)}, np_shape=d.np_shape)

    return drawn


def svm(d: Drawing) -> Asked:
    shape, kind = d.shape(2, 2, low=1), "float32"
    inputs = {"data": d.array(shape, kind), "label": np.zeros(shape[:1], kind)}
    return Asked("SVMOutput", inputs, {"margin": 0.5}, np_shape=d.np_shape)


def itself(op: str, **attributes: object):
    def drawn(d: Drawing) -> Asked:
        data = d.array(d.shape(2, low=1), d.of(SINGLE if attributes else FLOATS))
        return Asked(op, {"data": data}, attributes, np_shape=d.np_shape)

    return drawn


def identity_with_sparsity(d: Drawing) -> Asked:
    data = d.array(d.shape(2, 2, low=1), "float32", (0.1, 0.5, 0.9))
    inputs = {"data": data, "moving_avg": np.full(data.shape[1], 0.5, np.float32)}
    return Asked("IdentityAttachKLSparseReg", inputs, np_shape=d.np_shape)


def cross_entropy(d: Drawing) -> Asked:
    shape = d.shape(2, 2, low=1)
    inputs = {
        "data": d.array(shape, "float32", SCORES),
        "label": d.array(shape[:1], "float32", range(shape[1])),
    }
    return Asked("softmax_cross_entropy", inputs, np_shape=d.np_shape)


TABLE = {
    "Activation": activation,
    "LeakyReLU": leaky_relu,
    "hard_sigmoid": hard_sigmoid,
    "softmax": softmax,
    "log_softmax": lambda d: softmax_of(d, "log_softmax"),
    "softmin": lambda d: softmax_of(d, "softmin"),
    "SoftmaxActivation": softmax_activation,
    "SoftmaxOutput": softmax_output,
    "LinearRegressionOutput": regression("LinearRegressionOutput"),
    "MAERegressionOutput": regression("MAERegressionOutput"),
    "LogisticRegressionOutput": regression("LogisticRegressionOutput"),
    "SVMOutput": svm,
    "MakeLoss": itself("MakeLoss"),
    "make_loss": itself("make_loss"),
    "Dropout": itself("Dropout", p=0.4),
    "IdentityAttachKLSparseReg": identity_with_sparsity,
    "softmax_cross_entropy": cross_entropy,
}
PICTURE = {"data": np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)}
PINNED = {
    "SoftmaxOutput": [
        Asked("SoftmaxOutput", {**PICTURE, "label": np.zeros((2, 2, 3), np.float32)}),
    ],
    "Activation": [
        Asked("Activation", {"data": np.array([-1e4, 0, 1e4])}, {"act_type": "softrelu"}),
    ],
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))


def test_the_slopes_that_rrelu_leaves_unset_are_zero() -> None:
    asked = Operator("LeakyReLU", {"data": PICTURE["data"] - 9}, outputs=2, act_type="rrelu")
    wanted, unset = asked.ask(asked.examples)

    for run in asked.engines.values():
        answer, slopes = run(asked.examples)
        np.testing.assert_allclose(answer, wanted, rtol=1e-5)
        np.testing.assert_array_equal(slopes, np.zeros_like(unset))
