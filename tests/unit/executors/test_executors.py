"""What every executor does, whichever engine it is: run for each that is installed."""

from __future__ import annotations

import gc
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest

from gluonserve.errors import BackendUnavailable, ExecutionFailed, InvalidRequest
from gluonserve.executors import FACTORIES, ExecutorOptions
from gluonserve.loader.importing import Imported, import_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gluonserve.executors.protocol import Executor

ENGINES = [pytest.param(n, marks=pytest.mark.mxnet if n == "mxnet" else ()) for n in FACTORIES]


@dataclass
class Opened:
    """An executor and the network that it runs."""

    executor: Executor
    network: exported.Network
    imported: Imported

    def answer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        lease = self.executor.lease({name: array.shape for name, array in inputs.items()})
        try:
            for name, array in inputs.items():
                lease.inputs[name][...] = array
            self.executor.run(lease)
            return {name: array.copy() for name, array in lease.outputs.items()}
        finally:
            lease.release()

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """The answer is what NumPy computes."""
        answers = self.answer(inputs)
        expected = self.network.compute(**inputs)
        for answer, right in zip(answers.values(), expected, strict=True):
            np.testing.assert_allclose(answer, right, rtol=1e-4, atol=1e-5)


Open = "Callable[..., Opened]"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def opened(engine: str, tmp_path: Path) -> Iterator[Open]:
    """Opens exported with the engine, and closes them."""
    every: list[Executor] = []

    def open_network(network: exported.Network, **options: object) -> Opened:
        symbol, params = network.export(tmp_path)
        imported = import_model(symbol, params, inputs=network.hints)
        asked = ExecutorOptions(source=(symbol, params), **{"threads": 1, **options})
        every.append(FACTORIES[engine]()(imported, asked))
        return Opened(every[-1], network, imported)

    yield open_network
    for executor in every:
        executor.close()


def resident_mib() -> int:
    """What this process holds of the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 20


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_memory_of_a_huge_batch_goes_once_it_is_not_needed(opened: Open, engine: str) -> None:
    one = opened(exported.convolution())
    assert engine == one.executor.description["executor"]
    small, huge = one.network.draw(1), one.network.draw(1)
    huge = {name: np.repeat(array, 100_000, axis=0) for name, array in huge.items()}
    one.check(small)
    before = resident_mib()
    one.answer(huge)
    held = resident_mib() - before

    for _ in range(10):
        one.check(small)

    assert held > 100
    assert resident_mib() - before < held / 4


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_answers_outlive_the_memory_that_goes(opened: Open, engine: str) -> None:
    one = opened(exported.convolution(), instances=3)
    assert engine == one.executor.description["executor"]
    inputs, many = one.network.draw(3), one.network.draw(1)
    many = {name: np.repeat(array, 1000, axis=0) for name, array in many.items()}
    lease = one.executor.lease({name: array.shape for name, array in inputs.items()})
    for name, array in inputs.items():
        lease.inputs[name][...] = array
    one.executor.run(lease)

    def load() -> None:
        one.answer(many)
        for _ in range(10):
            one.check(one.network.draw(1))

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(load) for _ in range(30)]:
            done.result()

    expected = one.network.compute(**inputs)
    for answer, right in zip(lease.outputs.values(), expected, strict=True):
        np.testing.assert_allclose(answer, right, rtol=1e-4, atol=1e-5)
    lease.release()


def test_signature_is_that_of_the_network(opened: Open) -> None:
    one = opened(exported.convolution())

    assert one.executor.signature == one.imported.signature
    assert list(one.answer(one.network.draw(1))) == [
        spec.name for spec in one.executor.signature.outputs
    ]


def test_description_tells_what_runs_where_and_why(opened: Open, engine: str) -> None:
    description = opened(exported.activations()).executor.description

    assert description["executor"] == engine
    assert description["precision"] == "fp32"
    assert description["why"] == "chosen by name"
    assert {"version", "device"} <= description.keys()


@pytest.mark.parametrize("rows", [1, 2, 7], ids=str)
def test_answers_are_right_for_any_number_of_rows(opened: Open, rows: int) -> None:
    one = opened(exported.convolution())

    one.check(one.network.draw(rows))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 1e-2)], ids=["float32", "float16"]
)
def test_labels_left_by_training_are_not_asked_for(
    opened: Open, dtype: type[np.generic], tolerance: float
) -> None:
    one = opened(exported.classifier(dtype))

    for rows in (3, 1):
        inputs = one.network.draw(rows)
        answers = one.answer(inputs)
        assert answers["softmax_output"].dtype == dtype
        (right,) = one.network.compute(**inputs)
        np.testing.assert_allclose(answers["softmax_output"], right, atol=tolerance)


def test_outputs_come_in_the_order_of_the_signature(opened: Open) -> None:
    one = opened(exported.activations())

    names = [spec.name for spec in one.executor.signature.outputs]

    assert names == ["zz_output", "aa_output"]
    assert list(one.answer(one.network.draw(2))) == names
    one.check(one.network.draw(2))


def test_free_dimensions_take_any_size(opened: Open) -> None:
    one = opened(exported.activations(shape=(-1, -1, 3)))

    for shape in ((1, 1, 3), (4, 9, 3), (2, 5, 3), (4, 9, 3)):
        one.check({"data": np.linspace(-1, 1, np.prod(shape), dtype=np.float32).reshape(shape)})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda t: t.__name__)
def test_types_are_those_declared(opened: Open, dtype: type[np.generic]) -> None:
    one = opened(exported.activations(dtype))

    answers = one.answer({"data": np.array([[-1, 0, 0.5, 1, 2]], dtype)})

    assert [answer.dtype for answer in answers.values()] == [dtype, dtype]
    np.testing.assert_array_equal(answers["zz_output"], np.array([[0, 0, 0.5, 1, 2]], dtype))


@pytest.mark.parametrize("network", [exported.convolution, exported.activations])
def test_no_rows_answer_no_rows(opened: Open, network: Callable[[], exported.Network]) -> None:
    one = opened(network())

    answers = one.answer(one.network.draw(0))

    expected = [right[:0] for right in one.network.compute(**one.network.draw(1))]
    assert [a.shape for a in answers.values()] == [right.shape for right in expected]
    assert [a.dtype for a in answers.values()] == [right.dtype for right in expected]


def test_no_rows_of_free_dimensions_answer_no_rows(opened: Open) -> None:
    one = opened(exported.activations(shape=(-1, -1, 3)))

    answers = one.answer({"data": np.empty((0, 6, 3), np.float32)})

    assert [answer.shape for answer in answers.values()] == [(0, 6, 3), (0, 6, 3)]


def test_input_memory_is_writable_contiguous_and_comes_back(opened: Open) -> None:
    one = opened(exported.convolution())
    shapes = {"data": (3, 8, 6, 4)}
    addresses = set()

    for _ in range(3):
        lease = one.executor.lease(shapes)
        array = lease.inputs["data"]
        addresses.add(array.ctypes.data)
        lease.release()

    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.shape == shapes["data"]
    assert len(addresses) == 1


def test_outputs_stay_valid_until_release(opened: Open) -> None:
    one = opened(exported.convolution())
    first, second = one.network.draw(3), one.network.draw(3)
    held = one.executor.lease({"data": first["data"].shape})
    held.inputs["data"][...] = first["data"]
    one.executor.run(held)

    for _ in range(5):
        one.check(second)
    gc.collect()

    (answer,) = held.outputs.values()
    np.testing.assert_allclose(answer, one.network.compute(**first)[0], rtol=1e-4, atol=1e-5)
    held.release()


def test_lease_may_be_run_again_with_other_values(opened: Open) -> None:
    one = opened(exported.convolution())
    lease = one.executor.lease({"data": (2, 8, 6, 4)})

    for _ in range(2):
        inputs = one.network.draw(2)
        lease.inputs["data"][...] = inputs["data"]
        one.executor.run(lease)
        (answer,) = lease.outputs.values()
        np.testing.assert_allclose(answer, one.network.compute(**inputs)[0], rtol=1e-4, atol=1e-5)

    lease.release()


def test_release_twice_gives_memory_back_once(opened: Open) -> None:
    one = opened(exported.convolution())
    shapes = {"data": (1, 8, 6, 4)}
    lease = one.executor.lease(shapes)
    lease.release()
    lease.release()

    one_lease, other = one.executor.lease(shapes), one.executor.lease(shapes)

    assert not np.shares_memory(one_lease.inputs["data"], other.inputs["data"])
    one_lease.release()
    other.release()


@pytest.mark.parametrize("instances", [1, 2], ids="instances={}".format)
def test_leases_run_on_threads_at_the_same_time(opened: Open, instances: int) -> None:
    one = opened(exported.convolution(), instances=instances)
    batches = [one.network.draw(rows % 5 + 1) for rows in range(40)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one.check, batches))

    assert one.executor.concurrency >= 1


def test_wrong_shape_fails_with_the_engines_error_as_cause(opened: Open) -> None:
    one = opened(exported.convolution())

    with pytest.raises(ExecutionFailed) as caught:
        one.answer({"data": np.zeros((2, 5, 6, 4), np.float32)})

    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__) not in str(caught.value)


@pytest.mark.parametrize("threads", [1, 2], ids="threads={}".format)
def test_failed_batch_does_not_harm_the_next_of_the_same_shape(opened: Open, threads: int) -> None:
    one = opened(exported.convolution(pad=0), threads=threads)
    good = one.network.draw(3)
    one.check(good)

    for shape in ((3, 8, 1, 1), (3, 8, 2, 2), (3, 5, 6, 4), (3, 8)):
        with pytest.raises(ExecutionFailed):
            one.answer({"data": np.zeros(shape, np.float32)})

        one.check(good)


def test_missing_and_unknown_inputs_are_named(opened: Open) -> None:
    one = opened(exported.convolution())

    with pytest.raises(InvalidRequest, match="input 'data' is missing; there is no input 'dada'"):
        one.executor.lease({"dada": (1, 8, 6, 4)})


def test_close_is_idempotent_and_refuses_what_comes_later(opened: Open) -> None:
    one = opened(exported.convolution())
    lease = one.executor.lease({"data": (1, 8, 6, 4)})
    lease.release()

    one.executor.close()
    one.executor.close()

    with pytest.raises(ExecutionFailed, match="closed"):
        one.answer(one.network.draw(1))


def test_weights_outlive_whoever_imported_them(opened: Open) -> None:
    one = opened(exported.convolution())
    if one.imported.params is not None:
        one.imported.params.close()
    one.imported = None
    gc.collect()

    one.check(one.network.draw(2))


def test_int8_is_refused_clearly(opened: Open) -> None:
    with pytest.raises(BackendUnavailable, match="int8"):
        opened(exported.convolution(), precision="int8")
