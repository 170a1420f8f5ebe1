"""The numpy interface's reductions, compared with live MXNet on axes, types and empty tensors."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet

TYPES = ["float32", "float64", "int8", "uint8", "int32", "int64"]
AXES = [None, 1, (0, 2), (-1,), ()]


def drawn(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    draw = np.random.default_rng(seed)
    if dtype == "bool":
        return draw.integers(0, 2, shape).astype(bool)
    return draw.integers(0 if dtype == "uint8" else -3, 4, shape).astype(dtype)


def asked(op: str, *inputs: np.ndarray, **attributes: object) -> Operator:
    examples = {f"x{at}": value for at, value in enumerate(inputs)}
    free = all(value.size for value in inputs) and all(value.ndim for value in inputs)
    return Operator(op, examples, np_shape=True, free=free, **attributes)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int8", "int64", "bool"])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all"])
def test_axes_and_types(name: str, dtype: str, axis: object, keep: bool) -> None:
    asked(f"_np_{name}", drawn(1, (2, 3, 4), dtype), axis=axis, keepdims=keep).check()


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("dtype", [*TYPES, "bool"])
def test_means(dtype: str, axis: object) -> None:
    asked("_npi_mean", drawn(2, (2, 3, 4), dtype), axis=axis).check()


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [("int8", "float32"), ("float32", "int32"), ("int32", "int8"), ("int64", "int64")],
)
@pytest.mark.parametrize("name", ["_np_sum", "_np_prod", "_npi_mean", "_np_cumsum"])
def test_wanted_types(name: str, dtype: str, wanted: str) -> None:
    data = drawn(3, (3, 5), dtype) + np.array(0.5 if dtype == "float32" else 0, dtype)

    asked(name, data, axis=1, dtype=wanted).check()


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("axis", AXES[:4], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("name", ["var", "std"])
def test_moments(name: str, dtype: str, axis: object, ddof: int) -> None:
    asked(f"_npi_{name}", drawn(4, (3, 4, 5), dtype), axis=axis, ddof=ddof).check()


@pytest.mark.parametrize("wanted", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "int32", "int64"])
@pytest.mark.parametrize("name", ["var", "std"])
def test_moments_of_a_wider_type_take_the_mean_in_the_data_type(
    name: str, dtype: str, wanted: str
) -> None:
    data = np.random.default_rng(5).integers(-5, 6, (3, 4)).astype(dtype)

    asked(f"_npi_{name}", data, axis=0, dtype=wanted).check()


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("name", ["_np_sum", "_np_prod", "_np_any", "_np_all", "_npi_mean"])
def test_nothing(name: str, shape: tuple[int, ...]) -> None:
    data = np.zeros(shape, "float32")

    asked(name, data).check()
    asked(name, data, axis=shape.index(0)).check()


@pytest.mark.parametrize("name", ["_np_sum", "_np_prod", "_np_max", "_np_any", "_np_all"])
def test_scalars(name: str) -> None:
    asked(name, np.array(2.5, "float32")).check()


@pytest.mark.parametrize("name", ["_np_sum", "_np_max", "_np_min", "_np_any", "_npi_mean"])
def test_numbers_that_are_none(name: str) -> None:
    asked(name, np.array([[1, np.nan, 2], [3, 4, -1]], "float32"), axis=1).check()


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int8"])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places_of_extremes(name: str, dtype: str, axis: int | None, keep: bool) -> None:
    asked(f"_npi_{name}", drawn(5, (4, 6), dtype), axis=axis, keepdims=keep).check()


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("dtype", [*TYPES, "bool"])
def test_running_sums(dtype: str, axis: int | None) -> None:
    asked("_np_cumsum", drawn(6, (3, 7), dtype), axis=axis).check()


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_averages(axis: object, weighted: bool) -> None:
    data = drawn(7, (3, 4, 5), "float32")
    weights = [np.random.default_rng(8).uniform(1, 2, (3, 4, 5)).astype("float32")] * weighted

    asked("_npi_average", data, *weights, axis=axis, weighted=weighted).check()


def test_averages_with_weights_of_one_axis() -> None:
    data, weights = drawn(7, (3, 4, 5), "float32"), np.array([1, 2, 3, 4], "float32")

    Operator(
        "_npi_average", {"a": data, "weights": weights}, outputs=2, np_shape=True, axis=1,
        returned=True,
    ).check()  # fmt: skip


@pytest.mark.parametrize(
    ("axis", "flag", "order"),
    [
        *((None, -2, 2), (None, 1, 2), ((0, 2), 1, 2), (1, -1, 3), (1, -1, -1), (-1, -1, 0)),
        *((1, -1, 1), ((0, 1), -1, 1), ((1, 0), -1, -1), (None, -1, 1), ((1, 2), 0, 2)),
        *(((0, 2), 2, 2), (None, 0, -2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("keep", [False, True])
def test_norms(axis: object, flag: int, order: float, keep: bool) -> None:
    data = np.random.default_rng(9).normal(size=(3, 4, 5)).astype("float32")

    Operator(
        "_npi_norm", {"x": data}, np_shape=True, axis=axis, flag=flag, ord=order, keepdims=keep
    ).check()


@pytest.mark.parametrize("mode", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_percentiles(dtype: str, mode: str) -> None:
    data = np.random.default_rng(10).permutation(60).reshape(3, 4, 5).astype(dtype)
    percents = np.array([0, 12.5, 37.5, 50, 80, 100], "float32")

    asked("_npi_percentile", data, percents, axis=(0, 2), interpolation=mode).check()
    asked("_npi_percentile", data, q_scalar=31, axis=1, keepdims=True, interpolation=mode).check()
