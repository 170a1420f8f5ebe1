"""Batch, layer, group, instance and response normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_TRAINING = ("momentum", "use_global_stats", "cudnn_off", "min_calib_range", "max_calib_range")


@OPS.lowers("BatchNorm", ignoring=_TRAINING)
def batch_norm(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    moving_mean: Value,
    moving_var: Value,
    *,
    eps: float = 1e-3,
    fix_gamma: bool = True,
    output_mean_var: bool = False,
    axis: int = 1,
) -> tuple[Value, ...]:
    """The moving statistics normalise; with ``fix_gamma`` gamma is one, whatever is stored.

    ``output_mean_var`` answers the mean and 1/sqrt(var + eps). Parameters of float16 data are
    float32.
    """
    if fix_gamma:
        gamma = op.const(
            np.ones([op.static(dim, "gamma") for dim in gamma.shape], beta.dtype.numpy)
        )
    if moving_var.constant is not None and np.any(moving_var.constant + np.float32(eps) < 0):
        op.scope.outermost.makes_nan = True
    wide = op.cast(data, gamma.dtype)
    if data.axis(axis) == 1:
        result = op.BatchNormalization(wide, gamma, beta, moving_mean, moving_var, epsilon=eps)
    else:
        statistics = (gamma, beta, moving_mean, moving_var)
        result = _normalized_on(op, wide, statistics, data.axis(axis), eps)
    result = op.cast(result, data.dtype)
    if not output_mean_var:
        return (result,)
    return result, moving_mean, op.Reciprocal(op.Sqrt(op.Add(moving_var, eps)))


@OPS.lowers("BatchNorm_v1", ignoring=_TRAINING)
def batch_norm_v1(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    moving_mean: Value,
    moving_var: Value,
    *,
    eps: float = 1e-3,
    fix_gamma: bool = True,
    output_mean_var: bool = False,
) -> tuple[Value, ...]:
    """As ``BatchNorm`` on axis 1."""
    return batch_norm(
        op, data, gamma, beta, moving_mean, moving_var, eps=eps, fix_gamma=fix_gamma,
        output_mean_var=output_mean_var,
    )  # fmt: skip


@OPS.lowers("_contrib_SyncBatchNorm", ignoring=(*_TRAINING, "ndev", "key"))
def sync_batch_norm(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    moving_mean: Value,
    moving_var: Value,
    *,
    eps: float = 1e-3,
    fix_gamma: bool = True,
    output_mean_var: bool = False,
) -> tuple[Value, ...]:
    """As ``BatchNorm`` on axis 1: devices have nothing to tell each other at inference."""
    return batch_norm(
        op, data, gamma, beta, moving_mean, moving_var, eps=eps, fix_gamma=fix_gamma,
        output_mean_var=output_mean_var,
    )  # fmt: skip


@OPS.lowers("_contrib_BatchNormWithReLU", ignoring=_TRAINING)
def batch_norm_with_relu(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    moving_mean: Value,
    moving_var: Value,
    *,
    eps: float = 1e-3,
    fix_gamma: bool = True,
    output_mean_var: bool = False,
    axis: int = 1,
) -> tuple[Value, ...]:
    """``BatchNorm`` and then ``relu``."""
    result, *statistics = batch_norm(
        op, data, gamma, beta, moving_mean, moving_var, eps=eps, fix_gamma=fix_gamma,
        output_mean_var=output_mean_var, axis=axis,
    )  # fmt: skip
    return op.Relu(result), *statistics


@OPS.lowers("LayerNorm")
def layer_norm(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    *,
    axis: int = -1,
    eps: float = 1e-5,
    output_mean_var: bool = False,
) -> tuple[Value, ...]:
    """``LayerNormalization`` on the last axis, a composition on others; std is sqrt(var + eps)."""
    at = data.axis(axis)
    if at == data.rank - 1 and not output_mean_var and data.dtype is not DType.FP64:
        op.equate(data.shape[at], gamma.shape[0], "gamma")
        return (op.LayerNormalization(data, gamma, beta, axis=-1, epsilon=eps),)
    normal, mean, deviation = standardized(op, data, [at], eps)
    scaled = op.Mul(normal, along(op, gamma, data.rank, at))
    result = op.Add(scaled, along(op, beta, data.rank, at))
    return (result, mean, deviation) if output_mean_var else (result,)


@OPS.lowers("GroupNorm")
def group_norm(
    op: Emit,
    data: Value,
    gamma: Value,
    beta: Value,
    *,
    num_groups: int = 1,
    eps: float = 1e-5,
    output_mean_var: bool = False,
) -> tuple[Value, ...]:
    """Gamma and beta are per group in MXNet 1.x and per channel in 2.0; their length tells."""
    batch, channels, *spatial = data.shape
    per_row = dims.product([channels, *spatial]) // num_groups
    grouped = op.reshape(data, (batch, num_groups, per_row))
    normal, mean, deviation = standardized(op, grouped, [2], eps)
    per_group = gamma.shape[0] == num_groups
    if not per_group:
        normal = op.reshape(normal, data.shape)
    scaled = op.Mul(normal, along(op, gamma, normal.rank, 1))
    result = op.reshape(op.Add(scaled, along(op, beta, normal.rank, 1)), data.shape)
    if not output_mean_var:
        return (result,)
    return result, op.squeeze(mean, 2), op.squeeze(deviation, 2)


@OPS.lowers("InstanceNorm")
def instance_norm(op: Emit, data: Value, gamma: Value, beta: Value, *, eps: float = 1e-3) -> Value:
    """``InstanceNormalization``; MXNet's eps is 1e-3."""
    if data.rank >= 3 and data.dtype is not DType.FP64:
        op.equate(data.shape[1], gamma.shape[0], "gamma")
        return op.InstanceNormalization(data, gamma, beta, epsilon=eps)
    normal, _, _ = standardized(op, data, list(range(2, data.rank)), eps)
    scaled = op.Mul(normal, along(op, gamma, data.rank, 1))
    return op.Add(scaled, along(op, beta, data.rank, 1))


@OPS.lowers("L2Normalization")
def l2_normalization(
    op: Emit,
    data: Value,
    *,
    eps: float = 1e-10,
    mode: Literal["instance", "channel", "spatial"] = "instance",
) -> Value:
    """Divides by sqrt(sum(x^2) + eps) over all but the batch, axis 1, or the axes behind it."""
    last = {"instance": data.rank, "channel": 2, "spatial": data.rank}[mode]
    axes = list(range(2 if mode == "spatial" else 1, last))
    square = op.Mul(data, data)
    total = op.ReduceSum(square, axes, keepdims=1) if axes else square
    return op.Div(data, op.Sqrt(op.Add(total, eps)))


@OPS.lowers("LRN")
def local_response_norm(
    op: Emit,
    data: Value,
    *,
    nsize: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    knorm: float = 2.0,
) -> Value:
    """``LRN``: both divide alpha by the size; MXNet's default bias is 2.

    An even size, which oneDNN takes, has the window of the odd one below it. OpenVINO cuts the
    fraction off a bias, which is therefore taken out: (k + s)^-b = k^-b (1 + s / k)^-b.
    """
    window = nsize - 1 + nsize % 2
    share = alpha * window / nsize
    pictures = op.unsqueeze(data, *range(data.rank, 4)) if data.rank < 4 else data
    if knorm.is_integer():
        normal = op.LRN(pictures, alpha=share, beta=beta, bias=knorm, size=window)
    else:
        unit = op.LRN(pictures, alpha=share / knorm, beta=beta, bias=1.0, size=window)
        normal = op.Mul(unit, knorm**-beta)
    return op.reshape(normal, data.shape)


@OPS.lowers("moments")
def moments(
    op: Emit, data: Value, *, axes: Dims | None = None, keepdims: bool = False
) -> tuple[Value, ...]:
    """Mean and (biased) variance, of shape (1,) over all axes even where there are scalars."""
    over = sorted({data.axis(axis) for axis in axes} if axes else range(data.rank))
    mean = op.ReduceMean(data, over, keepdims=1)
    centred = op.Sub(data, mean)
    variance = op.ReduceMean(op.Mul(centred, centred), over, keepdims=1)
    if keepdims:
        return mean, variance
    results = tuple(op.squeeze(value, *over) for value in (mean, variance))
    if results[0].rank:
        return results
    return tuple(op.reshape(value, (1,)) for value in results)


def standardized(
    op: Emit, data: Value, axes: Sequence[int], eps: float
) -> tuple[Value, Value, Value]:
    """Data of mean 0 and variance 1 over ``axes``, the mean, and sqrt(variance + eps)."""
    if not axes:
        zero = op.Sub(data, data)
        return zero, data, op.Add(zero, float(np.sqrt(eps)))
    mean = op.ReduceMean(data, list(axes), keepdims=1)
    centred = op.Sub(data, mean)
    variance = op.ReduceMean(op.Mul(centred, centred), list(axes), keepdims=1)
    deviation = op.Sqrt(op.Add(variance, eps))
    return op.Div(centred, deviation), mean, deviation


def along(op: Emit, vector: Value, rank: int, axis: int) -> Value:
    """A vector shaped so that it broadcasts along ``axis`` of a tensor of this rank."""
    if vector.rank != 1 or axis == rank - 1:
        return vector
    return op.unsqueeze(vector, *range(1, rank - axis))


def _normalized_on(
    op: Emit, data: Value, statistics: Sequence[Value], axis: int, eps: float
) -> Value:
    gamma, beta, mean, variance = statistics
    op.equate(data.shape[axis], gamma.shape[0], "gamma")
    scale = op.Div(gamma, op.Sqrt(op.Add(variance, eps)))
    offset = op.Sub(beta, op.Mul(mean, scale))
    scaled = op.Mul(data, along(op, scale, data.rank, axis))
    return op.Add(scaled, along(op, offset, data.rank, axis))
