"""Eigenvalues of matrices that need not be symmetric, compared with live MXNet.

ONNX Runtime computes in float64 and is held to MXNet's order and signs. OpenVINO has 32 bits, in
which rounding decides some of them otherwise, as in MXNet's own float32: its answers are held to
be eigenvalues and eigenvectors, the same ones.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator
from replay import compare

pytestmark = pytest.mark.mxnet

SIZES = [1, 2, 3, 4, 5, 8]


def real(seed: int, *shape: int, size: int) -> np.ndarray:
    """Matrices with real eigenvalues, well apart from each other."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(*shape, size, size))
    values = draw.permuted(np.broadcast_to(np.arange(size) * 2.5 - 4, (*shape, size)), axis=-1)
    return np.asarray((vectors * values[..., None, :]) @ np.linalg.inv(vectors))


@pytest.fixture(scope="module")
def free() -> dict[str, Operator]:
    """Both operators, compiled once for any number of matrices of any size."""
    given = {"examples": {"a": real(1, 2, size=3)}, "free": True, "np_shape": True}
    return {
        "values": Operator("_npi_eigvals", **given),
        "both": Operator("_npi_eig", outputs=2, **given),
    }


def asked(operator: Operator, matrices: np.ndarray) -> None:
    wanted = operator.ask({"a": matrices})
    for engine, run in operator.engines.items():
        answers = run({"a": matrices})
        if engine == "onnxruntime":
            assert not compare(answers, wanted)[1]
            continue
        scale = np.abs(wanted[0]).max(initial=1.0)
        for got, want in zip(np.sort(answers[0]), np.sort(wanted[0]), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-4 * scale)
        for vectors in answers[1:]:
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=-2), 1, atol=1e-4)
            turned = matrices @ vectors
            expected = vectors * answers[0][..., None, :]
            np.testing.assert_allclose(turned, expected, atol=1e-4 * np.abs(matrices).max())


def asked_alone(matrices: np.ndarray) -> None:
    """Values and vectors of matrices of exactly this shape."""
    given = {"examples": {"a": matrices}, "np_shape": True}
    asked(Operator("_npi_eigvals", **given), matrices)
    asked(Operator("_npi_eig", outputs=2, **given), matrices)


@pytest.mark.parametrize("size", SIZES)
def test_order_and_signs_are_lapacks(free: dict[str, Operator], size: int) -> None:
    for seed in range(3):
        for operator in free.values():
            asked(operator, real(10 * size + seed, 3, size=size))


@pytest.mark.parametrize("outer", [(), (2, 2)], ids=str)
def test_any_number_of_outer_axes(outer: tuple[int, ...]) -> None:
    asked_alone(real(7, *outer, size=3))


def test_float32_is_decided_with_its_own_precision() -> None:
    asked_alone(real(34, 3, size=4).astype(np.float32))


@pytest.mark.parametrize("size", SIZES)
def test_eigenvalues_that_rows_and_columns_show_alone(free: dict[str, Operator], size: int) -> None:
    draw = np.random.default_rng(size)
    order = draw.permutation(size)
    triangle = np.triu(draw.normal(size=(size, size)))

    shown = np.stack([triangle, triangle.T, triangle[order][:, order], np.diag(np.diag(triangle))])
    asked(free["both"], shown)


def test_one_part_is_alone_and_the_other_is_not(free: dict[str, Operator]) -> None:
    matrices = np.zeros((6, 6))
    matrices[1:4, 1:4] = real(3, size=3)
    matrices[0, 2:] = [1, 2, 3, 4]
    matrices[1:5, 5] = [4, 3, 2, 1]
    matrices[[0, 4, 5], [0, 4, 5]] = [5, 6, 7]

    asked(free["both"], np.stack([matrices, matrices[::-1, ::-1]]))


def test_badly_scaled_matrices_are_balanced(free: dict[str, Operator]) -> None:
    scales = 10.0 ** np.array([-3, 2, 0, 3, -1])

    asked(free["both"], real(4, 2, size=5) * scales[:, None] / scales)


def test_integers_become_float64() -> None:
    matrices = np.array([[[2, 1, 0], [1, 3, 1], [0, 1, 5]], [[1, 2, 3], [0, 4, 5], [0, 0, 6]]])

    for dtype in ("uint8", "int64"):
        asked_alone(matrices.astype(dtype))


def test_defective_matrices_have_vectors_that_coincide(free: dict[str, Operator]) -> None:
    asked(free["both"], np.eye(3)[None] * 2 + np.eye(3, k=1))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (2, 0, 0)], ids=str)
def test_nothing(shape: tuple[int, ...]) -> None:
    given = {"examples": {"a": np.zeros(shape)}, "np_shape": True}

    Operator("_npi_eigvals", **given).check()
    Operator("_npi_eig", outputs=2, **given).check()


def test_a_matrix_with_complex_eigenvalues_is_nan_and_leaves_others_alone(
    free: dict[str, Operator],
) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    plain, turning = real(5, size=3), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 3]])
    values, vectors = free["both"].ask({"a": plain[None]})

    with pytest.raises(mx.MXNetError, match="Complex eigvals is unsupported"):
        free["both"].ask({"a": turning[None]})
    for run in free["both"].engines.values():
        some, columns = run({"a": np.stack([turning, plain])})
        assert np.isnan(some[0]).all()
        assert np.isnan(columns[0]).all()
        np.testing.assert_allclose(some[1], values[0], rtol=1e-4)
        np.testing.assert_allclose(np.abs(columns[1]), np.abs(vectors[0]), atol=1e-4)


def test_larger_matrices_have_the_same_eigenvalues_and_true_vectors(
    free: dict[str, Operator],
) -> None:
    half = np.random.default_rng(6).normal(size=(2, 40, 40))
    matrices = half + np.swapaxes(half, 1, 2)
    wanted = np.sort(free["both"].ask({"a": matrices})[0])

    for run in free["both"].engines.values():
        values, vectors = run({"a": matrices})
        np.testing.assert_allclose(np.sort(values), wanted, atol=1e-3)
        np.testing.assert_allclose(matrices @ vectors, vectors * values[:, None], atol=1e-3)
