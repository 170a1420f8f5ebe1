"""Anchors of single-shot detectors and detections from them, compared with live MXNet."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet


def predictions(
    seed: int, *, batch: int = 2, count: int = 30, classes: int = 4
) -> dict[str, np.ndarray]:
    """Class scores that tie, offsets of boxes, and anchors on a coarse grid."""
    draw = np.random.default_rng(seed)
    low = draw.integers(0, 5, (1, count, 2)) / 8
    high = low + draw.integers(1, 4, (1, count, 2)) / 8
    offsets = draw.integers(-2, 3, (batch, count * 4)) * draw.integers(0, 2, (batch, count * 4))
    return {
        "cls_prob": (draw.integers(0, 9, (batch, classes, count)) / 8).astype(np.float32),
        "loc_pred": offsets.astype(np.float32),
        "anchor": np.concatenate([low, high], axis=2).astype(np.float32),
    }


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (1, 2, 32, 20)], ids=str)
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"sizes": (0.2, 0.272), "ratios": (1, 2, 0.5)},
        {"sizes": (0.75,), "ratios": (3, 0.3), "clip": True},
        {"sizes": (0.3, 0.4), "steps": (0.1, 0.2), "offsets": (0.25, 1.0)},
        {"sizes": (0.3,), "steps": (0.0, 0.2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("free", [False, True])
def test_multibox_prior(shape: tuple[int, ...], attributes: dict[str, object], free: bool) -> None:
    data = np.zeros(shape, np.float32)

    Operator("_contrib_MultiBoxPrior", {"data": data}, free=free, **attributes).check()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"force_suppress": True, "nms_threshold": 0.25},
        {"nms_topk": 10},
        {"nms_topk": 100, "threshold": 0.5},
        {"nms_topk": 3, "clip": False, "variances": (0.1, 0.2, 0.3, 0.4)},
        {"nms_threshold": 0.0, "threshold": 0.3},
        {"nms_threshold": 1.0},
        {"nms_threshold": 1.5},
        {"threshold": 1.25},
        {"background_id": 1, "nms_topk": 12, "force_suppress": True, "threshold": 0.8},
    ],
    ids=str,
)
def test_multibox_detection_with_ties(attributes: dict[str, object]) -> None:
    operator = Operator("_contrib_MultiBoxDetection", predictions(0), **attributes)

    for seed in range(15):
        operator.check(predictions(seed))


@pytest.mark.parametrize("classes", [1, 2, 21])
def test_multibox_detection_of_so_many_classes(classes: int) -> None:
    Operator("_contrib_MultiBoxDetection", predictions(1, classes=classes)).check()


@pytest.mark.parametrize("topk", [-1, 10, 50])
def test_multibox_detection_of_free_shape(topk: int) -> None:
    operator = Operator("_contrib_MultiBoxDetection", predictions(2), free=True, nms_topk=topk)

    operator.check(predictions(3))
    operator.check(predictions(4, batch=1, count=60))
