"""Measures a detector: how many of the drawn digits it finds, and how much it imagines."""

from __future__ import annotations

import numpy as np

SURE = 0.5
OVERLAP = 0.5


def share_found(detections: np.ndarray, boxes: np.ndarray) -> dict[str, float]:
    """Recall and precision of detections ``(N, A, 6)`` against boxes ``(N, B, 5)``.

    A digit is found where a detection of score 0.5 or more names it and overlaps its box by more
    than half (intersection over union); one detection finds one digit.
    """
    found = drawn = claimed = 0
    for rows, truth in zip(detections, boxes, strict=True):
        sure = rows[(rows[:, 0] >= 0) & (rows[:, 1] >= SURE)]
        there = truth[truth[:, 0] >= 0]
        found += _matches(sure, there)
        drawn += len(there)
        claimed += len(sure)
    return {"digits_drawn": drawn, "found": found / drawn, "claims_right": found / max(claimed, 1)}


def _matches(sure: np.ndarray, there: np.ndarray) -> int:
    left = list(there)
    for row in sure:
        for number, box in enumerate(left):
            if row[0] == box[0] and _overlap(row[2:], box[1:]) > OVERLAP:
                del left[number]
                break
    return len(there) - len(left)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    corner = np.maximum(first[:2], second[:2])
    sides = np.clip(np.minimum(first[2:], second[2:]) - corner, 0, None)
    common = float(sides.prod())
    areas = float((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod())
    return common / (areas - common)
