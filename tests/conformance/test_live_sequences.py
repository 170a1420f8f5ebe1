"""Operators on sequences and their likelihoods, compared with live MXNet on drawn lengths."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Operator

pytestmark = pytest.mark.mxnet

SHAPES = [(5, 4), (1, 1), (7, 2, 3), (4, 5, 2, 3), (3, 4, 1, 2, 2)]


def drawn(draw: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return draw.integers(-9, 9, shape).astype(dtype)


def swapped(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Steps first, or second where ``axis`` is 1."""
    return shape if axis == 0 else (shape[1], shape[0], *shape[2:])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["SequenceMask", "SequenceLast"])
def test_masking_and_last_steps(name: str, shape: tuple[int, ...], axis: int) -> None:
    draw = np.random.default_rng(len(shape) + axis)
    attributes = {"value": -2.5} if name == "SequenceMask" else {}
    steps, rows = shape[:2]
    least = 0 if name == "SequenceMask" else 1
    examples = {
        "data": drawn(draw, swapped(shape, axis), "float32"),
        "sequence_length": draw.integers(least, steps + 1, rows).astype("float32"),
    }
    operator = Operator(
        name, examples, free=True, use_sequence_length=True, axis=axis, **attributes
    )

    for _ in range(10):
        ends = draw.integers(least, steps + 1, rows) + draw.choice([0, 0.75], rows)
        operator.check({"sequence_length": np.minimum(ends, steps).astype("float32")})


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("ends", ["float32", "int32", "int64"])
def test_masking_of_types(dtype: str, ends: str) -> None:
    draw = np.random.default_rng(1)
    examples = {
        "data": drawn(draw, (4, 3, 2), dtype),
        "sequence_length": np.array([1, 4, 2], ends),
    }

    Operator("SequenceMask", examples, use_sequence_length=True, value=3).check()


@pytest.mark.parametrize("name", ["SequenceMask", "SequenceLast", "SequenceReverse"])
def test_without_lengths_all_steps_count(name: str) -> None:
    data = drawn(np.random.default_rng(2), (4, 3, 2), "float32")

    Operator(name, {"data": data}, free=True).check()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reversing_up_to_the_lengths_of_rows(shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(3)
    steps, rows = shape[:2]
    examples = {
        "data": drawn(draw, shape, "float32"),
        "sequence_length": np.full(rows, steps, "float32"),
    }
    operator = Operator("SequenceReverse", examples, free=True, use_sequence_length=True)

    for _ in range(10):
        operator.check({"sequence_length": draw.integers(1, steps + 1, rows).astype("float32")})


def ctc_feeds(seed: int, steps: int, rows: int, *, blank: str, most: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    label = draw.integers(1, 5, (rows, most)) - (blank == "last")
    ends = draw.integers(1, most + 1, rows)
    padding = 0 if blank == "first" else -1
    label = np.where(np.arange(most) < ends[:, None], label, padding)
    return {
        "data": draw.normal(0, 2, (steps, rows, 5)).astype("float32"),
        "label": label.astype("float32"),
    }


@pytest.mark.parametrize("blank", ["first", "last"])
def test_ctc_loss_of_padded_labels(blank: str) -> None:
    operator = Operator(
        "CTCLoss", ctc_feeds(0, 8, 3, blank=blank, most=4), free=True, blank_label=blank
    )

    for seed in range(8):
        operator.check(ctc_feeds(seed, 8 + seed, 1 + seed % 4, blank=blank, most=3 + seed % 3))


@pytest.mark.parametrize("blank", ["first", "last"])
def test_ctc_loss_with_lengths_some_too_short(blank: str) -> None:
    draw = np.random.default_rng(5)
    first = int(blank == "first")

    def given(seed: int) -> dict[str, np.ndarray]:
        return {
            **ctc_feeds(seed, 8, 4, blank=blank, most=4),
            "label": draw.integers(first, 4 + first, (4, 4)).astype("float32"),
            "data_lengths": draw.integers(1, 9, 4).astype("float32"),
            "label_lengths": np.array([1, 2, 1, 0], "float32"),
        }

    operator = Operator(
        "CTCLoss", given(0), free=True, use_data_lengths=True, use_label_lengths=True,
        blank_label=blank,
    )  # fmt: skip

    for seed in range(8):
        operator.check(given(seed))


def test_ctc_loss_is_zero_where_repeats_need_more_steps() -> None:
    given = ctc_feeds(0, 4, 2, blank="first", most=4)
    given["label"] = np.array([[1, 1, 1, 1], [1, 2, 3, 4]], "float32")

    Operator("CTCLoss", given, blank_label="first").check()


@pytest.mark.parametrize(("rows", "kinds", "events"), [(1, 1, 4), (4, 3, 6), (2, 5, 1)], ids=str)
def test_hawkes_likelihood(rows: int, kinds: int, events: int) -> None:
    draw = np.random.default_rng(rows)
    lags = draw.uniform(0.1, 1, (rows, events))
    examples = {
        "lda": draw.uniform(0.5, 2, (rows, kinds)).astype("float32"),
        "alpha": draw.uniform(0.1, 0.9, kinds).astype("float32"),
        "beta": draw.uniform(0.5, 2, kinds).astype("float32"),
        "state": draw.uniform(0, 1, (rows, kinds)).astype("float32"),
        "lags": lags.astype("float32"),
        "marks": draw.integers(0, kinds, (rows, events)).astype("int32"),
        "valid_length": draw.integers(0, events + 1, rows).astype("float32"),
        "max_time": (lags.sum(axis=1) + 1).astype("float32"),
    }

    Operator("_contrib_hawkesll", examples, outputs=2, free=True).check()
