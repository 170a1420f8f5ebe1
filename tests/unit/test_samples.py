"""The sample models in models/: there, complete, small, and right often enough."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tomllib

MODELS = Path(__file__).resolve().parents[2] / "models"
SAMPLES = ("lenet_digits", "resnet_digits", "toy_ssd", "toy_ssd_detect")


def test_samples_are_small_enough_for_git() -> None:
    size = sum(path.stat().st_size for path in MODELS.rglob("*") if "__pycache__" not in path.parts)

    assert size < 12_000_000


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_has_recorded_rows_and_answers(name: str) -> None:
    with np.load(MODELS / name / "1/samples.npz") as record:
        inputs = {key: record[key] for key in record if key.startswith("in:")}
        outputs = [key for key in record if key.startswith("out:")]

    assert outputs
    assert all(len(np.unique(rows, axis=0)) >= 4 for rows in inputs.values())


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_says_what_it_is(name: str) -> None:
    settings = tomllib.loads((MODELS / name / "1/model.toml").read_text())

    assert settings["description"]
    assert (MODELS / name / "1" / settings["labels"]).read_text().split() == list("0123456789")


@pytest.mark.parametrize("name", ["lenet_digits", "resnet_digits"])
def test_classifier_was_right_on_digits_held_out(name: str) -> None:
    figures = json.loads((MODELS / name / "training.json").read_text())

    assert figures["held_out_right"] >= 0.97


@pytest.mark.parametrize("name", ["toy_ssd", "toy_ssd_detect"])
def test_detector_found_digits_in_unseen_scenes(name: str) -> None:
    figures = json.loads((MODELS / name / "training.json").read_text())

    assert figures["found"] >= 0.9
