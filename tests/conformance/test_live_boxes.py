"""Operators on boxes, compared with live MXNet: suppression with ties, coding, matching."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def scored_boxes(
    seed: int, *, batch: tuple[int, ...] = (2,), count: int = 24, classes: int = 3, spread: int = 5
) -> np.ndarray:
    """Rows (class, score, box) on a coarse grid: scores tie and overlaps meet thresholds."""
    draw = np.random.default_rng(seed)
    shape = (*batch, count)
    low = draw.integers(0, spread, (*shape, 2))
    high = low + draw.integers(0, spread, (*shape, 2))
    ids = draw.integers(-1, classes, shape)
    scores = draw.integers(0, 8, shape) / 8
    parts = [ids[..., None], scores[..., None], low, high]
    return np.concatenate(parts, axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"id_index": 0},
        {"id_index": 0, "force_suppress": True},
        {"id_index": 0, "background_id": 1, "valid_thresh": 0.25},
        {"id_index": 0, "topk": 7},
        {"topk": 7, "overlap_thresh": 0.25},
        {"topk": 0},
        {"topk": 100, "overlap_thresh": 0.0},
        {"overlap_thresh": 1.0},
        {"valid_thresh": 2.0},
        {"id_index": 0, "out_format": "center"},
        {"in_format": "center", "overlap_thresh": 0.25},
        {"in_format": "center", "out_format": "corner", "id_index": 0},
        {"in_format": "center", "out_format": "center"},
    ],
    ids=str,
)
def test_box_nms_with_ties(attributes: dict[str, object]) -> None:
    operator = Operator("_contrib_box_nms", {"data": scored_boxes(0)}, outputs=2, **attributes)

    for seed in range(20):
        operator.check({"data": scored_boxes(seed)})


@pytest.mark.parametrize("batch", [(), (1,), (2, 3)], ids=str)
def test_box_nms_of_any_rank_and_free_shape(batch: tuple[int, ...]) -> None:
    data = scored_boxes(3, batch=batch)
    operator = Operator(
        "_contrib_box_nms", {"data": data}, outputs=2, free=True, id_index=0, topk=9
    )

    operator.check()


def test_box_nms_in_other_columns() -> None:
    data = scored_boxes(4)
    moved = np.concatenate([data[..., 2:], data[..., 1:2], data[..., :1], data[..., :1]], axis=-1)

    Operator(
        "_contrib_box_nms", {"data": moved}, coord_start=0, score_index=4, id_index=5,
        out_format="center",
    ).check()  # fmt: skip


def test_box_nms_of_boxes_that_are_turned_over() -> None:
    data = scored_boxes(5)
    data[..., ::3, 2:] = data[..., ::3, [4, 5, 2, 3]]

    Operator("_contrib_box_nms", {"data": data}, id_index=0).check()


def test_box_nms_of_many_boxes_with_few_scores() -> None:
    data = scored_boxes(6, batch=(1,), count=2000, spread=40)

    for attributes in ({"topk": 400}, {"topk": -1}, {"topk": 400, "id_index": 0}):
        Operator("_contrib_box_nms", {"data": data}, **attributes).check()


def test_box_nms_below_any_overlap_keeps_one_box_of_a_class() -> None:
    data = scored_boxes(8)
    data[..., 4:] += 1

    Operator("_contrib_box_nms", {"data": data}, overlap_thresh=-0.5, id_index=0).check()


def test_box_nms_leaves_out_scores_that_are_nan() -> None:
    data = scored_boxes(7)
    data[0, ::2, 1] = np.nan
    data[1, :, 1] = np.nan

    Operator("_contrib_box_nms", {"data": data}, id_index=0).check()


@pytest.mark.parametrize("form", ["corner", "center"])
@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (1, 2))], ids=str)
def test_box_iou(form: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    left, right = (
        scored_boxes(seed, batch=shape, count=5)[..., 2:] for seed, shape in enumerate(shapes)
    )
    left[..., 0, :] = left[..., 0, [2, 3, 0, 1]]

    Operator("_contrib_box_iou", {"lhs": left, "rhs": right}, format=form).check()


@pytest.mark.parametrize("form", ["corner", "center"])
@pytest.mark.parametrize("clip", [-1.0, 0.0, 0.5])
def test_box_decode(form: str, clip: float) -> None:
    draw = np.random.default_rng(0)
    codes = draw.normal(size=(2, 7, 4)).astype(np.float32)
    anchors = draw.random((1, 7, 4)).astype(np.float32)

    Operator(
        "_contrib_box_decode", {"data": codes, "anchors": anchors}, std0=0.1, std2=0.2, clip=clip,
        format=form,
    ).check()  # fmt: skip


def test_box_encode() -> None:
    draw = np.random.default_rng(1)
    anchors, refs = (
        np.concatenate([low, low + 0.1 + draw.random((2, count, 2))], axis=2).astype(np.float32)
        for count, low in ((9, draw.random((2, 9, 2))), (4, draw.random((2, 4, 2))))
    )
    inputs = {
        "samples": draw.integers(-1, 2, (2, 9)).astype(np.float32),
        "matches": draw.integers(0, 4, (2, 9)).astype(np.float32),
        "anchors": anchors,
        "refs": refs,
        "means": np.array([0, 0.1, 0, 0.2], np.float32),
        "stds": np.array([0.1, 0.1, 0.2, 0.2], np.float32),
    }

    Operator("_contrib_box_encode", inputs, outputs=2).check()


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("topk", [-1, 0, 1, 2])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 6), (2, 2, 4, 4)], ids=str)
def test_bipartite_matching_with_ties(shape: tuple[int, ...], topk: int, ascending: bool) -> None:
    draw = np.random.default_rng(2)
    scores = (draw.integers(0, 6, shape) / 6).astype(np.float32)
    threshold = 0.7 if ascending else 0.3

    Operator(
        "_contrib_bipartite_matching", {"data": scores}, outputs=2, threshold=threshold,
        is_ascend=ascending, topk=topk,
    ).check()  # fmt: skip
