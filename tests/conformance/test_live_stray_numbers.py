"""NaN that a network makes by itself, and integers beyond their range, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Network, Operator

pytestmark = pytest.mark.mxnet


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 3, 4, 4), (1, 3, 2, 2, 2)], ids=str)
def test_relu_makes_zero_of_what_negative_variances_made(shape: tuple[int, ...]) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    normal = mx.sym.BatchNorm(mx.sym.var("data"), name="norm", fix_gamma=False)
    relu = mx.sym.Activation(normal, act_type="relu")
    stored = {
        "norm_gamma": np.ones(3, np.float32),
        "norm_beta": np.full(3, 0.5, np.float32),
        "norm_moving_mean": np.zeros(3, np.float32),
        "norm_moving_var": np.array([1.0, -2.0, 1e-9], np.float32),
    }
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    network = Network(relu, {"data": data}, stored)

    (answer,) = network.ask({"data": data})
    assert not answer[:, 1].any()
    network.check()
    Network(normal, {"data": data}, stored).check()


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("axis", [(0, 1), (-1,), (0, 1, 2)], ids=str)
def test_products_of_integers_lose_their_upper_digits(axis: tuple[int, ...], dtype: str) -> None:
    data = np.random.default_rng(1).integers(1, 99, (4, 5, 6)).astype(dtype)
    free = dtype == "int32"

    for keepdims in (False, True):
        for name in ("prod", "_np_prod"):
            asked = Operator(
                name, {"data": data}, free=free, axis=axis, keepdims=keepdims,
                np_shape=name.startswith("_np"),
            )  # fmt: skip
            (wanted,) = asked.ask({"data": data})
            (answer,) = asked.engines["onnxruntime"]({"data": data})
            np.testing.assert_array_equal(answer, wanted)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("int32", 0, np.inf),
        ("int64", 0, np.inf),
        ("int32", -np.inf, 5),
        ("uint8", -1, 100),
        ("uint8", 0, 300),
        ("int8", 0, 255),
    ],
)
def test_integers_between_bounds_that_their_type_does_not_hold(
    dtype: str, low: float, high: float
) -> None:
    data = np.array([0, 3, 100, 120, 7 if dtype == "uint8" else -5]).astype(dtype)

    Operator("clip", {"data": data}, a_min=low, a_max=high).check()


@pytest.mark.parametrize("free", [False, True], ids=["stated", "free"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("given", ["float32", "float64", "float16"])
def test_of_numbers_beyond_bytes_the_lowest_bits_stay(given: str, dtype: str, free: bool) -> None:
    data = np.array([[0, -1, 1.7, -1.7, 127, 128, 200.9], [256, 300, -129, -255.5, 1e3, -5e4, 6e4]])

    Operator("Cast", {"data": data.astype(given)}, free=free, dtype=dtype).check()
