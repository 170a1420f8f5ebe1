"""The eleven rules that batchers of this field have broken, each with the test that holds it."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from structlog.testing import capture_logs

from gluonserve.batching import BatchPolicy, DynamicBatcher
from gluonserve.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    Overloaded,
    ServerNotReady,
    ShapesRefused,
)

from .fakes import (
    FakeExecutor,
    FakeObserver,
    ManualLoop,
    row,
    run_manually,
    settled,
    until,
)


def submit(batcher: DynamicBatcher, value: float, rows: int = 1, **options) -> asyncio.Task:
    return asyncio.ensure_future(batcher.submit(row(value, rows), **options))


def values(answer) -> list[float]:
    return answer.outputs["doubled"][:, 0].tolist()


class TestCancelledCaller:
    """1. A cancelled caller affects nobody else in its batch."""

    def test_cancelled_caller_in_a_running_batch_does_not_fail_its_batch(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(gated=True)
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                callers = [submit(batcher, value) for value in range(4)]
                await until(lambda: executor.sizes == [4])
                callers[1].cancel()
                await settled()
                executor.open_gate()

                outcomes = await asyncio.gather(*callers, return_exceptions=True)

            assert isinstance(outcomes[1], asyncio.CancelledError)
            assert [values(outcomes[place]) for place in (0, 2, 3)] == [[0], [4], [6]]

        run_manually(scenario)

    def test_all_callers_of_a_batch_may_leave_and_the_next_batch_runs(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(gated=True)
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                leaving = [submit(batcher, value) for value in range(3)]
                await until(lambda: executor.sizes == [3])
                for caller in leaving:
                    caller.cancel()
                staying = submit(batcher, 5)
                executor.open_gate(2)

                assert values(await staying) == [10]

        run_manually(scenario)


class TestFailingExecution:
    """2. A failing execution fails exactly its own batch; the next batch runs."""

    def test_failing_batch_fails_its_callers_and_no_others(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(fails_on=lambda inputs: (inputs["data"] < 0).any())
            async with DynamicBatcher(executor, BatchPolicy(max_rows=2)) as batcher:
                callers = [submit(batcher, value) for value in (1, 2, 3, -4, 5, 6)]
                outcomes = await asyncio.gather(*callers, return_exceptions=True)

            assert [type(outcome) is ExecutionFailed for outcome in outcomes] == [
                False,
                False,
                True,
                True,
                False,
                False,
            ]
            assert values(outcomes[5]) == [12]
            assert executor.leases_out == 0

        run_manually(scenario)

    def test_engine_that_has_no_memory_to_lease_fails_the_batch(self) -> None:
        class NoMemory(FakeExecutor):
            def lease(self, shapes):
                if shapes["data"][0] == 2:
                    raise MemoryError("no room")
                return super().lease(shapes)

        async def scenario(loop: ManualLoop) -> None:
            async with DynamicBatcher(NoMemory(), BatchPolicy()) as batcher:
                with pytest.raises(ExecutionFailed):
                    await batcher.submit(row(1, rows=2))

                assert values(await batcher.submit(row(2))) == [4]

        run_manually(scenario)

    def test_observer_that_raises_does_not_stop_the_batcher(self) -> None:
        class Rude(FakeObserver):
            def batch_closed(self, reason, requests, rows, padding) -> None:
                raise ZeroDivisionError("rude")

        async def scenario(loop: ManualLoop) -> None:
            loop.set_exception_handler(lambda loop, context: None)
            async with DynamicBatcher(FakeExecutor(), BatchPolicy(), Rude()) as batcher:
                first = await batcher.submit(row(1))
                second = await batcher.submit(row(2))

            assert (values(first), values(second)) == ([2], [4])

        run_manually(scenario)


class TestOwnExceptions:
    """3. Each caller gets its own exception object."""

    def test_each_caller_of_a_failed_batch_gets_its_own_exception_from_the_cause(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(fails_on=lambda inputs: True)
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                callers = [submit(batcher, value) for value in range(3)]
                with capture_logs() as logs:
                    errors = await asyncio.gather(*callers, return_exceptions=True)

            assert len({id(error) for error in errors}) == 3
            assert {type(error.__cause__) for error in errors} == {FloatingPointError}
            assert "values" not in str(errors[0])  # the engine's words are for the log
            assert [entry["event"] for entry in logs] == ["batch failed"]

        run_manually(scenario)

    def test_shapes_that_the_network_refuses_are_the_callers_mistake(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            refused = ShapesRefused("the network does not take data (1, 9)")
            executor = FakeExecutor(fails_on=lambda inputs: True, failure=refused)
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                callers = [submit(batcher, value) for value in range(2)]
                with capture_logs() as logs:
                    errors = await asyncio.gather(*callers, return_exceptions=True)

            assert [type(error) for error in errors] == [ShapesRefused] * 2
            assert {str(error) for error in errors} == {str(refused)}
            assert errors[0] is not errors[1]
            assert logs == []

        run_manually(scenario)


class TestWrongNumberOfRows:
    """4. A wrong number of results is an execution failure."""

    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(lambda inputs: {"doubled": inputs["data"][1:] * 2}, id="too_few"),
            pytest.param(
                lambda inputs: {"doubled": np.repeat(inputs["data"], 2, axis=0)}, id="too_many"
            ),
            pytest.param(lambda inputs: {"doubled": np.float32(1) * np.ones(())}, id="no_axis"),
            pytest.param(lambda inputs: {"other": inputs["data"]}, id="missing"),
        ],
    )
    def test_output_with_other_rows_than_the_batch_is_an_execution_failure(self, compute) -> None:
        async def scenario(loop: ManualLoop) -> None:
            async with DynamicBatcher(FakeExecutor(compute), BatchPolicy()) as batcher:
                callers = [submit(batcher, value) for value in range(3)]
                errors = await asyncio.gather(*callers, return_exceptions=True)

            assert {type(error) for error in errors} == {ExecutionFailed}
            assert "doubled" in str(errors[0])

        run_manually(scenario)


class TestLeavingBeforeTheCut:
    """5. Cancelled and expired requests leave before the batch is cut, and are counted."""

    def test_cancelled_and_expired_requests_are_not_run_and_are_counted(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(gated=True), FakeObserver()
            async with DynamicBatcher(executor, BatchPolicy(), observer) as batcher:
                first = submit(batcher, 0)
                await until(lambda: executor.sizes == [1])
                leaving, staying = submit(batcher, 1), submit(batcher, 2)
                expiring = submit(batcher, 3, rows=4, deadline=loop.time() + 1)
                await settled()
                leaving.cancel()
                await loop.advance(1)
                assert batcher.statistics().queued_rows == 1
                assert expiring.done()  # although the device is still busy
                executor.open_gate(2)
                await asyncio.gather(first, staying)

            assert executor.sizes == [1, 1]
            assert sorted(observer.drops) == [("cancelled", 1), ("expired", 4)]
            assert observer.queue_rows == 0
            with pytest.raises(DeadlineExceeded):
                expiring.result()

        run_manually(scenario)

    def test_caller_that_leaves_in_the_very_round_of_the_cut_is_not_run(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(), FakeObserver()
            async with DynamicBatcher(executor, BatchPolicy(), observer) as batcher:
                callers = [submit(batcher, value) for value in range(3)]
                await asyncio.sleep(0)
                callers[1].cancel()
                await asyncio.gather(*callers, return_exceptions=True)

            assert executor.sizes == [2]
            assert observer.drops == [("cancelled", 1)]

        run_manually(scenario)

    def test_request_that_arrives_too_late_is_refused_at_once(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(), FakeObserver()
            async with DynamicBatcher(executor, BatchPolicy(), observer) as batcher:
                with pytest.raises(DeadlineExceeded):
                    await batcher.submit(row(1), deadline=loop.time())

            assert (executor.sizes, observer.drops) == ([], [("expired", 1)])

        run_manually(scenario)

    def test_deadline_holds_while_the_engine_runs(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(gated=True)
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                hurried = submit(batcher, 1, deadline=loop.time() + 1)
                patient = submit(batcher, 2)
                await until(lambda: executor.sizes == [2])
                await loop.advance(1)
                assert hurried.done()
                assert not patient.done()
                executor.open_gate()

                assert values(await patient) == [4]
                with pytest.raises(DeadlineExceeded):
                    hurried.result()

        run_manually(scenario)


class TestFullQueue:
    """6. A full queue refuses at once."""

    @pytest.mark.parametrize(
        "policy",
        [
            pytest.param(BatchPolicy(max_queue_rows=4), id="rows"),
            pytest.param(BatchPolicy(max_queue_bytes=4 * 12), id="bytes"),
        ],
    )
    def test_full_queue_refuses_at_once(self, policy) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(gated=True), FakeObserver()
            async with DynamicBatcher(executor, policy, observer) as batcher:
                first = submit(batcher, 0)
                await until(lambda: executor.sizes == [1])
                waiting = [submit(batcher, value, rows=2) for value in (1, 2)]
                await settled()

                refused = submit(batcher, 3)
                await settled()

                assert refused.done()
                with pytest.raises(Overloaded):
                    refused.result()
                executor.open_gate(3)
                await asyncio.gather(first, *waiting)
            assert observer.drops == [("refused", 1)]
            assert observer.most_queue_rows == 4

        run_manually(scenario)


class TestGrowingBatches:
    """7. While the slot is busy batches grow; a lone request waits for ``max_delay_ms`` at most."""

    def test_batches_grow_while_the_only_slot_is_busy_although_there_is_no_delay(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(gated=True), FakeObserver()
            async with DynamicBatcher(executor, BatchPolicy(max_rows=8), observer) as batcher:
                callers = [submit(batcher, 0)]
                await until(lambda: executor.sizes == [1])
                for value in range(1, 12):
                    callers.append(submit(batcher, value))
                    await settled()
                executor.open_gate(3)
                await asyncio.gather(*callers)

            assert executor.sizes == [1, 8, 3]
            assert observer.reasons == ["idle", "full", "idle"]

        run_manually(scenario)

    def test_burst_of_one_moment_is_one_batch(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor()
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                await asyncio.gather(*(batcher.submit(row(value)) for value in range(20)))

            assert executor.sizes == [20]

        run_manually(scenario)

    def test_a_full_batch_of_short_work_stands_ready_behind_the_running_one(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(gated=True)
            async with DynamicBatcher(executor, BatchPolicy(max_rows=4)) as batcher:
                executor.open_gate(1)
                await batcher.submit(row(0))
                callers = [submit(batcher, 0)]
                await until(lambda: executor.sizes == [1, 1])
                callers += [submit(batcher, value) for value in range(11)]
                await settled()
                running = batcher.statistics().running_batches
                waiting = batcher.statistics().queued_requests
                executor.open_gate(4)
                await asyncio.gather(*callers)

            assert (running, waiting) == (2, 7)
            assert executor.sizes == [1, 1, 4, 4, 3]

        run_manually(scenario)

    def test_requests_of_a_burst_that_come_round_by_round_share_a_batch(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor()
            async with DynamicBatcher(executor, BatchPolicy()) as batcher:
                await asyncio.gather(*(batcher.submit(row(value)) for value in range(4)))
                callers = []
                for value in range(6):
                    callers.append(submit(batcher, value))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                await asyncio.gather(*callers)

            assert executor.sizes == [4, 6]

        run_manually(scenario)

    def test_lone_request_waits_for_nobody_without_a_delay(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            async with DynamicBatcher(FakeExecutor(), BatchPolicy()) as batcher:
                before = loop.time()

                assert values(await batcher.submit(row(3))) == [6]
                assert loop.time() == before

        run_manually(scenario)

    def test_delay_counts_from_the_oldest_request(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(), FakeObserver()
            policy = BatchPolicy(max_delay_ms=1000 / 64)
            async with DynamicBatcher(executor, policy, observer) as batcher:
                callers = [submit(batcher, 0)]
                await loop.advance(1 / 128)
                callers.append(submit(batcher, 1))
                await loop.advance(1 / 256)
                assert not executor.sizes
                await loop.advance(1 / 256)
                await asyncio.gather(*callers)

            assert (executor.sizes, observer.reasons) == ([2], ["delay"])

        run_manually(scenario)

    def test_full_batch_does_not_wait_for_the_delay(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(), FakeObserver()
            policy = BatchPolicy(max_rows=3, max_delay_ms=1000)
            async with DynamicBatcher(executor, policy, observer) as batcher:
                await asyncio.gather(*(batcher.submit(row(value)) for value in range(3)))

            assert (executor.sizes, observer.reasons) == ([3], ["full"])

        run_manually(scenario)

    def test_delay_ends_early_enough_for_a_deadline(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(), FakeObserver()
            policy = BatchPolicy(max_delay_ms=1000)
            async with DynamicBatcher(executor, policy, observer) as batcher:
                calm = submit(batcher, 1)
                hurried = submit(batcher, 2, deadline=loop.time() + 0.1)
                await loop.advance(0.0955)
                await asyncio.gather(calm, hurried)

            assert (executor.sizes, observer.reasons) == ([2], ["deadline"])

        run_manually(scenario)


class TestLargeRequest:
    """8. A request larger than ``max_rows`` still runs, alone."""

    def test_large_request_runs_alone(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor()
            async with DynamicBatcher(executor, BatchPolicy(max_rows=4)) as batcher:
                callers = [submit(batcher, 1), submit(batcher, 2, rows=9), submit(batcher, 3)]
                small, large, late = await asyncio.gather(*callers)

            assert executor.sizes == [1, 9, 1]
            assert values(large) == [4] * 9
            assert (values(small), values(late)) == ([2], [6])

        run_manually(scenario)


class TestClose:
    """9. Close: refuse new, finish queued within a bound, fail what is left."""

    def test_close_finishes_what_is_queued_and_refuses_new_requests(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(gated=True), FakeObserver()
            policy = BatchPolicy(max_rows=4, max_delay_ms=1000)
            batcher = DynamicBatcher(executor, policy, observer)
            async with batcher:
                callers = [submit(batcher, value) for value in range(7)]
                await until(lambda: executor.sizes == [4])
                closing = asyncio.ensure_future(batcher.close())
                await settled()
                with pytest.raises(ServerNotReady):
                    await batcher.submit(row(9))
                executor.open_gate(2)

                assert await closing is True
                answers = await asyncio.gather(*callers)

            assert [values(answer) for answer in answers] == [[2 * value] for value in range(7)]
            assert observer.reasons == ["full", "drain"]
            assert await batcher.close() is True

        run_manually(scenario)

    def test_close_fails_what_is_left_after_its_bound(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor, observer = FakeExecutor(gated=True), FakeObserver()
            batcher = DynamicBatcher(executor, BatchPolicy(), observer)
            batcher.open()
            running = submit(batcher, 0)
            await until(lambda: executor.sizes == [1])
            waiting = submit(batcher, 1, rows=2)
            closing = asyncio.ensure_future(batcher.close(within=5))
            await settled()
            await loop.advance(5)

            assert await closing is False
            outcomes = await asyncio.gather(running, waiting, return_exceptions=True)
            executor.open_gate()
            await until(lambda: executor.leases_out == 0)

            assert [type(outcome) for outcome in outcomes] == [ServerNotReady, ServerNotReady]
            assert executor.sizes == [1]
            assert observer.drops == [("closed", 2)]
            await until(lambda: batcher.statistics().running_batches == 0)
            assert await batcher.close() is True

        run_manually(scenario)

    def test_cancelled_close_leaves_nobody_waiting(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(gated=True)
            batcher = DynamicBatcher(executor, BatchPolicy())
            batcher.open()
            callers = [submit(batcher, 0)]
            await until(lambda: executor.sizes == [1])
            callers.append(submit(batcher, 1))
            closing = asyncio.ensure_future(batcher.close())
            await settled()
            closing.cancel()
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            executor.open_gate()
            await until(lambda: executor.leases_out == 0)

            assert [type(outcome) for outcome in outcomes] == [ServerNotReady, ServerNotReady]

        run_manually(scenario)

    def test_batcher_that_was_never_opened_refuses_and_closes(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            batcher = DynamicBatcher(FakeExecutor(), BatchPolicy())
            with pytest.raises(ServerNotReady):
                await batcher.submit(row(1))

            assert await batcher.close() is True

        run_manually(scenario)


class TestIdle:
    """10. Idle costs no CPU."""

    def test_loop_does_not_go_round_while_nothing_happens(self) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor(gated=True)
            async with DynamicBatcher(executor, BatchPolicy(max_delay_ms=5)) as batcher:
                running = submit(batcher, 0, deadline=loop.time() + 3600)
                await loop.advance(0.005)
                await until(lambda: executor.sizes == [1])
                waiting = submit(batcher, 1, deadline=loop.time() + 3600)
                await settled()
                wake = loop.create_future()
                alarm = threading.Timer(0.1, loop.call_soon_threadsafe, (wake.set_result, None))
                before = loop.rounds
                alarm.start()
                await wake
                rounds = loop.rounds - before
                alarm.join()
                executor.open_gate(2)
                await running
                await loop.advance(1)
                await waiting

            assert rounds <= 3

        run_manually(scenario)


class TestClocks:
    """11. Clocks are monotonic."""

    def test_delays_and_deadlines_follow_the_loops_clock_and_no_other(self, monkeypatch) -> None:
        async def scenario(loop: ManualLoop) -> None:
            executor = FakeExecutor()
            async with DynamicBatcher(executor, BatchPolicy(max_delay_ms=20)) as batcher:
                caller = submit(batcher, 1, deadline=loop.time() + 3600)
                await settled()
                monkeypatch.setattr("time.time", lambda: 4e9)
                await settled()
                assert not executor.sizes
                await loop.advance(0.02)

                assert values(await caller) == [2]

        run_manually(scenario)
