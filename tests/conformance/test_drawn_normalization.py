"""Normalisations, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import FLOATS, MILD, SINGLE, WIDER, Asked
from holding import holds

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing import Drawing

pytestmark = pytest.mark.mxnet

OF_PICTURES = ("BatchNorm_v1", "_contrib_BatchNormWithReLU")
EPS = (1e-5, 1e-3, 0.1)


def batch_norm(op: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        shape = d.shape(*((4, 4) if op in OF_PICTURES else (2,)), low=1)
        given: dict[str, object] = {}
        axis = 1
        if op == "BatchNorm" and d.flag():
            axis = given["axis"] = d.axis(len(shape))
        if d.flag():
            given["fix_gamma"] = d.flag()
        if d.flag():
            given["use_global_stats"] = d.flag()
        if d.flag():
            given["eps"] = d.of(EPS)
        if op == "_contrib_SyncBatchNorm":
            given["key"] = "key"
        count, kind = (shape[axis],), d.of(WIDER if op == "BatchNorm" else SINGLE)
        inputs = {
            "data": d.array(shape, kind, MILD),
            "gamma": d.normal(count, kind),
            "beta": d.normal(count, kind),
            "moving_mean": d.normal(count, kind),
            "moving_var": np.abs(d.normal(count, kind)),
        }
        return Asked(op, inputs, given, tuple(inputs)[1:], np_shape=d.np_shape)

    return drawn


def layer_norm(d: Drawing) -> Asked:
    shape, kind = d.shape(1, low=1), d.of(WIDER)
    given: dict[str, object] = {"axis": d.axis(len(shape))} if d.flag() else {}
    if d.flag():
        given["eps"] = d.of(EPS)
    outputs = 1
    if d.number(0, 3) == 0:
        given["output_mean_var"], outputs = True, 3
    count = (shape[int(str(given.get("axis", -1)))],)
    inputs = {
        "data": d.array(shape, kind, MILD),
        "gamma": d.normal(count, kind),
        "beta": d.normal(count, kind),
    }
    return Asked("LayerNorm", inputs, given, ("gamma", "beta"), outputs, d.np_shape)


def group_norm(d: Drawing) -> Asked:
    groups, kind = d.number(1, 3), d.of(WIDER)
    shape = (d.number(1, 3), groups * d.number(1, 2), *d.shape(1, 3, low=1))
    given: dict[str, object] = {"num_groups": groups} if groups > 1 or d.flag() else {}
    if d.flag():
        given["eps"] = d.of(EPS)
    inputs = {
        "data": d.array(shape, kind, MILD),
        "gamma": d.normal((groups,), kind),
        "beta": d.normal((groups,), kind),
    }
    return Asked("GroupNorm", inputs, given, ("gamma", "beta"), np_shape=d.np_shape)


def instance_norm(d: Drawing) -> Asked:
    shape, kind = d.shape(3, low=1), "float32"
    given: dict[str, object] = {"eps": d.of(EPS)} if d.flag() else {}
    count = (shape[1],)
    inputs = {
        "data": d.array(shape, kind, MILD),
        "gamma": d.normal(count, kind),
        "beta": d.normal(count, kind),
    }
    return Asked("InstanceNorm", inputs, given, ("gamma", "beta"), np_shape=d.np_shape)


def l2_normalization(d: Drawing) -> Asked:
    mode = d.of(["instance", "channel", "spatial"])
    shape = d.shape(2 if mode == "instance" else 3, low=1)
    given: dict[str, object] = {"mode": mode}
    if d.flag():
        given["eps"] = d.of(EPS)
    data = d.array(shape, d.of(WIDER), MILD)
    return Asked("L2Normalization", {"data": data}, given, np_shape=d.np_shape)


def lrn(d: Drawing) -> Asked:
    given: dict[str, object] = {"nsize": d.number(1, 5)}
    knorm = (1.0, 3.0, 0.5, 1.5)
    for name, values in {"alpha": (0.1, 1.0), "beta": (0.5, 1.0), "knorm": knorm}.items():
        if d.flag():
            given[name] = d.of(values)
    shape = (d.number(1, 3), d.number(1, 6), d.number(1, 4), d.number(1, 4))[: d.of([2, 4])]
    return Asked("LRN", {"data": d.array(shape, "float32", MILD)}, given, np_shape=d.np_shape)


def moments(d: Drawing) -> Asked:
    shape = d.shape(1, low=1)
    given: dict[str, object] = {"axes": d.axes(len(shape), 1)}
    if d.flag():
        given["keepdims"] = d.flag()
    data = d.array(shape, d.of(FLOATS), MILD)
    return Asked("moments", {"data": data}, given, outputs=2, np_shape=d.np_shape)


TABLE = {
    "BatchNorm": batch_norm("BatchNorm"),
    "BatchNorm_v1": batch_norm("BatchNorm_v1"),
    "_contrib_SyncBatchNorm": batch_norm("_contrib_SyncBatchNorm"),
    "_contrib_BatchNormWithReLU": batch_norm("_contrib_BatchNormWithReLU"),
    "LayerNorm": layer_norm,
    "GroupNorm": group_norm,
    "InstanceNorm": instance_norm,
    "L2Normalization": l2_normalization,
    "LRN": lrn,
    "moments": moments,
}
PINNED = {
    "moments": [
        Asked("moments", {"data": np.arange(3.0)}, {"axes": (0,)}, outputs=2, np_shape=True),
    ]
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
