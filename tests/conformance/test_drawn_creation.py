"""Tensors made from nothing, and changes of type, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from drawing import ANY, FLOATS, NUMBERS, Asked
from holding import holds

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing import Drawing

pytestmark = pytest.mark.mxnet

CASTABLE = (0.0, -0.0, 1.0, -1.0, 1.5, -1.5, 2.5, 100.0, 0.1, -0.9, 3.0)
"""What every type has a place for, once a fraction is cut off; C leaves open the rest."""
AMP = ("float32", "float16")
"""What mixed precision mixes; oneDNN, which casts here, knows no float64 and no int64."""


def made(op: str, d: Drawing, **attributes: object) -> Asked:
    given = {**attributes, **({"dtype": d.of(NUMBERS)} if d.flag() else {})}
    return Asked(op, {}, given, np_shape=d.np_shape)


def filled(op: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        more = {"value": d.of([0, 1, 5, 2.5])} if op == "_full" else {}
        return made(op, d, shape=d.shape(), **more)

    return drawn


def zeros_without_dtype(d: Drawing) -> Asked:
    given: dict[str, object] = {"shape": d.shape()}
    given["dtype"] = d.of([0, 1, 3, 4, 5, 6])  # -1 leaves it to who reads it
    return Asked("_zeros_without_dtype", {}, given, np_shape=d.np_shape)


def arange(d: Drawing) -> Asked:
    start, step = d.of([0, 1, -2, 0.5, 2.25]), d.of([1, 2, 0.5, 0.1, -1, -0.5])
    given: dict[str, object] = {"start": start, "step": step}
    given["stop"] = start + step * d.number(1, 6) - d.of([0, step / 4])
    if d.number(0, 3) == 0:
        given = {"start": d.number(1, 7)}
    if d.flag():
        given["repeat"] = d.number(1, 3)
    return made("_arange", d, **given)


def arange_like(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    given: dict[str, object] = {"axis": d.axis(len(shape))} if d.flag() else {}
    if d.flag():
        given.update(start=d.of([0, 3, -1.5]), step=d.of([1, 2, 0.25]))
    if d.flag():
        given["repeat"] = d.of([1, 2]) if "axis" not in given else 1
    return Asked(
        "_contrib_arange_like", {"data": d.array(shape, d.of(FLOATS))}, given, np_shape=d.np_shape
    )


def eye(d: Drawing) -> Asked:
    given: dict[str, object] = {"N": d.number(1, 5)}
    if d.flag():
        given["M"] = d.number(0, 5)
    if d.flag():
        given["k"] = d.number(-5, 5)
    return made("_eye", d, **given)


def linspace(d: Drawing) -> Asked:
    given: dict[str, object] = {"start": d.of([0, 1, 2.5]), "stop": d.of([0, 4, 9.5])}
    given["num"] = d.number(1, 9)
    if d.flag():
        given["endpoint"] = d.flag()
    return made("_linspace", d, **given)


def cast(d: Drawing) -> Asked:
    kind, wanted = d.of([*NUMBERS, "bool"]), d.of([*NUMBERS, "bool"])
    values = CASTABLE if "uint8" not in (kind, wanted) else [abs(one) for one in CASTABLE]
    if wanted in FLOATS:
        values = (*ANY[:-4], *ANY[-3:])
    return Asked(
        "Cast", {"data": d.array(d.shape(), kind, values)}, {"dtype": wanted}, np_shape=d.np_shape
    )


def amp_cast(d: Drawing) -> Asked:
    data = d.array(d.shape(low=1), d.of(AMP), CASTABLE)
    return Asked("amp_cast", {"data": data}, {"dtype": d.of(AMP)}, np_shape=d.np_shape)


def amp_multicast(d: Drawing) -> Asked:
    """Of float32 only, and no scalars: float16 and rank 0 end MXNet's process here."""
    inputs = {
        f"a{at}": d.array(d.shape(1, low=1), "float32", CASTABLE) for at in range(d.number(1, 3))
    }
    given: dict[str, object] = {"num_outputs": len(inputs)}
    if d.flag():
        given["cast_narrow"] = d.flag()
    return Asked("amp_multicast", inputs, given, outputs=len(inputs), np_shape=d.np_shape)


TABLE = {
    "_zeros": filled("_zeros"),
    "_ones": filled("_ones"),
    "_full": filled("_full"),
    "_zeros_without_dtype": zeros_without_dtype,
    "_arange": arange,
    "_contrib_arange_like": arange_like,
    "_eye": eye,
    "_linspace": linspace,
    "Cast": cast,
    "amp_cast": amp_cast,
    "amp_multicast": amp_multicast,
}
PINNED = {
    "_arange": [
        Asked("_arange", {}, {"start": 1, "stop": 3, "step": 0.5, "dtype": "float16"}),
        Asked("_arange", {}, {"start": 0.5, "stop": 6, "step": 1.5, "dtype": "float16"}),
    ]
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
