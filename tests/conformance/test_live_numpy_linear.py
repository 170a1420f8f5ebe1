"""Linear algebra of the numpy interface, compared with live MXNet on shapes and conditions."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def drawn(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    return np.array(np.random.default_rng(seed).normal(size=shape), dtype)


def asked(
    op: str, *inputs: np.ndarray, free: bool = False, outputs: int = 1, **attributes: object
) -> Operator:
    examples = {f"x{at}": value for at, value in enumerate(inputs)}
    return Operator(op, examples, np_shape=True, free=free, outputs=outputs, **attributes)


def even(seed: int, *outer: int, size: int, dtype: str = "float64") -> np.ndarray:
    """Matrices far from singular."""
    return drawn(seed, *outer, size, size, dtype=dtype) + np.array(3 * np.eye(size), dtype)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize(
    ("left", "right"),
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 1, 3, 4), (5, 4, 2))],
    ids=str,
)
def test_products(left: tuple[int, ...], right: tuple[int, ...], free: bool) -> None:
    asked("_npi_matmul", drawn(1, *left), drawn(2, *right), free=free).check()


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize(
    ("left", "right"),
    [((), (2, 3)), ((3,), (3,)), ((4, 3), (3,)), ((2, 4, 3), (3,)), ((2, 4, 3), (3, 5))],
    ids=str,
)
def test_dots(left: tuple[int, ...], right: tuple[int, ...], free: bool) -> None:
    asked("_np_dot", drawn(1, *left), drawn(2, *right), free=free).check()


@pytest.mark.parametrize("free", [False, True])
def test_products_over_axes(free: bool) -> None:
    one, other = drawn(1, 3, 4, 5), drawn(2, 4, 3, 2)

    asked(
        "_npi_tensordot", one, other, free=free, a_axes_summed=(1, 0), b_axes_summed=(0, 1)
    ).check()
    asked("_npi_tensordot", one, other, free=free, a_axes_summed=(), b_axes_summed=()).check()
    for axes in (0, 1):
        asked("_npi_tensordot_int_axes", one, drawn(3, 5, 2), free=free, axes=axes).check()


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        *(("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ii->i", [(3, 3)])),
        *(("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]), ("...ij,...jk", [(5, 2, 3), (3, 4)])),
        *(("ij->", [(2, 3)]), ("ji", [(2, 3)]), ("i,j->ij", [(2,), (3,)]), ("...ii", [(2, 3, 3)])),
        *(("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("iij,jk->ik", [(3, 3, 2), (2, 5)])),
        *(("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)]), ("ij,ij->ij", [(2, 3), (2, 3)])),
        *(("a...,...b->ab...", [(2, 3), (3, 4)]), ("...,...", [(2, 3), (3,)])),
    ],
    ids=str,
)
def test_einstein_sums(subscripts: str, shapes: list[tuple[int, ...]], free: bool) -> None:
    data = [drawn(at, *shape) for at, shape in enumerate(shapes)]

    asked("_npi_einsum", *data, free=free, num_args=len(data), subscripts=subscripts).check()


@pytest.mark.parametrize("dtype", ["int8", "int32", "bool"])
def test_einstein_sums_of_whole_numbers(dtype: str) -> None:
    draw = np.random.default_rng(1)
    one, other = (draw.integers(0, 2, shape).astype(dtype) for shape in ((2, 3), (3, 4)))

    asked("_npi_einsum", one, other, num_args=2, subscripts="ij,jk->ik").check()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int8"])
def test_polynomials(dtype: str) -> None:
    draw = np.random.default_rng(1)
    given = draw.integers(-2, 3, 4).astype(dtype), draw.integers(-2, 3, (3, 2)).astype(dtype)

    asked("_npi_polyval", *given).check()


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("outer", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_equations(size: int, outer: tuple[int, ...], free: bool) -> None:
    matrices = even(1, *outer, size=size)

    asked("_npi_solve", matrices, drawn(2, *outer, size, 3, dtype="float64"), free=free).check()
    asked("_npi_solve", matrices, drawn(3, *outer, size, dtype="float64"), free=free).check()
    squares = matrices @ np.swapaxes(matrices, -1, -2)
    asked("_npi_cholesky", squares, free=free).check()


def test_equations_of_tensors() -> None:
    square = even(1, size=12)

    asked("_npi_tensorinv", square.reshape(3, 4, 2, 6), ind=2).check()
    asked("_npi_tensorinv", square.reshape(12, 4, 3), ind=1).check()
    right = drawn(2, 3, 4, dtype="float64")
    asked("_npi_tensorsolve", square.reshape(3, 4, 2, 6), right).check()
    turned = np.ascontiguousarray(np.moveaxis(square.reshape(3, 4, 2, 6), 2, 0))
    asked("_npi_tensorsolve", turned, right, a_axes=(0,)).check()


@pytest.mark.parametrize("half", ["L", "U"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 5), (3, 4, 4), (8, 8)], ids=str)
def test_eigenvalues_of_symmetric_matrices(shape: tuple[int, ...], dtype: str, half: str) -> None:
    apart = np.diag(np.arange(shape[-1]) * 2.0)
    data = (drawn(4, *shape) + apart).astype(dtype)

    asked("_npi_eigh", data, outputs=2, UPLO=half).check()
    asked("_npi_eigvalsh", data, UPLO=half).check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (3, 5), (2, 4, 6)], ids=str)
def test_singular_values(shape: tuple[int, ...], dtype: str) -> None:
    asked("_npi_svd", drawn(5, *shape, dtype=dtype), outputs=3).check()


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (2, 3, 5)], ids=str)
def test_pseudo_inverses(shape: tuple[int, ...]) -> None:
    data = drawn(6, *shape, dtype="float64")

    for least in (1e-10, 0.5):
        asked("_npi_pinv_scalar_rcond", data, rcond=least).check()
        asked("_npi_pinv", data, np.full(shape[:-2], least)).check()
