"""Pooling, and operators that change the size of pictures, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import MILD, SINGLE, WIDER, Asked
from holding import holds

if TYPE_CHECKING:
    from drawing import Drawing

pytestmark = pytest.mark.mxnet


def pooling(d: Drawing) -> Asked:
    rank = d.number(1, 3)
    kind = d.of(["max", "avg", "sum", "lp"])
    kernel = tuple(d.number(1, 4) for _ in range(rank))
    given: dict[str, object] = {"pool_type": kind, "kernel": kernel}
    if d.flag():
        given["stride"] = tuple(d.number(1, 3) for _ in range(rank))
    if d.flag():
        given["pad"] = tuple(d.number(0, size - 1) for size in kernel)
    if d.flag():
        given["pooling_convention"] = d.of(["full", "valid"])
    if rank == 1 and kind == "max" and d.number(0, 3) == 0:
        given["pooling_convention"] = "same"
        given.pop("pad", None)
    if kind == "lp":
        given["p_value"] = d.number(1, 3)
    if kind == "avg" and d.flag():
        given["count_include_pad"] = d.flag()
    if d.number(0, 4) == 0:
        given["global_pool"] = True
    size = tuple(d.number(4, 6 if rank < 3 else 5) for _ in range(rank))
    shape = (d.number(1, 3), d.number(1, 2), *size)
    if d.number(0, 3) == 0:
        given["layout"] = ["NWC", "NHWC", "NDHWC"][rank - 1]
        shape = (shape[0], *size, shape[1])
    data = d.array(shape, d.of(WIDER), MILD)
    return Asked("Pooling", {"data": data}, given, np_shape=d.np_shape)


def pooling_v1(d: Drawing) -> Asked:
    kernel = tuple(d.number(1, 3) for _ in range(2))
    given: dict[str, object] = {"pool_type": d.of(["max", "avg", "sum"]), "kernel": kernel}
    if d.flag():
        given["stride"] = tuple(d.number(1, 3) for _ in range(2))
    if d.flag():
        given["pad"] = tuple(d.number(0, size - 1) for size in kernel)
    if d.flag():
        given["pooling_convention"] = d.of(["full", "valid"])
    if d.number(0, 4) == 0:
        given["global_pool"] = True
    data = d.array((d.number(1, 3), 2, d.number(3, 6), d.number(3, 6)), "float32", MILD)
    return Asked("Pooling_v1", {"data": data}, given, np_shape=d.np_shape)


def picture(d: Drawing, kinds: tuple[str, ...] = WIDER) -> np.ndarray:
    shape = (d.number(1, 3), d.number(1, 3), d.number(1, 6), d.number(1, 6))
    return d.array(shape, d.of(kinds), MILD)


def adaptive(d: Drawing) -> Asked:
    given = {"output_size": d.of([(), (1,), (2,), (3, 2), (5, 7), (4, 1)])}
    return Asked("_contrib_AdaptiveAvgPooling2D", {"data": picture(d)}, given, np_shape=d.np_shape)


def up_sampling(d: Drawing) -> Asked:
    scale = d.number(1, 3)
    if d.number(0, 2) == 0:
        data, side = picture(d, SINGLE), 2 * scale - scale % 2
        inputs = {"data": data, "weight": d.normal((data.shape[1], 1, side, side))}
        given = {"scale": scale, "sample_type": "bilinear", "num_filter": data.shape[1]}
        return Asked(
            "UpSampling", inputs, {**given, "num_args": 2}, ("weight",), np_shape=d.np_shape
        )
    first = d.array((d.number(1, 3), 2, 2 * d.number(1, 2), 2 * d.number(1, 2)), d.of(WIDER), MILD)
    shape, kind = first.shape, first.dtype.name
    more = [
        d.array((shape[0], 2, shape[2] * by // 2, shape[3] * by // 2), kind, MILD)
        for by in ([1, 2][: d.number(0, 2)])
    ]
    inputs = {f"a{at}": value for at, value in enumerate([first, *more])}
    mode = d.of(["concat", "sum"])
    given = {"scale": scale, "sample_type": "nearest", "num_args": len(inputs)}
    return Asked("UpSampling", inputs, {**given, "multi_input_mode": mode}, np_shape=d.np_shape)


def bilinear_resize(d: Drawing) -> Asked:
    inputs = {"data": picture(d)}
    mode = d.of(
        [
            "size",
            "scale",
            "like",
            "odd_scale",
            "to_even_down",
            "to_even_up",
            "to_odd_down",
            "to_odd_up",
        ]
    )
    given: dict[str, object] = {"mode": "size" if mode == "scale" else mode}
    if mode == "size":
        given.update(height=d.number(1, 8), width=d.number(1, 8))
    elif mode in ("scale", "odd_scale"):
        given.update(scale_height=d.of([1.0, 2.0, 1.5]), scale_width=d.of([1.0, 3.0, 0.7]))
        inputs["data"] = d.array((2, 2, d.number(2, 6), d.number(2, 6)), "float32", MILD)
    elif mode == "like":
        inputs["like"] = picture(d, (inputs["data"].dtype.name,))
    else:
        inputs["data"] = d.array((2, 2, d.number(2, 6), d.number(2, 6)), "float32", MILD)
    if d.flag():
        given["align_corners"] = d.flag()
    return Asked("_contrib_BilinearResize2D", inputs, given, np_shape=d.np_shape)


def pad(d: Drawing) -> Asked:
    shape = d.shape(4, 5, low=1)
    mode = d.of(["constant", "edge", "reflect"])
    most = [size - 1 if mode == "reflect" else 3 for size in shape[2:]]
    if mode == "reflect":
        shape = (*shape[:2], *(size + 1 for size in shape[2:]))
        most = [size - 1 for size in shape[2:]]
    width = (0, 0, 0, 0, *(d.number(0, size) for size in most for _ in range(2)))
    given: dict[str, object] = {"mode": mode, "pad_width": width}
    if mode == "constant" and d.flag():
        given["constant_value"] = d.of([1.5, -2.0])
    return Asked("Pad", {"data": d.array(shape, d.of(WIDER))}, given, np_shape=d.np_shape)


def make_border(d: Drawing) -> Asked:
    kind = d.of([0, 1, 4])
    shape = (d.number(4, 6), d.number(4, 6), 3)
    given: dict[str, object] = {side: d.number(0, 3) for side in ("top", "bot", "left", "right")}
    if kind == 0 and d.flag():
        given["value"] = 7
    data = d.array(shape, "uint8", range(256))
    return Asked("_cvcopyMakeBorder", {"src": data}, {**given, "type": kind}, np_shape=d.np_shape)


TABLE = {
    "Pooling": pooling,
    "Pooling_v1": pooling_v1,
    "_contrib_AdaptiveAvgPooling2D": adaptive,
    "UpSampling": up_sampling,
    "_contrib_BilinearResize2D": bilinear_resize,
    "Pad": pad,
    "_cvcopyMakeBorder": make_border,
}
BELOW = {"data": -np.arange(1, 13, dtype=np.float32).reshape(1, 1, 4, 3)}
PADDED = {"pool_type": "max", "kernel": (1, 3), "stride": (2, 1), "pad": (0, 2)}
TO_ONE = {"height": 1, "width": 4, "align_corners": False}
PINNED = {
    "_contrib_BilinearResize2D": [Asked("_contrib_BilinearResize2D", BELOW, TO_ONE)],
    "Pooling_v1": [
        Asked("Pooling_v1", BELOW, PADDED),
        Asked("Pooling_v1", BELOW, {**PADDED, "pooling_convention": "full"}),
    ],
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
