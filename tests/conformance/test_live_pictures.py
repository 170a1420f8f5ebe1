"""Operators on pictures, compared with live MXNet; resizing of bytes to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def picture(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Noise from 0 to 255."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
@pytest.mark.parametrize("shape", [(5, 4, 3), (2, 5, 4, 1)], ids=str)
def test_to_tensor(dtype: str, shape: tuple[int, ...]) -> None:
    Operator("_image_to_tensor", {"data": picture(shape, dtype)}).check()


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 3, 5, 4)], ids=str)
def test_normalize(dtype: str, shape: tuple[int, ...]) -> None:
    data = {"data": (picture(shape) / 255).astype(dtype)}

    Operator(
        "_image_normalize", data, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ).check()
    Operator("_image_normalize", data, mean=0.5, std=(0.25,)).check()


@pytest.mark.parametrize(
    "attributes",
    [
        {"size": 8},
        {"size": (7, 30)},
        {"size": (33, 5)},
        {"size": 11, "keep_ratio": True},
        {"size": (12, 10)},
        {"size": (48, 40)},
        {"size": (24, 20)},
        {"size": (7, 30), "interp": 0},
        {"size": (50, 13), "interp": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("free", [False, True])
def test_resize(attributes: dict[str, object], dtype: str, free: bool) -> None:
    data = picture((20, 24, 3), dtype)

    Operator("_image_resize", {"data": data}, free=free, **attributes).check()


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_resize_of_a_batch(dtype: str) -> None:
    data = picture((2, 31, 17, 3), dtype)

    Operator("_image_resize", {"data": data}, size=24, keep_ratio=True).check()


def test_resize_of_bytes_to_many_sizes() -> None:
    for seed, size in enumerate([(1, 1), (100, 90), (63, 64), (127, 31), (2, 3)]):
        data = picture((64, 63, 3), seed=seed)
        Operator("_image_resize", {"data": data}, size=size).check()


@pytest.mark.parametrize("size", [(24, 20), (299, 299), (100, 90)], ids=str)
def test_resize_of_bytes_of_any_size(size: tuple[int, int]) -> None:
    asked = Operator("_image_resize", {"data": picture((64, 63, 3))}, free=True, size=size)

    for seed, sides in enumerate([(32, 32), (480, 641), (90, 24)]):
        asked.check({"data": picture((*sides, 3), seed=seed)})


def test_normalising_all_colours_alike_needs_no_number_of_them() -> None:
    data = picture((3, 9, 8), "float32")

    Operator("_image_normalize", {"data": data}, free=True, mean=(0.13,), std=(0.31,)).check()


@pytest.mark.parametrize("interp", [0, 1])
def test_resize_by_width_and_height(interp: int) -> None:
    Operator("_cvimresize", {"src": picture((20, 24, 3))}, w=17, h=31, interp=interp).check()


@pytest.mark.parametrize("shape", [(9, 8, 3), (2, 9, 8, 1)], ids=str)
def test_crop(shape: tuple[int, ...]) -> None:
    Operator(
        "_image_crop", {"data": picture(shape)}, free=True, x=2, y=1, width=3, height=8
    ).check()


@pytest.mark.parametrize("name", ["_image_flip_left_right", "_image_flip_top_bottom"])
def test_flip(name: str) -> None:
    Operator(name, {"data": picture((6, 8, 3))}).check()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_adjust_lighting(dtype: str) -> None:
    data = picture((6, 8, 3), dtype)

    Operator("_image_adjust_lighting", {"data": data}, alpha=(0.1, -0.2, 0.3)).check()
