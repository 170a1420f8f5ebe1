"""Numbers that a client may send lead no engine out of its memory, nor end the process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.networks import Network

import gluonserve

if TYPE_CHECKING:
    from pathlib import Path

DATA = np.arange(42, dtype=np.float32).reshape(7, 3, 2)
ENGINES = ["openvino", "onnxruntime"]


def answered(
    folder: Path, op: str, feeds: dict[str, np.ndarray], engine: str, **given: object
) -> np.ndarray:
    net = Network()
    at = net.add(op, *(net.variable(name) for name in feeds), **given)
    symbol = folder / "net-symbol.json"
    symbol.write_bytes(net.to_bytes(at))
    hints = {name: ("FP32", list(array.shape)) for name, array in feeds.items()}
    with gluonserve.load(symbol, executor=engine, inputs=hints) as model:
        (answer,) = model(feeds).values()
    return answer


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_step_is_one_of_the_steps(engine: str, tmp_path: Path) -> None:
    feeds = {"data": DATA, "length": np.array([100, 7, -5], np.float32)}

    last = answered(tmp_path, "SequenceLast", feeds, engine, use_sequence_length=True)

    np.testing.assert_array_equal(last, [DATA[6, 0], DATA[6, 1], DATA[0, 2]])


@pytest.mark.parametrize("engine", ENGINES)
def test_longer_than_all_steps_is_all_of_them(engine: str, tmp_path: Path) -> None:
    feeds = {"data": DATA, "length": np.array([100, 7, -5], np.float32)}

    turned = answered(tmp_path, "SequenceReverse", feeds, engine, use_sequence_length=True)

    np.testing.assert_array_equal(turned[:, :2], DATA[::-1, :2])
    np.testing.assert_array_equal(turned[:, 2], DATA[:, 2])


def test_openvino_gathers_from_the_tensor_only(tmp_path: Path) -> None:
    """MXNet and ONNX Runtime raise; OpenVINO would answer what lies there, or end the process."""
    places = np.array([[-1, 100, -100], [0, 2, 5]], np.float32)

    rows = answered(tmp_path, "gather_nd", {"data": DATA, "indices": places}, "openvino")

    np.testing.assert_array_equal(rows, [DATA[6, 0], DATA[6, 2], DATA[0, 2]])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_least_integer_is_divided_by_minus_one(engine: str, tmp_path: Path) -> None:
    """In a process of its own: processors answer this division with a signal."""
    net = Network()
    at = net.add("elemwise_div", net.variable("a"), net.variable("b"))
    (tmp_path / "net-symbol.json").write_bytes(net.to_bytes(at))
    code = (
        "import gluonserve, numpy as np, sys\n"
        "hints = {name: ('INT32', [5]) for name in 'ab'}\n"
        "model = gluonserve.load('net-symbol.json', inputs=hints, executor=sys.argv[1])\n"
        "a, b = np.array([[7, -7, 5, -5, -2**31], [2, -1, 0, 2, -1]], np.int32)\n"
        "print(*next(iter(model(a=a, b=b).values())).tolist())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, engine],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "7", "5", "-2", str(-(2**31))]
