"""ModelStreamInfer: order, failures inside a stream, flow control and cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from fakeplane import FakeDataPlane, add_model, echo_model
from structlog.testing import capture_logs

from gluonserve.errors import Overloaded
from gluonserve.rpc.stream import IN_FLIGHT
from gluonserve.tensors import DType
from gluonserve_client._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.conftest import GrpcOver

PATH = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture
async def plane() -> FakeDataPlane:
    held = echo_model(DType.FP32, -1, -1)
    held.name = "held"
    plane = FakeDataPlane(add_model(), echo_model(DType.FP32, -1, -1), held)
    plane.held.add("held")
    return plane


@pytest.fixture
async def call(plane: FakeDataPlane, grpc_over: GrpcOver) -> AsyncIterator[object]:
    server = grpc_over(plane)
    port = await server.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream(
            PATH, pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
        )
    await server.stop(0)


def request(model: str, request_id: object, rows: int = 1) -> pb.ModelInferRequest:
    x = np.ones((rows, 2), np.float32)
    message = pb.ModelInferRequest(
        model_name=model, id=str(request_id), raw_input_contents=[x.tobytes()]
    )
    message.inputs.add(name="x", datatype="FP32", shape=x.shape)
    return message


async def test_one_stream_serves_several_models_in_order(plane: FakeDataPlane, call) -> None:
    asks = [request(model, n) for n, model in enumerate(["held", "echo_fp32"] * 20)]
    plane.release.set()

    answers = [answer async for answer in call(iter(asks))]

    assert [answer.infer_response.id for answer in answers] == [str(n) for n in range(40)]
    assert [a.infer_response.model_name for a in answers] == ["held", "echo_fp32"] * 20


async def test_requests_of_a_stream_are_worked_on_together(plane: FakeDataPlane, call) -> None:
    stream = call()
    for n in range(10):
        await stream.write(request("held", n))
    await plane.until(lambda: plane.most_inside == 10)

    plane.release.set()
    await stream.done_writing()

    assert [answer.infer_response.id async for answer in stream] == [str(n) for n in range(10)]


async def test_slow_request_does_not_let_later_ones_overtake(plane: FakeDataPlane, call) -> None:
    stream = call()
    await stream.write(request("held", "first"))
    await stream.write(request("echo_fp32", "second"))
    reading = asyncio.ensure_future(stream.read())
    await plane.until(lambda: plane.calls == 2)

    plane.release.set()

    assert (await reading).infer_response.id == "first"
    assert (await stream.read()).infer_response.id == "second"


async def test_failed_requests_are_told_in_the_stream_which_goes_on(
    plane: FakeDataPlane, call
) -> None:
    plane.failing["add"] = Overloaded("queue full")
    broken = request("echo_fp32", "broken")
    broken.inputs[0].shape[0] = 7
    asks = [request("nobody", "a"), request("add", "b"), broken, request("echo_fp32", "d")]

    answers = [answer async for answer in call(iter(asks))]

    assert [answer.infer_response.id for answer in answers] == ["a", "b", "broken", "d"]
    assert [answer.error_message for answer in answers] == [
        "no model 'nobody'",
        "queue full",
        "input 'x': byte size mismatch: expected 56 (FP32 of shape [7, 2]), got 8",
        "",
    ]
    names = [answer.infer_response.parameters["status"].string_param for answer in answers]
    assert names == ["NOT_FOUND", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", ""]


async def test_stream_that_wants_status_codes_ends_with_the_first_error(call) -> None:
    asks = [request("echo_fp32", "a"), request("nobody", "b"), request("echo_fp32", "c")]
    stream = call(iter(asks), metadata=(("triton_grpc_error", "true"),))

    assert (await stream.read()).infer_response.id == "a"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "no model 'nobody'"


@pytest.mark.parametrize("closing", [False, True])
async def test_bug_in_a_stream_is_logged_by_the_name_of_its_call(
    plane: FakeDataPlane, call, closing: bool
) -> None:
    plane.failing["add"] = KeyError("a bug of ours")
    metadata = (("triton_grpc_error", "true"),) if closing else ()

    with capture_logs() as logs:
        (answer,) = await asyncio.gather(
            call(iter([request("add", "a")]), metadata=metadata).read(), return_exceptions=True
        )

    told = answer.details() if closing else answer.error_message
    assert told == "internal error"
    assert [(one["event"], one["rpc"]) for one in logs] == [("rpc failed", "ModelStreamInfer")]


async def test_last_answer_is_marked_for_those_who_ask(call) -> None:
    asks = [request("echo_fp32", "a"), request("echo_fp32", "b")]
    asks[0].parameters["triton_enable_empty_final_response"].bool_param = True

    marked, plain = [answer.infer_response async for answer in call(iter(asks))]

    assert marked.parameters["triton_final_response"].bool_param
    assert not plain.parameters


async def test_client_that_reads_nothing_is_not_read_from_for_ever(
    plane: FakeDataPlane, call
) -> None:
    stream = call()

    async def write() -> None:
        for n in range(IN_FLIGHT * 2):
            await stream.write(request("held", n))

    writer = asyncio.ensure_future(write())
    await plane.until(lambda: plane.calls == IN_FLIGHT)
    for _ in range(100):
        await asyncio.sleep(0)
    assert plane.most_inside == IN_FLIGHT

    plane.release.set()
    answers = [await stream.read() for _ in range(IN_FLIGHT * 2)]
    await writer
    assert [int(answer.infer_response.id) for answer in answers] == list(range(IN_FLIGHT * 2))


async def test_cancelled_stream_leaves_nothing_in_the_data_plane(
    plane: FakeDataPlane, call
) -> None:
    stream = call()
    for n in range(5):
        await stream.write(request("held", n))
    await plane.until(lambda: plane.calls == 5)

    stream.cancel()

    await plane.until(lambda: len(plane.cancelled) == 5)
    assert sorted(plane.cancelled) == list("01234")


async def test_stream_without_requests_just_ends(call) -> None:
    assert [answer async for answer in call(iter([]))] == []
