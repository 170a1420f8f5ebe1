"""Requests become one batch and its answers rows again, on any axis."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonserve.batching import BatchPolicy, DynamicBatcher
from gluonserve.batching.tensors import RowLayout, rows_of
from gluonserve.errors import InvalidRequest
from gluonserve.tensors import DType, Signature, TensorSpec

from .fakes import FakeExecutor, FakeObserver, ManualLoop, row, run_manually, signature_of, until


def ones(*shape: int, dtype=np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


@settings(max_examples=150, deadline=None)
@given(
    axis=st.integers(0, 2),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    padding=st.integers(0, 3),
)
def test_split_gives_back_what_stack_was_given_on_any_axis(axis, sizes, padding) -> None:
    layout = RowLayout(
        Signature(
            inputs=(TensorSpec("x", DType.FP32, (-1, -1, -1), batch_axis=axis),),
            outputs=(TensorSpec("y", DType.FP32, (-1, -1, -1), batch_axis=axis),),
        )
    )
    random = np.random.default_rng(0)
    shapes = [tuple(size if place == axis else 3 for place in range(3)) for size in sizes]
    requests = [{"x": random.random(shape, dtype=np.float32)} for shape in shapes]
    rows = sum(sizes)

    batch = {
        name: np.full(shape, np.nan, np.float32)
        for name, shape in layout.shapes(requests, rows + padding).items()
    }
    layout.stack(requests, rows, batch)
    outputs = layout.detach({"y": batch["x"]}, rows, rows + padding)

    assert not np.isnan(batch["x"]).any()
    stops = np.cumsum(sizes)
    for request, stop, size in zip(requests, stops, sizes, strict=True):
        own = layout.split(outputs, stop - size, stop)
        np.testing.assert_array_equal(own["y"], request["x"])


def test_rows_are_counted_on_the_batch_axis() -> None:
    signature = signature_of(inputs=(TensorSpec("x", DType.FP32, (4, -1), batch_axis=1),))

    assert rows_of(signature, {"x": ones(4, 7)}) == 7


def test_tensors_without_rows_count_as_one_row_and_run_alone() -> None:
    signature = signature_of(inputs=(TensorSpec("x", DType.FP32, (2,), batch_axis=None),))

    assert RowLayout(signature).measure({"x": ones(2)}) == (1, 8, None)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        pytest.param({}, "nothing", id="none"),
        pytest.param({"x": ones(1, 2)}, "'y'", id="missing"),
        pytest.param({"x": ones(1, 2), "z": ones(1, 2)}, "'y'", id="unknown"),
        pytest.param({"x": ones(1, 2), "y": [[1.0]]}, "list", id="no_array"),
        pytest.param({"x": ones(1, 2), "y": ones(2, 2)}, "'y' has 2 rows", id="rows_differ"),
        pytest.param({"x": ones(1, 2), "y": ones()}, "no batch axis", id="no_axis"),
        pytest.param({"x": ones(1, 2), "y": ones(1, 2, dtype="f8")}, "float64", id="dtype"),
    ],
)
def test_request_that_cannot_be_stacked_is_refused_with_the_inputs_name(inputs, words) -> None:
    signature = signature_of(
        inputs=(TensorSpec("x", DType.FP32, (-1, 2)), TensorSpec("y", DType.FP32, (-1, 2)))
    )

    with pytest.raises(InvalidRequest, match=words):
        RowLayout(signature).measure(inputs)


def test_different_shapes_do_not_share_a_batch_but_are_all_answered() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor()
        async with DynamicBatcher(executor, BatchPolicy()) as batcher:
            answers = await asyncio.gather(
                *(batcher.submit(row(value, columns=3 + value % 2)) for value in range(6))
            )

        assert executor.sizes == [3, 3]
        for value, answer in enumerate(answers):
            expected = np.full((1, 3 + value % 2), 2.0 * value, np.float32)
            np.testing.assert_array_equal(answer.outputs["doubled"], expected)

    run_manually(scenario)


SHARED = Signature(
    inputs=(
        TensorSpec("data", DType.FP32, (-1, 3)),
        TensorSpec("scale", DType.FP32, (-1,), batch_axis=None),
    ),
    outputs=(
        TensorSpec("scaled", DType.FP32, (-1, 3)),
        TensorSpec("anchors", DType.FP32, (2,), batch_axis=None),
    ),
)


def scale(inputs):
    return {"scaled": inputs["data"] * inputs["scale"][0], "anchors": ones(2)}


@pytest.mark.parametrize("width", [1, 5000], ids=["small", "large"])
def test_requests_share_a_batch_only_if_their_shared_inputs_agree(width) -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor(scale, signature=SHARED)
        twice, thrice = np.full(width, 2, np.float32), np.full(width, 3, np.float32)
        async with DynamicBatcher(executor, BatchPolicy()) as batcher:
            answers = await asyncio.gather(
                *(
                    batcher.submit({**row(value), "scale": thrice if value % 2 else twice})
                    for value in range(6)
                )
            )

        assert executor.sizes == [3, 3]
        for value, answer in enumerate(answers):
            assert answer.outputs["scaled"][0, 0] == value * (3 if value % 2 else 2)

    run_manually(scenario)


def test_shared_outputs_are_given_whole_and_read_only_to_every_caller() -> None:
    async def scenario(loop: ManualLoop) -> None:
        async with DynamicBatcher(FakeExecutor(scale, signature=SHARED), BatchPolicy()) as batcher:
            answers = await asyncio.gather(
                *(batcher.submit({**row(value), "scale": ones(1)}) for value in range(3))
            )

        for answer in answers:
            assert list(answer.outputs) == ["scaled", "anchors"]
            assert answer.outputs["anchors"].tolist() == [1, 1]
            assert not answer.outputs["anchors"].flags.writeable

    run_manually(scenario)


def test_answers_outlive_the_lease() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor(lambda inputs: {"doubled": inputs["data"]})  # the lease's memory
        async with DynamicBatcher(executor, BatchPolicy()) as batcher:
            first, second = await asyncio.gather(*(batcher.submit(row(v)) for v in (1, 2)))
            await batcher.submit(row(3))

        assert executor.leases_out == 0
        assert (first.outputs["doubled"][0, 0], second.outputs["doubled"][0, 0]) == (1, 2)

    run_manually(scenario)


@pytest.mark.parametrize(
    ("signature", "policy"),
    [
        pytest.param(signature_of(batchable=False, why="mixes rows"), BatchPolicy(), id="unsafe"),
        pytest.param(signature_of(), None, id="no_policy"),
        pytest.param(signature_of(), BatchPolicy(enabled=False), id="off"),
    ],
)
def test_what_may_not_be_batched_takes_the_same_way_alone(signature, policy) -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor, observer = FakeExecutor(signature=signature), FakeObserver()
        async with DynamicBatcher(executor, policy, observer) as batcher:
            answers = await asyncio.gather(
                *(batcher.submit(row(value, rows=2)) for value in range(3))
            )

        assert executor.sizes == [2, 2, 2]
        assert [answer.timing.batch_rows for answer in answers] == [2, 2, 2]

    run_manually(scenario)


def test_verdict_of_a_self_check_replaces_the_executors_signature() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor()
        unsafe = signature_of(batchable=False, why="output 'doubled' mixes rows")
        async with DynamicBatcher(executor, BatchPolicy(), signature=unsafe) as batcher:
            await asyncio.gather(*(batcher.submit(row(value)) for value in range(3)))

        assert executor.sizes == [1, 1, 1]

    run_manually(scenario)


def test_request_of_no_rows_is_answered_with_no_rows() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor()
        async with DynamicBatcher(executor, BatchPolicy()) as batcher:
            empty, one = await asyncio.gather(
                batcher.submit(row(1, rows=0)), batcher.submit(row(1))
            )

        assert empty.outputs["doubled"].shape == (0, 3)
        assert one.outputs["doubled"].shape == (1, 3)

    run_manually(scenario)


def test_batches_are_padded_to_the_sizes_the_engine_is_prepared_for() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor, observer = FakeExecutor(), FakeObserver()
        policy = BatchPolicy(max_rows=8, pad_to=(2, 8))
        async with DynamicBatcher(executor, policy, observer) as batcher:
            answers = await asyncio.gather(*(batcher.submit(row(value)) for value in range(3)))
            await batcher.submit(row(1, rows=11))

        assert executor.sizes == [8, 11]
        assert executor.batches[0]["data"][:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
        assert observer.closed == [("idle", 3, 3, 5), ("full", 1, 11, 0)]
        assert [answer.outputs["doubled"][:, 0].tolist() for answer in answers] == [[0], [2], [4]]

    run_manually(scenario)


def test_statistics_and_observer_agree_on_what_happened() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor, observer = FakeExecutor(gated=True), FakeObserver()
        async with DynamicBatcher(executor, BatchPolicy(), observer) as batcher:
            callers = [asyncio.ensure_future(batcher.submit(row(0)))]
            await until(lambda: executor.sizes == [1])
            callers += [asyncio.ensure_future(batcher.submit(row(v, rows=2))) for v in range(3)]
            await until(lambda: observer.queue_rows == 6)

            assert batcher.statistics() == (3, 6, 6 * 12, 1, 1, 0)

            executor.open_gate(2)
            answers = await asyncio.gather(*callers)
            assert batcher.statistics() == (0, 0, 0, 0, 0, 1)

        assert observer.finished == [1, 6]
        assert observer.queue_rows == 0
        assert [answer.timing.batch_rows for answer in answers] == [1, 6, 6, 6]
        assert all(answer.timing.queue_ns >= 0 for answer in answers)

    run_manually(scenario)


def test_several_slots_run_several_batches_at_once() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor(gated=True, concurrency=2)
        async with DynamicBatcher(executor, BatchPolicy(max_rows=1)) as batcher:
            callers = [asyncio.ensure_future(batcher.submit(row(value))) for value in range(3)]
            await until(lambda: len(executor.batches) == 2)
            assert batcher.statistics().queued_requests == 1
            executor.open_gate(3)
            answers = await asyncio.gather(*callers)

        assert [answer.outputs["doubled"][0, 0] for answer in answers] == [0, 2, 4]

    run_manually(scenario)


def test_priority_1_goes_before_the_default_and_negative_priorities_are_refused() -> None:
    async def scenario(loop: ManualLoop) -> None:
        executor = FakeExecutor(gated=True)
        async with DynamicBatcher(executor, BatchPolicy(max_rows=1)) as batcher:
            callers = [asyncio.ensure_future(batcher.submit(row(0)))]
            await until(lambda: executor.sizes == [1])
            for value, priority in ((1, 200), (2, 0), (3, 1)):
                coroutine = batcher.submit(row(value), priority=priority)
                callers.append(asyncio.ensure_future(coroutine))
            with pytest.raises(InvalidRequest):
                await batcher.submit(row(9), priority=-1)
            executor.open_gate(4)
            await asyncio.gather(*callers)

        assert [batch["data"][0, 0] for batch in executor.batches] == [0, 3, 2, 1]

    run_manually(scenario)
