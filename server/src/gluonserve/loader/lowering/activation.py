"""Activations, softmaxes, and the heads that are losses in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import UnsupportedModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable
from gluonserve.loader.lowering.unary import UNARY
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

RELU_OF_NAN = "Relu of NaN"
"""What a target lacks whose ``Relu`` makes 0 of NaN, as oneDNN's does in MXNet."""

_LOSS = ("grad_scale",)


@OPS.lowers("Activation")
def activation(
    op: Emit,
    data: Value,
    *,
    act_type: Literal["relu", "sigmoid", "softrelu", "softsign", "tanh", "log_sigmoid", "mish"],
) -> Value:
    """Relu of NaN is 0, as in MXNet's oneDNN; in ONNX Runtime only of NaN that parameters make.

    One ONNX operator each; softrelu is ``Softplus``.
    """
    if act_type == "relu":
        return _rectified(op, data)
    if act_type == "log_sigmoid":
        return op.Neg(_soft_relu(op, op.Neg(data)))
    if act_type == "mish":
        return op.Mul(data, op.Tanh(_soft_relu(op, data)))
    if act_type == "softrelu":
        return _soft_relu(op, data)
    names = {"softsign": "Softsign", "tanh": "Tanh"}
    return op.node(names.get(act_type, "Sigmoid"), data)[0]


def _rectified(op: Emit, data: Value) -> Value:
    """``relu``, but where stored statistics are known to make NaN an operator that drops it.

    That one costs ONNX Runtime a sixth of ResNet-50's time: it is not fused with convolutions.
    """
    stray = op.scope.outermost.makes_nan and op.target.has(RELU_OF_NAN)
    if stray and data.dtype is DType.FP32:
        return op.ThresholdedRelu(data, alpha=0.0)
    return UNARY["relu"](op, data)


@OPS.lowers("LeakyReLU")
def leaky_relu(
    op: Emit,
    data: Value,
    gamma: Value | None = None,
    *,
    act_type: Literal[
        "elu", "gelu", "leaky", "prelu", "rrelu", "selu", "gelu_erf", "gelu_tanh"
    ] = "leaky",
    slope: float = 0.25,
    lower_bound: float = 0.125,
    upper_bound: float = 0.334,
) -> Value | tuple[Value, Value]:
    """The slope of ``prelu`` lies along axis 1; ``rrelu`` takes the mean slope at inference.

    Its second output, the slopes that training drew, is unset in MXNet, and 0 here.
    """
    if act_type == "prelu" and gamma is not None:
        return op.PRelu(data, _slope(op, data, gamma))
    if act_type == "leaky":
        return op.LeakyRelu(data, alpha=slope)
    if act_type == "rrelu":
        leaky = op.LeakyRelu(data, alpha=(lower_bound + upper_bound) / 2)
        return leaky, op.filled(0.0, data.shape, data.dtype)
    if act_type == "elu":
        return op.Elu(data, alpha=slope)
    if act_type == "selu":
        return op.Selu(data)
    return _gelu_tanh(op, data) if act_type == "gelu_tanh" else gelu(op, data)


def gelu(op: Emit, data: Value) -> Value:
    """The erf form x * (1 + erf(x / sqrt(2))) / 2, in the order of operations that engines fuse."""
    tail = op.Add(UNARY["erf"](op, op.Div(data, float(np.sqrt(2)))), 1.0)
    return op.Mul(op.Mul(data, tail), 0.5)


def _gelu_tanh(op: Emit, data: Value) -> Value:
    cube = op.Mul(op.Mul(data, data), data)
    inner = op.Mul(op.Add(data, op.Mul(cube, 0.044715)), float(np.sqrt(2 / np.pi)))
    return op.Mul(op.Mul(data, op.Add(op.Tanh(inner), 1.0)), 0.5)


def _soft_relu(op: Emit, data: Value) -> Value:
    """``Softplus``; of float64 ONNX Runtime's overflows where the data is large."""
    if data.dtype is not DType.FP64:
        return op.Softplus(data)
    return op.Add(op.Relu(data), op.Log(op.Add(op.Exp(op.Neg(op.Abs(data))), 1.0)))


def _slope(op: Emit, data: Value, gamma: Value) -> Value:
    if gamma.rank not in (1, 2) or data.rank < 2 or gamma.shape == (1,):
        return gamma
    op.equate(data.shape[1], gamma.shape[-1], "gamma")
    return op.reshape(gamma, (*gamma.shape, *(1,) * (data.rank - 2)))


@OPS.lowers("hard_sigmoid")
def hard_sigmoid(op: Emit, data: Value, *, alpha: float = 0.2, beta: float = 0.5) -> Value:
    """``HardSigmoid``."""
    return op.HardSigmoid(data, alpha=alpha, beta=beta)


@OPS.lowers("softmax")
def softmax(
    op: Emit,
    data: Value,
    length: Value | None = None,
    *,
    axis: int = -1,
    temperature: float | None = None,
    dtype: Literal["float16", "float32", "float64"] | None = None,
    use_length: bool = False,
) -> Value:
    """Positions at and behind ``length`` are exactly 0, all of them where the length is 0."""
    data = _output(op, data, dtype)
    scaled = _tempered(op, data, temperature)
    if not use_length or length is None:
        return op.Softmax(scaled, axis=axis)
    at = data.axis(axis)
    steps = op.cast(op.Range(op.scalar(0), op.scalar(data.shape[at]), op.scalar(1)), DType.INT32)
    limit = op.unsqueeze(op.cast(length, DType.INT32), at)
    inside = op.Less(op.reshape(steps, (data.shape[at], *(1,) * (data.rank - at - 1))), limit)
    lowest = float(np.finfo(data.dtype.numpy).min)
    weights = op.Softmax(op.Where(inside, scaled, op.scalar(lowest, data.dtype)), axis=axis)
    return op.Where(inside, weights, op.scalar(0.0, data.dtype))


@OPS.lowers("log_softmax", ignoring=("use_length",))
def log_softmax(
    op: Emit,
    data: Value,
    *,
    axis: int = -1,
    temperature: float | None = None,
    dtype: Literal["float16", "float32", "float64"] | None = None,
) -> Value:
    """``LogSoftmax`` of x / temperature."""
    return op.LogSoftmax(_tempered(op, _output(op, data, dtype), temperature), axis=axis)


@OPS.lowers("softmin", ignoring=("use_length",))
def softmin(
    op: Emit,
    data: Value,
    *,
    axis: int = -1,
    temperature: float | None = None,
    dtype: Literal["float16", "float32", "float64"] | None = None,
) -> Value:
    """The softmax of -x / temperature."""
    scaled = _tempered(op, _output(op, data, dtype), temperature)
    return op.Softmax(op.Neg(scaled), axis=axis)


@OPS.lowers("SoftmaxActivation")
def softmax_activation(
    op: Emit, data: Value, *, mode: Literal["instance", "channel"] = "instance"
) -> Value:
    """Over the last axis (not the whole sample), or over axis 1."""
    return op.Softmax(data, axis=1 if mode == "channel" else -1)


@OPS.lowers(
    "SoftmaxOutput",
    ignoring=(
        "grad_scale", "ignore_label", "use_ignore", "normalization", "out_grad", "smooth_alpha",
    ),
    without=("label",),
)  # fmt: skip
def softmax_output(
    op: Emit,
    data: Value,
    label: Value | None = None,
    *,
    multi_output: bool = False,
    preserve_shape: bool = False,
) -> Value:
    """Over axis 1, over the last axis, or over all but the batch, taken as one.

    MXNet's oneDNN, to which float32 of ranks 1 and 4 goes, takes the last axis in place of all.
    """
    if multi_output:
        return op.Softmax(data, axis=1)
    single = data.dtype is DType.FP32
    if preserve_shape or data.rank == 2 or (data.rank in (1, 4) and single):
        return op.Softmax(data, axis=-1)
    rows = op.reshape(data, (data.shape[0], dims.product(data.shape[1:])))
    return op.reshape(op.Softmax(rows, axis=-1), data.shape)


@OPS.lowers("LinearRegressionOutput", "MAERegressionOutput", ignoring=_LOSS, without=("label",))
def regression_output(op: Emit, data: Value, label: Value | None = None) -> Value:
    """The prediction itself."""
    return data


@OPS.lowers(
    "SVMOutput", ignoring=("margin", "regularization_coefficient", "use_linear"), without=("label",)
)
def svm_output(op: Emit, data: Value, label: Value | None = None) -> Value:
    """The prediction itself."""
    return data


@OPS.lowers("LogisticRegressionOutput", ignoring=_LOSS, without=("label",))
def logistic_regression_output(op: Emit, data: Value, label: Value | None = None) -> Value:
    """The sigmoid of the prediction."""
    return op.Sigmoid(data)


@OPS.lowers("MakeLoss", ignoring=("grad_scale", "valid_thresh", "normalization"))
def make_loss(op: Emit, data: Value) -> Value:
    """The data itself: only training scales it."""
    return data


@OPS.lowers("make_loss")
def make_loss_plain(op: Emit, data: Value) -> Value:
    """The data itself."""
    return data


@OPS.lowers(
    "IdentityAttachKLSparseReg",
    ignoring=("sparseness_target", "penalty", "momentum"),
    without=("moving_avg",),
)
def identity_with_sparsity(op: Emit, data: Value, moving_avg: Value | None = None) -> Value:
    """The data itself: the penalty has only a gradient."""
    return data


@OPS.lowers("softmax_cross_entropy")
def softmax_cross_entropy(op: Emit, data: Value, label: Value) -> Value:
    """The sum over rows of -log(softmax) at the label, of shape (1,)."""
    logs = op.LogSoftmax(data, axis=-1)
    picked = op.GatherElements(logs, op.unsqueeze(op.cast(label, DType.INT64), 1), axis=1)
    return op.reshape(op.Neg(op.ReduceSum(picked, keepdims=0)), (1,))


@OPS.lowers("Dropout", ignoring=("p", "axes", "cudnn_off"))
def dropout(op: Emit, data: Value, *, mode: Literal["always", "training"] = "training") -> Value:
    """Nothing at inference."""
    if mode == "always":
        raise UnsupportedModel("mode='always' drops at random at inference too")
    return data


def _tempered(op: Emit, data: Value, temperature: float | None) -> Value:
    return data if temperature in (None, 1.0) else op.Div(data, temperature)


def _output(op: Emit, value: Value, dtype: str | None) -> Value:
    return value if dtype is None else op.cast(value, DType.of(np.dtype(dtype)))
