"""Every call of the service over a real connection, and the status of every mistake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from fakeplane import FakeDataPlane, add_model, echo_model

from gluonserve.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    RequestCancelled,
    ServerNotReady,
    UnsupportedFeature,
)
from gluonserve.rpc.service import SERVICE, UNIMPLEMENTED
from gluonserve.tensors import DType
from gluonserve_client._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.conftest import GrpcOver

Code = grpc.StatusCode
ONES = np.ones((2, 3), np.float32)


class Served:
    """A server over a data plane in memory, and a channel to it."""

    def __init__(self, plane: FakeDataPlane, channel: grpc.aio.Channel) -> None:
        self.plane, self.channel = plane, channel

    def call(self, rpc: str, ask: object, **options: object) -> grpc.aio.UnaryUnaryCall:
        answer = SERVICE.methods_by_name[rpc].output_type.name
        stub = self.channel.unary_unary(
            f"/{SERVICE.full_name}/{rpc}",
            lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            getattr(pb, answer).FromString,
        )
        return stub(ask, **options)


@pytest.fixture
async def served(grpc_over: GrpcOver) -> AsyncIterator[Served]:
    plane = FakeDataPlane(add_model(), add_model("held"), echo_model(DType.FP32, -1, -1))
    plane.held.add("held")
    server = grpc_over(plane)
    port = await server.start("127.0.0.1", 0)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield Served(plane, channel)
    await server.stop(0)


def add_request(model: str = "add", **fields: object) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, **fields)
    for name in ("a", "b"):
        request.inputs.add(name=name, datatype="FP32", shape=ONES.shape)
        request.raw_input_contents.append(ONES.tobytes())
    return request


async def status(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_infer_answers_raw_with_id_and_decimal_version(served: Served) -> None:
    answer = await served.call("ModelInfer", add_request(id="seven"))

    assert (answer.model_name, answer.model_version, answer.id) == ("add", "1", "seven")
    assert [output.name for output in answer.outputs] == ["sum", "difference"]
    assert list(answer.outputs[0].shape) == [2, 3]
    assert not answer.outputs[0].HasField("contents")
    assert answer.raw_output_contents == [(ONES + ONES).tobytes(), (ONES - ONES).tobytes()]


async def test_message_of_many_megabytes_passes(served: Served) -> None:
    x = np.random.default_rng(0).random((3000, 4000), np.float32)
    request = pb.ModelInferRequest(model_name="echo_fp32", raw_input_contents=[x.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=x.shape)

    answer = await served.call("ModelInfer", request)

    assert answer.raw_output_contents[0] == x.tobytes()


async def test_questions_about_server_and_models_are_answered(served: Served) -> None:
    assert (await served.call("ServerLive", pb.ServerLiveRequest())).live
    assert (await served.call("ServerReady", pb.ServerReadyRequest())).ready
    assert (await served.call("ModelReady", pb.ModelReadyRequest(name="add", version="1"))).ready
    server = await served.call("ServerMetadata", pb.ServerMetadataRequest())
    assert "statistics" in server.extensions
    metadata = await served.call("ModelMetadata", pb.ModelMetadataRequest(name="add"))
    assert (metadata.platform, list(metadata.versions)) == ("mxnet_mxnet", ["1"])
    assert list(metadata.inputs[0].shape) == [-1, 3]
    assert metadata.properties == {"executor": "fake"}
    index = await served.call("RepositoryIndex", pb.RepositoryIndexRequest())
    assert [model.name for model in index.models] == ["add", "held", "echo_fp32"]


async def test_server_advertises_nothing_that_it_has_not(served: Served) -> None:
    extensions = set((await served.call("ServerMetadata", pb.ServerMetadataRequest())).extensions)

    absent = {"sequence", "system_shared_memory", "cuda_shared_memory", "trace", "logging"}
    assert not extensions & absent
    assert "model_repository(unload_dependents)" not in extensions


async def test_config_of_a_batched_model_leaves_the_batch_out(served: Served) -> None:
    config = (await served.call("ModelConfig", pb.ModelConfigRequest(name="add"))).config

    assert config.max_batch_size == 8
    assert list(config.input[0].dims) == [3]
    assert config.HasField("dynamic_batching")
    assert config.instance_group[0].count == 1
    assert (config.platform, config.backend) == ("mxnet_mxnet", "gluonserve")


async def test_config_of_a_model_with_other_batch_axes_has_whole_shapes(served: Served) -> None:
    served.plane.models["add"].max_batch_size = 0

    config = (await served.call("ModelConfig", pb.ModelConfigRequest(name="add"))).config

    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [-1, 3]
    assert not config.HasField("dynamic_batching")


async def test_statistics_count_what_perf_analyzer_compares(served: Served) -> None:
    for _ in range(3):
        await served.call("ModelInfer", add_request())

    answer = await served.call("ModelStatistics", pb.ModelStatisticsRequest(name="add"))

    (model,) = answer.model_stats
    sums = model.inference_stats
    assert (model.inference_count, model.execution_count) == (6, 3)
    counts = {sums.success.count, sums.queue.count, sums.compute_input.count}
    assert counts | {sums.compute_infer.count, sums.compute_output.count} == {3}


async def test_index_can_leave_out_what_does_not_serve(served: Served) -> None:
    served.plane.models["held"].ready = False

    ready = await served.call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
    index = await served.call("RepositoryIndex", pb.RepositoryIndexRequest())

    assert [model.name for model in ready.models] == ["add", "echo_fp32"]
    held = next(model for model in index.models if model.name == "held")
    assert (held.state, held.reason) == ("UNAVAILABLE", "broken")


async def test_known_model_that_does_not_serve_is_not_ready_without_an_error(
    served: Served,
) -> None:
    served.plane.models["add"].ready = False

    assert not (await served.call("ModelReady", pb.ModelReadyRequest(name="add"))).ready


RAISED = {
    "invalid": (InvalidRequest("input 'a': ..."), Code.INVALID_ARGUMENT),
    "unknown_model": (ModelNotFound("add", 7), Code.NOT_FOUND),
    "loading": (ModelNotReady("add", 1, "LOADING"), Code.UNAVAILABLE),
    "draining": (ServerNotReady("the server is shutting down"), Code.UNAVAILABLE),
    "overloaded": (Overloaded("4096 rows wait"), Code.RESOURCE_EXHAUSTED),
    "late": (DeadlineExceeded("it waited too long"), Code.DEADLINE_EXCEEDED),
    "cancelled": (RequestCancelled("the caller has gone"), Code.CANCELLED),
    "unsupported": (UnsupportedFeature("no sequences"), Code.UNIMPLEMENTED),
    "engine": (ExecutionFailed("the engine failed"), Code.INTERNAL),
}


@pytest.mark.parametrize(("error", "code"), RAISED.values(), ids=RAISED)
async def test_errors_of_the_data_plane_have_their_status_and_text(
    served: Served, error: Exception, code: grpc.StatusCode
) -> None:
    served.plane.failing["add"] = error

    assert await status(served.call("ModelInfer", add_request())) == (code, str(error))


async def test_unforeseen_error_is_internal_and_tells_nothing(served: Served) -> None:
    served.plane.failing["add"] = RuntimeError("password")

    assert await status(served.call("ModelInfer", add_request())) == (
        Code.INTERNAL,
        "internal error",
    )


def changed(**fields: object) -> pb.ModelInferRequest:
    request = add_request()
    for name, value in fields.items():
        setattr(request.inputs[0], name, value)
    return request


def shaped(*shape: int) -> pb.ModelInferRequest:
    request = add_request()
    request.inputs[0].shape[:] = shape
    return request


def with_parameter(name: str) -> pb.ModelInferRequest:
    request = add_request()
    request.parameters[name].int64_param = 1
    return request


MISTAKES = {
    "not_a_message": ("ModelInfer", b"\xff\xff", Code.INVALID_ARGUMENT, "ModelInferRequest"),
    "empty": ("ModelInfer", b"", Code.NOT_FOUND, "no model ''"),
    "wrong_name": ("ModelInfer", changed(name="c"), Code.INVALID_ARGUMENT, "expected inputs"),
    "wrong_type": ("ModelInfer", changed(datatype="INT32"), Code.INVALID_ARGUMENT, "'a'"),
    "wrong_shape": ("ModelInfer", shaped(3, 2), Code.INVALID_ARGUMENT, "'a'"),
    "wrong_size": ("ModelInfer", shaped(2, 4), Code.INVALID_ARGUMENT, "expected 32"),
    "sequence": ("ModelInfer", with_parameter("sequence_id"), Code.UNIMPLEMENTED, "sequence"),
    "reserved": ("ModelInfer", with_parameter("triton_"), Code.INVALID_ARGUMENT, "reserved"),
    "unknown_model": ("ModelInfer", add_request("x"), Code.NOT_FOUND, "no model 'x'"),
    "unknown_version": (
        "ModelInfer",
        add_request(model_version="9"),
        Code.NOT_FOUND,
        "no model 'add' version 9",
    ),
    "metadata_of_nobody": (
        "ModelMetadata",
        pb.ModelMetadataRequest(name="x"),
        Code.NOT_FOUND,
        "'x'",
    ),
    "config_of_nobody": ("ModelConfig", pb.ModelConfigRequest(name="x"), Code.NOT_FOUND, "'x'"),
    "readiness_of_nobody": ("ModelReady", pb.ModelReadyRequest(name="x"), Code.NOT_FOUND, "'x'"),
    "other_repository": (
        "RepositoryIndex",
        pb.RepositoryIndexRequest(repository_name="r"),
        Code.UNIMPLEMENTED,
        "'r'",
    ),
    "metadata_message": ("ModelMetadata", b"\xff", Code.INVALID_ARGUMENT, "ModelMetadataRequest"),
}


@pytest.mark.parametrize(("rpc", "ask", "code", "text"), MISTAKES.values(), ids=MISTAKES)
async def test_mistake_of_a_client_has_its_status(
    served: Served, rpc: str, ask: object, code: grpc.StatusCode, text: str
) -> None:
    got, details = await status(served.call(rpc, ask))

    assert got is code
    assert text in details


async def test_mistake_that_names_a_very_long_name_keeps_its_status(served: Served) -> None:
    ask = pb.ModelInferRequest(model_name="é" * 50_000)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.call("ModelInfer", ask)

    assert raised.value.code() is Code.NOT_FOUND


async def test_what_cannot_be_decoded_is_counted(served: Served) -> None:
    for ask in (b"\xff", shaped(2, 4)):
        await status(served.call("ModelInfer", ask))

    assert [name for name, _ in served.plane.refusals] == ["", "add"]


@pytest.mark.parametrize("rpc", list(UNIMPLEMENTED))
async def test_what_is_not_implemented_says_so(served: Served, rpc: str) -> None:
    code, details = await status(served.call(rpc, b""))

    assert code is Code.UNIMPLEMENTED
    assert details == f"{rpc}: {UNIMPLEMENTED[rpc]}"


async def test_every_method_of_the_service_has_an_answer(served: Served) -> None:
    for method in SERVICE.methods:
        if method.name == "ModelStreamInfer":
            continue
        try:
            await served.call(method.name, b"")
        except grpc.aio.AioRpcError as error:
            assert "not found" not in error.details().lower()  # noqa: PT017 - one way of many


async def test_deadline_of_the_call_is_the_deadline_of_the_request(served: Served) -> None:
    code, _ = await status(served.call("ModelInfer", add_request("held"), timeout=0.2))

    assert code is Code.DEADLINE_EXCEEDED
    now = asyncio.get_running_loop().time()
    assert served.plane.seen[-1].deadline == pytest.approx(now, abs=5)


async def test_timeout_parameter_ends_a_waiting_request(served: Served) -> None:
    request = add_request("held")
    request.parameters["timeout"].int64_param = 50_000

    assert (await status(served.call("ModelInfer", request)))[0] is Code.DEADLINE_EXCEEDED


async def test_cancelled_call_leaves_the_data_plane(served: Served) -> None:
    call = served.call("ModelInfer", add_request("held", id="gone"))
    await asyncio.wait_for(served.plane.entered.wait(), 20)

    call.cancel()

    await asyncio.wait_for(served.plane.left.wait(), 20)
    assert served.plane.cancelled == ["gone"]
