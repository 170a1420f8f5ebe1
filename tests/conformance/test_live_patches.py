"""Windows as columns, cropping and correlation, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


WINDOWS = [
    {"kernel": (2, 3)},
    {"kernel": (3, 3), "pad": (1, 1), "stride": (2, 1)},
    {"kernel": (2, 2), "dilate": (2, 3), "pad": (0, 2)},
]


@pytest.mark.parametrize("attributes", WINDOWS, ids=str)
def test_windows_as_columns(attributes: dict[str, object]) -> None:
    Operator("im2col", {"data": noise(2, 3, 8, 9)}, **attributes).check()


@pytest.mark.parametrize("attributes", WINDOWS, ids=str)
def test_columns_as_windows(attributes: dict[str, object]) -> None:
    columns = Operator("im2col", {"data": noise(2, 3, 8, 9)}, **attributes)
    data = columns.ask(columns.examples)[0]

    Operator("col2im", {"data": data}, output_size=(8, 9), **attributes).check()


@pytest.mark.parametrize("attributes", [
    {"h_w": (3, 4)},
    {"h_w": (3, 4), "offset": (2, 1)},
    {"h_w": (4, 5), "center_crop": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("free", [False, True])
def test_crop(attributes: dict[str, object], free: bool) -> None:
    Operator("Crop", {"data": noise(2, 3, 8, 9)}, free=free, num_args=1, **attributes).check()


@pytest.mark.parametrize("attributes", [{}, {"offset": (1, 2)}, {"center_crop": True}], ids=str)
@pytest.mark.parametrize("free", [False, True])
def test_crop_to_the_size_of_another(attributes: dict[str, object], free: bool) -> None:
    inputs = {"data": noise(2, 3, 8, 9), "like": noise(2, 1, 4, 6)}

    Operator("Crop", inputs, free=free, num_args=2, **attributes).check()


@pytest.mark.parametrize("attributes", [
    {"kernel_size": 1, "max_displacement": 2},
    {"kernel_size": 3, "max_displacement": 2, "pad_size": 3, "stride2": 2},
    {"kernel_size": 1, "max_displacement": 4, "pad_size": 4, "stride1": 2, "stride2": 2},
    {"kernel_size": 3, "max_displacement": 1, "pad_size": 2, "is_multiply": False, "stride1": 2},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("free", [False, True])
def test_correlation(attributes: dict[str, object], free: bool) -> None:
    inputs = {"data1": noise(2, 3, 9, 10), "data2": noise(2, 3, 9, 10, seed=1)}

    Operator("Correlation", inputs, free=free, **attributes).check()
