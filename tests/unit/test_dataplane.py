"""The server without a transport: readiness, metadata, answers, and how each end is counted."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from fakemodels import FakeLoad, export
from unit.batching.fakes import ManualLoop, row, run_manually, signature_of, until

from gluonserve.dataplane import EXTENSIONS, DataPlane
from gluonserve.errors import (
    DeadlineExceeded,
    ErrorKind,
    ExecutionFailed,
    GluonserveError,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    ServerNotReady,
)
from gluonserve.inference import InferRequest
from gluonserve.recording import OUTCOMES, Outcome
from gluonserve.repository.repository import Repository
from gluonserve.tensors import DType, Signature, TensorSpec


@pytest.fixture
async def serving(tmp_path):
    """Builds data planes over fake models; drains them at the end."""
    planes = []

    async def build(*names: str, strict: bool = True, settings: str = "", **executor):
        for name in names:
            export(tmp_path / name)
            (tmp_path / name / "model.toml").write_text(settings)
        load = FakeLoad(**executor)
        repository = Repository(tmp_path, load=load)
        await repository.load_all()
        plane = DataPlane(repository, strict_readiness=strict)
        planes.append(repository)
        return plane, repository, load

    yield build
    for repository in planes:
        await repository.close(0)


def ask(value: float = 1.0, rows: int = 1, **changes) -> InferRequest:
    return InferRequest(**{"model": "net", "inputs": row(value, rows), **changes})


class TestReadiness:
    async def test_waits_for_loading(self, tmp_path) -> None:
        plane = DataPlane(Repository(export(tmp_path), load=FakeLoad()))

        assert plane.live()
        assert not plane.ready()

    async def test_strict_wants_every_model(self, serving) -> None:
        strict, _, _ = await serving("net", "broken")
        loose, _, _ = await serving(strict=False)

        assert not strict.ready()
        assert loose.ready()
        assert strict.model_ready("net")
        assert not strict.model_ready("broken")

    async def test_unknown_model_is_an_error(self, serving) -> None:
        plane, _, _ = await serving("net")

        with pytest.raises(ModelNotFound):
            plane.model_ready("nobody")

    async def test_draining_is_not_ready_and_still_answers(self, serving) -> None:
        plane, _, _ = await serving("net")

        plane.drain()

        assert plane.live()
        assert not plane.ready()
        assert not plane.model_ready("net")
        assert (await plane.infer(ask(3.0))).outputs["doubled"][0, 0] == 6.0


class TestDescriptions:
    async def test_server(self, serving) -> None:
        plane, _, _ = await serving("net")

        metadata = plane.server_metadata()

        assert metadata.name == "gluonserve"
        assert metadata.extensions == EXTENSIONS
        assert "statistics" in EXTENSIONS

    async def test_model(self, serving) -> None:
        plane, _, _ = await serving("net", settings="description = 'doubles'")

        metadata = plane.model_metadata("net")

        assert metadata.versions == ("1",)
        assert metadata.platform == "mxnet_mxnet"
        assert metadata.inputs[0].name == "data"
        assert metadata.properties["executor"] == "fake"
        assert metadata.properties["batching"] == "on"
        assert metadata.properties["description"] == "doubles"

    async def test_config_of_a_batched_model(self, serving) -> None:
        plane, _, _ = await serving("net", settings="[batching]\nmax_rows = 8")

        config = plane.model_config("net")

        assert config.max_batch_size == 8
        assert config.max_delay_us == 0
        assert config.version == "1"

    @pytest.mark.parametrize(
        ("signature", "batched", "size"),
        [
            (signature_of(batchable=False, why="mixes rows"), False, 0),
            (
                Signature(
                    (TensorSpec("data", DType.FP32, (-1, -1), batch_axis=1),),
                    (TensorSpec("doubled", DType.FP32, (-1, -1), batch_axis=1),),
                ),
                True,
                0,
            ),
            (
                signature_of(
                    outputs=(
                        TensorSpec("doubled", DType.FP32, (-1, 3)),
                        TensorSpec("anchors", DType.FP32, (1, 4), batch_axis=None),
                    )
                ),
                True,
                32,
            ),
        ],
        ids=["unbatched", "another axis", "shared output"],
    )
    async def test_batch_size_is_told_where_axis_0_counts(
        self, serving, signature, batched, size
    ) -> None:
        plane, _, _ = await serving("net", signature=signature)

        config = plane.model_config("net")

        assert config.max_batch_size == size
        assert (config.max_delay_us is not None) == batched

    async def test_index_tells_states_and_reasons(self, serving) -> None:
        plane, _, _ = await serving("net", "broken")

        broken, net = plane.index()

        assert (net.name, net.version, net.state, net.reason) == ("net", "1", "READY", "")
        assert broken.state == "UNAVAILABLE"
        assert "not a graph" in broken.reason
        assert plane.index(ready=True) == (net,)


class TestAnswers:
    async def test_outputs_and_what_they_are(self, serving) -> None:
        plane, _, _ = await serving("net")

        response = await plane.infer(ask(2.0, 2, id="x"))

        assert (response.model, response.version, response.id) == ("net", "1", "x")
        assert response.datatypes == ("FP32",)
        np.testing.assert_array_equal(response.outputs["doubled"], np.full((2, 3), 4.0))

    async def test_classification(self, serving) -> None:
        plane, _, _ = await serving("net")

        response = await plane.infer(ask(2.0, classification={"doubled": 1}))

        assert response.datatypes == ("BYTES",)
        assert response.outputs["doubled"].tolist() == [[b"4.000000:0"]]

    async def test_chosen_outputs(self, serving) -> None:
        plane, _, _ = await serving("net")

        with pytest.raises(InvalidRequest, match="it gives 'doubled'"):
            await plane.infer(ask(outputs=("tripled",)))

    async def test_concurrent_requests_share_batches(self, serving) -> None:
        plane, _, load = await serving("net", settings="[warmup]\nrows = [1]", gated=True)
        first = asyncio.create_task(plane.infer(ask(0.0)))
        executor = load.executors["net"]
        await until(lambda: executor.leases_out == 1)

        rest = [asyncio.create_task(plane.infer(ask(float(value)))) for value in range(1, 5)]
        await until(lambda: plane.statistics("net") is not None and _queued(plane) == 4)
        executor.open_gate(2)
        answers = await asyncio.gather(first, *rest)

        assert [answer.outputs["doubled"][0, 0] for answer in answers] == [0, 2, 4, 6, 8]
        assert executor.sizes == [1, 4]


def _queued(plane: DataPlane) -> int:
    return plane._repository.get("net").recorder.queue_rows


class TestCounting:
    async def test_each_request_once_and_rows(self, serving) -> None:
        plane, repository, _ = await serving("net")

        await plane.infer(ask(rows=3, decode_ns=5_000))
        await plane.infer(ask(rows=1))
        plane.encoded(await plane.infer(ask(rows=1)), 7_000)

        (statistics,) = plane.statistics("net")
        counts = [statistics.success, statistics.queue, statistics.compute_infer]
        assert [duration.count for duration in counts] == [3, 3, 3]
        assert statistics.inference_count == 5
        assert statistics.execution_count == 3
        assert [(batch.rows, batch.compute_infer.count) for batch in statistics.batches] == [
            (1, 2),
            (3, 1),
        ]
        assert statistics.success.ns >= statistics.queue.ns + statistics.compute_infer.ns
        assert statistics.last_inference_ms > 0
        recorder = repository.get("net").recorder
        assert recorder.decode.total == 5_000
        assert recorder.encode.total == 7_000
        assert recorder.inflight == 0

    async def test_statistics_of_all_and_of_one(self, serving) -> None:
        plane, _, _ = await serving("net", "other", "broken")

        assert [one.name for one in plane.statistics()] == ["net", "other"]
        assert [one.version for one in plane.statistics("net", "1")] == ["1"]
        with pytest.raises(ModelNotFound):
            plane.statistics("net", "2")
        with pytest.raises(ModelNotReady):
            plane.statistics("broken")

    @pytest.mark.parametrize(
        ("request_", "error", "outcome", "counted_under"),
        [
            (ask(outputs=("x",)), InvalidRequest, Outcome.INVALID, "net"),
            (ask(inputs={}), InvalidRequest, Outcome.INVALID, "net"),
            (ask(model="nobody"), ModelNotFound, Outcome.NOT_FOUND, ""),
            (ask(version="9"), ModelNotFound, Outcome.NOT_FOUND, "net"),
            (ask(model="broken"), ModelNotReady, Outcome.UNAVAILABLE, "broken"),
            (ask(deadline=0.0), DeadlineExceeded, Outcome.TIMED_OUT, "net"),
            (ask(-1.0), ExecutionFailed, Outcome.FAILED, "net"),
        ],
        ids=["output", "input", "model", "version", "not ready", "deadline", "engine"],
    )
    async def test_every_end_has_its_outcome(
        self, serving, request_, error, outcome, counted_under
    ) -> None:
        plane, repository, _ = await serving(
            "net", "broken", fails_on=lambda inputs: bool((inputs["data"] < 0).any())
        )

        with pytest.raises(error):
            await plane.infer(request_)

        recorder = repository.recorder(counted_under, request_.version)
        assert recorder.model == counted_under
        assert recorder.refused[outcome] == 1
        assert sum(recorder.refused.values()) + recorder.ok == 1
        assert recorder.inflight == 0

    async def test_cancelled_and_overloaded(self, serving) -> None:
        plane, repository, load = await serving(
            "net", settings="[batching]\nmax_rows = 1", gated=True
        )
        recorder = repository.get("net").recorder
        running = asyncio.create_task(plane.infer(ask()))
        await until(lambda: load.executors["net"].leases_out == 1)
        waiting = asyncio.create_task(plane.infer(ask(rows=4096)))
        await until(lambda: recorder.queue_rows == 4096)

        with pytest.raises(Overloaded):
            await plane.infer(ask())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        load.executors["net"].open_gate()
        await running

        assert recorder.refused[Outcome.OVERLOADED] == 1
        assert recorder.refused[Outcome.CANCELLED] == 1
        (statistics,) = plane.statistics("net")
        assert (statistics.success.count, statistics.fail.count) == (1, 2)
        assert recorder.queue_rows == 0

    @pytest.mark.parametrize(
        ("seconds_left", "outcome"),
        [(0.0, Outcome.TIMED_OUT), (0.005, Outcome.TIMED_OUT), (60.0, Outcome.CANCELLED)],
        ids=["at the deadline", "a little before", "long before"],
    )
    def test_cancelled_at_its_deadline_is_timed_out(self, tmp_path, seconds_left, outcome) -> None:
        export(tmp_path / "net")
        load = FakeLoad(gated=True)
        repository = Repository(tmp_path, load=load)

        async def scenario(loop: ManualLoop) -> None:
            await repository.load_all()
            deadline = loop.time() + 100
            plane = DataPlane(repository)
            running = asyncio.create_task(plane.infer(ask(deadline=deadline)))
            await until(lambda: load.executors["net"].leases_out == 1)
            loop.now = deadline - seconds_left
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled()
            load.executors["net"].open_gate()
            await repository.close(5)

        run_manually(scenario)

        recorder = repository.recorder("net")
        assert recorder.refused[outcome] == 1
        assert recorder.inflight == 0

    async def test_closed_plane_refuses(self, serving) -> None:
        plane, repository, _ = await serving("net")

        plane.close()

        with pytest.raises(ServerNotReady):
            await plane.infer(ask())
        assert repository.get("net").recorder.refused[Outcome.UNAVAILABLE] == 1

    async def test_what_a_front_refuses_counts_too(self, serving) -> None:
        plane, repository, _ = await serving("net")

        plane.refused("net", "", InvalidRequest("two inputs of one name"), 5)
        plane.refused("", "", InvalidRequest("not a message"))

        assert repository.get("net").recorder.refused[Outcome.INVALID] == 1
        assert repository.recorder("").refused[Outcome.INVALID] == 1


def test_every_kind_of_error_has_an_outcome() -> None:
    assert OUTCOMES.keys() == set(ErrorKind)
    assert set(OUTCOMES.values()) == set(Outcome) - {Outcome.OK}
    assert all(error.kind in OUTCOMES for error in GluonserveError.__subclasses__())
