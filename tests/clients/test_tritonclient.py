"""tritonclient, unmodified: blocking, asyncio and streaming."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from fakeplane import add_model, echo_model
from fakeserver import FakeServer
from tritonclient.utils import InferenceServerException

from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    echoes = [echo_model(dtype, -1, -1) for dtype in DType]
    with FakeServer(add_model(), *echoes) as server:
        yield server


@pytest.fixture
def client(server: FakeServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.target) as client:
        yield client


def inputs() -> list[triton.InferInput]:
    tensors = []
    for name in ("a", "b"):
        tensor = triton.InferInput(name, list(ROWS.shape), "FP32")
        tensor.set_data_from_numpy(ROWS)
        tensors.append(tensor)
    return tensors


def test_infer_gives_arrays_and_echoes_the_id(client: triton.InferenceServerClient) -> None:
    result = client.infer("add", inputs(), request_id="seven", priority=1, timeout=10_000_000)

    np.testing.assert_array_equal(result.as_numpy("sum"), ROWS * 2)
    np.testing.assert_array_equal(result.as_numpy("difference"), ROWS * 0)
    assert result.get_response().id == "seven"
    assert result.get_response().model_version == "1"


def test_asked_for_outputs_are_the_only_ones(client: triton.InferenceServerClient) -> None:
    result = client.infer("add", inputs(), outputs=[triton.InferRequestedOutput("difference")])

    assert result.as_numpy("sum") is None
    np.testing.assert_array_equal(result.as_numpy("difference"), ROWS * 0)


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: dtype.value)
def test_every_data_type_survives(client: triton.InferenceServerClient, dtype: DType) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    tensor = triton.InferInput("x", [2, 3], dtype.value)
    tensor.set_data_from_numpy(x)

    result = client.infer(f"echo_{dtype.value.lower()}", [tensor])

    np.testing.assert_array_equal(result.as_numpy("y"), x)


def test_questions_are_answered(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("add", "1")
    assert client.get_server_metadata(as_json=True)["name"] == "gluonserve"
    metadata = client.get_model_metadata("add", as_json=True)
    assert metadata["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": ["-1", "3"]}
    config = client.get_model_config("add", as_json=True)["config"]
    assert config["max_batch_size"] == 8
    assert "dynamic_batching" in config
    index = client.get_model_repository_index(as_json=True)["models"]
    assert index[0] == {"name": "add", "version": "1", "state": "READY"}
    statistics = client.get_inference_statistics("add", as_json=True)["model_stats"]
    assert statistics[0]["name"] == "add"


def test_errors_have_status_and_text(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no model 'nobody'") as caught:
        client.infer("nobody", inputs())
    assert caught.value.status() == "StatusCode.NOT_FOUND"

    with pytest.raises(InferenceServerException, match="sequences are not supported"):
        client.infer("add", inputs(), sequence_id=7)
    with pytest.raises(InferenceServerException, match="models are loaded when the server starts"):
        client.load_model("add")
    with pytest.raises(InferenceServerException, match="shared memory is not supported"):
        client.get_system_shared_memory_status()


def test_stream_answers_in_order_and_goes_on_after_an_error(
    client: triton.InferenceServerClient,
) -> None:
    answers: queue.Queue[object] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result))

    for n in range(20):
        client.async_stream_infer("nobody" if n == 5 else "add", inputs(), request_id=str(n))
    got = [answers.get(timeout=20) for _ in range(20)]
    client.stop_stream()

    assert "no model 'nobody'" in str(got[5])
    ids = [result.get_response().id for n, result in enumerate(got) if n != 5]
    assert ids == [str(n) for n in range(20) if n != 5]


def test_stream_marks_the_last_answer_for_those_who_ask(
    client: triton.InferenceServerClient,
) -> None:
    answers: queue.Queue[object] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result))

    client.async_stream_infer("add", inputs(), enable_empty_final_response=True)
    response = answers.get(timeout=20).get_response()
    client.stop_stream()

    assert response.parameters["triton_final_response"].bool_param


async def test_asyncio_client_infers(server: FakeServer) -> None:
    async with triton_aio.InferenceServerClient(server.target) as client:
        assert await client.is_model_ready("add")
        result = await client.infer("add", inputs())

    np.testing.assert_array_equal(result.as_numpy("sum"), ROWS * 2)


async def test_asyncio_stream_answers_in_order(server: FakeServer) -> None:
    async def requests():
        for n in range(20):
            yield {"model_name": "add", "inputs": inputs(), "request_id": str(n)}

    seen = []
    async with triton_aio.InferenceServerClient(server.target) as client:
        async for result, error in client.stream_infer(requests()):
            assert error is None
            seen.append(result.get_response().id)

    assert seen == [str(n) for n in range(20)]
