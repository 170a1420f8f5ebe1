"""The inference service: what gRPC hands over, as calls on bytes, and what comes of them.

It knows neither messages nor models, so that it runs in a process in front of them as well.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

import grpc

from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc.status import abort
from gluonserve.rpc.stream import InferStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gluonserve.rpc.stream import Answer

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Handler = grpc.RpcMethodHandler[bytes, bytes]
    Unary = Callable[[bytes, Context], Awaitable[bytes]]

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
STREAM = "ModelStreamInfer"
HEALTH_CHECK = "Check"
PLAIN = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
)
"""The calls of the service that a message answers, but for inference."""
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


class Mode(IntEnum):
    """How an inference is called, and so how its mistakes are told."""

    UNARY = 1
    """As ModelInfer: a status."""
    STREAM = 2
    """As one of ModelStreamInfer: in the answer."""
    STREAM_CLOSING = 3
    """As one of a stream that ends with its first mistake: a status."""


class Calls(Protocol):
    """What answers: the data plane here (``LocalCalls``) or in another process (``RemoteCalls``).

    Messages are serialised. Mistakes are raised, for ``status_of``. Deadlines are on the event
    loop's clock, ``arrived_ns`` on ``perf_counter_ns``. Who is cancelled leaves the queue at once.
    """

    def plain(self, rpc: str, data: bytes) -> Awaitable[bytes]:
        """The answer to one of ``PLAIN``, or to a health check."""
        ...

    def infer(
        self, data: bytes, arrived_ns: int, deadline: float | None, mode: Mode
    ) -> asyncio.Future[bytes]:
        """The answer to a ModelInferRequest, as the message that ``mode`` wants."""
        ...


class AnswerFuture(asyncio.Future[bytes]):
    """What a call comes to; who cancels it also calls ``give_up``."""

    give_up: Callable[[], object]

    def cancel(self, msg: object | None = None) -> bool:
        """Nobody waits any more."""
        if not super().cancel(msg):
            return False
        self.give_up()
        return True


class InferenceService:
    """``inference.GRPCInferenceService``; handlers take and give serialised messages."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._clock = asyncio.get_running_loop().time
        self._streams: set[InferStream] = set()

    def handlers(self) -> dict[str, Handler]:
        """The handler of every method of the service, by its name."""
        calls: dict[str, Unary] = {rpc: self._plain(rpc) for rpc in PLAIN}
        calls |= {rpc: _unimplemented(rpc, text) for rpc, text in UNIMPLEMENTED.items()}
        calls["ModelInfer"] = self._model_infer
        handlers: dict[str, Handler] = {
            rpc: grpc.unary_unary_rpc_method_handler(call) for rpc, call in calls.items()
        }
        handlers[STREAM] = grpc.stream_stream_rpc_method_handler(self._model_stream_infer)
        return handlers

    def drain(self) -> None:
        """Let streams answer what they have read, and then end."""
        for stream in self._streams:
            stream.drain()

    def _plain(self, rpc: str) -> Unary:
        async def call(data: bytes, context: Context) -> bytes:
            try:
                return await self._calls.plain(rpc, data)
            except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
                return await abort(context, error, rpc)

        return call

    async def _model_infer(self, data: bytes, context: Context) -> bytes:
        try:
            deadline = self._deadline(context)
            return await self._calls.infer(data, perf_counter_ns(), deadline, Mode.UNARY)
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
        deadline = self._deadline(context)
        closing = _CLOSE_ON_ERROR in map(tuple, context.invocation_metadata() or ())
        mode = Mode.STREAM_CLOSING if closing else Mode.STREAM
        infer = self._calls.infer
        return lambda data: infer(data, perf_counter_ns(), deadline, mode)

    def _deadline(self, context: Context) -> float | None:
        """When the call's own deadline is, on the event loop's clock."""
        left = context.time_remaining()
        return None if left is None else self._clock() + left


def _unimplemented(rpc: str, text: str) -> Unary:
    async def call(_: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{rpc}: {text}")

    return call
