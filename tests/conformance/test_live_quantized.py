"""Quantised operators, and networks that MXNet itself fused and quantised, compared live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from oracle import Network, Operator

if TYPE_CHECKING:
    import mxnet as mx

pytestmark = pytest.mark.mxnet

RANGE = np.array([-3.0], np.float32), np.array([2.5], np.float32)


def steps(seed: int, *shape: int, dtype: str = "int8") -> np.ndarray:
    low, high = (0, 256) if dtype == "uint8" else (-128, 128)
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def real(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def quantised(
    op: str, *data: np.ndarray, ends: tuple[float, ...] = (), free: bool = False, **given: object
) -> Operator:
    """An operator whose inputs are data, then as many ranges."""
    ranges = [np.array([end], np.float32) for end in ends]
    names = [f"x{at}" for at in range(len(data) + len(ranges))]
    examples = dict(zip(names, [*data, *ranges], strict=True))
    outputs = 1 if given.get("enable_float_output") else 3
    return Operator(op, examples, outputs=outputs, free=free, **given)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("kind", ["int8", "uint8", "auto"])
def test_quantising_with_and_without_calibration(kind: str, free: bool) -> None:
    data = real(1, 3, 4, 5)

    for given in ({}, {"min_calib_range": -1.5, "max_calib_range": 1.2}):
        asked = Operator(
            "_contrib_quantize_v2", {"data": data}, outputs=3, free=free, out_type=kind, **given
        )
        asked.check(steps=1)
        asked.check({"data": 3 * data}, steps=1)


def test_quantising_what_is_quantised_and_what_is_nothing() -> None:
    Operator("_contrib_quantize_v2", {"data": steps(1, 4)}, outputs=3).check()
    data = {"data": steps(1, 4, dtype="uint8")}
    Operator("_contrib_quantize_v2", data, outputs=3, out_type="uint8").check()
    Operator("_contrib_quantize_v2", {"data": np.zeros((2, 3), np.float32)}, outputs=3).check()


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_quantising_to_a_given_range(kind: str) -> None:
    quantised("_contrib_quantize", real(2, 3, 7), ends=(-2.0, 1.0), out_type=kind).check(steps=1)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_dequantising(dtype: str) -> None:
    examples = {"data": steps(3, 4, 5, dtype=dtype), "low": RANGE[0], "high": RANGE[1]}

    Operator("_contrib_dequantize", examples, free=True).check()


@pytest.mark.parametrize("given", [{}, {"min_calib_range": -7.0, "max_calib_range": 9.0}], ids=str)
def test_requantising(given: dict[str, object]) -> None:
    data = np.random.default_rng(4).integers(-(2**24), 2**24, (5, 6)).astype(np.int32)

    quantised("_contrib_requantize", data, ends=(-900.0, 1000.0), **given).check(steps=1)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize(
    "given",
    [
        {"pool_type": "max", "kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)},
        {"pool_type": "max", "kernel": (2, 2), "stride": (2, 2), "pooling_convention": "full"},
        {"pool_type": "avg", "kernel": (2, 2), "stride": (2, 2)},
        {"pool_type": "avg", "kernel": (3, 3), "pad": (1, 1), "count_include_pad": False},
        {"pool_type": "avg", "kernel": (1, 1), "global_pool": True},
    ],
    ids=str,
)
def test_pooling(given: dict[str, object], dtype: str) -> None:
    data = steps(5, 2, 3, 7, 7, dtype=dtype)

    quantised("_contrib_quantized_pooling", data, ends=(-3.0, 2.5), **given).check(steps=1)


def test_shapes_and_activations() -> None:
    quantised("_contrib_quantized_flatten", steps(6, 2, 3, 4), ends=(-1.0, 1.0), free=True).check()
    act = quantised("_contrib_quantized_act", steps(6, 2, 9), ends=(-1.0, 1.0), act_type="relu")
    act.check()


@pytest.mark.parametrize("dtypes", [("int8", "int8"), ("uint8", "uint8"), ("int8", "uint8")])
def test_joining_in_the_widest_range(dtypes: tuple[str, str]) -> None:
    parts = [steps(at, 2, 3, 4, 4, dtype=dtype) for at, dtype in enumerate(dtypes)]

    asked = quantised(
        "_contrib_quantized_concat", *parts, ends=(-3.0, 2.5, -1.0, 4.0), num_args=2, dim=1
    )
    asked.check(steps=1)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_adding_in_a_calibrated_range(dtype: str) -> None:
    parts = [steps(at, 3, 8, dtype=dtype) for at in range(2)]
    ends = (-3.0, 2.5, -1.0, 4.0)
    calibrated = {"min_calib_range": -5.0, "max_calib_range": 6.0}

    quantised("_contrib_quantized_elemwise_add", *parts, ends=ends, **calibrated).check(steps=1)


@pytest.mark.parametrize(
    "given",
    [{}, {"min_calib_range": -5.0, "max_calib_range": 6.0}, {"enable_float_output": True}],
    ids=str,
)
def test_multiplying(given: dict[str, object]) -> None:
    parts = [steps(at, 3, 8) for at in range(2)]

    asked = quantised(
        "_contrib_quantized_elemwise_mul", *parts, ends=(-3.0, 2.5, -1.0, 4.0), **given
    )
    asked.check(steps=1)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_normalising(dtype: str) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    stored = {f"x{at}": real(at, 4) for at in (1, 2, 3)}
    stored |= {"x4": np.abs(real(9, 4)) + 0.5, "x5": RANGE[0], "x6": RANGE[1]}
    normalised = mx.sym.contrib.quantized_batch_norm(
        *(mx.sym.var(f"x{at}") for at in range(7)),
        eps=1e-3,
        min_calib_range=-5.0,
        max_calib_range=6.0,
    )

    Network(normalised, {"x0": steps(7, 2, 4, 5, 5, dtype=dtype)}, stored).check(steps=1)


def test_rows_of_a_table() -> None:
    asked = quantised(
        "_contrib_quantized_embedding", np.array([[0, 3], [4, 1]], np.float32), steps(8, 5, 3),
        ends=(-3.0, 2.5), input_dim=5, output_dim=3,
    )  # fmt: skip
    asked.check()


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("no_bias", [False, True])
def test_dense_layers_in_32_bits(dtype: str, no_bias: bool) -> None:
    inputs = [steps(1, 4, 6, dtype=dtype), steps(2, 5, 6)]
    ends = (-3.0, 2.5, -1.0, 0.5)
    if not no_bias:
        inputs, ends = [*inputs, steps(3, 5)], (*ends, -0.2, 0.3)

    asked = quantised(
        "_contrib_quantized_fully_connected", *inputs, ends=ends, num_hidden=5, no_bias=no_bias
    )
    asked.check(steps=1)


def test_convolutions_in_32_bits() -> None:
    inputs = [steps(1, 2, 3, 8, 8, dtype="uint8"), steps(2, 4, 3, 3, 3)]

    asked = quantised(
        "_contrib_quantized_conv", *inputs, ends=(0.0, 2.5, -1.0, 0.5), kernel=(3, 3),
        num_filter=4, no_bias=True, pad=(1, 1), stride=(2, 2),
    )  # fmt: skip
    asked.check()


def residual(act: str = "relu", *, after: bool = True) -> mx.sym.Symbol:
    """Convolutions with all that MXNet fuses with them."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = mx.sym.var("data")

    def block(at: int, before: mx.sym.Symbol, *, bias: bool = False) -> mx.sym.Symbol:
        made = mx.sym.Convolution(
            before, name=f"conv{at}", kernel=(3, 3), num_filter=8, pad=(1, 1), no_bias=not bias
        )
        return mx.sym.BatchNorm(made, name=f"bn{at}", fix_gamma=False, eps=1e-3)

    stem = mx.sym.Activation(block(0, data, bias=True), act_type="relu", name="stem")
    one = mx.sym.Activation(block(1, stem), act_type=act, name="one")
    total = mx.sym.elemwise_add(block(2, one), stem, name="sum")
    if after:
        total = mx.sym.Activation(total, act_type="relu", name="after")
    mean = mx.sym.Pooling(total, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool")
    dense = mx.sym.FullyConnected(mx.sym.flatten(mean), num_hidden=16, name="dense0")
    tall = mx.sym.Activation(dense, act_type="relu", name="tall")
    return mx.sym.FullyConnected(tall, num_hidden=5, name="dense1")


def arrays(symbol: mx.sym.Symbol) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Arguments and states of a network of pictures of 8 by 8 in three colours."""
    shapes, _, states = symbol.infer_shape(data=(2, 3, 8, 8))
    drawn = {
        name: real(at, *shape) * 0.3 for at, (name, shape) in
        enumerate(zip(symbol.list_arguments(), shapes, strict=True)) if name != "data"
    }  # fmt: skip
    kept = {
        name: np.abs(real(at, *shape)) + 0.5 for at, (name, shape) in
        enumerate(zip(symbol.list_auxiliary_states(), states, strict=True))
    }  # fmt: skip
    return drawn, kept


@pytest.mark.parametrize("act", ["relu", "sigmoid", "tanh"])
def test_networks_that_mxnet_fused(act: str) -> None:
    plain = residual(act)
    drawn, kept = arrays(plain)

    fused = plain.get_backend_symbol("MKLDNN")

    assert any(node.endswith("_output") for node in fused.list_outputs())
    Network(fused, {"data": real(0, 2, 3, 8, 8)}, {**drawn, **kept}).check()


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("mode", ["naive", "none"])
@pytest.mark.parametrize("kind", ["auto", "int8"])
def test_networks_that_mxnet_quantised(mode: str, kind: str, after: bool) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    plain = residual(after=after)
    drawn, kept = arrays(plain)
    feed = real(0, 2, 3, 8, 8)
    symbol, made, states = mx.contrib.quantization.quantize_model_mkldnn(
        sym=plain, ctx=mx.cpu(), calib_mode=mode, quantized_dtype=kind, logger=None,
        arg_params={name: mx.nd.array(array) for name, array in drawn.items()},
        aux_params={name: mx.nd.array(array) for name, array in kept.items()},
        calib_data=None if mode == "none" else mx.io.NDArrayIter(feed, batch_size=2),
    )  # fmt: skip
    stored = {name: array.asnumpy() for name, array in {**made, **states}.items()}

    Network(symbol, {"data": feed}, stored).check()


@pytest.mark.parametrize("kind", ["auto", "int8"])
@pytest.mark.parametrize("rectified", [0, 1, 2])
def test_branches_joined_before_a_quantised_convolution(kind: str, rectified: int) -> None:
    """As in a U-Net, where what was rectified meets what was not."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = mx.sym.var("data")
    stem = convolution("stem", data)
    if rectified > 0:
        stem = mx.sym.Activation(stem, act_type="relu")
    below = convolution("below", mx.sym.Pooling(stem, kernel=(2, 2), stride=(2, 2)))
    if rectified > 1:
        below = mx.sym.Activation(below, act_type="relu")
    above = mx.sym.UpSampling(below, scale=2, sample_type="nearest")
    joined = mx.sym.Concat(stem, above, dim=1)
    plain = convolution("last", mx.sym.Activation(convolution("next", joined), act_type="relu"))
    drawn, _ = arrays(plain)
    feed = real(0, 2, 3, 8, 8)

    symbol, made, _ = mx.contrib.quantization.quantize_model_mkldnn(
        sym=plain, ctx=mx.cpu(), calib_mode="naive", quantized_dtype=kind, logger=None,
        arg_params={name: mx.nd.array(array) for name, array in drawn.items()}, aux_params={},
        calib_data=mx.io.NDArrayIter(feed, batch_size=2),
    )  # fmt: skip

    assert "_contrib_quantized_concat" in symbol.tojson()
    Network(symbol, {"data": feed}, {name: one.asnumpy() for name, one in made.items()}).check()


@pytest.mark.parametrize("act_type", ["sigmoid", "relu", "softsign"])
def test_the_largest_of_a_picture_quantised_again(act_type: str) -> None:
    """OpenVINO rounds it to a whole number first where it fuses the two."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    largest = mx.sym.Pooling(
        mx.sym.Activation(mx.sym.var("data"), act_type=act_type), global_pool=True, pool_type="max"
    )
    kept = {"min_calib_range": -1.0, "max_calib_range": 1.0}
    steps = mx.sym.contrib.quantize_v2(largest, out_type="int8", **kept)

    Network(steps, {"data": real(5, 2, 8, 6, 6) / 8}).check()


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_groups_share_a_scale_that_their_channels_are_not_read_by(groups: int) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    stem = mx.sym.Activation(convolution("stem", mx.sym.var("data")), act_type="relu")
    plain = mx.sym.Activation(convolution("grouped", stem, groups=groups), act_type="relu")
    drawn, _ = arrays(plain)
    feed = real(0, 2, 3, 8, 8)

    symbol, made, _ = mx.contrib.quantization.quantize_model_mkldnn(
        sym=plain, ctx=mx.cpu(), calib_mode="naive", quantized_dtype="auto", logger=None,
        arg_params={name: mx.nd.array(array) for name, array in drawn.items()}, aux_params={},
        calib_data=mx.io.NDArrayIter(feed, batch_size=2),
    )  # fmt: skip

    Network(symbol, {"data": feed}, {name: one.asnumpy() for name, one in made.items()}).check()


def convolution(name: str, data: mx.sym.Symbol, *, groups: int = 1) -> mx.sym.Symbol:
    """Eight channels of three by three."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    return mx.sym.Convolution(
        data, name=name, kernel=(3, 3), num_filter=8, num_group=groups, pad=(1, 1)
    )
