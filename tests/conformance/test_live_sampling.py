"""Grids, samplers and deformable convolutions, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def noise(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Normally distributed numbers."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


@pytest.mark.parametrize("free", [False, True])
def test_affine_grid(free: bool) -> None:
    Operator(
        "GridGenerator", {"data": noise(3, 6)}, free=free, transform_type="affine",
        target_shape=(5, 7),
    ).check()  # fmt: skip


@pytest.mark.parametrize("free", [False, True])
def test_warped_grid(free: bool) -> None:
    Operator(
        "GridGenerator", {"data": noise(2, 2, 5, 7, scale=3)}, free=free, transform_type="warp"
    ).check()


@pytest.mark.parametrize("free", [False, True])
def test_bilinear_sampler_inside_and_outside(free: bool) -> None:
    grid = noise(2, 2, 5, 6)
    grid[0, :, 0, :3] = [[-1, 0, 1], [1, 0, -1]]

    Operator("BilinearSampler", {"data": noise(2, 3, 8, 9), "grid": grid}, free=free).check()


@pytest.mark.parametrize("target", [(4, 6), (11, 3)], ids=str)
def test_spatial_transformer(target: tuple[int, int]) -> None:
    loc = np.array([[0.7, 0.2, 0.1, -0.3, 1.1, 0.05], [1, 0, 0, 0, 1, 0]], np.float32)

    Operator(
        "SpatialTransformer", {"data": noise(2, 3, 8, 9), "loc": loc}, target_shape=target,
        transform_type="affine", sampler_type="bilinear",
    ).check()  # fmt: skip


@pytest.mark.parametrize("attributes", [
    {"kernel": (3, 3), "pad": (1, 1)},
    {"kernel": (3, 3), "pad": (2, 2), "dilate": (2, 2), "stride": (2, 2)},
    {"kernel": (3, 2), "num_deformable_group": 2},
    {"kernel": (1, 1), "num_group": 2, "num_deformable_group": 4},
    {"kernel": (3, 3), "pad": (1, 0), "num_group": 2, "stride": (1, 3)},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("no_bias", [False, True])
def test_deformable_convolution_at_and_beyond_edges(
    attributes: dict[str, object], modulated: bool, no_bias: bool
) -> None:
    kernel, group = attributes["kernel"], attributes.get("num_deformable_group", 1)
    size = _size((9, 11), attributes)
    taps = kernel[0] * kernel[1] * group
    moves = noise(2, 2 * taps, *size, scale=2, seed=1)
    moves[:, :, ::2] = np.round(moves[:, :, ::2])
    inputs = {"data": noise(2, 4, 9, 11), "offset": moves}
    if modulated:
        inputs["mask"] = noise(2, taps, *size, seed=2)
    inputs["weight"] = noise(8, 4 // attributes.get("num_group", 1), *kernel, seed=3)
    if not no_bias:
        inputs["bias"] = noise(8, seed=4)
    name = "ModulatedDeformableConvolution" if modulated else "DeformableConvolution"

    Operator(
        f"_contrib_{name}", inputs, stored=("weight", "bias"), num_filter=8, no_bias=no_bias,
        **attributes,
    ).check()  # fmt: skip


def test_deformable_convolution_of_free_shape() -> None:
    inputs = {
        "data": noise(2, 4, 9, 11),
        "offset": noise(2, 18, 9, 11),
        "weight": noise(6, 4, 3, 3),
    }

    Operator(
        "_contrib_DeformableConvolution", inputs, stored=("weight",), free=True, num_filter=6,
        no_bias=True, kernel=(3, 3), pad=(1, 1),
    ).check()  # fmt: skip


def _size(data: tuple[int, int], attributes: dict[str, object]) -> list[int]:
    found = []
    for axis in range(2):
        kernel, pad, dilate, stride = (
            attributes.get(name, default)[axis]
            for name, default in (
                ("kernel", ()), ("pad", (0, 0)), ("dilate", (1, 1)), ("stride", (1, 1)),
            )
        )  # fmt: skip
        found.append((data[axis] + 2 * pad - dilate * (kernel - 1) - 1) // stride + 1)
    return found
