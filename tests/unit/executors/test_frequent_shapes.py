"""Small networks are compiled by themselves for shapes that come often."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest

from gluonserve.executors import ExecutorOptions, frequent_shapes, openvino
from gluonserve.executors.frequent_shapes import OFTEN, copy_bytes, may_have_copies
from gluonserve.loader.importing import import_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gluonserve.executors.openvino import OpenVinoExecutor

    Open = Callable[..., OpenVinoExecutor]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    every = []

    def open_network(network: exported.Network) -> OpenVinoExecutor:
        files = network.export(tmp_path)
        imported = import_model(*files, inputs=network.hints)
        every.append(openvino.compile_model(imported, ExecutorOptions(threads=1, source=files)))
        return every[-1]

    yield open_network
    for executor in every:
        executor.close()


def drawn(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 4, 3)).astype(np.float32)


def answers(executor: OpenVinoExecutor, data: np.ndarray) -> tuple[bool, list[np.ndarray]]:
    """Whether a network compiled for just this shape held the lease, and the outputs."""
    lease = executor.lease({"data": data.shape})
    lease.inputs["data"][...] = data
    executor.run(lease)
    outputs = [array.copy() for array in lease.outputs.values()]
    lease.release()
    return lease.alone is not None, outputs


def run_often(executor: OpenVinoExecutor, data: np.ndarray) -> None:
    for _ in range(OFTEN):
        answers(executor, data)
    wait_for_copies()


def wait_for_copies() -> None:
    for thread in threading.enumerate():
        if thread.name == "compile-for-shapes":
            thread.join()


def check(network: exported.Network, data: np.ndarray, outputs: list[np.ndarray]) -> None:
    for output, right in zip(outputs, network.compute(data=data), strict=True):
        np.testing.assert_allclose(output, right, rtol=1e-4, atol=1e-5)


def test_shapes_that_come_often_are_compiled_by_themselves(opened: Open) -> None:
    network = exported.activations(shape=(-1, -1, 3))
    executor = opened(network)

    run_often(executor, drawn(2))

    for rows, expected in ((2, True), (3, False), (2, True)):
        data = drawn(rows)
        alone, outputs = answers(executor, data)
        assert alone is expected
        check(network, data, outputs)


def test_a_lease_from_before_runs_as_well(opened: Open) -> None:
    network = exported.activations(shape=(-1, -1, 3))
    executor, data = opened(network), drawn(2)
    early = executor.lease({"data": data.shape})
    early.inputs["data"][...] = data

    run_often(executor, data)
    executor.run(early)

    check(network, data, list(early.outputs.values()))
    early.release()


def test_one_that_answers_otherwise_is_not_used(opened: Open, monkeypatch) -> None:
    network = exported.activations(shape=(-1, -1, 3))
    executor, data = opened(network), drawn(2)
    infer = frequent_shapes.RequestLease.run

    def wrong(lease, compiled, expected) -> None:
        infer(lease, compiled, expected)
        if threading.current_thread().name == "compile-for-shapes":
            lease.outputs = {name: array + 1 for name, array in lease.outputs.items()}

    monkeypatch.setattr(frequent_shapes.RequestLease, "run", wrong)
    run_often(executor, data)

    alone, outputs = answers(executor, data)
    assert not alone
    check(network, data, outputs)


def test_one_that_fails_leaves_the_batch_to_the_network_for_all_shapes(opened: Open) -> None:
    network = exported.activations(shape=(-1, -1, 3))
    executor, data = opened(network), drawn(2)
    run_often(executor, data)
    lease = executor.lease({"data": data.shape})
    other = opened(exported.activations(shape=(-1, 5)))
    lease.alone.model = other._compiled

    lease.inputs["data"][...] = data
    executor.run(lease)

    check(network, data, list(lease.outputs.values()))
    lease.release()
    run_often(executor, data)
    alone, outputs = answers(executor, data)
    assert not alone
    check(network, data, outputs)


def test_parameters_that_somebody_overwrites_are_not_read_again(opened: Open, tmp_path) -> None:
    network = exported.convolution()
    executor, inputs = opened(network), network.draw(2)
    answers(executor, inputs["data"])  # now the engine has all that it needs of the file
    (tmp_path / "net-0000.params").write_bytes(b"")  # whoever reads the mapping is killed

    run_often(executor, inputs["data"])

    alone, outputs = answers(executor, inputs["data"])
    assert not alone
    check(network, inputs["data"], outputs)


def test_closing_waits_for_what_is_being_compiled(opened: Open) -> None:
    executor, data = opened(exported.activations(shape=(-1, -1, 3))), drawn(2)
    for _ in range(OFTEN):
        answers(executor, data)

    executor.close()

    assert "compile-for-shapes" not in {thread.name for thread in threading.enumerate()}


def test_copies_of_large_networks_are_never_made() -> None:
    assert may_have_copies(20 << 20)
    assert not may_have_copies(98 << 20)


def test_copies_end_with_the_budget(opened: Open, monkeypatch) -> None:
    monkeypatch.setattr(frequent_shapes, "_BUDGET_BYTES", copy_bytes(1 << 20))
    executor = opened(exported.activations(shape=(-1, -1, 3)))

    for rows in (2, 3):
        run_often(executor, drawn(rows))

    assert [answers(executor, drawn(rows))[0] for rows in (2, 3)] == [True, False]


def test_shapes_that_take_more_than_the_budget_have_no_copy(opened: Open, monkeypatch) -> None:
    monkeypatch.setattr(frequent_shapes, "_BUDGET_BYTES", copy_bytes(1 << 20))
    executor = opened(exported.activations(shape=(-1, -1, 3)))
    huge = drawn(300_000)

    run_often(executor, huge)
    run_often(executor, drawn(2))

    assert not answers(executor, huge)[0]
    assert answers(executor, drawn(2))[0]


def test_the_description_says_whether_sizes_should_be_stated(opened: Open, monkeypatch) -> None:
    free = exported.activations(shape=(-1, -1, 3))

    assert "compiled by themselves" in opened(free).description["note"]
    monkeypatch.setattr(frequent_shapes, "_BUDGET_BYTES", 0)
    assert "stating its shape makes it faster" in opened(free).description["note"]
