"""Top k of an output, as the protocol's extension writes it."""

from __future__ import annotations

import numpy as np
import pytest

from gluonserve.classification import classify

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], np.float32)


def test_each_row_is_ranked_with_labels() -> None:
    ranked = classify(SCORES, 2, ("zero", "one", "two"), batched=True)

    assert ranked.tolist() == [
        [b"0.700000:1:one", b"0.200000:2:two"],
        [b"0.500000:0:zero", b"0.500000:1:one"],
    ]


def test_unbatched_output_is_ranked_whole() -> None:
    assert classify(SCORES, 1, batched=False).tolist() == [b"0.700000:1"]


def test_more_than_there_is_gives_all() -> None:
    assert classify(SCORES, 9, batched=True).shape == (2, 3)


def test_no_rows_give_no_rows() -> None:
    assert classify(SCORES[:0], 2, batched=True).shape == (0, 2)


def test_labels_may_be_fewer_than_classes() -> None:
    assert classify(SCORES, 1, ("zero",), batched=True)[0, 0] == b"0.700000:1"


def test_integers_have_no_decimals() -> None:
    assert classify(np.array([3, 9]), 1, batched=False).tolist() == [b"9:1"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
def test_nan_ranks_last(dtype) -> None:
    ranked = classify(np.array([np.nan, 1, np.inf, np.nan], dtype), 4, batched=False)

    assert [entry.split(b":")[1] for entry in ranked] == [b"2", b"1", b"0", b"3"]


def test_deeper_rows_are_ranked_flat() -> None:
    ranked = classify(np.arange(8).reshape(2, 2, 2), 1, batched=True)

    assert ranked.tolist() == [[b"3:3"], [b"7:3"]]
