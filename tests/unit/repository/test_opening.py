"""From settings and files to an engine, with real exports: what settings say reaches it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from exported import Graph, activations
from params_writer import dense, params_file

from gluonserve.batching.selfcheck import Below
from gluonserve.dataplane import DataPlane
from gluonserve.errors import InvalidConfig, InvalidModel, UnsupportedModel
from gluonserve.executors.options import available_cores
from gluonserve.inference import InferRequest
from gluonserve.loader.importing import import_model
from gluonserve.repository import threads
from gluonserve.repository.layout import find
from gluonserve.repository.loading import load_version
from gluonserve.repository.opening import id_ranges
from gluonserve.repository.repository import Repository
from gluonserve.tensors import DType

FORMATS = Path(__file__).parents[2] / "data" / "formats"
FOUR_BY_FOUR = "[[inputs]]\nname = 'data'\nshape = [-1, 2, 4, 4]\n"
SHARED_OUTPUT = "[[outputs]]\nindex = 0\nbatch_axis = 'none'"
STATES = "".join(f"[[inputs]]\nname = 'data{place}'\nbatch_axis = 1\n" for place in range(3))


def copied(folder: Path, name: str, settings: str = "") -> Path:
    model = folder / name
    model.mkdir()
    for ending in ("-symbol.json", "-0000.params"):
        shutil.copy(FORMATS / (name + ending), model)
    (model / "model.toml").write_text(settings)
    return folder


def loaded(folder: Path):
    (source,) = find(folder)
    return load_version(source, threading.Event())


class TestThreads:
    @pytest.mark.skipif(available_cores() < 2, reason="there is one thread anyway")
    def test_a_network_of_short_rows_has_one_and_says_why(self, tmp_path) -> None:
        version = loaded(copied(tmp_path, "cnn", FOUR_BY_FOUR))

        assert version.description["threads"] == "1"
        assert "; one thread, because a row takes 0." in version.description["why"]
        assert f"; {available_cores()} for batches of more than " in version.description["why"]
        version.close()

    @pytest.mark.skipif(available_cores() < 2, reason="there is one thread anyway")
    def test_many_parameters_are_kept_once(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(threads, "_MOST_BYTES_TWICE", 0)

        version = loaded(copied(tmp_path, "cnn", FOUR_BY_FOUR))

        assert version.description["why"].endswith(" ms")
        shapes = {"data": (100_000, 2, 4, 4)}
        lease = version.executor.lease(shapes)
        version.executor.run(lease)
        assert [len(array) for array in lease.outputs.values()] == [100_000]
        lease.release()
        version.close()

    def test_settings_come_first(self, tmp_path) -> None:
        version = loaded(copied(tmp_path, "cnn", "threads = 2\n" + FOUR_BY_FOUR))

        assert version.description["threads"] == "2"
        assert "one thread" not in version.description["why"]
        version.close()

    def test_several_instances_share_all_cores(self, tmp_path) -> None:
        version = loaded(copied(tmp_path, "cnn", "instances = 2\n" + FOUR_BY_FOUR))

        assert version.description["threads"] == str(available_cores())
        version.close()


class TestSettingsReachTheNetwork:
    def test_types_shapes_and_names(self, tmp_path) -> None:
        text = """
            [[inputs]]
            name = "data"
            shape = [-1, 2, 4, 4]
            accept = ["UINT8"]
            [[outputs]]
            index = 0
            name = "scores"
            """
        version = loaded(copied(tmp_path, "cnn", text))

        (given,), (answered,) = version.signature.inputs, version.signature.outputs
        assert given.shape == (-1, 2, 4, 4)
        assert given.accept == (DType.UINT8,)
        assert answered.name == "scores"
        version.close()

    def test_engine_and_its_threads(self, tmp_path) -> None:
        text = "executor = 'onnxruntime'\nthreads = 1\n" + FOUR_BY_FOUR

        version = loaded(copied(tmp_path, "cnn", text))

        assert version.description["executor"] == "onnxruntime"
        assert version.description["threads"] == "1"
        version.close()

    def test_type_that_no_engine_takes_is_named_with_its_setting(self, tmp_path) -> None:
        copied(tmp_path, "cnn", FOUR_BY_FOUR + "datatype = 'INT32'\n")

        with pytest.raises(UnsupportedModel, match=r"model\.toml states INT32 for 'data'.*accept"):
            loaded(tmp_path)

    def test_contradiction_is_refused(self, tmp_path) -> None:
        with pytest.raises(InvalidConfig, match="data"):
            loaded(copied(tmp_path, "cnn", "[[inputs]]\nname = 'data'\nshape = [-1, 5, 6, 6]"))

    def test_output_that_is_not_there_is_refused(self, tmp_path) -> None:
        text = "[[outputs]]\nindex = 3\nbatch_axis = 0\n" + FOUR_BY_FOUR

        with pytest.raises(InvalidConfig, match="there is no index 3; the network has 1"):
            loaded(copied(tmp_path, "cnn", text))

    def test_axis_that_an_output_does_not_have_is_refused(self, tmp_path) -> None:
        text = "[[outputs]]\nindex = 0\nbatch_axis = 9\n" + FOUR_BY_FOUR

        with pytest.raises(InvalidConfig, match="index 0: batch_axis 9 is none of its 2 axes"):
            loaded(copied(tmp_path, "cnn", text))

    def test_name_given_to_two_outputs_is_refused(self, tmp_path) -> None:
        activations().export(tmp_path)
        (tmp_path / "model.toml").write_text(
            "[[inputs]]\nname = 'data'\nshape = [-1, 5]\n[[outputs]]\nindex = 0\nname = 'aa_output'"
        )

        with pytest.raises(InvalidConfig, match="more than one output is called 'aa_output'"):
            loaded(tmp_path)

    def test_output_axis_can_be_stated(self, tmp_path) -> None:
        version = loaded(copied(tmp_path, "cnn", FOUR_BY_FOUR + SHARED_OUTPUT))

        assert version.signature.outputs[0].batch_axis is None
        assert not version.signature.batchable
        assert "depends on them" in version.signature.why
        version.close()

    @pytest.mark.parametrize(
        "said", ["[[outputs]]\nindex = 0\nbatch_axis = 0", "[batching]\nenabled = 'force'"]
    )
    def test_rows_that_settings_see_in_outputs_are_those_of_all_inputs(
        self, tmp_path, said
    ) -> None:
        graph = Graph()
        joined = graph.operator("Concat", "c", [*map(graph.variable, "ab")], dim=0, num_args=2)
        (tmp_path / "net-symbol.json").write_text(graph.text([joined]))
        stated = "".join(f"[[inputs]]\nname = '{name}'\nshape = [-1, 3]\n" for name in "ab")
        (tmp_path / "model.toml").write_text(stated + said)

        version = loaded(tmp_path)

        assert [spec.batch_axis for spec in version.signature.inputs] == [0, 0]
        version.close()

    def test_symbol_without_its_parameters_says_so(self, tmp_path) -> None:
        copied(tmp_path, "cnn")
        (tmp_path / "cnn" / "cnn-0000.params").unlink()

        with pytest.raises(InvalidModel, match="no parameter file: residual_conv0_weight, "):
            loaded(tmp_path)


def centred(folder: Path, settings: str) -> Path:
    """A network that takes the mean of all rows from each: ``x`` of shape (-1, 3)."""
    graph = Graph()
    x = graph.variable("x")
    mean = graph.operator("mean", "m", [x], axis=0, keepdims=True)
    text = graph.text([graph.operator("broadcast_sub", "centred", [x, mean])])
    (folder / "net-symbol.json").write_text(text)
    (folder / "model.toml").write_text("[[inputs]]\nname = 'x'\nshape = [-1, 3]\n" + settings)
    return folder


class TestRowsThatAreMixed:
    FORCED = "[batching]\nenabled = 'force'"

    def test_the_reason_names_what_is_mixed(self, tmp_path) -> None:
        version = loaded(centred(tmp_path, ""))

        assert not version.signature.batchable
        assert version.notes[0].startswith(
            "served unbatched: an operator mixes what lies along axis 0 of 'x'"
        )
        version.close()

    def test_axis_of_an_output_alone_makes_no_rows(self, tmp_path) -> None:
        version = loaded(centred(tmp_path, "[[outputs]]\nindex = 0\nbatch_axis = 0"))

        assert not version.signature.batchable
        version.close()

    async def test_force_batches_them_with_a_note(self, tmp_path) -> None:
        repository = Repository(centred(tmp_path, self.FORCED), model_name="centred")
        await repository.load_all()
        plane = DataPlane(repository)
        x = np.arange(6, dtype=np.float32).reshape(2, 3)

        answer = await plane.infer(InferRequest("centred", {"x": x}))
        nothing = await plane.infer(InferRequest("centred", {"x": x[:0]}))

        np.testing.assert_allclose(answer.outputs["centred_output"], x - x.mean(0))
        assert nothing.outputs["centred_output"].shape == (0, 3)
        assert repository.get("centred").batched
        assert "batched because the settings force it" in repository.get("centred").notes[0]
        await repository.close(5)

    async def test_force_cannot_batch_what_all_rows_share(self, tmp_path) -> None:
        shared = "batch_axis = 'none'\n" + self.FORCED
        repository = Repository(centred(tmp_path, shared), model_name="centred")
        await repository.load_all()
        x = np.ones((2, 3), np.float32)

        answer = await DataPlane(repository).infer(InferRequest("centred", {"x": x}))

        assert answer.outputs["centred_output"].shape == (2, 3)
        assert not repository.get("centred").batched
        await repository.close(5)


class TestSizesForTheCheck:
    def test_a_network_that_adds_a_table_of_positions_is_batched(self, tmp_path) -> None:
        graph = Graph()
        words, table = graph.variable("words"), graph.variable("table")
        placed = graph.operator("broadcast_add", "placed", [words, table])
        (tmp_path / "net-symbol.json").write_text(
            graph.text([graph.operator("tanh", "answer", [placed])])
        )
        stored = np.random.default_rng(0).normal(size=(1, 7, 5)).astype(np.float32)
        (tmp_path / "net-0000.params").write_bytes(params_file([dense(stored)], ["arg:table"]))

        version = loaded(tmp_path)

        assert version.signature.batchable
        version.close()


class TestRecurrentNetwork:
    async def test_rows_lie_on_axis_1_and_begin_states_may_be_left_out(self, tmp_path) -> None:
        repository = Repository(copied(tmp_path, "rnn", STATES))
        await repository.load_all()
        plane = DataPlane(repository)
        steps = np.random.default_rng(0).standard_normal((5, 4, 2)).astype(np.float32)
        zeros = {f"data{place}": np.zeros((1, 4, 3), np.float32) for place in (1, 2)}

        short = await plane.infer(InferRequest("rnn", {"data0": steps}))
        whole = await plane.infer(InferRequest("rnn", {"data0": steps, **zeros}))
        none = await plane.infer(InferRequest("rnn", {"data0": steps[:, :0]}))

        (name,) = short.outputs
        assert short.outputs[name].shape == (5, 4, 3)
        np.testing.assert_array_equal(short.outputs[name], whole.outputs[name])
        assert none.outputs[name].shape == (5, 0, 3)
        assert plane.model_config("rnn").max_batch_size == 0
        assert repository.get("rnn").batched
        assert repository.get("rnn").recorder.rows == 8
        await repository.close(5)


def test_token_ids_are_limited_by_the_smallest_vocabulary() -> None:
    nodes = [
        {"op": "null", "name": "ids", "inputs": []},
        {"op": "null", "name": "words", "inputs": []},
        {"op": "Embedding", "name": "embed", "attrs": {"input_dim": "7", "output_dim": "2"},
         "inputs": [[0, 0, 0], [1, 0, 0]]},
        {"op": "Cast", "name": "whole", "attrs": {"dtype": "int32"}, "inputs": [[0, 0, 0]]},
        {"op": "null", "name": "parts", "inputs": []},
        {"op": "Embedding", "name": "embed2", "attrs": {"input_dim": "5", "output_dim": "2"},
         "inputs": [[3, 0, 0], [4, 0, 0]]},
        {"op": "elemwise_add", "name": "sum", "inputs": [[2, 0, 0], [5, 0, 0]]},
    ]  # fmt: skip
    graph = {"nodes": nodes, "arg_nodes": [0, 1, 4], "heads": [[6, 0, 0]], "attrs": {}}
    params = {"words": np.zeros((7, 2), np.float32), "parts": np.zeros((5, 2), np.float32)}

    imported = import_model(
        json.dumps(graph).encode(), params, samples={"ids": np.zeros((2, 3), np.float32)}
    )

    assert id_ranges(imported) == {"ids": Below(5)}
