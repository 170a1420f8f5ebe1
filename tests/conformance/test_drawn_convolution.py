"""Convolutions and products of matrices, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from drawing import MILD, WIDER, Asked
from holding import holds

if TYPE_CHECKING:
    from drawing import Drawing

pytestmark = pytest.mark.mxnet


def windows(d: Drawing, rank: int, *, spread: bool = True) -> dict[str, object]:
    """A kernel with steps, spreads and padding, all or some of them given."""
    given: dict[str, object] = {"kernel": tuple(d.number(1, 3) for _ in range(rank))}
    if d.flag():
        given["stride"] = tuple(d.number(1, 3) for _ in range(rank))
    if spread and d.flag():
        given["dilate"] = tuple(d.number(1, 2) for _ in range(rank))
    if d.flag():
        given["pad"] = tuple(d.number(0, 2) for _ in range(rank))
    return given


def convolution(d: Drawing, op: str = "Convolution") -> Asked:
    rank = d.number(2 if op.endswith("v1") else 1, 2 if op.endswith("v1") else 3)
    given = windows(d, rank)
    groups, inner, outer = d.of([1, 1, 2]), d.number(1, 3), d.number(1, 3)
    kernel = given["kernel"]
    size = tuple(d.number(5, 7 if rank < 3 else 5) for _ in range(rank))
    inputs = {
        "data": d.array((d.number(1, 3), inner * groups, *size), "float32", MILD),
        "weight": d.normal((outer * groups, inner, *kernel)),
    }
    if d.flag():
        given["no_bias"] = True
    else:
        inputs["bias"] = d.normal((outer * groups,))
    if groups > 1 or d.flag():
        given["num_group"] = groups
    if d.flag():
        given["layout"] = ["NCW", "NCHW", "NCDHW"][rank - 1]
    stored = ("weight", "bias") if d.flag() else ()
    return Asked(op, inputs, {**given, "num_filter": outer * groups}, stored, np_shape=d.np_shape)


def deconvolution(d: Drawing) -> Asked:
    rank = d.number(1, 2)
    given = windows(d, rank)
    groups, inner, outer = d.of([1, 1, 2]), d.number(1, 3), d.number(1, 3)
    kernel = given["kernel"]
    spread = given.get("dilate", (1,) * rank)
    pads = given.get("pad", (0,) * rank)
    steps = given.get("stride", (1,) * rank)
    if d.flag():
        given["adj"] = tuple(d.number(0, step - 1) for step in steps)
    size = tuple(d.number(2, 4) for _ in range(rank))
    given["pad"] = tuple(  # so that something is left
        min(pad, (k - 1) * by, ((length - 1) * step + (k - 1) * by) // 2)
        for pad, k, by, length, step in zip(pads, kernel, spread, size, steps, strict=True)
    )
    inputs = {
        "data": d.array((d.number(1, 3), inner * groups, *size), "float32", MILD),
        "weight": d.normal((inner * groups, outer, *kernel)),
    }
    if d.flag():
        inputs["bias"] = d.normal((outer * groups,))
        given["no_bias"] = False
    attributes = {**given, "num_filter": outer * groups, "num_group": groups}
    stored = ("weight", "bias") if d.flag() else ()
    return Asked("Deconvolution", inputs, attributes, stored, np_shape=d.np_shape)


def fully_connected(d: Drawing) -> Asked:
    shape, kind, hidden = d.shape(2, low=1), d.of(WIDER), d.number(1, 4)
    flat = d.flag()
    width = 1
    for size in shape[1:] if flat else shape[-1:]:
        width *= size
    inputs = {"data": d.array(shape, kind, MILD), "weight": d.normal((hidden, width), kind)}
    given: dict[str, object] = {"num_hidden": hidden}
    if not flat or d.flag():
        given["flatten"] = flat
    if d.flag():
        given["no_bias"] = True
    else:
        inputs["bias"] = d.normal((hidden,), kind)
    stored = ("weight", "bias") if d.flag() else ()
    return Asked("FullyConnected", inputs, given, stored, np_shape=d.np_shape)


def dot(d: Drawing) -> Asked:
    kind, inner = d.of(WIDER), d.number(1, 4)
    left, right = d.shape(0, 2, low=1), d.shape(0, 2, low=1)
    if not d.np_shape and d.flag():
        left, right = left[1:], right[1:]
    given = {name: d.flag() for name in ("transpose_a", "transpose_b")}
    lhs = (inner, *left) if given["transpose_a"] else (*left, inner)
    rhs = (*right, inner) if given["transpose_b"] else (inner, *right)
    inputs = {"lhs": d.array(lhs, kind, MILD), "rhs": d.array(rhs, kind, MILD)}
    return Asked("dot", inputs, given, np_shape=d.np_shape)


def batch_dot(d: Drawing) -> Asked:
    kind, outer = d.of(WIDER), d.shape(1, 2, low=1, high=3)
    rows, inner, columns = (d.number(1, 4) for _ in range(3))
    given = {name: d.flag() for name in ("transpose_a", "transpose_b")}
    lhs = (inner, rows) if given["transpose_a"] else (rows, inner)
    rhs = (columns, inner) if given["transpose_b"] else (inner, columns)
    inputs = {
        "lhs": d.array((*outer, *lhs), kind, MILD),
        "rhs": d.array((*outer, *rhs), kind, MILD),
    }
    return Asked("batch_dot", inputs, given, np_shape=d.np_shape)


TABLE = {
    "Convolution": convolution,
    "Convolution_v1": lambda d: convolution(d, "Convolution_v1"),
    "Deconvolution": deconvolution,
    "FullyConnected": fully_connected,
    "dot": dot,
    "batch_dot": batch_dot,
}
PINNED: dict[str, list[Asked]] = {}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
