"""What a repository serves, and what one bad model does to the others: nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fakemodels import FakeLoad, export
from structlog.testing import capture_logs
from unit.batching.fakes import row, until

from gluonserve.errors import InvalidRequest, ModelNotFound, ModelNotReady
from gluonserve.repository.model import ModelState
from gluonserve.repository.repository import Repository


@pytest.fixture
def folder(tmp_path):
    export(tmp_path / "net" / "1")
    export(tmp_path / "net" / "2")
    (tmp_path / "net" / "model.toml").write_text("versions = 'all'")
    export(tmp_path, "other")
    return tmp_path


def states(repository: Repository) -> dict[str, str]:
    return {f"{one.name}:{one.version_text}": one.state.value for one in repository.all_versions()}


async def test_empty_directory_is_told_once(tmp_path) -> None:
    with capture_logs() as logged:
        repository = Repository(tmp_path, load=FakeLoad())
        repository.find()
        await repository.load_all()

    assert [one["event"] for one in logged] == ["the model repository holds no model"]


class TestServing:
    async def test_default_version_is_the_highest(self, folder) -> None:
        repository = Repository(folder, load=FakeLoad())
        await repository.load_all()

        assert repository.get("net").version == 2
        assert repository.get("net", "1").version == 1
        assert repository.get("other").version == 1
        assert repository.settled
        assert repository.all_ready()
        await repository.close(1)

    async def test_batcher_answers(self, folder) -> None:
        repository = Repository(folder, load=FakeLoad())
        await repository.load_all()

        answer = await repository.get("net").batcher.submit(row(2.0))

        assert answer.outputs["doubled"].tolist() == [[4.0, 4.0, 4.0]]
        assert repository.get("net").recorder.batch_rows.total == 1
        await repository.close(1)

    @pytest.mark.parametrize(
        ("name", "version", "error"),
        [
            ("nobody", "", ModelNotFound),
            ("nobody", "1", ModelNotFound),
            ("net", "3", ModelNotFound),
            ("net", "01", ModelNotFound),
            ("net", "newest", InvalidRequest),
        ],
    )
    async def test_what_is_not_there_is_told(self, folder, name, version, error) -> None:
        repository = Repository(folder, load=FakeLoad())
        await repository.load_all()

        with pytest.raises(error):
            repository.get(name, version)
        await repository.close(1)


class TestBadModels:
    async def test_do_not_stop_the_others(self, folder) -> None:
        export(folder, "broken")
        export(folder, "bug")
        export(folder / "empty" / "1").joinpath("model-0000.params").write_bytes(b"")
        repository = Repository(folder, load=FakeLoad())

        with capture_logs() as logs:
            await repository.load_all()

        assert states(repository) == {
            "net:1": "READY",
            "net:2": "READY",
            "other:1": "READY",
            "broken:1": "UNAVAILABLE",
            "bug:1": "UNAVAILABLE",
            "empty:1": "UNAVAILABLE",
        }
        assert not repository.all_ready()
        errors = [entry for entry in logs if entry["log_level"] == "error"]
        assert len(errors) == 3
        await repository.close(1)

    async def test_keep_their_reason(self, folder) -> None:
        export(folder, "broken")
        repository = Repository(folder, load=FakeLoad())
        await repository.load_all()

        with pytest.raises(ModelNotReady, match=r"UNAVAILABLE: .*not a graph"):
            repository.get("broken")
        with pytest.raises(ModelNotReady, match="not a graph"):
            repository.get("broken", "1")
        await repository.close(1)

    async def test_broken_latest_leaves_the_other_version_serving(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "net" / "2").mkdir()
        repository = Repository(tmp_path, load=FakeLoad())
        await repository.load_all()

        assert repository.get("net").version == 1
        with pytest.raises(ModelNotReady, match="holds no export"):
            repository.get("net", "2")
        await repository.close(1)


class TestLifeCycle:
    async def test_states_follow_loading(self, folder) -> None:
        gate, seen = threading.Event(), []
        load = FakeLoad(gate)
        repository = Repository(
            folder, load=load, load_threads=1, changed=lambda: seen.append(states(repository))
        )
        task = asyncio.create_task(repository.load_all())
        await until(lambda: set(states(repository).values()) == {"LOADING"})

        with pytest.raises(ModelNotReady, match="is LOADING"):
            repository.get("other")
        assert not repository.settled
        gate.set()
        await task

        assert set(states(repository).values()) == {"READY"}
        assert seen[-1] == states(repository)
        await repository.close(1)

    async def test_close_answers_what_is_inside_then_frees_the_engine(self, tmp_path) -> None:
        export(tmp_path, "net")
        load = FakeLoad(gated=True)
        repository = Repository(tmp_path, load=load)
        await repository.load_all()
        request = asyncio.create_task(repository.get("net").batcher.submit(row(1.0)))
        await until(lambda: load.executors["net"].leases_out == 1)

        closing = asyncio.create_task(repository.close(20))
        await until(lambda: states(repository)["net:1"] == "UNLOADING")
        assert load.closed == []
        load.executors["net"].open_gate()
        await closing

        assert (await request).outputs["doubled"][0, 0] == 2.0
        assert load.closed == ["net"]
        assert states(repository)["net:1"] == "UNAVAILABLE"

    async def test_loading_is_given_up(self, folder) -> None:
        gate = threading.Event()
        load = FakeLoad(gate)
        repository = Repository(folder, load=load, load_threads=1)
        task = asyncio.create_task(repository.load_all())
        await until(lambda: set(states(repository).values()) == {"LOADING"})

        repository.give_up_loading()
        gate.set()
        await task

        assert len(load.loaded) == 1
        await repository.close(1)

    async def test_states_cannot_be_skipped(self, tmp_path) -> None:
        export(tmp_path, "net")
        repository = Repository(tmp_path, load=FakeLoad())
        await repository.load_all()
        version = repository.get("net")

        with pytest.raises(RuntimeError, match="READY cannot become LOADING"):
            await version.load(lambda source: None, None)
        await repository.close(1)

        assert version.state is ModelState.UNAVAILABLE


class TestRecorders:
    async def test_a_model_without_versions_counts_once_whatever_is_asked(self, tmp_path) -> None:
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "model.toml").write_text("")
        repository = Repository(tmp_path, load=FakeLoad())
        await repository.load_all()

        assert repository.recorder("net", "5") is repository.recorder("net")
        assert len(repository.refusals()) == 1
        await repository.close(1)

    async def test_unknown_names_share_one(self, folder) -> None:
        repository = Repository(folder, load=FakeLoad())
        await repository.load_all()

        assert repository.recorder("nobody") is repository.recorder("no one", "4")
        assert repository.recorder("nobody").model == ""
        assert repository.recorder("net", "9") is repository.recorder("net", "8")
        assert repository.recorder("net", "9").model == "net"
        assert repository.recorder("net", "1") is repository.get("net", "1").recorder
        assert len(repository.refusals()) == 2
        await repository.close(1)
