"""The README's quick start, run as it is written, against a real server on other ports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LONGEST_START = 90
MAKES = {"ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS"}
"""What `make test ARGS=...` passes on, which is meant for pytest."""


def _blocks(heading: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block of one section."""
    section = re.split(r"^#+ ", README.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


QUICK_START = _blocks("Quick start")
OWN_NETWORK = _blocks("Your own network")


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, str]]:
    """A server of the sample models, started by what ``make serve`` runs."""
    ours = {name: value for name, value in os.environ.items() if name not in MAKES}
    dry = subprocess.check_output(["make", "-n", "serve"], cwd=ROOT, text=True, env=ours)
    (serve,) = [line for line in dry.splitlines() if "gluonserve serve" in line]
    command = [*serve.split(), "--host", "127.0.0.1"]
    for port in ("http", "grpc", "metrics"):
        command += [f"--{port}-port", "0"]
    command[0] = str(Path(sys.executable).with_name("gluonserve"))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stdout)  # type: ignore[arg-type]
            ready = next(line for line in lines if line.startswith("gluonserve is"))
            assert ready.startswith("gluonserve is ready")
            yield dict(re.findall(r"(\w+) (\d+)[, ]", ready))
        finally:
            server.terminate()


def _run(language: str, text: str, folder: Path) -> str:
    """What a block prints; it must succeed."""
    command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, text],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_START,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _elsewhere(text: str, ports: dict[str, str]) -> str:
    """The block for this test's ports and environment."""
    text = text.replace("localhost:8001", f"127.0.0.1:{ports['grpc']}")
    text = text.replace("localhost:8002", f"127.0.0.1:{ports['metrics']}")
    text = text.replace("gluonserve infer", f"gluonserve infer --address 127.0.0.1:{ports['grpc']}")
    return text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")


def test_first_block_is_the_command_that_serves() -> None:
    assert QUICK_START[0] == ("sh", "make serve\n")


def test_quick_start_does_what_it_says(ports: dict[str, str]) -> None:
    shown = [_run(language, _elsewhere(text, ports), ROOT) for language, text in QUICK_START[1:]]

    inferred, seen, counted = shown
    assert re.search(r"\b7\b", inferred)
    assert "this is a 7" in seen
    assert 'model="lenet_digits"' in counted


@pytest.mark.mxnet
def test_own_network_is_exported_inspected_and_loaded(tmp_path: Path) -> None:
    export, inspect, serve, load = OWN_NETWORK

    _run(*export, tmp_path)
    inspected = _run("sh", _elsewhere(inspect[1], {"grpc": "", "metrics": ""}), tmp_path)
    _run(*load, tmp_path)

    assert "FullyConnected" in inspected
    assert serve[1].strip().endswith("gluonserve serve mynet-symbol.json")
