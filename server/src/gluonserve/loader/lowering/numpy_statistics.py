"""Percentiles, differences and borders of the numpy interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.elementwise import BINARY
from gluonserve.loader.lowering.numpy_reducing import all_, count_of, over
from gluonserve.loader.lowering.reducing import reduced, sorted_along
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims, DimsList
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_npi_percentile")
def percentile(
    op: Emit,
    a: Value,
    q: Value | None = None,
    *,
    axis: Dims | None = None,
    interpolation: Literal["higher", "linear", "lower", "midpoint", "nearest"] = "linear",
    keepdims: bool = False,
    q_scalar: float | None = None,
) -> Value:
    """Between the nearest elements in order; halves of places go up. Several ``q`` come first."""
    axes = over(a, axis)
    rest = [at for at in range(a.rank) if at not in axes]
    count = count_of(a, axes)
    kind = DType.FP64 if a.dtype is DType.FP64 else DType.FP32
    turned = op.cast(op.transpose(a, [*rest, *axes]), kind)
    outer = tuple(a.shape[at] for at in rest)
    flat = op.reshape(turned, (*outer, count))
    ordered, _ = sorted_along(op, flat, len(rest), count, ascending=True)
    percents = op.const(np.array(q_scalar)) if q is None else op.cast(q, DType.FP64)
    place = op.Div(op.Mul(percents, op.scalar(count - 1, DType.FP64)), 100.0)
    result = _between(op, ordered, place, interpolation)
    kept = tuple(1 if at in axes else dim for at, dim in enumerate(a.shape)) if keepdims else outer
    if place.rank:
        result = op.transpose(result, (len(rest), *range(len(rest))))
    return op.reshape(result, (*place.shape, *kept))


def _between(op: Emit, ordered: Value, place: Value, interpolation: str) -> Value:
    """Elements of the last axis at places between them."""

    def at(where: Value) -> Value:
        return op.Gather(ordered, op.cast(where, DType.INT64), axis=ordered.rank - 1)

    if interpolation == "nearest":
        return at(op.Floor(op.Add(place, 0.5)))
    low, high = op.Floor(place), op.Ceil(place)
    if interpolation in ("lower", "higher"):
        return at(low if interpolation == "lower" else high)
    share = op.Sub(place, low) if interpolation == "linear" else op.scalar(0.5, DType.FP64)
    below, above = at(low), at(high)
    return op.Add(below, op.Mul(op.Sub(above, below), op.cast(share, ordered.dtype)))


@OPS.lowers("_npi_diff")
def diff(op: Emit, a: Value, *, n: int = 1, axis: int = -1) -> Value:
    """What each element adds to the one before, ``n`` times over."""
    at = a.axis(axis)
    for _ in range(n):
        if a.shape[at] == 0:
            return a
        a = BINARY["sub"](op, op.slice(a, at, 1, None), op.slice(a, at, 0, -1))
    return a


@OPS.lowers("_npi_ediff1d")
def ediff1d(
    op: Emit,
    input1: Value,
    *more: Value,
    to_begin_arr_given: bool = False,
    to_end_arr_given: bool = False,
    to_begin_scalar: float | None = None,
    to_end_scalar: float | None = None,
) -> Value:
    """Differences of the flattened tensor, with what is to stand before and behind them."""
    if len(more) != to_begin_arr_given + to_end_arr_given:
        raise InvalidModel(f"{len(more)} tensors to join to the differences")
    ends = iter(more)
    kind = input1.dtype

    def end(given: bool, number: float | None) -> list[Value]:
        value = next(ends) if given else None if number is None else op.scalar(number, kind)
        return [] if value is None else [op.reshape(op.cast(value, kind), (_size(value),))]

    before = end(to_begin_arr_given, to_begin_scalar)
    behind = end(to_end_arr_given, to_end_scalar)
    between = diff(op, op.reshape(input1, (_size(input1),)))
    parts = [*before, between, *behind]
    return between if len(parts) == 1 else op.Concat(*parts, axis=0)


def _size(value: Value) -> dims.Dim:
    return dims.product(value.shape)


@OPS.lowers("_npi_pad")
def pad(
    op: Emit,
    data: Value,
    *,
    pad_width: DimsList,
    mode: Literal["constant", "edge", "maximum", "minimum", "reflect", "symmetric"] = "constant",
    constant_value: float = 0.0,
    reflect_type: Literal["even"] = "even",
) -> Value:
    """``Pad``; mirrored borders gather axis by axis, extremes of an axis are joined to it."""
    if len(pad_width) != data.rank:
        raise InvalidModel(f"pad_width {pad_width} on data of {data.rank} dimensions")
    if mode in ("constant", "edge"):
        pads = [pair[side] for side in (0, 1) for pair in pad_width]
        fill = op.scalar(constant_value, data.dtype) if mode == "constant" else None
        return op.Pad(data, pads, fill, mode=mode)
    for axis, (ahead, behind) in enumerate(pad_width):
        if not ahead and not behind:
            continue
        if mode in ("reflect", "symmetric"):
            size = op.static(data.shape[axis], f"an axis to pad ({mode})")
            places = np.pad(np.arange(size), (ahead, behind), mode)
            op.couple(data.shape[axis])
            data = op.Gather(data, op.const(places), axis=axis)
        else:
            data = _bordered(op, data, axis, ahead, behind, "Max" if mode == "maximum" else "Min")
    return data


def _bordered(op: Emit, data: Value, axis: int, ahead: int, behind: int, extreme: str) -> Value:
    most = reduced(op, f"Reduce{extreme}", data, [axis], keep=True)
    parts = [
        op.expand(most, (*data.shape[:axis], width, *data.shape[axis + 1 :])) if width else None
        for width in (ahead, behind)
    ]
    joined = [part for part in (parts[0], data, parts[1]) if part is not None]
    return op.Concat(*joined, axis=axis)


@OPS.lowers("_npx_constraint_check", ignoring=("msg",))
def constraint_check(op: Emit, input: Value) -> Value:
    """Whether it holds everywhere; MXNet raises where it does not."""
    return all_(op, input)
