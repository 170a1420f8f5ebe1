"""Health, reflection, listening and stopping of the gRPC front."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from fakeplane import FakeDataPlane, add_model, echo_model
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from gluonserve.errors import InvalidConfig
from gluonserve.rpc.local import LocalCalls
from gluonserve.rpc.server import build_server
from gluonserve.tensors import DType
from gluonserve_client._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.conftest import GrpcOver

    from gluonserve.rpc.fronts import Fronts
    from gluonserve.rpc.server import RpcServer

SERVICE = "inference.GRPCInferenceService"
Check = health_pb2.HealthCheckRequest
Health = health_pb2.HealthCheckResponse


class Served:
    def __init__(self, plane: FakeDataPlane, server: RpcServer | Fronts, port: int) -> None:
        self.plane, self.server, self.port = plane, server, port
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def stream(self) -> grpc.aio.StreamStreamCall:
        return self.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )()

    def infer(self, model: str) -> grpc.aio.UnaryUnaryCall:
        return self.channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )(request(model))


def request(model: str, request_id: str = "") -> pb.ModelInferRequest:
    data = np.ones((1, 2), np.float32).tobytes()
    message = pb.ModelInferRequest(model_name=model, id=request_id, raw_input_contents=[data])
    message.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    return message


@pytest.fixture
async def served(grpc_over: GrpcOver) -> AsyncIterator[Served]:
    held = echo_model(DType.FP32, -1, -1)
    held.name = "held"
    plane = FakeDataPlane(add_model(), echo_model(DType.FP32, -1, -1), held)
    plane.held.add("held")
    server = grpc_over(plane)
    served = Served(plane, server, await server.start("127.0.0.1", 0))
    yield served
    await served.channel.close()
    await server.stop(0)


@pytest.mark.parametrize("service", ["", SERVICE, "add"])
async def test_health_check_says_whether_server_and_models_serve(
    served: Served, service: str
) -> None:
    assert (await served.health.Check(Check(service=service))).status == Health.SERVING

    served.plane.is_ready = served.plane.models["add"].ready = False

    assert (await served.health.Check(Check(service=service))).status == Health.NOT_SERVING


async def test_health_check_of_an_unknown_service_is_not_found(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.health.Check(Check(service="nobody"))

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_watch_tells_changes_only(served: Served) -> None:
    watch = served.health.Watch(Check())
    assert (await watch.read()).status == Health.SERVING

    served.server.refresh_health()
    served.plane.is_ready = False
    served.server.refresh_health()
    assert (await watch.read()).status == Health.NOT_SERVING
    served.plane.is_ready = True
    served.server.refresh_health()
    assert (await watch.read()).status == Health.SERVING


async def test_health_watch_of_an_unknown_service_waits_for_it(served: Served) -> None:
    watch = served.health.Watch(Check(service="later"))
    assert (await watch.read()).status == Health.SERVICE_UNKNOWN

    served.plane.models["later"] = add_model("later")
    served.server.refresh_health()

    assert (await watch.read()).status == Health.SERVING


class Reflected:
    """What a tool such as grpcurl does: files by symbol, built into a pool of its own."""

    def __init__(self, served: Served, version: str) -> None:
        self._call = served.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )

    async def ask(self, **question: str) -> reflection_pb2.ServerReflectionResponse:
        return await self._call(iter([reflection_pb2.ServerReflectionRequest(**question)])).read()

    async def pool(self, symbol: str) -> DescriptorPool:
        answer = await self.ask(file_containing_symbol=symbol)
        pool = DescriptorPool()
        files = [
            FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        for file in reversed(files):
            pool.Add(file)
        return pool


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_every_service_that_it_lists(
    served: Served, version: str
) -> None:
    reflected = Reflected(served, version)

    listed = (await reflected.ask(list_services="")).list_services_response.service

    names = {service.name for service in listed}
    assert names == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for name in names:
        pool = await reflected.pool(name)
        assert pool.FindServiceByName(name).methods


async def test_reflection_knows_the_configuration_too(served: Served) -> None:
    pool = await Reflected(served, "v1").pool(SERVICE)

    assert pool.FindMessageTypeByName("inference.ModelConfig").fields_by_name["platform"]


async def test_port_zero_is_any_free_port_and_taken_ports_are_refused(served: Served) -> None:
    assert served.port > 0
    other = build_server(LocalCalls(FakeDataPlane()))

    with pytest.raises(InvalidConfig, match=f"cannot listen on 127.0.0.1:{served.port}"):
        await other.start("127.0.0.1", served.port)

    await other.stop(0)


async def test_stop_finishes_what_was_accepted(served: Served) -> None:
    call = served.infer("held")
    await asyncio.wait_for(served.plane.entered.wait(), 20)
    stopping = asyncio.ensure_future(served.server.stop(20))

    served.plane.release.set()

    assert (await call).model_name == "held"
    await asyncio.wait_for(stopping, 20)


async def test_stop_cancels_what_outlasts_the_grace(served: Served) -> None:
    call = served.infer("held")
    await asyncio.wait_for(served.plane.entered.wait(), 20)

    await served.server.stop(0.1)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_stop_answers_what_streams_have_read_and_ends_them(served: Served) -> None:
    busy, idle = served.stream(), served.stream()
    await busy.write(request("held", "read"))
    await idle.write(request("echo_fp32", "done"))
    assert (await idle.read()).infer_response.id == "done"
    await asyncio.wait_for(served.plane.entered.wait(), 20)

    stopping = asyncio.ensure_future(served.server.stop(20))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await idle.read()
    served.plane.release.set()

    assert (await busy.read()).infer_response.id == "read"
    with pytest.raises(grpc.aio.AioRpcError) as also_ended:
        await busy.read()
    await asyncio.wait_for(stopping, 10)
    for error in (ended.value, also_ended.value):
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "the server is shutting down"


async def test_stop_tells_watchers_the_last_status_and_ends_them(served: Served) -> None:
    watch = served.health.Watch(Check())
    assert (await watch.read()).status == Health.SERVING

    served.plane.drain()
    stopping = asyncio.ensure_future(served.server.stop(20))

    assert (await watch.read()).status == Health.NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await watch.read()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    await asyncio.wait_for(stopping, 10)
