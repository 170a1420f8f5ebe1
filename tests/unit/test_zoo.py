"""How networks of the public zoos are judged, and that the kept figures and their reasons fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests import zoo
from tests.zoo_detections import compared, relative
from tests.zoo_nodes import judged

if TYPE_CHECKING:
    from pathlib import Path


def detections(count: int = 6) -> list[np.ndarray]:
    """Classes, falling scores, boxes apart from each other, and a mask for each."""
    ids = np.arange(count, dtype=np.float32).reshape(1, count, 1) % 3
    scores = np.linspace(0.9, 0.4, count, dtype=np.float32).reshape(1, count, 1)
    corners = 20.0 * np.arange(count, dtype=np.float32).reshape(1, count, 1)
    masks = np.random.default_rng(0).random((1, count, 4, 4), dtype=np.float32)
    return [ids, scores, corners + np.array([0, 0, 9, 9], np.float32), masks]


def test_every_network_that_differs_is_listed_with_its_reason() -> None:
    kept = json.loads(zoo.RESULTS.read_text(encoding="utf-8"))

    assert zoo.problems(kept) == []
    assert all(one["why"] for one in zoo.deviations().values())


def test_detections_in_another_order_match_and_so_do_their_masks() -> None:
    wanted = detections()
    order = [1, 0, 2, 5, 3, 4]

    found = compared([array[:, order] for array in wanted], wanted)

    assert found.share == 1.0
    assert found.others == (0.0,)
    assert found.problems() == {}


def test_a_mask_of_another_detection_differs() -> None:
    wanted = detections()
    answers = [*wanted[:3], wanted[3][:, ::-1]]

    assert list(compared(answers, wanted).problems()) == [3]


@pytest.mark.parametrize("at", [0, 1, 2], ids=["class", "score", "box"])
def test_a_detection_that_is_not_there_has_no_match(at: int) -> None:
    wanted = detections()
    answers = [array.copy() for array in wanted]
    answers[at][0, 0] += 1

    assert compared(answers, wanted).share == pytest.approx(5 / 6)


def test_rows_without_detections_are_paired_in_their_order() -> None:
    wanted = detections()
    wanted[0][0, 4:] = -1

    assert compared(wanted, wanted).others == (0.0,)


def test_not_a_number_is_only_like_itself() -> None:
    nan = np.array([np.nan, 1.0])

    assert relative(nan, nan) == 0.0
    assert relative(np.array([0.0, 1.0]), nan) == float("inf")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """relu(data) + 1 as exported, its recorded input, and what its two nodes answered."""
    folder = tmp_path / "net"
    folder.mkdir()
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "relu", "name": "positive", "inputs": [[0, 0, 0]]},
        {"op": "_plus_scalar", "name": "more", "attrs": {"scalar": "1"}, "inputs": [[1, 0, 0]]},
    ]
    graph = {"nodes": nodes, "arg_nodes": [0], "heads": [[2, 0, 0]], "node_row_ptr": [0, 1, 2, 3]}
    (folder / "net-symbol.json").write_text(json.dumps(graph), encoding="utf-8")
    data = np.array([[-1, 2, 3]], np.float32)
    positive = np.maximum(data, 0)
    np.savez(folder / "net.npz", **{"in:data": data, "out:0": positive + 1})
    np.savez(folder / "nodes.npz", **{"1:0": positive, "2:0": positive + 1})
    return folder


def test_nodes_that_answer_as_recorded_agree(network: Path) -> None:
    found = judged(network, "onnxruntime")

    assert (found["nodes"], found["agreed"], found["differing"]) == (2, 2, [])


def test_each_node_is_fed_what_was_recorded_for_it(network: Path) -> None:
    strange = np.array([[7, 7, 7]], np.float32)
    np.savez(network / "nodes.npz", **{"1:0": strange, "2:0": strange + 1})

    (differing,) = judged(network, "onnxruntime")["differing"]

    assert differing.startswith("positive (relu): differ")


def test_a_node_without_recorded_answers_does_not_agree(network: Path) -> None:
    np.savez(network / "nodes.npz", **{"1:0": np.array([[0, 2, 3]], np.float32)})

    found = judged(network, "onnxruntime")

    assert found["differing"] == ["1 nodes have no recorded answers"]
    assert (found["nodes"], found["agreed"]) == (2, 1)
