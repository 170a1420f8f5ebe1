"""MXNet serves what has no lowering, where it is asked for by name, and nobody else tries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gluonserve
from gluonserve.errors import GluonserveError, UnsupportedModel
from gluonserve.repository.layout import find
from gluonserve.repository.loading import load_version
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from pathlib import Path

    import mxnet as mx

pytestmark = pytest.mark.mxnet

SHAPE = "[[inputs]]\nname = 'data'\nshape = [-1, 4]\n"


def exported(symbol: mx.sym.Symbol, folder: Path, settings: str = "") -> Path:
    folder.mkdir()
    symbol.save(str(folder / "net-symbol.json"))
    (folder / "model.toml").write_text(settings)
    return folder


def noisy() -> mx.sym.Symbol:
    """Random numbers that change nothing: the answer can be compared."""
    import mxnet as mx  # noqa: PLC0415

    data = mx.sym.var("data")
    noise = mx.sym.random.uniform_like(data)
    return mx.sym.Group([mx.sym.broadcast_mul(data, noise < 2), mx.sym.sum(data)])


def doubled() -> mx.sym.Symbol:
    """The user's own operator, in Python."""
    import mxnet as mx  # noqa: PLC0415

    class Double(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux) -> None:
            self.assign(out_data[0], req[0], in_data[0] * 2)

    @mx.operator.register("twice_as_much")
    class DoubleProp(mx.operator.CustomOpProp):
        def create_operator(self, ctx, shapes, dtypes) -> Double:
            return Double()

    return mx.sym.Custom(mx.sym.var("data"), op_type="twice_as_much") + 1


@pytest.mark.parametrize("executor", ["auto", "openvino", "onnxruntime"])
def test_others_refuse_and_say_who_would_run_it(executor: str, tmp_path: Path) -> None:
    folder = exported(noisy(), tmp_path / "net", SHAPE)

    with pytest.raises(UnsupportedModel, match=r'_random_uniform_like.*executor = "mxnet"'):
        gluonserve.load(folder, executor=executor)


def test_random_operators_run(tmp_path: Path) -> None:
    data = np.arange(12, dtype=np.float32).reshape(3, 4)

    with gluonserve.load(exported(noisy(), tmp_path / "net", SHAPE), executor="mxnet") as model:
        same, total = model.signature.outputs
        answers = list(model(data=data).values())

    assert (same.shape, same.dtype, total.shape) == ((-1, 4), DType.FP32, (1,))
    assert not model.signature.batchable
    np.testing.assert_array_equal(answers[0], data)
    np.testing.assert_array_equal(answers[1], [66])


def test_a_users_own_operator_runs_where_it_is_registered(tmp_path: Path) -> None:
    folder = exported(doubled(), tmp_path / "net")

    with gluonserve.load(folder, inputs={"data": ("FP32", [-1, -1, 2])}, executor="mxnet") as model:
        (output,) = model.signature.outputs
        (answer,) = model(data=np.ones((1, 5, 2))).values()

    assert output.shape == (-1, -1, 2)
    np.testing.assert_array_equal(answer, np.full((1, 5, 2), 3))


def test_shapes_come_from_recorded_samples(tmp_path: Path) -> None:
    data = np.arange(8, dtype=np.float32).reshape(2, 4)
    folder = exported(
        noisy(), tmp_path / "net", "executor = 'mxnet'\noutputs = [{index = 0, name = 'kept'}]"
    )
    np.savez(folder / "samples.npz", **{"in:data": data, "out:kept": data})
    (source,) = find(folder)

    version = load_version(source, threading.Event())

    assert version.signature.inputs[0].shape == (-1, 4)
    assert version.signature.outputs[0].name == "kept"
    version.close()


def test_a_shape_that_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(GluonserveError, match="shape of 'data' is not known"):
        gluonserve.load(exported(noisy(), tmp_path / "net"), executor="mxnet")


def test_what_mxnet_does_not_take_either_is_one_clear_error(tmp_path: Path) -> None:
    import mxnet as mx  # noqa: PLC0415

    lopsided = mx.sym.random.uniform_like(mx.sym.var("data")) + mx.sym.var("other")
    settings = SHAPE + "[[inputs]]\nname = 'other'\nshape = [-1, 5]\n"

    with pytest.raises(UnsupportedModel, match="mxnet does not load this network"):
        gluonserve.load(exported(lopsided, tmp_path / "net", settings), executor="mxnet")
