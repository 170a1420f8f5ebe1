"""What a client makes of raw answers: probabilities from scores, boxes from anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIANCES = np.array([0.1, 0.1, 0.2, 0.2], np.float32)
OVERLAP = 0.45


@dataclass(frozen=True, slots=True)
class Found:
    """One object: its class, its score, and left, top, right, bottom as shares of the picture."""

    label: int
    score: float
    corners: np.ndarray


def named(scores: np.ndarray) -> tuple[int, float]:
    """The surest class of one row of scores, and its probability."""
    shares = _softmax(scores)
    return int(shares.argmax()), float(shares.max())


def decide(outputs: Mapping[str, np.ndarray], least: float) -> list[Found]:
    """The objects in the one picture that a detector's anchors, scores and offsets tell of.

    What ``MultiBoxDetection`` does in the graph of toy_ssd_detect: decode each anchor's box, take
    the surest, drop those that overlap it, and so on.
    """
    anchors, scores, offsets = outputs.values()
    shares = _softmax(scores[0])[:, 1:]
    boxes = _decoded(anchors[0], offsets[0].reshape(-1, 4))
    found: list[Found] = []
    for at in np.argsort(-shares.max(axis=1)):
        score = float(shares[at].max())
        if score < least:
            break
        if all(_overlap(boxes[at], one.corners) <= OVERLAP for one in found):
            found.append(Found(int(shares[at].argmax()), score, boxes[at]))
    return found


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _decoded(anchors: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = (anchors[:, 2:] + anchors[:, :2]) / 2
    offsets = offsets * VARIANCES
    centres = offsets[:, :2] * sides + centres
    sides = np.exp(offsets[:, 2:]) * sides
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return corners.clip(0, 1)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    corner = np.maximum(first[:2], second[:2])
    common = float(np.clip(np.minimum(first[2:], second[2:]) - corner, 0, None).prod())
    areas = float((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod())
    return common / (areas - common)
