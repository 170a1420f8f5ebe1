"""The inference service: each call converts, asks the data plane, and converts back."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING

import grpc

from gluonserve.errors import GluonserveError, UnsupportedFeature
from gluonserve.rpc import describe
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc.codec import AnswerWriter, RequestReader, identity, parsed, streamed_error
from gluonserve.rpc.status import abort, status_of
from gluonserve.rpc.stream import InferStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    from gluonserve.dataplane import DataPlane, InferRequest, InferResponse
    from gluonserve.rpc.codec import Ask
    from gluonserve.rpc.stream import Answer

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Handler = grpc.RpcMethodHandler[bytes, bytes]
    Unary = Callable[[bytes, Context], Awaitable[bytes]]

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
STREAM = "ModelStreamInfer"
_CLOSE_ON_ERROR = ("triton_grpc_error", "true")
_NO_LOADING = "models are loaded when the server starts, not by call"
_NO_SHARED_MEMORY = "shared memory is not supported; send the data in the message"
UNIMPLEMENTED: Mapping[str, str] = {
    "RepositoryModelLoad": _NO_LOADING,
    "RepositoryModelUnload": _NO_LOADING,
    "SystemSharedMemoryStatus": _NO_SHARED_MEMORY,
    "SystemSharedMemoryRegister": _NO_SHARED_MEMORY,
    "SystemSharedMemoryUnregister": _NO_SHARED_MEMORY,
    "CudaSharedMemoryStatus": _NO_SHARED_MEMORY,
    "CudaSharedMemoryRegister": _NO_SHARED_MEMORY,
    "CudaSharedMemoryUnregister": _NO_SHARED_MEMORY,
    "TraceSetting": "tracing is not supported",
    "LogSettings": "logging is set when the server starts, not by call",
}


class InferenceService:
    """``inference.GRPCInferenceService`` over a data plane.

    Handlers take and give serialised messages: what cannot be parsed gets the right status, and
    answers of the hot path are never a message object.
    """

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane
        self._reader = RequestReader(asyncio.get_running_loop().time)
        self._writer = AnswerWriter()
        self._streams: set[InferStream] = set()

    def handlers(self) -> dict[str, Handler]:
        """The handler of every method of the service, by its name."""
        plane = self._dataplane
        calls: dict[str, Unary] = {
            "ServerLive": _unary(
                pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse(live=plane.live())
            ),
            "ServerReady": _unary(
                pb.ServerReadyRequest, lambda _: pb.ServerReadyResponse(ready=plane.ready())
            ),
            "ModelReady": _unary(
                pb.ModelReadyRequest,
                lambda ask: pb.ModelReadyResponse(ready=plane.model_ready(ask.name, ask.version)),
            ),
            "ServerMetadata": _unary(
                pb.ServerMetadataRequest,
                lambda _: describe.server_metadata(plane.server_metadata()),
            ),
            "ModelMetadata": _unary(
                pb.ModelMetadataRequest,
                lambda ask: describe.model_metadata(plane.model_metadata(ask.name, ask.version)),
            ),
            "ModelConfig": _unary(
                pb.ModelConfigRequest,
                lambda ask: describe.model_config(plane.model_config(ask.name, ask.version)),
            ),
            "ModelStatistics": _unary(
                pb.ModelStatisticsRequest,
                lambda ask: describe.statistics(plane.statistics(ask.name, ask.version)),
            ),
            "RepositoryIndex": _unary(pb.RepositoryIndexRequest, self._repository_index),
            "ModelInfer": self._model_infer,
        }
        calls |= {rpc: _unimplemented(rpc, text) for rpc, text in UNIMPLEMENTED.items()}
        handlers: dict[str, Handler] = {
            rpc: grpc.unary_unary_rpc_method_handler(call) for rpc, call in calls.items()
        }
        handlers[STREAM] = grpc.stream_stream_rpc_method_handler(self._model_stream_infer)
        return handlers

    def drain(self) -> None:
        """Let streams answer what they have read, and then end."""
        for stream in self._streams:
            stream.drain()

    def _repository_index(self, ask: pb.RepositoryIndexRequest) -> Message:
        if ask.repository_name:
            raise UnsupportedFeature(
                f"repository_name {ask.repository_name!r}: there is one repository, without a name"
            )
        return describe.repository_index(self._dataplane.index(ready=ask.ready))

    async def _model_infer(self, data: bytes, context: Context) -> bytes:
        arrived = perf_counter_ns()
        try:
            request, _ = self._read(data, arrived, _deadline(context))
            response = await self._dataplane.infer(request)
            return self._written(response, self._writer.unary)
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            return await abort(context, error, "ModelInfer")

    async def _model_stream_infer(self, _: object, context: Context) -> None:
        stream = InferStream(context, self._stream_answer(context))
        self._streams.add(stream)
        try:
            await stream.run()
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            await abort(context, error, STREAM)
        finally:
            self._streams.discard(stream)

    def _stream_answer(self, context: Context) -> Answer:
        """How requests of this stream are answered: errors go in the answer or end the stream."""
        deadline = _deadline(context)
        closing = _CLOSE_ON_ERROR in map(tuple, context.invocation_metadata() or ())
        infer, writer = self._dataplane.infer, self._writer

        async def answer(data: bytes) -> bytes:
            arrived = perf_counter_ns()
            try:
                request, final = self._read(data, arrived, deadline)
                response = await infer(request)
                return self._written(response, writer.final if final else writer.streamed)
            except Exception as error:
                if closing:
                    raise
                code, text = status_of(error, STREAM)
                return streamed_error(identity(data).id, code.name, text)

        return answer

    def _read(
        self, data: bytes, arrived_ns: int, deadline: float | None
    ) -> tuple[InferRequest, bool]:
        try:
            return self._reader.read(data, arrived_ns, deadline)
        except GluonserveError as error:
            spent, message = perf_counter_ns() - arrived_ns, identity(data)
            self._dataplane.refused(message.model_name, message.model_version, error, spent)
            raise

    def _written(self, response: InferResponse, write: Callable[[InferResponse], bytes]) -> bytes:
        start = perf_counter_ns()
        data = write(response)
        self._dataplane.encoded(response, perf_counter_ns() - start)
        return data


def _deadline(context: Context) -> float | None:
    """When the call's own deadline is, on the event loop's clock."""
    left = context.time_remaining()
    return None if left is None else asyncio.get_running_loop().time() + left


def _unary(request_type: type[Ask], answer: Callable[[Ask], Message]) -> Unary:
    """A handler that parses, answers and serialises; for everything but inference."""
    rpc = request_type.DESCRIPTOR.name.removesuffix("Request")

    async def call(data: bytes, context: Context) -> bytes:
        try:
            return answer(parsed(request_type, data)).SerializeToString()
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            return await abort(context, error, rpc)

    return call


def _unimplemented(rpc: str, text: str) -> Unary:
    async def call(_: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{rpc}: {text}")

    return call
