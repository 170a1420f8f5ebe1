"""Weights in int8, quantised at import as MXNet quantises them when it first runs an operator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import UnsupportedModel
from gluonserve.loader.lowering.quantization import LEVELS, SMALLEST_UNIT
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

_TOP = LEVELS[DType.INT8]
_BIAS_TOP = 2.0**30
"""MXNet keeps biases below half of what 32 bits hold."""
_SLICE = 1 << 16
"""So many weights are quantised at once."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Steps of int8 with what they are worth, per output channel or (one element) altogether."""

    steps: np.ndarray
    units: np.ndarray
    low: float
    high: float

    @property
    def magnitude(self) -> np.ndarray:
        """The largest magnitude, of shape (1,)."""
        return np.array([max(abs(self.low), abs(self.high))], np.float32)


def constant(value: Value, what: str) -> np.ndarray:
    """The elements of what must be known at import.

    Raises:
        UnsupportedModel: the network computes them.
    """
    if value.constant is None:
        raise UnsupportedModel(f"{what} that the network computes cannot be quantised at import")
    return value.constant


def per_channel(
    op: Emit, weight: np.ndarray, bias: np.ndarray | None, data_unit: Value, *, groups: int = 1
) -> Weights:
    """Each channel by its own largest magnitude, held so that the bias fits into 32 bits.

    MXNet's channels of one group are all quantised by the scale that has the group's number, and
    read by their own.
    """
    if op.sketching:
        return _sketched(weight, len(weight))
    rows = weight.reshape(len(weight), -1)
    top, bottom = rows.max(axis=1, initial=0), rows.min(axis=1, initial=0)
    scales = _scales(np.maximum(top, -bottom).astype(np.float32))
    if bias is not None and data_unit.constant is not None:
        magnitudes = np.abs(bias.astype(np.float32))
        with np.errstate(divide="ignore"):
            most = np.float32(_BIAS_TOP) / magnitudes * data_unit.constant
        scales = np.minimum(scales, most).astype(np.float32)
    taken = scales if groups == 1 else np.repeat(scales[:groups], len(scales) // groups)
    return replace(_stepped(weight, taken), units=_units(scales))


def together(op: Emit, weight: np.ndarray) -> Weights:
    """All channels by the largest magnitude of any."""
    if op.sketching:
        return _sketched(weight, 1)
    top = np.maximum(weight.max(initial=0), -weight.min(initial=0))
    return _stepped(weight, _scales(np.array([top], np.float32)))


def bias_steps(op: Emit, bias: np.ndarray, weights: Weights, data_unit: Value) -> Value:
    """A bias in 32 bits, in units of the products of data and weights."""
    if data_unit.constant is None:
        worth = op.Mul(data_unit, op.const(weights.units))
        return op.cast(op.Round(op.Div(op.const(bias.astype(np.float32)), worth)), DType.INT32)
    scaled = bias.astype(np.float64) / (weights.units.astype(np.float64) * data_unit.constant)
    return op.const(np.clip(np.rint(scaled), -(2.0**31), 2.0**31 - 1).astype(np.int32))


def stored(steps: np.ndarray, low: float, high: float) -> Weights:
    """Weights that the export holds in int8."""
    scale = _scales(np.array([max(abs(low), abs(high))], np.float32))
    return Weights(steps, (1 / scale).astype(np.float32), low, high)


def stored_bias(
    bias: np.ndarray, ends: tuple[float, float], weights: Weights, data_unit: float
) -> tuple[np.ndarray, Weights]:
    """An int8 bias in 32 bits; where it would not fit the weights become smaller, as in MXNet."""
    magnitude = np.float32(max(abs(end) for end in ends))
    scale = _scales(magnitude.reshape(1))
    factor = np.float32(1) / data_unit / weights.units / scale
    most = np.float32((2**31 - 1) // 2) / magnitude / scale if magnitude else factor
    if factor > most:
        shrunk = (most / factor).astype(np.float32)
        factor = most
        steps = _away(weights.steps * shrunk).astype(np.int8)
        weights = Weights(steps, weights.units / shrunk, weights.low, weights.high)
    return _away(bias.astype(np.float32) * factor).astype(np.int32), weights


def _sketched(weight: np.ndarray, units: int) -> Weights:
    """Of the right shapes and types, where only those are wanted."""
    steps = np.broadcast_to(np.int8(1), weight.shape)
    return Weights(steps, np.ones(units, np.float32), -1.0, 1.0)


def _stepped(weight: np.ndarray, scales: np.ndarray) -> Weights:
    """In slices: what they leave behind stays small beside the weights."""
    steps = np.empty(weight.shape, np.int8)
    wide = np.broadcast_to(scales, len(weight)).reshape(-1, *(1,) * (weight.ndim - 1))
    count = max(1, _SLICE * len(weight) // max(1, weight.size))
    for first in range(0, len(weight), count):
        part = slice(first, first + count)
        scaled = weight[part].astype(np.float32) * wide[part]
        np.rint(scaled, out=scaled)
        steps[part] = np.clip(scaled, -128, 127, out=scaled).astype(np.int8)
    return Weights(
        steps, _units(scales), float(weight.min(initial=0)), float(weight.max(initial=0))
    )


def _units(scales: np.ndarray) -> np.ndarray:
    return np.asarray(np.float32(1) / scales, np.float32)


def _scales(magnitudes: np.ndarray) -> np.ndarray:
    """Steps per number; the largest there is for zeros."""
    with np.errstate(divide="ignore"):
        scales = np.float32(_TOP) / magnitudes.astype(np.float32)
    return np.where(magnitudes > 0, scales, np.float32(1 / SMALLEST_UNIT)).astype(np.float32)


def _away(numbers: np.ndarray) -> np.ndarray:
    """To the nearest integer, halves away from zero."""
    return np.asarray(np.trunc(numbers + np.copysign(np.float32(0.5), numbers)))
