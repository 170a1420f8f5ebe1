"""Which executor runs a network, and what is said when none can."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import exported
import numpy as np
import onnx
import pytest

from gluonserve.errors import BackendUnavailable, InvalidConfig, UnsupportedModel
from gluonserve.executors import FACTORIES, ExecutorOptions, choose
from gluonserve.executors.options import available_cores, cuda_index
from gluonserve.loader.importing import Imported, Lowered, Target, import_model
from gluonserve.tensors import DType, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WITHOUT_MXNET = importlib.util.find_spec("mxnet") is None


@dataclass
class Handmade:
    """What executors use of an imported network, made of one ONNX operator."""

    op_type: str
    signature: Signature
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    def lower(self, target: Target) -> Lowered:
        helper = onnx.helper
        inputs = [_value(spec) for spec in self.signature.inputs]
        outputs = [_value(spec) for spec in self.signature.outputs]
        names = [value.name for value in inputs], [value.name for value in outputs]
        node = helper.make_node(self.op_type, *names)
        graph = helper.make_graph([node], "handmade", inputs, outputs)
        opset = [helper.make_opsetid("", target.opset)]
        return Lowered(helper.make_model(graph, opset_imports=opset, ir_version=9), self.weights)


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    shape = [f"d{axis}" if size < 0 else size for axis, size in enumerate(spec.shape)]
    kind = onnx.helper.np_dtype_to_tensor_dtype(spec.dtype.numpy)
    return onnx.helper.make_tensor_value_info(spec.name, kind, shape)


def determinant() -> Handmade:
    """OpenVINO has no such operator."""
    matrices = TensorSpec("x", DType.FP32, (-1, 3, 3))
    return Handmade("Det", Signature((matrices,), (TensorSpec("y", DType.FP32, (-1,)),)))


@pytest.fixture
def small(tmp_path: Path) -> Imported:
    network = exported.activations()
    return import_model(*network.export(tmp_path), inputs=network.hints)


@pytest.fixture
def chosen(small: Imported) -> Iterator[dict[str, str]]:
    executor = choose(small)
    yield dict(executor.description)
    executor.close()


def test_auto_takes_openvino_on_cpu_and_says_so(chosen: dict[str, str]) -> None:
    assert chosen["executor"] == "openvino"
    assert chosen["why"] == "auto: openvino is the fastest on cpu"


def test_openvino_says_what_free_sizes_and_wide_types_cost(tmp_path: Path) -> None:
    network = exported.activations(np.float64, shape=(-1, -1))
    imported = import_model(*network.export(tmp_path), inputs=network.hints)

    executor = choose(imported, "openvino")

    assert "computed in 32 bits" in executor.description["note"]
    assert "any size of 'data' is taken" in executor.description["note"]
    executor.close()


def test_auto_falls_back_when_an_engine_refuses_and_says_why() -> None:
    executor = choose(determinant())

    lease = executor.lease({"x": (2, 3, 3)})
    lease.inputs["x"][...] = np.eye(3) * 2
    executor.run(lease)

    assert executor.description["executor"] == "onnxruntime"
    assert "openvino refused" in executor.description["why"]
    assert "Det" in executor.description["why"]
    np.testing.assert_allclose(lease.outputs["y"], [8, 8])
    lease.release()
    executor.close()


def test_named_engine_that_refuses_is_an_error_and_not_another_engine() -> None:
    with pytest.raises(UnsupportedModel, match=r"openvino .* no operator for Det"):
        choose(determinant(), "openvino")


def test_auto_prefers_the_engine_that_computes_wide_types_exactly(tmp_path: Path) -> None:
    network = exported.activations(np.float64)
    imported = import_model(*network.export(tmp_path), inputs=network.hints)

    executor = choose(imported)

    assert executor.description["executor"] == "onnxruntime"
    assert "'data' is FP64" in executor.description["why"]
    executor.close()


def test_every_refusal_is_told_when_no_engine_takes_the_network() -> None:
    impossible = determinant()
    impossible.op_type = "NoSuchOperator"

    with pytest.raises(UnsupportedModel, match=r"openvino refused.*; onnxruntime refused"):
        choose(impossible)


@pytest.mark.parametrize(
    ("executor", "device"),
    [("tensorrt", "cpu"), ("auto", "tensorrt"), ("onnxruntime", "tensorrt:0")],
)
def test_tensorrt_is_said_to_be_missing(small: Imported, executor: str, device: str) -> None:
    with pytest.raises(BackendUnavailable, match="TensorRT is not in this release"):
        choose(small, executor, ExecutorOptions(device=device))


def test_unknown_executor_names_the_choices(small: Imported) -> None:
    with pytest.raises(InvalidConfig, match="auto, openvino, onnxruntime, mxnet"):
        choose(small, "caffe")


@pytest.mark.parametrize("executor", ["auto", "onnxruntime"])
def test_cuda_without_a_cuda_build_says_what_to_install(small: Imported, executor: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is the CUDA build")

    with pytest.raises(BackendUnavailable, match=r"cuda:1.*onnxruntime-gpu"):
        choose(small, executor, ExecutorOptions(device="cuda:1"))


def test_openvino_does_not_pretend_to_run_on_cuda(small: Imported) -> None:
    with pytest.raises(BackendUnavailable, match="executor 'onnxruntime'"):
        choose(small, "openvino", ExecutorOptions(device="cuda:0"))


@pytest.mark.skipif(not WITHOUT_MXNET, reason="mxnet is installed")
def test_mxnet_that_is_absent_says_how_to_get_it(small: Imported) -> None:
    with pytest.raises(BackendUnavailable, match=r"pip install 'gluonserve\[mxnet\]'"):
        choose(small, "mxnet")


def test_bf16_works_where_the_processor_has_it_and_is_refused_elsewhere(small: Imported) -> None:
    engine = pytest.importorskip("gluonserve.executors.openvino")
    has = "BF16" in engine.process_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    options = ExecutorOptions(precision="bf16")

    if has:
        executor = choose(small, options=options)
        assert executor.description["executor"] == "openvino"
        assert executor.description["precision"] == "bf16"
        executor.close()
    else:
        with pytest.raises(BackendUnavailable, match="'bf16' is not in this processor"):
            choose(small, options=options)


@pytest.mark.parametrize(
    "options",
    [
        {"device": "gpu"},
        {"device": "cuda:x"},
        {"precision": "fp8"},
        {"instances": 0},
        {"threads": 0},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    (value,) = options.values()

    with pytest.raises(InvalidConfig, match=str(value)):
        ExecutorOptions(**options)


@pytest.mark.parametrize(("device", "index"), [("cpu", None), ("cuda", 0), ("cuda:3", 3)], ids=str)
def test_devices_are_numbered(device: str, index: int | None) -> None:
    assert cuda_index(device) == index


def test_threads_default_to_the_cores_of_this_process() -> None:
    assert ExecutorOptions(instances=3).all_threads == available_cores() >= 1
    assert ExecutorOptions(instances=3, threads=2).all_threads == 6


def test_every_executor_has_a_factory_by_its_own_name() -> None:
    assert list(FACTORIES) == ["openvino", "onnxruntime", "mxnet"]
