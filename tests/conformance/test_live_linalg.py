"""The linalg family and its neighbours compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def drawn(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def positive(seed: int, *outer: int, size: int, dtype: str = "float64") -> np.ndarray:
    """Symmetric matrices with positive eigenvalues."""
    half = drawn(seed, *outer, size, size, dtype=dtype)
    return half @ np.swapaxes(half, -1, -2) + np.eye(size, dtype=dtype)


def asked(op: str, *inputs: np.ndarray, outputs: int = 1, **given: object) -> None:
    """With fixed sizes, and with free ones."""
    names = "ABC"[: len(inputs)]
    for free in (False, True):
        examples = dict(zip(names, inputs, strict=True))
        Operator(op, examples, outputs=outputs, free=free, **given).check()


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("axis", [-2, 0])
def test_products(turned: tuple[bool, bool], axis: int) -> None:
    one, other = drawn(1, 2, 3, 4), drawn(2, 2, 4, 5)
    one = np.swapaxes(one, 1, 2) if turned[0] else one
    other = np.swapaxes(other, 1, 2) if turned[1] else other
    if axis == 0:
        one, other = np.swapaxes(one, 0, 1), np.swapaxes(other, 0, 1)
    given = {"transpose_a": turned[0], "transpose_b": turned[1], "alpha": 0.5, "axis": axis}

    asked("_linalg_gemm2", one, other, **given)
    result = drawn(3, 2, 3, 5) if axis == -2 else drawn(3, 3, 2, 5)
    asked("_linalg_gemm", one, other, result, beta=-2.0, **given)


@pytest.mark.parametrize("transpose", [False, True])
def test_products_with_oneself(transpose: bool) -> None:
    asked("_linalg_syrk", drawn(1, 2, 3, 4), transpose=transpose, alpha=1.5)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rightside", [False, True])
def test_triangles_multiply_and_solve(lower: bool, transpose: bool, rightside: bool) -> None:
    triangle = positive(1, 3, size=4)
    other = drawn(2, 3, 5, 4, dtype="float64") if rightside else drawn(2, 3, 4, 5, dtype="float64")
    given = {"lower": lower, "transpose": transpose, "rightside": rightside, "alpha": 0.5}

    asked("_linalg_trmm", triangle, other, **given)
    asked("_linalg_trsm", triangle, other, **given)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("outer", [(), (3,), (2, 3)], ids=str)
def test_cholesky_and_its_inverse(lower: bool, outer: tuple[int, ...]) -> None:
    matrices = positive(3, *outer, size=5)
    factor = np.linalg.cholesky(matrices)

    asked("_linalg_potrf", matrices, lower=lower)
    asked("_linalg_potri", factor if lower else np.swapaxes(factor, -1, -2), lower=lower)
    asked("_linalg_sumlogdiag", factor)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 5, 5), (2, 2, 3, 3)], ids=str)
def test_inverses_and_determinants(shape: tuple[int, ...], dtype: str) -> None:
    matrices = drawn(4, *shape, dtype=dtype) + np.eye(shape[-1], dtype=dtype)[::-1] * 2

    asked("_linalg_inverse", matrices)
    asked("_linalg_det", matrices)
    asked("_linalg_slogdet", matrices, outputs=2)


def test_determinants_of_singular_matrices() -> None:
    matrices = np.array([[[1, 2], [2, 4]], [[0, 0], [0, 0]], [[0, 1], [1, 0]]], np.float32)

    asked("_linalg_det", matrices)
    asked("_linalg_slogdet", matrices, outputs=2)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (3, 4, 6)], ids=str)
def test_lq_factors_have_lapacks_signs(shape: tuple[int, ...]) -> None:
    asked("_linalg_gelqf", drawn(5, *shape, dtype="float64"), outputs=2)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_eigenvalues_of_symmetric_matrices(size: int) -> None:
    half = drawn(6, 2, size, size, dtype="float64")

    asked("_linalg_syevd", half + np.swapaxes(half, 1, 2), outputs=2)


@pytest.mark.parametrize("lower", [False, True])
def test_one_triangle_of_a_symmetric_matrix_is_read(lower: bool) -> None:
    matrices = drawn(8, 2, 4, 4) + 5 * np.eye(4, dtype=np.float32)

    asked("_linalg_potrf", matrices, lower=lower)
    asked("_linalg_syevd", matrices, outputs=2)


def test_the_logarithm_of_one_determinant_has_an_axis_in_numpy_mode() -> None:
    Operator("_linalg_sumlogdiag", {"A": 2 * np.eye(3, dtype=np.float32)}, np_shape=True).check()


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_diagonals_and_triangles(offset: int) -> None:
    matrices = drawn(7, 2, 4, 4)

    Operator("_linalg_extractdiag", {"A": matrices}, offset=offset).check()
    Operator("_linalg_makediag", {"A": drawn(8, 2, 3)}, offset=offset).check()
    for lower in (False, True):
        packed = Operator("_linalg_extracttrian", {"A": matrices}, offset=offset, lower=lower)
        packed.check()
        vector = packed.ask({"A": matrices})[0]
        Operator("_linalg_maketrian", {"A": vector}, offset=offset, lower=lower).check()


@pytest.mark.parametrize("k", [-3, -1, 0, 2])
def test_diagonals_of_planes_and_vectors(k: int) -> None:
    Operator("diag", {"A": drawn(9, 5)}, k=k).check()
    Operator("diag", {"A": drawn(9, 4, 5)}, k=k).check()
    Operator("diag", {"A": drawn(9, 4, 6, 5)}, k=k, axis1=2, axis2=-2).check()


@pytest.mark.parametrize("rows", [(3,), (2, 4), (2, 1, 3)], ids=str)
def test_khatri_rao(rows: tuple[int, ...]) -> None:
    parts = [drawn(at, count, 4) for at, count in enumerate(rows)]

    asked("khatri_rao", *parts, num_args=len(parts))
