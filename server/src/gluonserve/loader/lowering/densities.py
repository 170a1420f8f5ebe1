"""Densities of distributions at given samples, one set of parameters for each row of them.

Samples have the shape of the parameters with any axes behind. As in MXNet nobody checks that a
sample can occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.loader.lowering.special import log_gamma
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_random_pdf_uniform")
def uniform(op: Emit, sample: Value, low: Value, high: Value, *, is_log: bool = False) -> Value:
    """One over the range, whether the sample lies in it or not."""
    _, (begin, end) = _wide(op, sample, low, high)
    logs = op.Neg(op.Log(op.Sub(end, begin)))
    return _answer(op, op.expand(logs, sample.shape), sample.dtype, is_log)


@OPS.lowers("_random_pdf_normal")
def normal(op: Emit, sample: Value, mu: Value, sigma: Value, *, is_log: bool = False) -> Value:
    """Gauss's bell."""
    x, (mean, spread) = _wide(op, sample, mu, sigma)
    away = op.Div(op.Sub(x, mean), spread)
    norm = op.Log(op.Mul(spread, float(np.sqrt(2 * np.pi))))
    return _answer(op, op.Sub(op.Mul(op.Mul(away, away), -0.5), norm), sample.dtype, is_log)


@OPS.lowers("_random_pdf_gamma")
def gamma(op: Emit, sample: Value, alpha: Value, beta: Value, *, is_log: bool = False) -> Value:
    """``beta`` is the rate."""
    x, (shape, rate) = _wide(op, sample, alpha, beta)
    norm = op.Sub(op.Mul(shape, op.Log(rate)), log_gamma(op, shape))
    powers = op.Mul(op.Sub(shape, 1.0), op.Log(x))
    return _answer(op, op.Add(op.Sub(powers, op.Mul(rate, x)), norm), sample.dtype, is_log)


@OPS.lowers("_random_pdf_exponential")
def exponential(op: Emit, sample: Value, lam: Value, *, is_log: bool = False) -> Value:
    """``lam`` is the rate."""
    x, (rate,) = _wide(op, sample, lam)
    return _answer(op, op.Sub(op.Log(rate), op.Mul(rate, x)), sample.dtype, is_log)


@OPS.lowers("_random_pdf_poisson")
def poisson(op: Emit, sample: Value, lam: Value, *, is_log: bool = False) -> Value:
    """Also between whole numbers, by the gamma function."""
    x, (rate,) = _wide(op, sample, lam)
    logs = op.Sub(op.Mul(x, op.Log(rate)), log_gamma(op, op.Add(x, 1.0)))
    return _answer(op, op.Sub(logs, rate), sample.dtype, is_log)


@OPS.lowers("_random_pdf_negative_binomial")
def negative_binomial(
    op: Emit, sample: Value, k: Value, p: Value, *, is_log: bool = False
) -> Value:
    """``p`` is the probability of a failure."""
    x, (limit, failing) = _wide(op, sample, k, p)
    return _answer(op, _failures(op, x, limit, failing), sample.dtype, is_log)


@OPS.lowers("_random_pdf_generalized_negative_binomial")
def generalized_negative_binomial(
    op: Emit, sample: Value, mu: Value, alpha: Value, *, is_log: bool = False
) -> Value:
    """The same by mean and dispersion."""
    x, (mean, spread) = _wide(op, sample, mu, alpha)
    failing = op.Reciprocal(op.Add(op.Mul(mean, spread), 1.0))
    return _answer(op, _failures(op, x, op.Reciprocal(spread), failing), sample.dtype, is_log)


@OPS.lowers("_random_pdf_dirichlet")
def dirichlet(op: Emit, sample: Value, alpha: Value, *, is_log: bool = False) -> Value:
    """Over the last axis."""
    x, weights = op.cast(sample, DType.FP64), op.cast(alpha, DType.FP64)
    norm = op.Sub(
        log_gamma(op, op.ReduceSum(weights, [-1], keepdims=0)),
        op.ReduceSum(log_gamma(op, weights), [-1], keepdims=0),
    )
    between = sample.rank - alpha.rank
    spread = op.unsqueeze(weights, *range(alpha.rank - 1, alpha.rank - 1 + between))
    powers = op.ReduceSum(op.Mul(op.Sub(spread, 1.0), op.Log(x)), [-1], keepdims=0)
    norm = op.unsqueeze(norm, *range(alpha.rank - 1, alpha.rank - 1 + between))
    return _answer(op, op.Add(powers, norm), sample.dtype, is_log)


def _failures(op: Emit, x: Value, limit: Value, failing: Value) -> Value:
    ways = op.Sub(
        op.Sub(log_gamma(op, op.Add(x, limit)), log_gamma(op, op.Add(x, 1.0))),
        log_gamma(op, limit),
    )
    chances = op.Add(op.Mul(limit, op.Log(failing)), op.Mul(x, op.Log(op.Sub(1, failing))))
    return op.Add(ways, chances)


def _wide(op: Emit, sample: Value, *parameters: Value) -> tuple[Value, list[Value]]:
    """In float64, where engines have it, the parameters with axes of one behind."""
    behind = range(parameters[0].rank, sample.rank)
    for parameter in parameters:
        for one, other in zip(parameter.shape, sample.shape, strict=False):
            op.equate(one, other, f"samples {sample.shape} of parameters {parameter.shape}")
    wide = [op.unsqueeze(op.cast(parameter, DType.FP64), *behind) for parameter in parameters]
    return op.cast(sample, DType.FP64), wide


def _answer(op: Emit, logs: Value, dtype: DType, is_log: bool) -> Value:
    return op.cast(logs if is_log else op.Exp(logs), dtype)
