"""Pictures that are smaller than what is cut out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.networks import Network

import gluonserve
from gluonserve.errors import ExecutionFailed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("executor", ["openvino", "onnxruntime"])
def test_a_picture_smaller_than_its_crop_is_refused(executor: str, tmp_path: Path) -> None:
    net = Network()
    net.add("_image_crop", net.variable("data"), x=3, y=5, width=30, height=20)
    symbol = tmp_path / "net-symbol.json"
    symbol.write_bytes(net.to_bytes())
    shape = [-1, -1, 3]

    with gluonserve.load(symbol, executor=executor, inputs={"data": ("FP32", shape)}) as model:
        for sides in ((24, 40), (40, 32), (8, 8), (2, 2)):
            with pytest.raises(ExecutionFailed):
                model(data=np.ones((*sides, 3), np.float32))
        picture = np.random.default_rng(0).random((25, 33, 3), np.float32)
        (answer,) = model(data=picture).values()

    np.testing.assert_array_equal(answer, picture[5:, 3:])
