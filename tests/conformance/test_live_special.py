"""Special functions, densities and counts compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracle import Operator

pytestmark = pytest.mark.mxnet

EDGES = [0.0, -0.0, 1.0, 2.0, 0.5, -0.5, -1.0, -2.0, -3.5, 1e-20, 35.04, 40.0, np.inf, -np.inf]
GAMMA = Operator("gamma", {"data": np.zeros(64, np.float32)})
GAMMALN = Operator("gammaln", {"data": np.zeros(64, np.float32)})
ERFINV = Operator("erfinv", {"data": np.zeros(64, np.float32)})
FEW = settings(max_examples=25, deadline=None)


def floats(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    elements = st.floats(low, high, width=32, allow_subnormal=False)
    return arrays.arrays(np.float32, 64, elements=elements)


@FEW
@given(floats(-5.5, 30.0))
def test_gamma(data: np.ndarray) -> None:
    apart = np.abs(data - np.round(data)) > 1e-3  # beside poles an answer has few digits
    data = np.where(apart | (data > 0), data, np.float32(1.5))

    GAMMA.check({"data": data})
    GAMMALN.check({"data": data})


@pytest.mark.parametrize("operator", [GAMMA, GAMMALN], ids=["gamma", "gammaln"])
def test_gamma_at_its_edges(operator: Operator) -> None:
    for edge in EDGES:
        operator.check({"data": np.full(64, edge, np.float32)})
    operator.check({"data": np.full(64, np.nan, np.float32)})


@FEW
@given(floats(-1.0, 1.0))
def test_the_inverse_of_erf(data: np.ndarray) -> None:
    ERFINV.check({"data": np.resize(data, 64)})


def test_the_inverse_of_erf_at_its_edges() -> None:
    for edge in (1.0, -1.0, 1.5, -2.0, 0.0, 0.99999994, np.nan, np.inf):
        ERFINV.check({"data": np.full(64, edge, np.float32)})


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_special_functions_in_other_widths(dtype: str) -> None:
    data = np.linspace(0.1, 6, 20).astype(dtype)

    for op in ("gamma", "gammaln"):
        Operator(op, {"data": data}).check()
    Operator("erfinv", {"data": (data / 7).astype(dtype)}).check()


DENSITIES = {
    "uniform": {"low": (-2, 0), "high": (1, 3)},
    "normal": {"mu": (-2, 2), "sigma": (0.5, 2)},
    "gamma": {"alpha": (0.5, 5), "beta": (0.5, 2)},
    "exponential": {"lam": (0.5, 3)},
    "poisson": {"lam": (0.5, 20)},
    "negative_binomial": {"k": (1, 6), "p": (0.2, 0.8)},
    "generalized_negative_binomial": {"mu": (0.5, 3), "alpha": (0.2, 1)},
}


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("behind", [(), (7,), (2, 5)], ids=str)
@pytest.mark.parametrize("name", DENSITIES)
def test_densities(name: str, behind: tuple[int, ...], logarithm: bool) -> None:
    generator = np.random.default_rng(1)
    sample = generator.integers(1, 9, (2, 3, *behind)).astype(np.float32)
    ends = DENSITIES[name]
    given = {key: generator.uniform(*ends[key], (2, 3)).astype(np.float32) for key in ends}

    Operator(f"_random_pdf_{name}", {"sample": sample, **given}, is_log=logarithm).check()


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("behind", [(), (5,)], ids=str)
def test_dirichlets_density(behind: tuple[int, ...], logarithm: bool) -> None:
    generator = np.random.default_rng(2)
    alpha = generator.uniform(0.5, 4, (3, 4)).astype(np.float32)
    sample = generator.dirichlet(np.ones(4), (3, *behind)).astype(np.float32)

    examples = {"sample": sample, "alpha": alpha}
    Operator("_random_pdf_dirichlet", examples, is_log=logarithm).check()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_histograms(dtype: str) -> None:
    data = (np.random.default_rng(3).normal(size=(5, 9)) * 4).astype(dtype)
    edges = np.array([-6, -2, 0, 1, 5], dtype)

    Operator("_histogram", {"data": data, "bins": edges}, outputs=2).check()
    Operator("_histogram", {"data": data}, outputs=2, bin_cnt=7, range=(-6.0, 8.0)).check()


@pytest.mark.parametrize("shape", [(7,), (-1, 5), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_indices_flat_and_many_fold(shape: tuple[int, ...], dtype: str) -> None:
    flat = np.random.default_rng(4).integers(0, 60 if len(shape) == 3 else 7, 20).astype(dtype)
    rows = np.array(np.unravel_index(flat.astype(int), (abs(shape[0]) * 9, *shape[1:])), dtype)

    Operator("_unravel_index", {"data": flat}, shape=shape).check()
    Operator("_ravel_multi_index", {"data": rows}, shape=shape, free=True).check()


def test_questions_to_whole_tensors() -> None:
    fine, odd = np.ones((2, 3), np.float32), np.array([1, np.inf], np.float32)
    none = np.array([[np.nan]], np.float32)

    for data in (fine, odd, none):
        Operator("all_finite", {"data": data}).check()
    Operator("multi_all_finite", {"a": fine, "b": odd}, num_arrays=2).check()
    Operator("multi_sum_sq", {"a": fine, "b": 2 * fine}, num_arrays=2).check()


@pytest.mark.parametrize("equal_nan", [False, True])
def test_whether_tensors_are_close(equal_nan: bool) -> None:
    one = np.array([1.0, np.nan, np.inf, -np.inf, 0.0], np.float32)
    other = np.array([1.000001, np.nan, np.inf, -np.inf, 1e-9], np.float32)

    for row in range(5):
        pair = {"a": one[row : row + 1], "b": other[row : row + 1]}
        Operator("_contrib_allclose", pair, equal_nan=equal_nan).check()
    Operator("_contrib_allclose", {"a": one[2:3], "b": one[3:4]}, equal_nan=equal_nan).check()


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_whether_integers_are_close(dtype: str) -> None:
    pair = {"a": np.array([100, 10], dtype), "b": np.array([102, 10], dtype)}

    for near in ({}, {"atol": 1.5}, {"atol": 2}, {"rtol": 0.01}, {"rtol": 0.02}):
        Operator("_contrib_allclose", pair, **near).check()
