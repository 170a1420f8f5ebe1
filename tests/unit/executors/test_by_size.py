"""One network, compiled for short batches and for long ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest
from unit.batching.fakes import FakeExecutor, row

import gluonserve
from gluonserve.executors.by_size import BySize
from gluonserve.executors.memory import RUNS_UNTIL_GONE
from gluonserve.executors.options import available_cores

if TYPE_CHECKING:
    from pathlib import Path


def answered(executor, inputs):
    lease = executor.lease({name: array.shape for name, array in inputs.items()})
    for name, array in inputs.items():
        lease.inputs[name][...] = array
    executor.run(lease)
    answers = {name: array.copy() for name, array in lease.outputs.items()}
    lease.release()
    return answers


class TestBySize:
    def test_a_batch_gets_memory_and_runs_where_it_fits(self) -> None:
        few, many = FakeExecutor(), FakeExecutor()
        executor = BySize(few, many, 9, "because")

        for rows in (1, 3, 4, 5):
            answer = answered(executor, row(1.5, rows))["doubled"]
            assert np.array_equal(answer, np.full((rows, 3), 3.0))

        assert (few.sizes, many.sizes) == ([1, 3], [4, 5])
        assert (few.leases_out, many.leases_out) == (0, 0)

    def test_batches_that_follow_a_large_one_run_there_until_its_memory_goes(self) -> None:
        few, many = FakeExecutor(), FakeExecutor()
        executor = BySize(few, many, 9, "because")

        for rows in (4, *[1] * (RUNS_UNTIL_GONE + 2)):
            answered(executor, row(1.5, rows))

        assert many.sizes == [4, *[1] * RUNS_UNTIL_GONE]
        assert few.sizes == [1, 1]

    def test_a_lease_runs_where_its_memory_came_from(self) -> None:
        few, many = FakeExecutor(), FakeExecutor()
        executor = BySize(few, many, 9, "because")
        early = executor.lease({"data": (1, 3)})

        answered(executor, row(1.5, 4))
        executor.run(early)

        assert (few.sizes, many.sizes) == ([1], [4])

    def test_another_executors_lease_is_refused(self) -> None:
        few = FakeExecutor()

        with pytest.raises(TypeError, match="another executor"):
            BySize(few, FakeExecutor(), 9, "because").run(few.lease({"data": (1, 3)}))

    def test_it_closes_both(self) -> None:
        closed = []
        few, many = FakeExecutor(), FakeExecutor()
        few.close, many.close = lambda: closed.append("few"), lambda: closed.append("many")

        BySize(few, many, 9, "because").close()

        assert closed == ["few", "many"]


@pytest.mark.skipif(available_cores() < 2, reason="there is one thread anyway")
def test_a_loaded_network_answers_batches_of_every_size_alike(tmp_path: Path) -> None:
    network = exported.activations()
    data = np.random.default_rng(3).normal(size=(100_000, 5)).astype(np.float32)
    with gluonserve.load(*network.export(tmp_path), inputs={"data": ("FP32", [-1, 5])}) as model:
        why = model.executor.description["why"]
        whole = model(data=data)
        parts = [model(data=data[at : at + 1]) for at in range(0, 100_000, 10_000)]

    assert "; one thread, because a row takes 0." in why
    assert f"; {available_cores()} for batches of more than" in why
    for name, answer in whole.items():
        rows = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(answer[::10_000], rows, rtol=1e-4, atol=1e-6)
