"""Shapes, constants, diagonals and borders of the numpy interface, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet

DATA = np.arange(24, dtype="float32").reshape(2, 3, 4)


def asked(
    op: str, *inputs: np.ndarray, free: bool = False, outputs: int = 1, **attributes: object
) -> Operator:
    examples = {f"x{at}": value for at, value in enumerate(inputs)}
    return Operator(op, examples, np_shape=True, free=free, outputs=outputs, **attributes)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize(
    ("codes", "reverse"),
    [
        *(((-2, -4), False), ((-6, 1, 2, -4), False), ((-5, 4), False), ((-1, -2), False)),
        *(((-2, -1), False), ((-6, 2, -1, -4), False), ((-4, -1, 2), True), ((-2, -5), True)),
    ],
    ids=str,
)
def test_coded_reshapes(codes: tuple[int, ...], reverse: bool, free: bool) -> None:
    asked("_npx_reshape", DATA, free=free, newshape=codes, reverse=reverse).check()


@pytest.mark.parametrize("shape", [(-1,), (4, -1), (3, 8), (1, 2, 3, 4)], ids=str)
def test_reshapes(shape: tuple[int, ...]) -> None:
    asked("_np_reshape", DATA, newshape=shape).check()


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        *(("_np_transpose", {"axes": "None"}), ("_np_transpose", {"axes": (-1, 0, 1)})),
        *(("_np_moveaxis", {"source": (0,), "destination": (-1,)}),),
        *(("_np_moveaxis", {"source": (2, 0), "destination": (0, 1)}),),
        *(("_np_roll", {"shift": 7}), ("_np_roll", {"shift": (1, -2), "axis": (0, 2)})),
        *(("_np_roll", {"shift": -1, "axis": (0, 1)}), ("_npi_flip", {"axis": (0, 2)})),
        *(
            ("_npi_flip", {"axis": 1}),
            *(("_npi_rot90", {"k": k, "axes": (0, 2)}) for k in range(4)),
        ),
        *(("_npi_rot90", {"k": -1, "axes": (2, 1)}), ("_npi_diff", {"n": 2, "axis": -1})),
        *(("_npi_diff", {"axis": 0}), ("_npi_ediff1d", {"to_begin_scalar": 2.5})),
        *(("_np_diagonal", {"offset": 1, "axis1": 0, "axis2": 2}), ("_np_trace", {"offset": -1})),
        *(("_np_diagonal", {"offset": -1, "axis1": 2, "axis2": 1}), ("_np_diagflat", {"k": 2})),
        *(("_npi_tril", {"k": 1}), ("_npi_tril", {"k": -1}), ("_np_diagflat", {"k": -1})),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_orders_of_elements(op: str, attributes: dict[str, object], dtype: str, free: bool) -> None:
    asked(op, DATA.astype(dtype), free=free, **attributes).check()


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 2])
def test_matrices_with_a_diagonal(offset: int, free: bool) -> None:
    asked("_np_diag", np.array([1, 2, 3], "int32"), free=free, k=offset).check()
    asked("_np_diag", DATA[0], k=offset).check()


@pytest.mark.parametrize("shape", [(2, 5, -2), (3, 2, 5, 4), (0, 2, 5, -2)], ids=str)
def test_broadcasts(shape: tuple[int, ...]) -> None:
    asked("_npi_broadcast_to", DATA[:, :1], shape=shape).check()


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (3, 2, 4)], ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_least_ranks(rank: int, shape: tuple[int, ...]) -> None:
    asked(f"_np_atleast_{rank}d", np.ones(shape, "float32"), num_args=1).check()


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (3, 2, 4)], ids=str)
@pytest.mark.parametrize("name", ["vstack", "hstack", "dstack", "column_stack", "stack"])
def test_stacks(name: str, shape: tuple[int, ...]) -> None:
    one = np.array(np.random.default_rng(0).normal(size=shape), "float32")

    asked(f"_npi_{name}", one, np.array(-one), num_args=2).check()


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_joins(axis: int | None) -> None:
    asked("_npi_concatenate", DATA, -DATA, num_args=2, axis=axis).check()


@pytest.mark.parametrize("free", [False, True])
def test_splits(free: bool) -> None:
    asked("_npi_hsplit", DATA, free=free, outputs=2, indices=(0, 1), axis=1, sections=0).check()
    asked("_npi_hsplit", DATA[0, 0], free=free, outputs=2, indices=(), axis=1, sections=2).check()
    asked("_npi_dsplit", DATA, free=free, outputs=3, indices=(0, 1, 3), axis=2, sections=0).check()


def test_axes_of_one_go() -> None:
    data = DATA.reshape(1, 2, 1, 12)

    asked("_np_squeeze", data).check()
    asked("_np_squeeze", data, axis=2).check()
    asked("_np_squeeze", data[:, :1, :, :1]).check()


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        *(("_npi_arange", {"start": 1.5, "stop": 4, "step": 0.75}),),
        *(("_npi_arange", {"start": 5, "stop": -3, "step": -2, "dtype": "int32"}),),
        *(("_npi_eye", {"N": 3}), ("_npi_eye", {"N": 2, "M": 5, "k": 1, "dtype": "int8"})),
        *(("_npi_identity", {"shape": (3, 3), "dtype": "int64"}), ("_npi_zeros", {"shape": ()})),
        *(("_npi_ones", {"shape": (2, 0), "dtype": "bool"}), ("_npi_hanning", {"M": 7})),
        *(("_npi_indices", {"dimensions": (2, 3)}), ("_npi_hamming", {"M": 1})),
        *(("_npi_blackman", {"M": 12, "dtype": "float64"}),),
        *(("_npi_logspace", {"start": -1, "stop": 2, "num": 7, "endpoint": False}),),
        *(("_npi_logspace", {"start": 0, "stop": 3, "num": 4, "base": 2.5, "dtype": "int32"}),),
    ],
    ids=str,
)
def test_constants(op: str, attributes: dict[str, object]) -> None:
    asked(op, **attributes).check()


@pytest.mark.parametrize("dtype", [None, "int32", "bool"])
def test_tensors_like_others(dtype: str | None) -> None:
    asked("_npi_full_like", DATA, free=True, fill_value=2.75, dtype=dtype).check()
    asked("_npi_diag_indices_from", np.zeros((3, 3, 3), "float32"), free=True).check()


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "int64"])
@pytest.mark.parametrize("widths", [((1, 2), (0, 3)), ((4, 0), (5, 5))], ids=str)
def test_borders(mode: str, dtype: str, widths: tuple[tuple[int, int], ...]) -> None:
    data = np.random.default_rng(1).integers(-5, 6, (3, 4)).astype(dtype)
    attributes = {"constant_value": 3} if mode == "constant" else {}

    asked("_npi_pad", data, pad_width=widths, mode=mode, **attributes).check()


def test_differences_between_ends() -> None:
    data, ends = np.array([1, 5, 2, 9], "int32"), np.array([7, 8], "int32")

    asked(
        "_npi_ediff1d", data, ends, ends[:1], to_begin_arr_given=True, to_end_arr_given=True
    ).check()
    asked("_npi_ediff1d", data, to_begin_scalar=3, to_end_scalar=-4).check()
