"""Cases of MXNet's own ONNX tests that its recorded operator cases do not hold, live."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Network, Operator

pytestmark = pytest.mark.mxnet


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 100, shape).astype("float32")


@pytest.mark.parametrize("pool_type", ["max", "avg"])
@pytest.mark.parametrize("shape", [(1, 2, 4, 5, 6), (3, 1, 1, 1, 2)], ids=str)
def test_global_pooling_of_volumes(shape: tuple[int, ...], pool_type: str) -> None:
    Operator(
        "Pooling", {"data": drawn(*shape)}, free=True, kernel=(2, 2, 2), pool_type=pool_type,
        global_pool=True,
    ).check()  # fmt: skip


def test_operators_that_read_one_of_several_outputs() -> None:
    import mxnet as mx  # noqa: PLC0415

    data = mx.sym.var("data")
    values, places = mx.sym.topk(data, k=3, ret_typ="both")
    both = mx.sym.Group([values**2, places**3])
    only = mx.sym.topk(data, k=3, ret_typ="value") ** 3
    halves = mx.sym.split(data, num_outputs=2, axis=0)

    for symbol in (both, only, mx.sym.Group([halves[0] * 2, halves[1] ** 2])):
        Network(symbol, {"data": drawn(4, 5, 6)}).check()
