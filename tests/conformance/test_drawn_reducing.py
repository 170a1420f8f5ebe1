"""Reductions, extremes and orders, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import ANY, FLOATS, INTEGERS, MILD, NO_NUMBERS, WIDER, Asked
from holding import holds

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing import Drawing

pytestmark = pytest.mark.mxnet

SMALL = (0, 1, 2, -1, 3)
INDEX_TYPES = ("float32", "int32", "float64", "int64", "uint8", "float16")


def over(d: Drawing, rank: int) -> dict[str, object]:
    """Axes, or all but them, kept or not."""
    given: dict[str, object] = {}
    axes = d.axes(rank)
    if axes or d.flag():
        given["axis"] = axes[0] if len(axes) == 1 and d.flag() else axes
        if d.number(0, 3) == 0:
            given["exclude"] = True
    if d.flag():
        given["keepdims"] = d.flag()
    return given


def reduction(op: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        kind = d.of([*FLOATS, "int32", "int64"])
        if op in ("max", "min"):
            values, shape = ANY, d.shape(1, low=1)
        else:
            values = (*MILD, *(NO_NUMBERS[:1] if op == "nansum" else NO_NUMBERS))
            values = values if kind in FLOATS else SMALL  # in nansum, see norm
            shape = d.shape(1, low=int(op == "mean"))
        return Asked(
            op, {"data": d.array(shape, kind, values)}, over(d, len(shape)), np_shape=d.np_shape
        )

    return drawn


def norm(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    given: dict[str, object] = {}
    if d.flag():
        given["axis"] = d.axes(len(shape), 1, min(2, len(shape)))
    if d.flag():
        given["ord"] = d.number(1, 2)
    if d.flag():
        given["keepdims"] = d.flag()
    data = d.array(shape, d.of(WIDER), (*MILD, np.nan))  # behind an infinity its sums are NaN
    return Asked("norm", {"data": data}, given, np_shape=d.np_shape)


def extreme(op: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        shape = d.shape(1, low=1)
        given: dict[str, object] = {"axis": d.axis(len(shape))} if d.flag() else {}
        if d.flag():
            given["keepdims"] = d.flag()
        odd = d.of([NO_NUMBERS[:1], NO_NUMBERS[1:]])  # NaN as such, or as the farthest infinity
        data = d.array(shape, d.of(WIDER), (*MILD, *odd))
        return Asked(op, {"data": data}, given, np_shape=d.np_shape)

    return drawn


def argmax_channel(d: Drawing) -> Asked:
    data = d.array(d.shape(2, 2, low=1), d.of(WIDER), MILD)
    return Asked("argmax_channel", {"data": data}, np_shape=d.np_shape)


def ordered(d: Drawing, op: str) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Numbers in some order, with equals; where NaN comes MXNet leaves to its sort."""
    shape = d.shape(1, 4, low=1)
    kind = d.of(["float32", "float32", "float64", *INTEGERS])
    given: dict[str, object] = {"axis": d.axis(len(shape))} if d.flag() else {}
    if not given and d.number(0, 2) == 0:
        given["axis"] = None
    if d.flag():
        given["is_ascend"] = d.flag()
    return {"data": d.array(shape, kind, (*MILD, np.inf, -np.inf))}, given


def topk(d: Drawing) -> Asked:
    inputs, given = ordered(d, "topk")
    shape, axis = inputs["data"].shape, given.get("axis", -1)
    longest = inputs["data"].size if axis is None else shape[int(str(axis))]
    if d.flag():
        given["k"] = d.number(0, longest)
    kind = d.of(["indices", "value", "both", "mask", "indices"])
    given["ret_typ"] = kind
    if kind in ("indices", "both") and d.flag():
        given["dtype"] = d.of(INDEX_TYPES)
    if kind in ("both", "mask"):  # which of equals are taken shows
        kinds = inputs["data"].dtype.name
        inputs["data"] = d.apart(shape, kinds)
    return Asked("topk", inputs, given, outputs=1 + (kind == "both"), np_shape=d.np_shape)


def argsort(d: Drawing) -> Asked:
    inputs, given = ordered(d, "argsort")
    if d.flag():
        given["dtype"] = d.of(INDEX_TYPES)
    return Asked("argsort", inputs, given, np_shape=d.np_shape)


def sort(d: Drawing) -> Asked:
    inputs, given = ordered(d, "sort")
    return Asked("sort", inputs, given, np_shape=d.np_shape)


TABLE = {
    **{op: reduction(op) for op in ("sum", "mean", "prod", "nansum", "nanprod", "max", "min")},
    "norm": norm,
    "argmax": extreme("argmax"),
    "argmin": extreme("argmin"),
    "argmax_channel": argmax_channel,
    "topk": topk,
    "argsort": argsort,
    "sort": sort,
}
PLANE = {"data": np.arange(6, dtype=np.float32).reshape(2, 3)}
PINNED = {
    op: [Asked(op, PLANE, np_shape=numpy) for numpy in (False, True)]
    for op in ("sum", "mean", "prod", "max", "min", "norm", "argmax", "argmin")
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
