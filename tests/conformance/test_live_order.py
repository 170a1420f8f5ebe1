"""Where equal elements go when they are sorted, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet

SHAPES = {(3, 16): 1, (12, 3): 0, (2, 8, 3): 1}


@pytest.mark.parametrize("is_ascend", [False, True], ids=["down", "up"])
@pytest.mark.parametrize(("dtype", "free"), [("float32", False), ("int32", True)])
def test_up_to_sixteen_elements_keep_the_order_of_equals(
    dtype: str, is_ascend: bool, free: bool
) -> None:
    for shape, axis in SHAPES.items():
        data = {"data": np.random.default_rng(0).integers(0, 4, shape).astype(dtype)}
        given = {"axis": axis, "is_ascend": is_ascend}
        Operator("argsort", data, free=free, dtype="int32", **given).check()
        for k in (0, shape[axis] // 8 + 1):
            for kind in ("both", "mask"):
                Operator(
                    "topk", data, outputs=1 + (kind == "both"), free=free, k=k, ret_typ=kind,
                    **given,
                ).check()  # fmt: skip


@pytest.mark.parametrize("is_ascend", [False, True], ids=["down", "up"])
def test_the_one_most_extreme_of_many_is_the_first(is_ascend: bool) -> None:
    for shape in ((4, 37), (2, 300)):
        data = {"data": np.random.default_rng(0).integers(0, 4, shape).astype(np.float32)}
        asked = Operator("topk", data, outputs=2, k=1, ret_typ="both", is_ascend=is_ascend)
        asked.check()
