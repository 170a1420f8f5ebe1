"""Operators that choose elements, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import BITS, NUMBERS, WIDER, Asked
from holding import holds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drawing import Drawing

pytestmark = pytest.mark.mxnet

INDEX_TYPES = ("float32", "int32", "int64", "float32")
PLACES = (0, 1, 2, 3, -1, -2, 5, 7, -7)
BROKEN = (*PLACES, 1.9, 0.5, -0.5, -1.9)


def asked(op: str, d: Drawing, inputs: dict[str, np.ndarray], **attributes: object) -> Asked:
    return Asked(op, inputs, attributes, np_shape=d.np_shape)


def moved(d: Drawing, shape: Sequence[int]) -> np.ndarray:
    return d.array(shape, d.of(NUMBERS), BITS)


def places(d: Drawing, shape: Sequence[int], values: Sequence[float] = PLACES) -> np.ndarray:
    """Indices, some of floating-point types with fractions, some out of range."""
    kind = d.of(INDEX_TYPES)
    if kind == "float32" and values is PLACES:
        return d.array(shape, kind, BROKEN)
    return d.array(shape, kind, values)


def bounds(d: Drawing, rank: int) -> dict[str, object]:
    """Begins, ends and steps on some first axes; MXNet refuses slices with nothing in them."""
    begins, ends, steps = [], [], []
    for _ in range(d.number(1, rank)):
        back = d.number(0, 2) == 0
        step = d.number(1, 3)
        begins.append(d.of([None, -1] if back else [None, 0, -6]))
        ends.append(d.of([None, -6] if back else [None, 1, 2, 3, 6]))
        steps.append(-step if back else d.of([None, step]))
    given: dict[str, object] = {"begin": tuple(begins), "end": tuple(ends)}
    if d.flag() or any(step and step < 0 for step in steps):
        given["step"] = tuple(steps)
    return given


def slice_(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    return asked("slice", d, {"data": moved(d, shape)}, **bounds(d, len(shape)))


def slice_axis(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    axis = d.axis(len(shape))
    size = shape[axis]
    begin = d.number(0, size - 1)
    end = d.number(begin + 1, size)
    given = {
        "axis": axis,
        "begin": begin - d.of([0, size]),
        "end": d.of([end, end - size]) if end < size else d.of([end, None]),
    }
    return asked("slice_axis", d, {"data": moved(d, shape)}, **given)


def slice_like(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    other = tuple(d.number(1, size) for size in shape)
    axes = d.axes(len(shape))
    inputs = {"data": moved(d, shape), "shape_like": d.array(other)}
    return asked("slice_like", d, inputs, **({"axes": axes} if axes else {}))


def reverse(d: Drawing) -> Asked:
    shape = d.shape(1)
    axes = tuple(at % len(shape) for at in d.axes(len(shape), 1))
    return asked("reverse", d, {"data": moved(d, shape)}, axis=axes)


def take(d: Drawing) -> Asked:
    shape, wanted = d.shape(1, 4, low=1), d.shape(1, 2)
    axis, mode = d.axis(len(shape)), d.of(["clip", "wrap", "raise"])
    values = PLACES if mode != "raise" else range(shape[axis])
    inputs = {"a": moved(d, shape), "indices": places(d, wanted, values)}
    given = {"axis": axis} if axis or d.flag() else {}
    return asked("take", d, inputs, **given, **({"mode": mode} if mode != "clip" else {}))


def embedding(d: Drawing, op: str = "Embedding") -> Asked:
    count, width = d.number(1, 5), d.number(1, 4)
    inputs = {
        "data": places(d, d.shape(0, 4)),
        "weight": d.array((count, width), d.of(WIDER), BITS),
    }
    plain = asked(op, d, inputs, input_dim=count, output_dim=width)
    return Asked(plain.op, inputs, plain.attributes, ("weight",), np_shape=d.np_shape)


def pick(d: Drawing) -> Asked:
    shape = d.shape(1, 4, low=1)
    axis, keep = d.axis(len(shape)), d.flag()
    at = axis % len(shape)
    wanted = (*shape[:at], *([1] if keep else []), *shape[at + 1 :])
    if not wanted and not d.np_shape:
        wanted = (1,)
    given: dict[str, object] = {"axis": axis, "keepdims": keep, "mode": d.of(["clip", "wrap"])}
    return asked("pick", d, {"data": moved(d, shape), "index": places(d, wanted)}, **given)


def batch_take(d: Drawing) -> Asked:
    shape = d.shape(2, 2, low=1)
    inputs = {"a": moved(d, shape), "indices": d.array(shape[:1], "int32", PLACES)}
    return asked("batch_take", d, inputs)


def index_rows(d: Drawing, shape: Sequence[int], count: int, kind: str) -> np.ndarray:
    """Positions in a tensor, one in each column."""
    depth = d.number(1, len(shape))
    rows = [d.array((count,), kind, range(size)) for size in shape[:depth]]
    return np.stack(rows)


def gather_nd(d: Drawing) -> Asked:
    shape = d.shape(1, 4, low=1)
    indices = index_rows(d, shape, d.number(1, 4), d.of(INDEX_TYPES))
    if d.flag() and indices.dtype.kind == "i":
        indices = np.where(
            d.array(indices.shape, "int32", (0, 1)) > 0,
            indices - np.array(shape[: len(indices)])[:, None],
            indices,
        ).astype(indices.dtype)
    return asked("gather_nd", d, {"data": moved(d, shape), "indices": indices})


def scatter_nd(d: Drawing) -> Asked:
    """Each place once: which of several values stays is open."""
    shape = d.shape(1, 3, low=1)
    depth = d.number(1, len(shape))
    every = np.indices(shape[:depth]).reshape(depth, -1)
    order = d.apart((every.shape[1],), "int64")
    chosen = every[:, order[: d.number(1, len(order))]]
    inputs = {
        "data": moved(d, (chosen.shape[1], *shape[depth:])),
        "indices": chosen.astype(d.of(INDEX_TYPES)),
    }
    return asked("scatter_nd", d, inputs, shape=shape)


def one_hot(d: Drawing) -> Asked:
    given: dict[str, object] = {"depth": d.number(1, 5)}
    if d.flag():
        given["dtype"] = d.of(NUMBERS)
    if d.flag():
        given.update(on_value=d.of([2.0, -1.0]), off_value=d.of([0.0, 3.0]))
        if given.get("dtype") == "uint8":
            given["on_value"] = 2.0
    return asked("one_hot", d, {"indices": places(d, d.shape(0, 4))}, **given)


def slice_assign(d: Drawing) -> Asked:
    shape, kind = d.shape(1, 4, low=1), d.of(NUMBERS)
    given = bounds(d, len(shape))
    steps = given.get("step", (None,) * len(given["begin"]))
    parts = [
        slice(begin, end, step)
        for begin, end, step in zip(given["begin"], given["end"], steps, strict=True)
    ]
    lhs = d.array(shape, kind, BITS)
    return asked(
        "_slice_assign", d, {"lhs": lhs, "rhs": d.array(lhs[tuple(parts)].shape, kind)}, **given
    )


def slice_assign_scalar(d: Drawing) -> Asked:
    shape = d.shape(1, 4, low=1)
    given = {**bounds(d, len(shape)), "scalar": d.of([0.0, 2.0, 7.0])}
    return asked("_slice_assign_scalar", d, {"data": moved(d, shape)}, **given)


TABLE = {
    "slice": slice_,
    "slice_axis": slice_axis,
    "slice_like": slice_like,
    "reverse": reverse,
    "take": take,
    "Embedding": embedding,
    "_contrib_SparseEmbedding": lambda d: embedding(d, "_contrib_SparseEmbedding"),
    "pick": pick,
    "batch_take": batch_take,
    "gather_nd": gather_nd,
    "scatter_nd": scatter_nd,
    "one_hot": one_hot,
    "_slice_assign": slice_assign,
    "_slice_assign_scalar": slice_assign_scalar,
}
LINE = {"data": np.arange(3, dtype=np.float32), "index": np.ones(1, np.float32)}
PINNED = {
    "pick": [Asked("pick", LINE, {"axis": 0}, np_shape=numpy) for numpy in (False, True)],
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
