"""Operators that change shapes and move elements, asked of live MXNet and both engines."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import BITS, NUMBERS, Asked
from holding import holds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drawing import Drawing

pytestmark = pytest.mark.mxnet


def asked(op: str, d: Drawing, sizes: Sequence[int], **attributes: object) -> Asked:
    """One tensor of any type and any values."""
    data = d.array(sizes, d.of(NUMBERS), BITS)
    return Asked(op, {"data": data}, attributes, np_shape=d.np_shape)


def codes(d: Drawing, sizes: Sequence[int]) -> list[int]:
    """Codes of ``Reshape`` for these sizes. MXNet 1.9.1 has -1 wrong behind -2 and -4."""
    wanted: list[int] = []
    at, inferred, spread = 0, False, False
    while at < len(sizes):
        code = d.of([0, 1, -1, -2, -3, -4])
        if code == -1 and not inferred and not spread:
            inferred = True
            wanted.append(-1)
        elif code == -2:
            spread = True
            wanted.append(-2)
            at = len(sizes)
        elif code == -3 and at + 1 < len(sizes):
            wanted.append(-3)
            at += 1
        elif code == -4:
            spread = True
            first = d.of([one for one in range(1, sizes[at] + 1) if sizes[at] % one == 0])
            pair = [first, sizes[at] // first]
            hidden = d.number(0, 2)
            if hidden < 2:
                pair[hidden] = -1
            wanted += [-4, *pair]
        else:
            wanted.append(0 if code == 0 else sizes[at])
        at += 1
    return wanted


def reshape(d: Drawing) -> Asked:
    shape, reverse = d.shape(1, low=1), d.flag()
    wanted = codes(d, shape[::-1] if reverse else shape)
    given: dict[str, object] = {"shape": tuple(wanted[::-1] if reverse else wanted)}
    if reverse or d.flag():
        given["reverse"] = reverse
    return asked("Reshape", d, shape, **given)


def reshape_like(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    first = d.number(0, len(shape) - 1)
    last = d.number(first + 1, len(shape))
    middle = prod(shape[first:last])
    other = (*d.shape(1, 2, low=1), middle, *d.shape(1, 2, low=1))
    at = next(i for i in range(len(other)) if other[i] == middle)
    given = {"lhs_begin": first, "lhs_end": last, "rhs_begin": at, "rhs_end": at + 1}
    if d.flag():
        given, other = {}, d.order(len(shape))
        other = tuple(shape[one] for one in other)
    inputs = {"lhs": d.array(shape, d.of(NUMBERS), BITS), "rhs": d.array(other)}
    return Asked("reshape_like", inputs, given, np_shape=d.np_shape)


def flatten(d: Drawing) -> Asked:
    return asked("Flatten", d, d.shape(2, low=1))


def transpose(d: Drawing) -> Asked:
    shape = d.shape(1)
    return asked("transpose", d, shape, **({"axes": d.order(len(shape))} if d.flag() else {}))


def swap_axis(d: Drawing) -> Asked:
    shape = d.shape(2)
    one, other = d.order(len(shape))[:2]
    back = d.of([0, len(shape)])
    return asked("SwapAxis", d, shape, dim1=one, dim2=other - back)


def expand_dims(d: Drawing) -> Asked:
    shape = d.shape(0, 4)
    return asked("expand_dims", d, shape, axis=d.number(-len(shape) - 1, len(shape)))


def squeeze(d: Drawing) -> Asked:
    shape = d.shape(1)
    chosen = d.axes(len(shape))
    if not chosen:  # an axis of rows is one, even where there is one row
        return asked("squeeze", d, (max(shape[0], 2), *shape[1:]))
    shape = tuple(
        1 if at in chosen or at - len(shape) in chosen else size for at, size in enumerate(shape)
    )
    return asked("squeeze", d, shape, axis=chosen if len(chosen) > 1 or d.flag() else chosen[0])


def broadcast_to(d: Drawing) -> Asked:
    wanted = d.shape(1)
    shape = tuple(1 if d.flag() else size for size in wanted)
    text = tuple(
        0 if one == size and d.flag() else size for one, size in zip(shape, wanted, strict=True)
    )
    return asked("broadcast_to", d, shape, shape=wanted if d.np_shape else text)


def broadcast_axis(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    chosen = sorted({at % len(shape) for at in d.axes(len(shape), 1)})
    shape = tuple(1 if at in chosen else size for at, size in enumerate(shape))
    size = tuple(d.number(1, 3) for _ in chosen)
    return asked("broadcast_axis", d, shape, axis=tuple(chosen), size=size)


def broadcast_like(d: Drawing) -> Asked:
    wanted = d.shape(1)
    shape = tuple(1 if d.flag() else size for size in wanted)
    inputs = {"lhs": d.array(shape, d.of(NUMBERS), BITS), "rhs": d.array(wanted)}
    given = {}
    if d.flag():
        axis = d.number(0, len(wanted) - 1)
        shape = tuple(1 if at == axis else size for at, size in enumerate(shape))
        inputs["lhs"] = d.array(shape, d.of(NUMBERS), BITS)
        inputs["rhs"] = d.array(wanted[::-1])
        given = {"lhs_axes": (axis,), "rhs_axes": (d.axis(len(wanted)),)}
    return Asked("broadcast_like", inputs, given, np_shape=d.np_shape)


def tile(d: Drawing) -> Asked:
    reps = tuple(d.number(1, 3) for _ in range(d.number(1, 4)))
    return asked("tile", d, d.shape(0, 4, high=3), reps=reps)


def repeat(d: Drawing) -> Asked:
    shape = d.shape(1, low=1, high=3)
    given = {"axis": d.axis(len(shape))} if d.flag() else {}
    return asked("repeat", d, shape, repeats=d.number(1, 3), **given)


def of_shape(op: str) -> Callable[[Drawing], Asked]:
    return lambda d: asked(op, d, d.shape())


def depth(op: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        block, shape = d.number(1, 3), d.shape(4, 4, low=1, high=2)
        if op == "depth_to_space":
            shape = (shape[0], shape[1] * block * block, *shape[2:])
        else:
            shape = (*shape[:2], shape[2] * block, shape[3] * block)
        return asked(op, d, shape, block_size=block)

    return drawn


def joined(d: Drawing) -> tuple[dict[str, np.ndarray], int]:
    shape, kind = d.shape(1, 4), d.of(NUMBERS)
    axis = d.axis(len(shape))
    at = axis % len(shape)
    inputs = {}
    for one in range(d.number(1, 4)):
        size = d.number(1, 3) if shape[at] else shape[at]
        inputs[f"a{one}"] = d.array((*shape[:at], size, *shape[at + 1 :]), kind, BITS)
    return inputs, axis


def concat(d: Drawing) -> Asked:
    inputs, axis = joined(d)
    return Asked("Concat", inputs, {"dim": axis, "num_args": len(inputs)}, np_shape=d.np_shape)


def stack(d: Drawing) -> Asked:
    shape, kind = d.shape(0, 4), d.of(NUMBERS)
    inputs = {f"a{at}": d.array(shape, kind, BITS) for at in range(d.number(1, 4))}
    given = {"axis": d.number(-len(shape) - 1, len(shape)), "num_args": len(inputs)}
    return Asked("stack", inputs, given, np_shape=d.np_shape)


def slice_channel(d: Drawing) -> Asked:
    shape, parts = d.shape(2, 4, low=1), d.number(1, 4)
    axis = d.axis(len(shape))
    squeezed = d.flag()
    size = parts * (1 if squeezed else d.number(1, 2))
    shape = tuple(size if at == axis % len(shape) else one for at, one in enumerate(shape))
    plain = asked("SliceChannel", d, shape, num_outputs=parts, axis=axis, squeeze_axis=squeezed)
    return Asked(plain.op, plain.inputs, plain.attributes, (), parts, d.np_shape)


def split_v2(d: Drawing) -> Asked:
    shape = d.shape(1, 4, low=1)
    axis = d.number(0, len(shape) - 1)
    if d.flag():
        parts = d.number(1, 3)
        shape = tuple(parts * d.number(1, 2) if at == axis else one for at, one in enumerate(shape))
        given: dict[str, object] = {"indices": (), "sections": parts}
    else:
        cuts = sorted(d.number(0, shape[axis]) for _ in range(d.number(0, 2))) if d.np_shape else []
        cuts = cuts or sorted({d.number(1, shape[axis] - 1)} if shape[axis] > 1 else set())
        parts = len(cuts) + 1
        given = {"indices": (0, *cuts), "sections": 0}
    plain = asked("_split_v2", d, shape, **given, axis=axis, squeeze_axis=False)
    return Asked(plain.op, plain.inputs, plain.attributes, (), parts, d.np_shape)


TABLE = {
    "Reshape": reshape,
    "reshape_like": reshape_like,
    "Flatten": flatten,
    "transpose": transpose,
    "SwapAxis": swap_axis,
    "expand_dims": expand_dims,
    "squeeze": squeeze,
    "broadcast_to": broadcast_to,
    "broadcast_axis": broadcast_axis,
    "broadcast_like": broadcast_like,
    "tile": tile,
    "repeat": repeat,
    "shape_array": of_shape("shape_array"),
    "size_array": of_shape("size_array"),
    "zeros_like": of_shape("zeros_like"),
    "ones_like": of_shape("ones_like"),
    "depth_to_space": depth("depth_to_space"),
    "space_to_depth": depth("space_to_depth"),
    "Concat": concat,
    "stack": stack,
    "SliceChannel": slice_channel,
    "_split_v2": split_v2,
}
PLANE = {"data": np.arange(6, dtype=np.float32).reshape(2, 3)}
PINNED = {
    "tile": [Asked("tile", PLANE, {"reps": reps}) for reps in ((3, 2, 1, 2), (1, 3, 3, 1))],
    "squeeze": [Asked("squeeze", {"data": np.ones((1, 1))}, {"axis": (0, 1)}, np_shape=True)],
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
