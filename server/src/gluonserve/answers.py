"""What a model's outputs mean to people: classes by probability, or found objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Ranked:
    """One class of one row; ``score`` is the output's own value."""

    index: int
    label: str
    score: float
    probability: float


def is_classification(output: np.ndarray) -> bool:
    """Whether an output looks like rows of class scores."""
    return output.ndim == 2 and output.shape[1] > 1 and output.dtype.kind == "f"


def top(output: np.ndarray, labels: Mapping[int, str], count: int) -> list[list[Ranked]]:
    """The best classes of each row. Scores that are no distribution become one by softmax."""
    chances = probabilities(output)
    best = np.argsort(-output, axis=1, kind="stable")[:, :count]
    return [
        [
            Ranked(
                int(i), labels.get(int(i), str(i)), float(output[row, i]), float(chances[row, i])
            )
            for i in indices
        ]
        for row, indices in enumerate(best)
    ]


def probabilities(output: np.ndarray) -> np.ndarray:
    """The rows as distributions: as they are if they are some, else their softmax."""
    values = output.astype(np.float64)
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    with np.errstate(invalid="ignore"):  # of infinite scores there are no probabilities
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))
