from __future__ import annotations

import numpy as np
import pytest

from gluonserve.answers import is_classification, probabilities, top


def test_top_classes_come_best_first_with_their_labels() -> None:
    (ranked,) = top(np.array([[0.1, 0.7, 0.2]], np.float32), {1: "cat"}, 2)

    assert [(one.label, one.index) for one in ranked] == [("cat", 1), ("2", 2)]
    assert ranked[0].probability == pytest.approx(0.7)


def test_scores_become_probabilities_by_softmax() -> None:
    rows = probabilities(np.array([[1000.0, 1000.0], [-5.0, 5.0]]))

    assert rows.sum(axis=1) == pytest.approx([1, 1])
    assert rows[0] == pytest.approx([0.5, 0.5])


def test_a_distribution_stays_as_it_is() -> None:
    row = np.array([[0.25, 0.75]], np.float32)

    assert probabilities(row) == pytest.approx(row)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.zeros((2, 10), np.float32), True),
        (np.zeros((2, 1), np.float32), False),
        (np.zeros((2, 10), int), False),
    ],
    ids=["scores", "single", "integers"],
)
def test_class_scores_are_rows_of_floats(output: np.ndarray, expected: bool) -> None:
    assert is_classification(output) is expected
