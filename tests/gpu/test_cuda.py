"""ONNX Runtime on an NVIDIA GPU: right answers, refused mistakes, and a small benchmark.

``make gpu-test`` runs this file where there is a GPU. The CUDA build of ONNX Runtime must be
installed: pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest

from gluonserve.errors import BackendUnavailable, ExecutionFailed
from gluonserve.executors import ExecutorOptions, choose
from gluonserve.loader.importing import import_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gluonserve.executors.protocol import Executor

pytestmark = pytest.mark.gpu

ROWS = (1, 8, 64, 512)


@pytest.fixture
def network() -> exported.Network:
    return exported.convolution()


@pytest.fixture
def executor(network: exported.Network, tmp_path: Path) -> Iterator[Executor]:
    opened = choose(import_model(*network.export(tmp_path)), options=_on_gpu())
    yield opened
    opened.close()


def _on_gpu(index: int = 0) -> ExecutorOptions:
    return ExecutorOptions(device=f"cuda:{index}")


def _answer(executor: Executor, data: np.ndarray) -> np.ndarray:
    lease = executor.lease({"data": data.shape})
    try:
        lease.inputs["data"][...] = data
        executor.run(lease)
        (answer,) = lease.outputs.values()
        return answer.copy()
    finally:
        lease.release()


def test_auto_takes_onnxruntime_on_cuda(executor: Executor) -> None:
    assert executor.description["executor"] == "onnxruntime"
    assert executor.description["device"] == "cuda:0"
    assert executor.description["why"] == "auto: onnxruntime is the engine for CUDA devices"


@pytest.mark.parametrize("rows", [0, 1, 3, 64], ids=str)
def test_answers_are_exact_fp32(executor: Executor, network: exported.Network, rows: int) -> None:
    inputs = network.draw(rows)

    answer = _answer(executor, inputs["data"])

    np.testing.assert_allclose(answer, network.compute(**inputs)[0], rtol=1e-4, atol=1e-5)


def test_device_memory_is_bound_anew_for_other_shapes(
    executor: Executor, network: exported.Network
) -> None:
    for rows in (4, 1, 4, 2):
        inputs = network.draw(rows)
        answer = _answer(executor, inputs["data"])
        np.testing.assert_allclose(answer, network.compute(**inputs)[0], rtol=1e-4, atol=1e-5)


def test_wrong_shape_fails_and_the_next_batch_does_not(
    executor: Executor, network: exported.Network
) -> None:
    with pytest.raises(ExecutionFailed):
        _answer(executor, np.zeros((2, 5, 6, 4), np.float32))

    inputs = network.draw(2)
    answer = _answer(executor, inputs["data"])
    np.testing.assert_allclose(answer, network.compute(**inputs)[0], rtol=1e-4, atol=1e-5)


def test_device_that_is_not_there_is_refused(network: exported.Network, tmp_path: Path) -> None:
    imported = import_model(*network.export(tmp_path))

    with pytest.raises(BackendUnavailable, match="cuda:99"):
        choose(imported, options=_on_gpu(99))


def test_benchmark_against_the_processor(
    network: exported.Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Medians of interleaved runs, printed; nothing is asserted of time."""
    imported = import_model(*network.export(tmp_path))
    engines = {"cuda:0": choose(imported, options=_on_gpu()), "cpu": choose(imported)}
    lines = []
    for rows in ROWS:
        data = network.draw(rows)["data"]
        taken: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(20):
            for name, executor in engines.items():
                start = time.perf_counter()
                _answer(executor, data)
                taken[name].append(time.perf_counter() - start)
        shown = [f"{name} {statistics.median(t) * 1e3:8.3f} ms" for name, t in taken.items()]
        lines.append(f"{rows:4d} rows: {', '.join(shown)}")
    for executor in engines.values():
        executor.close()

    with capsys.disabled():
        print("", *lines, sep="\n")
