"""Functions that ONNX lacks, by published approximations: gamma, its logarithm, erf's inverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_LANCZOS_SHIFT = 7.0
_LANCZOS = (
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7,
)
"""Lanczos's series with g = 7 and nine terms, of which the first is 1 (P. Godfrey, 2001)."""
_WHOLE = -1e17
"""Below it every number is whole, and so a pole."""
_CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


@OPS.lowers("gammaln")
def gammaln(op: Emit, data: Value) -> Value:
    """Lanczos's approximation (SIAM J. Numer. Anal. B 1, 1964); below 1/2 by reflection."""
    return op.cast(log_gamma(op, op.cast(data, DType.FP64)), data.dtype)


@OPS.lowers("gamma")
def gamma(op: Emit, data: Value) -> Value:
    """As ``gammaln``, its exponential with the sign of the reflection; not a number at poles."""
    wide = op.cast(data, DType.FP64)
    root = op.Exp(op.Mul(log_gamma(op, wide), 0.5))  # OpenVINO's Exp gives up before the largest
    magnitude = op.Mul(root, root)
    whole = op.Floor(wide)
    odd = op.Greater(op.Sub(whole, op.Mul(op.Floor(op.Mul(whole, 0.5)), 2.0)), 0.5)
    negative = op.And(op.Less(wide, 0.0), odd)
    signed = op.Where(negative, op.Neg(magnitude), magnitude)
    signed = op.Where(op.Equal(wide, 0.0), op.Reciprocal(wide), signed)
    pole = op.And(op.Less(wide, 0.0), op.Equal(wide, whole))
    nowhere = op.Or(pole, op.IsNaN(wide))
    return op.cast(op.Where(nowhere, op.scalar(np.nan, DType.FP64), signed), data.dtype)


@OPS.lowers("erfinv")
def erfinv(op: Emit, data: Value) -> Value:
    """Giles's two polynomials (GPU Computing Gems, 2011); not a number beyond -1 and 1."""
    x = op.cast(data, DType.FP32) if data.dtype is DType.FP16 or not data.is_float else data
    weight = op.Neg(op.Log(op.Mul(op.Sub(1, x), op.Add(1, x))))
    near = op.Less(weight, 5.0)
    bounded = op.Where(near, weight, op.scalar(5.0, x.dtype))
    far = op.Where(near, op.scalar(5.0, x.dtype), weight)
    centre = _polynomial(op, op.Sub(bounded, 2.5), _CENTRE)
    tail = _polynomial(op, op.Sub(op.Sqrt(far), 3.0), _TAIL)
    result = op.Mul(op.Where(near, centre, tail), x)
    size = op.Abs(x)
    infinite = op.Mul(x, op.scalar(np.inf, x.dtype))
    result = op.Where(op.Equal(size, 1.0), infinite, result)
    outside = op.Not(op.LessOrEqual(size, 1.0))
    return op.cast(op.Where(outside, op.scalar(np.nan, x.dtype), result), data.dtype)


def log_gamma(op: Emit, x: Value) -> Value:
    """The logarithm of gamma's magnitude; infinite at its poles."""
    x = op.Where(op.Less(x, _WHOLE), op.scalar(_WHOLE, x.dtype), x)
    reflected = op.Less(x, 0.5)
    up = op.Where(reflected, op.Sub(1, x), x)
    series = op.scalar(1.0, x.dtype)
    for term, factor in enumerate(_LANCZOS):
        series = op.Add(series, op.Div(op.scalar(factor, x.dtype), op.Add(up, float(term))))
    base = op.Log(op.Add(up, _LANCZOS_SHIFT - 0.5))
    power = op.Mul(op.Sub(up, 0.5), op.Sub(base, 1.0))
    direct = op.Add(op.Add(power, op.Log(series)), float(0.5 * np.log(2 * np.pi)) - _LANCZOS_SHIFT)
    within = op.Where(reflected, x, op.scalar(0.5, x.dtype))
    turn = op.Sub(within, op.Round(within))
    sine = op.Abs(op.Sin(op.Mul(turn, float(np.pi))))
    mirrored = op.Sub(op.Sub(float(np.log(np.pi)), op.Log(sine)), direct)
    return op.Where(reflected, mirrored, direct)


def _polynomial(op: Emit, at: Value, factors: Sequence[float]) -> Value:
    """Horner's scheme, the highest power first."""
    total = op.scalar(factors[0], at.dtype)
    for factor in factors[1:]:
        total = op.Add(op.Mul(total, at), factor)
    return total
