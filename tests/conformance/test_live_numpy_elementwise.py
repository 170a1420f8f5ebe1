"""The numpy interface's arithmetic, compared with live MXNet for every pair of types."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet

FLOATS = ["float16", "float32", "float64"]
WHOLE = ["int8", "uint8", "int32", "int64"]
TYPES = [*FLOATS, *WHOLE, "bool"]
MIXED = [
    *((kind, kind) for kind in [*FLOATS, "int8", "uint8", "int32", "int64"]),
    ("int32", "float32"),
    ("float16", "int64"),
    ("float16", "float64"),
    ("bool", "float32"),
    ("float32", "float16"),
]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
UNARY = [
    *("absolute", "negative", "sign", "square", "ceil", "floor", "trunc", "fix", "rint"),
    *("exp", "expm1", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "arcsinh", "cbrt"),
    *("isnan", "isinf", "isfinite", "isposinf", "isneginf", "logical_not", "degrees", "radians"),
]
POSITIVE = ["sqrt", "log", "log2", "log10", "log1p", "reciprocal", "arccosh"]


def drawn(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    draw = np.random.default_rng(seed)
    if dtype == "bool":
        return draw.integers(0, 2, shape).astype(bool)
    low = 0 if dtype == "uint8" else -5
    numbers = draw.integers(low, 6, shape)
    return (numbers + (draw.choice([0, 0.5], shape) if dtype in FLOATS else 0)).astype(dtype)


def asked(op: str, *inputs: np.ndarray, **attributes: object) -> Operator:
    examples = {f"x{at}": value for at, value in enumerate(inputs)}
    return Operator(op, examples, np_shape=True, **attributes)


@pytest.mark.parametrize(("left", "right"), MIXED, ids=str)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "true_divide", "mod", "power"])
def test_arithmetic_of_types(name: str, left: str, right: str) -> None:
    one, other = drawn(1, (3, 1, 4), left), drawn(2, (5, 4), right)
    if name == "true_divide":
        if left != right and {left, right} <= {*FLOATS}:
            pytest.skip("MXNet does not divide floats of two types")
        other = np.where(other == 0, np.ones_like(other), other)
    if name == "power":
        one, other = np.abs(one), np.abs(other)

    asked(f"_npi_{name}", one, other).check()


@pytest.mark.parametrize("name", ["add", "multiply", "power", "true_divide", "lcm", "bitwise_xor"])
def test_booleans(name: str) -> None:
    one = np.array([True, True, False, False])
    other = np.array([True, False, True, False])
    if name == "true_divide":
        other = np.ones_like(other)

    asked(f"_npi_{name}", one, other).check()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_answer_booleans(name: str, dtype: str) -> None:
    asked(f"_npi_{name}", drawn(1, (4, 1), dtype), drawn(2, (1, 6), dtype)).check()


@pytest.mark.parametrize("scalar", [(3, True), (2.5, False), (2.5, True)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int8", "int32", "bool"])
@pytest.mark.parametrize(
    "name",
    [
        *("add", "subtract", "rsubtract", "multiply", "true_divide", "mod", "rmod", "power"),
        *("copysign", "rcopysign", "arctan2", "rarctan2", "ldexp", "rldexp"),
        *("equal", "less", "greater_equal"),
    ],
)
def test_scalars_beside_types(name: str, dtype: str, scalar: tuple[float, bool]) -> None:
    data = np.array([1, 2, 3, 5, 0], dtype)

    asked(f"_npi_{name}_scalar", data, scalar=scalar[0], is_int=scalar[1]).check()


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor", "lcm"])
def test_whole_numbers(name: str, dtype: str) -> None:
    one, other = drawn(1, (3, 4), dtype), drawn(2, (4,), dtype)

    asked(f"_npi_{name}", one, other).check()
    asked(f"_npi_{name}_scalar", one, scalar=6).check()


def test_common_multiples_of_large_numbers() -> None:
    one = np.array([46368, 28657, 9999991, 0, 1, -84, 65536], "int64")
    other = np.array([28657, 17711, 1, 5, -7, 36, 16384], "int64")

    for dtype in ("int32", "int64"):
        asked("_npi_lcm", one.astype(dtype), other.astype(dtype)).check()


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("name", UNARY)
def test_functions(name: str, dtype: str) -> None:
    data = np.array([-3, -2, -1, 0, 1, 2, 3], dtype)
    if dtype in FLOATS:
        data = data * 0.5

    asked(f"_npi_{name}", data).check()


@pytest.mark.parametrize("name", POSITIVE)
def test_functions_of_positive_numbers(name: str) -> None:
    asked(f"_npi_{name}", np.array([1, 1.5, 2, 7, 100], "float32")).check()
    asked(f"_npi_{name}", np.array([1, 2, 7, 100], "int32")).check()


@pytest.mark.parametrize("name", ["arcsin", "arccos", "arctanh"])
def test_functions_between_ones(name: str) -> None:
    asked(f"_npi_{name}", np.array([-0.9, -0.5, 0, 0.25, 0.9], "float32")).check()


@pytest.mark.parametrize(
    "name", ["sign", "rint", "floor", "isnan", "isinf", "isfinite", "isneginf", "nan_to_num"]
)
def test_numbers_that_are_none(name: str) -> None:
    data = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 2.5], "float32")

    asked(f"_npi_{name}", data).check()


def test_nan_to_num_with_limits() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 1.0], "float32")

    asked("_npi_nan_to_num", data, nan=7.5, posinf=99.0, neginf=-1.0).check()


@pytest.mark.parametrize("decimals", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int8"])
def test_around(dtype: str, decimals: int) -> None:
    data = np.array([0, 5, 15, 25, -5, -15, 94, 95, 106, 120, -117], dtype)
    if dtype in FLOATS:
        data = data / 4

    asked("_npi_around", data, decimals=decimals).check()


def test_angles_of_every_quadrant_and_of_zeros() -> None:
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 0.5, -2.0], "float32")
    top, bottom = np.meshgrid(special, special)

    for name in ("arctan2", "copysign"):
        asked(f"_npi_{name}", top, bottom).check()


def test_hypotenuse_and_powers_of_two() -> None:
    one, other = drawn(3, (4, 5), "float32"), drawn(4, (5,), "float32")

    asked("_npi_hypot", one, other).check()
    asked("_npi_ldexp", one, other).check()
    asked("_npi_ldexp", drawn(3, (4, 5), "int32"), np.abs(drawn(4, (5,), "int32"))).check()


@pytest.mark.parametrize("condition", TYPES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "bool"])
def test_where_broadcasts(condition: str, dtype: str) -> None:
    flags = drawn(1, (3, 1), condition)

    asked("_npi_where", flags, drawn(2, (2, 1, 4), dtype), drawn(3, (3, 4), dtype)).check()


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_where_with_numbers(dtype: str) -> None:
    flags, data = np.array([[True], [False]]), drawn(1, (2, 3), dtype)

    asked("_npi_where_lscalar", flags, data, scalar=2.5).check()
    asked("_npi_where_rscalar", flags, data, scalar=2.5).check()
    asked("_npi_where_scalar2", flags, x=1.5, y=-2).check()


def test_bits_turned_over() -> None:
    for dtype in ("bool", "int8", "uint8", "int32", "int64"):
        asked("_npi_bitwise_not", drawn(1, (6,), dtype)).check()
