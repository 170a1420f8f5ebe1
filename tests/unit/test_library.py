"""``gluonserve.load``: the engine without a server."""

from __future__ import annotations

import asyncio
import copy
import doctest
import importlib.metadata
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import exported
import numpy as np
import onnx
import pytest

import gluonserve
from gluonserve import library
from gluonserve.errors import (
    BackendUnavailable,
    ExecutionFailed,
    InvalidConfig,
    InvalidModel,
    InvalidRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def network() -> exported.Network:
    return exported.convolution()


@pytest.fixture
def model(network: exported.Network, tmp_path: Path) -> Iterator[library.Model]:
    with gluonserve.load(*network.export(tmp_path)) as loaded:
        yield loaded


def test_package_exports_what_it_says() -> None:
    assert gluonserve.__all__ == ["Model", "__version__", "load"]
    assert gluonserve.Model is library.Model
    assert gluonserve.__version__ == importlib.metadata.version("gluonserve")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gluonserve.nothing  # noqa: B018 (the access is the test)


def test_package_alone_imports_no_engine() -> None:
    code = "import gluonserve, sys; print(sorted({'numpy', 'onnx', 'openvino'} & set(sys.modules)))"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def test_example_in_the_docstring_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    assert doctest.testmod(library).failed == 0
    assert doctest.testmod(library).attempted > 0


def test_arrays_in_arrays_out(model: library.Model, network: exported.Network) -> None:
    inputs = network.draw(3)
    (right,) = network.compute(**inputs)

    by_keyword, by_mapping = model(**inputs), model(inputs)

    assert list(by_keyword) == ["pool_output"]
    np.testing.assert_allclose(by_keyword["pool_output"], right, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(by_mapping["pool_output"], by_keyword["pool_output"])


def test_answers_own_their_memory(model: library.Model, network: exported.Network) -> None:
    first = model(network.draw(2))["pool_output"]
    kept = first.copy()

    model(network.draw(2))

    assert first.flags.owndata
    np.testing.assert_array_equal(first, kept)


def test_types_are_converted_as_mxnet_converts_arrays(model: library.Model) -> None:
    whole = np.arange(192).reshape(1, 8, 6, 4)

    answers = [model(data=given)["pool_output"] for given in (whole, whole.tolist(), whole * 1.0)]

    expected = model(data=whole.astype(np.float32))["pool_output"]
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "missing input 'data'"),
        ({"data": np.zeros((1, 8, 6, 4)), "more": 1}, "unexpected input 'more'"),
        (
            {"data": np.zeros((1, 5, 6, 4))},
            r"'data'.* expected \[-1, 8, -1, -1\], got \[1, 5, 6, 4\]",
        ),
        ({"data": np.zeros(3)}, r"'data'.* got \[3\]"),
        ({"data": "seven"}, "input 'data': not an array of numbers"),
        ({"data": [[1], [2, 3]]}, "input 'data': not an array of numbers"),
    ],
    ids=["missing", "unknown", "shape", "rank", "text", "ragged"],
)
def test_wrong_inputs_are_named(
    model: library.Model, inputs: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        model(inputs)


def test_stated_shapes_and_types_hold(tmp_path: Path) -> None:
    symbol, _ = exported.activations().export(tmp_path)

    with gluonserve.load(symbol, inputs={"data": ("fp16", [-1, 2])}) as model:
        answers = model(data=[[1, -1]])

    assert [spec.shape for spec in model.signature.inputs] == [(-1, 2)]
    assert answers["zz_output"].dtype == np.float16
    np.testing.assert_array_equal(answers["zz_output"], [[1, 0]])


def test_shape_of_an_array_may_be_stated(network, tmp_path) -> None:
    files = network.export(tmp_path)
    with gluonserve.load(*files) as model:
        (spec,) = model.signature.inputs

    with gluonserve.load(*files, inputs={spec.name: (None, np.array(spec.shape))}) as model:
        assert model.signature.inputs == (spec,)


def test_engine_can_be_named(network: exported.Network, tmp_path: Path) -> None:
    with gluonserve.load(*network.export(tmp_path), executor="onnxruntime") as model:
        assert model.executor.description["executor"] == "onnxruntime"
        assert model(network.draw(0))["pool_output"].shape[0] == 0


def test_directory_is_loaded_as_its_settings_say(tmp_path: Path) -> None:
    exported.convolution().export(tmp_path)
    (tmp_path / "model.toml").write_text(
        'executor = "onnxruntime"\n[[outputs]]\nindex = 0\nname = "maxima"\n'
    )

    with gluonserve.load(tmp_path) as model:
        assert model.executor.description["executor"] == "onnxruntime"
        assert [spec.name for spec in model.signature.outputs] == ["maxima"]
    with gluonserve.load(tmp_path, executor="openvino") as model:
        assert model.executor.description["executor"] == "openvino"
        assert [spec.name for spec in model.signature.outputs] == ["maxima"]


def test_wrong_arguments_are_clear(network: exported.Network, tmp_path: Path) -> None:
    files = network.export(tmp_path)

    with pytest.raises(InvalidConfig, match="executor"):
        gluonserve.load(*files, executor="caffe")
    with pytest.raises(InvalidConfig, match="datatype"):
        gluonserve.load(*files, inputs={"data": ("FP99", None)})
    with pytest.raises(InvalidConfig, match="'pixels'"):
        gluonserve.load(*files, inputs={"pixels": ("FP32", None)})
    with pytest.raises(InvalidModel, match=r"absent-symbol\.json"):
        gluonserve.load(tmp_path / "absent-symbol.json")
    with pytest.raises(BackendUnavailable, match="TensorRT"):
        gluonserve.load(*files, device="tensorrt")


def test_network_leaves_as_an_onnx_file(
    model: library.Model, network: exported.Network, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"

    model.save_onnx(path)

    assert path.read_bytes() == model.to_onnx()
    onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_inputs_that_share_no_batch_may_differ_in_rows(tmp_path: Path, engine: str) -> None:
    """MXNet takes them; each answer's shape comes from the input that it belongs to."""
    graph = exported.Graph()
    a, b = graph.variable("a"), graph.variable("b")
    twice = graph.operator("_mul_scalar", "twice", [a], scalar=2)
    joined = graph.operator("Concat", "joined", [twice, b], dim=0, num_args=2)
    as_long = graph.operator("slice_like", "as_long", [joined, b], axes=(0,))
    symbol = tmp_path / "net-symbol.json"
    symbol.write_text(graph.text([joined, as_long]))
    shapes = {"a": ("FP32", [-1, 3]), "b": ("FP32", [-1, 3])}

    with gluonserve.load(symbol, inputs=shapes, executor=engine) as model:
        few, many = np.ones((2, 3), np.float32), np.full((5, 3), 3, np.float32)
        answers = model(a=few, b=many), model(a=many, b=few)

    rows = [[2] * 2 + [3] * 5, [6] * 5 + [1] * 2]
    for answer, whole, count in zip(answers, rows, (5, 2), strict=True):
        joined_rows, some = (answer[f"{name}_output"] for name in ("joined", "as_long"))
        np.testing.assert_array_equal(joined_rows, np.repeat([[one] for one in whole], 3, 1))
        np.testing.assert_array_equal(some, joined_rows[:count])


def test_close_is_idempotent(network: exported.Network, tmp_path: Path) -> None:
    model = gluonserve.load(*network.export(tmp_path))

    model.close()
    model.close()


def test_arrays_without_names_are_refused_with_the_names(model: library.Model) -> None:
    with pytest.raises(InvalidRequest, match=r"by the names of the inputs \('data'\), got ndarray"):
        model(np.zeros((1, 8, 6, 4)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [complex, "M8[D]"], ids=str)
def test_what_is_no_number_is_refused(model: library.Model, dtype) -> None:
    with pytest.raises(InvalidRequest, match=r"'data': .* has no place in a network"):
        model(data=np.zeros((1, 8, 6, 4), dtype))


def test_parameters_beside_a_directory_are_not_left_out(tmp_path: Path) -> None:
    exported.convolution().export(tmp_path)

    with pytest.raises(InvalidConfig, match="params goes with a symbol file"):
        gluonserve.load(tmp_path, "other.params")


@pytest.mark.parametrize("facts", ["FP32", ("FP32", 3), 3], ids=str)
def test_stated_facts_are_pairs(network: exported.Network, tmp_path: Path, facts) -> None:
    with pytest.raises(InvalidConfig, match=r"inputs\['data'\] should be \(data type, shape\)"):
        gluonserve.load(*network.export(tmp_path), inputs={"data": facts})


def test_stated_facts_are_by_name(network: exported.Network, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="inputs should be facts by input name, not"):
        gluonserve.load(*network.export(tmp_path), inputs=[("FP32", [-1, 3])])


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_copies_are_refused_in_words(model: library.Model, take) -> None:
    with pytest.raises(TypeError, match="holds an engine and cannot be pickled; load it anew"):
        take(model)


def test_says_what_it_is(model: library.Model) -> None:
    assert repr(model).startswith("<Model net: data: FP32 [-1, 8, -1, -1] -> pool_output: FP32 [")


def test_threads_and_event_loops_share_one_model(
    model: library.Model, network: exported.Network
) -> None:
    batches = [network.draw(1 + at % 5) for at in range(40)]

    async def concurrently() -> list[dict[str, np.ndarray]]:
        return await asyncio.gather(*(asyncio.to_thread(model, batch) for batch in batches))

    for batch, answer in zip(batches, asyncio.run(concurrently()), strict=True):
        (right,) = network.compute(**batch)
        np.testing.assert_allclose(answer["pool_output"], right, rtol=1e-4, atol=1e-5)


def test_after_close_calls_fail_in_words(model: library.Model, network: exported.Network) -> None:
    model.close()

    with pytest.raises(ExecutionFailed, match="closed"):
        model(network.draw(1))


def test_forgotten_model_is_freed(network: exported.Network, tmp_path: Path) -> None:
    forgotten = weakref.ref(gluonserve.load(*network.export(tmp_path)))

    assert forgotten() is None
