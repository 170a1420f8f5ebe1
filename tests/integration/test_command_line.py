"""The commands that talk to a server, against the server that `gluonserve serve` starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "gluonserve"
LENET = ROOT / "models" / "lenet_digits"
DIGIT = next((ROOT / "demo" / "pictures").glob("digit-*.png"))
SCENE = next((ROOT / "demo" / "pictures").glob("scene-*.png"))
PORTS = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", "--host", "127.0.0.1"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [PROGRAM, "serve", ROOT / "models", *PORTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = next((one for one in server.stdout if one.startswith("gluonserve is")), "")
            assert line.startswith("gluonserve is ready"), line
            port = re.search(r"grpc (\d+)", line)
            yield f"127.0.0.1:{port[1]}"
        finally:
            server.terminate()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *(str(one) for one in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_models_list_shows_what_serves(address: str) -> None:
    result = run("models", "list", "--address", address, "--json")

    listed = {entry["name"]: entry["state"] for entry in json.loads(result.stdout)}
    assert listed["lenet_digits"] == listed["toy_ssd_detect"] == "READY"


def test_infer_recognises_a_picture_of_a_digit(address: str) -> None:
    result = run("infer", "lenet_digits", DIGIT, "--address", address, "--top", "1")

    assert result.returncode == 0, result.stderr
    row = result.stdout.splitlines()[-1].split()
    assert row[:2] == [DIGIT.name, re.search(r"digit-(\d)", DIGIT.name)[1]]
    assert float(row[2].rstrip("%")) > 50


def test_infer_answers_the_same_here_as_on_the_server(address: str) -> None:
    there = run("infer", "lenet_digits", DIGIT, "--address", address, "--json")
    here = run("infer", DIGIT, "--model", ROOT / "models" / "lenet_digits", "--json")

    answers = [json.loads(one.stdout)["outputs"]["digits"] for one in (there, here)]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


def test_infer_draws_what_a_detector_finds(address: str, tmp_path: Path) -> None:
    target = tmp_path / "drawn.png"

    result = run("infer", "toy_ssd_detect", SCENE, "--address", address, "-o", target)

    assert result.returncode == 0, result.stderr
    assert SCENE.name in result.stdout
    with Image.open(SCENE) as before, Image.open(target) as after:
        assert after.size[0] >= before.size[0]
        assert after.convert("RGB").getcolors(1 << 24) != before.convert("RGB").getcolors(1 << 24)


@pytest.mark.parametrize("loop", [("--in-flight", "4"), ("--rate", "50")], ids=["closed", "open"])
def test_bench_reports_latencies(address: str, loop: tuple[str, str]) -> None:
    length = ("--seconds", "0.5", "--warmup", "0.1")

    result = run("bench", "lenet_digits", "--address", address, "--json", *loop, *length)

    report = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert report["requests"] > 0
    assert report["failures"] == {}
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["max"]


def test_bench_of_an_unknown_model_is_one_line(address: str) -> None:
    result = run("bench", "nobody", "--address", address)

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "NOT_FOUND" in result.stderr


def test_health_of_server_and_model(address: str) -> None:
    assert run("health", "--address", address).returncode == 0
    assert run("health", "--address", address, "--model", "lenet_digits").returncode == 0
    assert run("health", "--address", address, "--model", "nobody").returncode == 1


@pytest.mark.parametrize(
    "words",
    [["inspect", LENET], ["inspect", LENET, "--json"], ["--help"]],
    ids=["table", "json", "help"],
)
def test_output_that_cannot_be_written_is_one_line(words: list[object]) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert result.returncode == 1
    assert result.stderr == "error: the output cannot be written: No space left on device\n"


def test_names_that_the_output_cannot_spell_are_shown_in_part(tmp_path) -> None:
    exported.activations().export(tmp_path, "größe")
    narrow = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    result = subprocess.run(
        [PROGRAM, "inspect", tmp_path], env=narrow, capture_output=True, text=True, check=False
    )

    assert "gr??e version" in result.stdout
    assert "Traceback" not in result.stderr
