"""The protocol's classification extension: the top k of an output as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def classify(
    values: np.ndarray, k: int, labels: Sequence[str] = (), *, batched: bool
) -> np.ndarray:
    """The ``k`` largest values as ``value:index[:label]``, largest first, ties by lower index.

    With ``batched`` each entry of axis 0 is ranked by itself and the answer has shape (rows, k);
    otherwise the whole array is, and the answer has shape (k,). Fewer than ``k`` values give all.
    NaN ranks last.
    """
    by_row = batched and values.ndim > 0
    rows = values.shape[0] if by_row else 1
    table = values.reshape(rows, math.prod(values.shape[1:]) if by_row else values.size)
    k = min(k, table.shape[1])
    result = np.empty((table.shape[0], k), dtype=object)
    for row, scores in enumerate(table):
        for place, index in enumerate(_largest(scores, k)):
            result[row, place] = _entry(scores[index], int(index), labels)
    return result if by_row else result[0]


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices of the ``k`` largest, in a stable order."""
    ranks = np.argsort(scores[::-1], kind="stable")[::-1]
    order = scores.size - 1 - ranks
    if scores.dtype.kind == "f":
        missing = np.isnan(scores[order])
        order = np.concatenate([order[~missing], order[missing]])
    return order[:k]


def _entry(score: np.generic, index: int, labels: Sequence[str]) -> bytes:
    text = f"{score:f}" if score.dtype.kind == "f" else str(int(score))
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{text}:{index}{label}".encode()
