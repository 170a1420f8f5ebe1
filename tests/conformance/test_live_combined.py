"""Operators in a row, which an engine may run in one pass, compared with live MXNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from oracle import Network

if TYPE_CHECKING:
    import mxnet as mx

pytestmark = pytest.mark.mxnet

RANDOM = np.random.default_rng(0)


def _reduced(kind: str, axis: tuple[int, ...], *, keepdims: bool) -> mx.sym.Symbol:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    if kind in ("avg", "max_pooled"):
        pool = kind.removesuffix("_pooled")
        return mx.sym.Pooling(mx.sym.var("data"), global_pool=True, pool_type=pool, kernel=(1,))
    return getattr(mx.sym, kind)(mx.sym.var("data"), axis=axis, keepdims=keepdims)


@pytest.mark.parametrize("keepdims", [False, True], ids=["dropped", "kept"])
@pytest.mark.parametrize("axis", [(0,), (1,), (2,), (1, 2)], ids=str)
@pytest.mark.parametrize("kind", ["sum", "max", "min"])
def test_arithmetic_after_reductions_of_integers(
    kind: str, axis: tuple[int, ...], keepdims: bool
) -> None:
    reduced = _reduced(kind, axis, keepdims=keepdims)

    data = RANDOM.integers(-3, 9, (4, 3, 5)).astype("int64" if keepdims else "int32")
    Network(3 - reduced * 2, {"data": data}).check()
    Network(-reduced, {"data": data}).check()


@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min", "norm", "avg", "max_pooled"])
def test_numbers_for_each_channel_after_reductions(kind: str) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = RANDOM.normal(size=(4, 3, 5)).astype(np.float32)
    scale = {"scale": np.array([[[1.0], [-20.0], [300.0]]], np.float32)}
    for axis in ((2,), (0,)):
        reduced = _reduced(kind, axis, keepdims=True)
        scaled = mx.sym.broadcast_mul(reduced, mx.sym.var("scale"))
        Network(scaled, {"data": data}, scale).check()
        shifted = mx.sym.broadcast_add(mx.sym.sqrt(mx.sym.abs(reduced)), mx.sym.var("scale"))
        Network(shifted, {"data": data}, scale).check()


@pytest.mark.parametrize("kind", ["mean", "max", "avg"])
def test_batch_norm_after_a_reduction_to_one_number_a_channel(kind: str) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = RANDOM.normal(size=(4, 3, 5)).astype(np.float32)
    stored = {
        f"norm_{name}": RANDOM.uniform(0.5, 20.0, 3).astype(np.float32)
        for name in ("gamma", "beta", "moving_mean", "moving_var")
    }
    for keepdims in (False, True):
        reduced = _reduced(kind, (2,), keepdims=keepdims)
        normal = mx.sym.BatchNorm(reduced, name="norm", fix_gamma=False)
        Network(normal, {"data": data}, stored).check()


@pytest.mark.parametrize("before", ["nothing", "relu", "dense", "pool"])
def test_convolutions_of_single_elements_with_pads_and_strides(before: str) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data, stored = mx.sym.var("data"), {}
    if before == "relu":
        data = mx.sym.relu(data)
    elif before == "dense":
        data = mx.sym.FullyConnected(data, name="dense", num_hidden=4, flatten=False)
        stored["dense_weight"] = RANDOM.normal(size=(4, 5)).astype(np.float32)
        stored["dense_bias"] = RANDOM.normal(size=4).astype(np.float32)
    elif before == "pool":
        data = mx.sym.Pooling(data, global_pool=True, pool_type="max", kernel=(1, 1))
    given = {"data": RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)}
    stored["conv_weight"] = RANDOM.normal(size=(4, 3, 1, 1)).astype(np.float32)
    stored["conv_bias"] = RANDOM.normal(size=4).astype(np.float32)
    for stride, pad in (((2, 2), (1, 1)), ((1, 2), (0, 1)), ((2, 1), (1, 0))):
        conv = mx.sym.Convolution(
            data, name="conv", kernel=(1, 1), stride=stride, pad=pad, num_filter=4
        )
        Network(conv, given, stored, free=False).check()
        Network(conv, given, stored).check()
