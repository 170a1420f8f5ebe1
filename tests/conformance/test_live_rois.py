"""Pooling of regions of interest and region proposals, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Network, Operator

pytestmark = pytest.mark.mxnet


def picture(channels: int = 4, batch: int = 2) -> np.ndarray:
    """Noise of 13 by 17."""
    return np.random.default_rng(0).normal(size=(batch, channels, 13, 17)).astype(np.float32)


def regions(count: int = 9, *, batch: int = 2, seed: int = 1) -> np.ndarray:
    """Rows (row of the batch, left, top, right, bottom), some of them beyond the edges."""
    draw = np.random.default_rng(seed)
    low = draw.random((count, 2)) * 24 - 6
    high = low + draw.random((count, 2)) * 20
    rows = draw.integers(0, batch, (count, 1))
    return np.concatenate([rows, low, high], axis=1).astype(np.float32)


@pytest.mark.parametrize("size", [(2, 2), (3, 5)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0625])
@pytest.mark.parametrize("free", [False, True])
def test_roi_pooling(size: tuple[int, int], scale: float, free: bool) -> None:
    inputs = {"data": picture(), "rois": regions()}

    Operator("ROIPooling", inputs, free=free, pooled_size=size, spatial_scale=scale).check()


def test_roi_pooling_of_rows_that_are_not_there_and_of_halves() -> None:
    rois = regions()
    rois[0, 0], rois[1, 0] = -1, 2
    rois[2:, 1:] = np.round(rois[2:, 1:]) + 0.5

    Operator(
        "ROIPooling", {"data": picture(), "rois": rois}, pooled_size=(2, 3), spatial_scale=1.0
    ).check()


def test_regions_of_a_request_may_be_more_or_fewer_than_its_pictures() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, rois = mx.sym.var("data"), mx.sym.var("rois")
    pooled = mx.sym.ROIPooling(data, rois, pooled_size=(2, 2), spatial_scale=0.5)
    network = Network(
        mx.sym.FullyConnected(pooled, num_hidden=3, no_bias=True, name="classes"),
        {"data": picture(), "rois": regions()},
        {"classes_weight": np.random.default_rng(2).normal(size=(3, 16)).astype(np.float32)},
    )

    for pictures, count in ((2, 9), (1, 4), (3, 2)):
        network.check({"data": picture(batch=pictures), "rois": regions(count, batch=pictures)})


@pytest.mark.parametrize("attributes", [
    {"sample_ratio": 2, "spatial_scale": 0.5},
    {"sample_ratio": -1, "spatial_scale": 1.0},
    {"sample_ratio": 0, "spatial_scale": 0.25, "aligned": True},
    {"sample_ratio": 3, "spatial_scale": 1.0, "aligned": True},
    {"sample_ratio": 2, "spatial_scale": 1.0, "position_sensitive": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("free", [False, True])
def test_roi_align(attributes: dict[str, object], free: bool) -> None:
    inputs = {"data": picture(12), "rois": regions()}

    Operator(
        "_contrib_ROIAlign", inputs, free=free and "position_sensitive" not in attributes,
        pooled_size=(2, 3), **attributes,
    ).check()  # fmt: skip


def test_roi_align_of_rows_below_zero() -> None:
    rois = regions()
    rois[-1, 0] = -1
    operator = Operator(
        "_contrib_ROIAlign", {"data": picture(1), "rois": rois}, pooled_size=(1, 1),
        spatial_scale=0.5,
    )  # fmt: skip

    operator.check()


@pytest.mark.parametrize("group", [0, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_psroi_pooling(group: int, scale: float) -> None:
    inputs = {"data": picture(2 * (group or 3) ** 2) + 3, "rois": regions()}

    Operator(
        "_contrib_PSROIPooling", inputs, output_dim=2, pooled_size=3, group_size=group,
        spatial_scale=scale,
    ).check()  # fmt: skip


@pytest.mark.parametrize("attributes", [
    {"no_trans": True},
    {"trans_std": 0.2, "sample_per_part": 2},
    {"trans_std": 0.3, "part_size": 2, "sample_per_part": 3, "group_size": 2},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("classes", [1, 2])
def test_deformable_psroi_pooling(attributes: dict[str, object], classes: int) -> None:
    group = attributes.get("group_size", 3)
    part = attributes.get("part_size", 3)
    inputs = {"data": picture(4 * group**2), "rois": regions()}
    if "no_trans" not in attributes:
        moves = np.random.default_rng(3).normal(size=(9, 2 * classes, part, part))
        inputs["trans"] = moves.astype(np.float32)

    Operator(
        "_contrib_DeformablePSROIPooling", inputs, output_dim=4, pooled_size=3,
        spatial_scale=0.5, **{"group_size": 3, **attributes},
    ).check()  # fmt: skip


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_rotated_roi_align(ratio: int) -> None:
    rois = regions()
    rois[:, 3:] = np.abs(rois[:, 3:])
    angles = np.linspace(-180, 200, len(rois), dtype=np.float32)[:, None]

    Operator(
        "_contrib_RROIAlign", {"data": picture(), "rois": np.concatenate([rois, angles], axis=1)},
        pooled_size=(2, 3), spatial_scale=0.75, sampling_ratio=ratio,
    ).check()  # fmt: skip


def predictions(seed: int, batch: int, anchors: int) -> dict[str, np.ndarray]:
    """What a proposal network of 8 by 10 places says; scores tie."""
    draw = np.random.default_rng(seed)
    return {
        "cls_prob": (draw.integers(0, 33, (batch, 2 * anchors, 8, 10)) / 32).astype(np.float32),
        "bbox_pred": draw.normal(0, 0.3, (batch, 4 * anchors, 8, 10)).astype(np.float32),
        "im_info": np.array([[100, 150, 1.0], [128, 130, 0.5]][:batch], np.float32),
    }


@pytest.mark.parametrize("name", ["_contrib_Proposal", "_contrib_MultiProposal"])
@pytest.mark.parametrize("attributes", [
    {},
    {"rpn_pre_nms_top_n": 50, "rpn_post_nms_top_n": 20},
    {"rpn_pre_nms_top_n": 20, "rpn_post_nms_top_n": 40, "threshold": 0.3},
    {"rpn_min_size": 60, "threshold": 0.5, "rpn_pre_nms_top_n": 0},
    {"iou_loss": True, "rpn_post_nms_top_n": 30},
], ids=str)  # fmt: skip
def test_proposals_with_ties(name: str, attributes: dict[str, object]) -> None:
    batch = 1 if name == "_contrib_Proposal" else 2
    operator = Operator(
        name, predictions(0, batch, 6), outputs=2, scales=(2, 4), ratios=(0.5, 1, 2),
        output_score=True, **attributes,
    )  # fmt: skip

    for seed in range(4):
        operator.check(predictions(seed, batch, 6))


def test_proposals_of_free_shape() -> None:
    operator = Operator(
        "_contrib_MultiProposal", predictions(5, 2, 6), outputs=2, free=True, scales=(2, 4),
        rpn_post_nms_top_n=25, output_score=True,
    )  # fmt: skip

    operator.check()
