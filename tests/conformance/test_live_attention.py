"""Attention operators, index arrays and masks, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Network, Operator

pytestmark = pytest.mark.mxnet


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype("float32")


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_self_attention_at_several_lengths(heads: int, size: int) -> None:
    wide = heads * 3 * size
    scores = Operator(
        "_contrib_interleaved_matmul_selfatt_qk",
        {"queries_keys_values": drawn(0, 3, 2, wide)}, free=True, heads=heads,
    )  # fmt: skip
    answers = Operator(
        "_contrib_interleaved_matmul_selfatt_valatt",
        {"queries_keys_values": drawn(0, 3, 2, wide), "attention": drawn(1, 2 * heads, 3, 3)},
        free=True, heads=heads,
    )  # fmt: skip

    for steps, samples in ((3, 2), (1, 1), (7, 3)):
        joined = {"queries_keys_values": drawn(steps, steps, samples, wide)}
        scores.check(joined)
        answers.check({**joined, "attention": drawn(9, samples * heads, steps, steps)})


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_attention_to_another_sequence_at_several_lengths(heads: int, size: int) -> None:
    wide = heads * size
    scores = Operator(
        "_contrib_interleaved_matmul_encdec_qk",
        {"queries": drawn(0, 3, 2, wide), "keys_values": drawn(1, 5, 2, 2 * wide)},
        free=True, heads=heads,
    )  # fmt: skip
    answers = Operator(
        "_contrib_interleaved_matmul_encdec_valatt",
        {"keys_values": drawn(1, 5, 2, 2 * wide), "attention": drawn(2, 2 * heads, 3, 5)},
        free=True, heads=heads,
    )  # fmt: skip

    for asked, known, samples in ((3, 5, 2), (1, 1, 1), (4, 2, 3)):
        joined = {"keys_values": drawn(known, known, samples, 2 * wide)}
        scores.check({"queries": drawn(asked, asked, samples, wide), **joined})
        answers.check({**joined, "attention": drawn(9, samples * heads, asked, known)})


@pytest.mark.parametrize("axes", [None, (0,), (1, 0), (2, 2), (-1,)], ids=str)
def test_index_arrays(axes: tuple[int, ...] | None) -> None:
    attributes = {} if axes is None else {"axes": axes}
    operator = Operator(
        "_contrib_index_array", {"data": drawn(0, 2, 3, 4)}, free=True, **attributes
    )

    operator.check()
    operator.check({"data": drawn(0, 1, 5, 2)})


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_index_copies(dtype: str) -> None:
    old, new = drawn(0, 5, 3), drawn(1, 2, 3)
    for index in ([0, 4], [3, 1]):
        Operator(
            "_contrib_index_copy",
            {"old_tensor": old, "index_vector": np.array(index, dtype), "new_tensor": new},
        ).check()


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)], ids=str)
def test_boolean_masks(shape: tuple[int, ...], dtype: str) -> None:
    operator = Operator(
        "_contrib_boolean_mask",
        {"data": drawn(0, *shape), "index": np.array([1, 0, 2, 0, 1], dtype)}, free=True,
    )  # fmt: skip

    operator.check()
    operator.check({"index": np.array([0, 0, 0, 0, 1], dtype)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [None, 0, -1], ids=str)
def test_ranges_like_a_tensor(axis: int | None, dtype: str) -> None:
    operator = Operator(
        "_contrib_arange_like", {"data": drawn(0, 3, 4).astype(dtype)}, free=True,
        start=0.5, step=2, axis=axis,
    )  # fmt: skip

    operator.check()
    operator.check({"data": drawn(0, 1, 7).astype(dtype)})


@pytest.mark.parametrize(
    "turned", [(False, False), (True, False), (False, True), (True, True)], ids=str
)
def test_batch_dot(turned: tuple[bool, bool]) -> None:
    left = (5, 4) if turned[0] else (4, 5)
    right = (6, 5) if turned[1] else (5, 6)
    operator = Operator(
        "batch_dot", {"lhs": drawn(0, 2, *left), "rhs": drawn(1, 2, *right)},
        free=True, transpose_a=turned[0], transpose_b=turned[1],
    )  # fmt: skip

    operator.check()
    operator.check({"lhs": drawn(2, 3, *left), "rhs": drawn(3, 3, *right)})


def test_attention_that_mxnet_fused_for_its_cpu() -> None:
    import mxnet as mx  # noqa: PLC0415

    data = mx.sym.var("data")
    scores = mx.sym.softmax(mx.sym.contrib.interleaved_matmul_selfatt_qk(data, heads=2))
    answer = mx.sym.contrib.interleaved_matmul_selfatt_valatt(data, scores, heads=2)
    network = Network(answer.get_backend_symbol("MKLDNN"), {"data": drawn(0, 5, 2, 24)})

    assert "_sg_mkldnn_selfatt_qk" in network.symbol.tojson()
    network.check()
    network.check({"data": drawn(1, 3, 4, 24)})


def test_attention_in_int8() -> None:
    import mxnet as mx  # noqa: PLC0415
    from mxnet.contrib.quantization import quantize_model  # noqa: PLC0415

    shape = (5, 2, 8)
    data = mx.sym.var("data")
    weights = {"in_weight": drawn(1, 24, 8), "out_weight": drawn(2, 8, 8)}
    joined = mx.sym.FullyConnected(
        data, mx.sym.var("in_weight"), no_bias=True, num_hidden=24, flatten=False, name="in"
    )
    scores = mx.sym.softmax(mx.sym.contrib.interleaved_matmul_selfatt_qk(joined, heads=2))
    answer = mx.sym.contrib.interleaved_matmul_selfatt_valatt(joined, scores, heads=2)
    head = mx.sym.FullyConnected(
        answer, mx.sym.var("out_weight"), no_bias=True, num_hidden=8, flatten=False, name="out"
    )
    shown = mx.io.NDArrayIter(mx.nd.array(drawn(3, *shape)), batch_size=shape[0])
    quantised, stored, _ = quantize_model(
        head.get_backend_symbol("MKLDNN_QUANTIZE"),
        {name: mx.nd.array(array) for name, array in weights.items()}, {}, label_names=None,
        calib_mode="naive", calib_data=shown, num_calib_examples=shape[0],
        quantized_dtype="auto", logger=None,
    )  # fmt: skip
    symbol = quantised.get_backend_symbol("MKLDNN_QUANTIZE")
    known = {name: array.asnumpy() for name, array in stored.items()}
    network = Network(symbol, {"data": drawn(4, *shape)}, known)

    assert '"quantized": "True"' in symbol.tojson()
    for seed in range(5):
        network.check({"data": drawn(seed, *shape)})
