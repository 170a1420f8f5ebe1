"""Pairs a detector's answers with MXNet's where noise may move, swap or lose single detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

NOISY = 1e-2
"""More noise than this says nothing of answers from end to end."""
BEST = 1000
ENOUGH = 0.99
"""The share of detections that must have a match."""


@dataclass(frozen=True)
class Comparison:
    """The share of detections that have a match, and the errors of what belongs to them."""

    share: float
    others: tuple[float, ...]

    def problems(self) -> dict[int, str]:
        """In words what differs, by output."""
        found = {
            at: f"output {at} of matched detections: {error:.2g} over {NOISY:.1g}"
            for at, error in enumerate(self.others, start=3)
            if not error <= NOISY
        }
        if self.share < ENOUGH:
            found[0] = f"{self.share:.2%} of the detections have a match"
        return dict(sorted(found.items()))


def compared(answers: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> Comparison:
    """Detections matched, and each further output with its rows in the order of its detections."""
    share, pairs = matched(answers, wanted)
    rows = wanted[0].size
    others = (
        relative(*rearranged(got, want, rows, pairs))
        for got, want in zip(answers[3:], wanted[3:], strict=True)
    )
    return Comparison(share, tuple(min(error, 1e30) for error in others))


def detects(meta: dict[str, Any], wanted: Sequence[np.ndarray]) -> bool:
    """Whether the first outputs are classes, scores and boxes."""
    shapes = [array.shape for array in wanted[:3]]
    rows = shapes[0][:-1]
    return str(meta.get("family", "")).startswith("det.") and shapes == [
        (*rows, 1),
        (*rows, 1),
        (*rows, 4),
    ]


def matched(
    answers: Sequence[np.ndarray], wanted: Sequence[np.ndarray]
) -> tuple[float, list[tuple[int, int]]]:
    """The share of detections with one of the same class, score and box, and the pairs of rows.

    Detections whose scores tie may come in any order; each matches one other at most. Of many,
    MXNet's best thousand are looked for. Rows that hold no detection are paired in their order.
    """
    (ids, scores, boxes), (ids_, scores_, boxes_) = (
        [array.reshape(-1, array.shape[-1]).astype("f8") for array in side[:3]]
        for side in (answers, wanted)
    )
    real, real_ = np.flatnonzero(ids[:, 0] >= 0), np.flatnonzero(ids_[:, 0] >= 0)
    fillers, fillers_ = np.flatnonzero(ids[:, 0] < 0), np.flatnonzero(ids_[:, 0] < 0)
    pairs = [(int(a), int(b)) for a, b in zip(fillers, fillers_, strict=False)]
    sizes = len(real), len(real_)
    if not all(sizes):
        return float(sizes[0] == sizes[1]), pairs
    best = real_[np.argsort(-scores_[real_, 0], kind="stable")][:BEST]
    real = real[scores[real, 0] >= 0.98 * scores_[best[-1], 0] - 1e-3]  # none lower can match
    free = np.ones(len(real), bool)
    ids, scores, boxes = ids[real], scores[real], boxes[real]
    found = 0
    for at in best:
        near = np.abs(boxes - boxes_[at]).max(axis=1)
        alike = np.abs(scores - scores_[at])[:, 0] <= 1e-4 + 1e-2 * abs(scores_[at, 0])
        allowed = 0.1 + 1e-3 * np.abs(boxes_[at]).max()
        fits = free & (ids[:, 0] == ids_[at, 0]) & alike & (near <= allowed)
        if fits.any():
            nearest = int(np.argmin(np.where(fits, near, np.inf)))
            free[nearest] = False
            pairs.append((int(real[nearest]), int(at)))
            found += 1
    return found / len(best) * min(sizes) / max(sizes), pairs


def rearranged(
    got: np.ndarray, want: np.ndarray, rows: int, pairs: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Of an output that belongs to detections (masks), the rows of each pair side by side.

    An output of another shape stays as it is.
    """
    if got.shape != want.shape or want.ndim < 2 or want.shape[0] * want.shape[1] != rows:
        return got, want
    left, right = (np.array([pair[side] for pair in pairs], int) for side in (0, 1))
    behind = want.shape[2:]
    return got.reshape(rows, *behind)[left], want.reshape(rows, *behind)[right]


def relative(got: np.ndarray, want: np.ndarray) -> float:
    """The L2 norm of the difference over that of what is wanted; infinite where shapes differ."""
    if got.shape != want.shape:
        return float("inf")
    a, b = got.astype("f8"), want.astype("f8")
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    finite = np.isfinite(a) & np.isfinite(b)
    if not (same | finite).all():
        return float("inf")
    size = np.linalg.norm(np.where(finite, b, 0.0))
    gap = np.linalg.norm(np.where(same, 0.0, np.where(finite, a, 0.0) - np.where(finite, b, 0.0)))
    return float(gap / size) if size else float("inf")
