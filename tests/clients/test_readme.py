"""The calls that clients/README.md shows run as they are written."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakeplane import FakeModel, spec
from fakeserver import FakeServer

from gluonserve.tensors import DType, Signature

ROOT = Path(__file__).parents[2]
README = ROOT / "clients/README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
CLASSES = np.zeros((1, 10), np.float32)


def lenet() -> FakeModel:
    inputs = (spec("data", DType.UINT8, -1, 28, 28, 1),)
    outputs = (spec("digits", DType.FP32, -1, 10),)
    return FakeModel("lenet_digits", Signature(inputs, outputs), lambda _: {"digits": CLASSES})


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_example_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "kserve" in block and importlib.util.find_spec("kserve") is None:
        pytest.skip("the KServe SDK is not installed")
    with FakeServer(lenet()) as server:
        code = block.replace("localhost:8001", server.target)
        exec(code, {})

    assert "(1, 10)" in capsys.readouterr().out


def test_grpcurl_examples_are_what_the_server_understands() -> None:
    script = re.findall(r"```sh\n(grpcurl.*?)```", README.read_text(), re.DOTALL)[0]
    stand_in = f'grpcurl() {{ "{sys.executable}" "{ROOT / "tests/grpcurl.py"}" "$@"; }}\n'

    with FakeServer(lenet()) as server:
        done = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                stand_in + script.replace("localhost:8001", server.target),
            ],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    for shown in ("grpc.health.v1.Health", "ModelStreamInfer", '"name": "digits"', '"shape": ['):
        assert shown in done.stdout
