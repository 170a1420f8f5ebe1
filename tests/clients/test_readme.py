"""The Python calls that clients/README.md shows run as they are written."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from fakeplane import FakeModel, spec
from fakeserver import FakeServer

from gluonserve.tensors import DType, Signature

README = Path(__file__).parents[2] / "clients/README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
CLASSES = np.zeros((1, 10), np.float32)


def lenet() -> FakeModel:
    inputs = (spec("data", DType.UINT8, -1, 28, 28, 1),)
    outputs = (spec("digits", DType.FP32, -1, 10),)
    return FakeModel("lenet_digits", Signature(inputs, outputs), lambda _: {"digits": CLASSES})


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block.split()[:6]))
def test_example_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "kserve" in block and importlib.util.find_spec("kserve") is None:
        pytest.skip("the KServe SDK is not installed")
    with FakeServer(lenet()) as server:
        code = block.replace("localhost:8001", server.target)
        if "async with" in code and "def main" not in code:
            body = textwrap.indent(code, "    ")
            code = f"import asyncio\nasync def main():\n{body}asyncio.run(main())\n"
        names = {"digits": np.zeros((1, 28, 28, 1), np.uint8), "pictures": []}
        exec("from gluonserve_client import AsyncClient, Client\n" + code, names)

    if "print" in block:
        assert "(1, 10)" in capsys.readouterr().out
