"""The service's calls over a data plane in this process: serialised messages in and out."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

from grpc_health.v1 import health_pb2

from gluonserve.errors import GluonserveError, UnsupportedFeature
from gluonserve.rpc import describe
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc.codec import AnswerWriter, RequestReader, identity, parsed, streamed_error
from gluonserve.rpc.service import HEALTH_CHECK, SERVICE, STREAM, AnswerFuture, Mode
from gluonserve.rpc.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from gluonserve.dataplane import DataPlane
    from gluonserve.inference import InferRequest, InferResponse
    from gluonserve.rpc.codec import Ask

    Plain = Callable[[bytes | bytearray], bytes]
    Write = Callable[[InferResponse], bytes]

_Health = health_pb2.HealthCheckResponse


class LocalCalls:
    """``rpc.service.Calls`` over a data plane; on the event loop's thread.

    What cannot be parsed gets the right status, and answers of the hot path are never a message
    object.
    """

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(self._loop.time)
        self._writer = AnswerWriter()
        self._plain = self._plain_calls(dataplane)

    def _plain_calls(self, plane: DataPlane) -> Mapping[str, Plain]:
        return {
            "ServerLive": _plain(
                pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse(live=plane.live())
            ),
            "ServerReady": _plain(
                pb.ServerReadyRequest, lambda _: pb.ServerReadyResponse(ready=plane.ready())
            ),
            "ModelReady": _plain(
                pb.ModelReadyRequest,
                lambda ask: pb.ModelReadyResponse(ready=plane.model_ready(ask.name, ask.version)),
            ),
            "ServerMetadata": _plain(
                pb.ServerMetadataRequest,
                lambda _: describe.server_metadata(plane.server_metadata()),
            ),
            "ModelMetadata": _plain(
                pb.ModelMetadataRequest,
                lambda ask: describe.model_metadata(plane.model_metadata(ask.name, ask.version)),
            ),
            "ModelConfig": _plain(
                pb.ModelConfigRequest,
                lambda ask: describe.model_config(plane.model_config(ask.name, ask.version)),
            ),
            "ModelStatistics": _plain(
                pb.ModelStatisticsRequest,
                lambda ask: describe.statistics(plane.statistics(ask.name, ask.version)),
            ),
            "RepositoryIndex": _plain(pb.RepositoryIndexRequest, self._repository_index),
            HEALTH_CHECK: _plain(health_pb2.HealthCheckRequest, self._health),
        }

    async def plain(self, rpc: str, data: bytes) -> bytes:
        """Answer any call but inference."""
        return self.answer(rpc, data)

    def answer(self, rpc: str, data: bytes | bytearray) -> bytes:
        """The same, at once."""
        return self._plain[rpc](data)

    def infer(
        self, data: bytes, arrived_ns: int, deadline: float | None, mode: Mode
    ) -> asyncio.Future[bytes]:
        """Answer a ModelInferRequest."""
        reply = AnswerFuture(loop=self._loop)
        reply.give_up = self.begin(data, arrived_ns, deadline, mode, reply).cancel
        return reply

    def begin(
        self,
        data: bytes | bytearray,
        arrived_ns: int,
        deadline: float | None,
        mode: Mode,
        reply: Reply,
    ) -> Running:
        """Begin to answer a ModelInferRequest; ``reply`` gets the answer, perhaps at once.

        Raises nothing: mistakes go to the reply too.
        """
        call = _Call(self, data, mode, reply)
        try:
            request, final = self._read(data, arrived_ns, deadline)
            writer = self._writer
            if mode == Mode.UNARY:
                call.write = writer.unary
            else:
                call.write = writer.final if final else writer.streamed
            return self._dataplane.begin(request, call)
        except Exception as error:  # noqa: BLE001 - status_of logs what was not foreseen
            call.set_exception(error)
            return _NOTHING

    def written(self, response: InferResponse, write: Write) -> bytes:
        """The answer's bytes, and how long they took counted."""
        start = perf_counter_ns()
        data = write(response)
        self._dataplane.encoded(response, perf_counter_ns() - start)
        return data

    def _repository_index(self, ask: pb.RepositoryIndexRequest) -> Message:
        if ask.repository_name:
            raise UnsupportedFeature(
                f"repository_name {ask.repository_name!r}: there is one repository, without a name"
            )
        return describe.repository_index(self._dataplane.index(ready=ask.ready))

    def _health(self, ask: health_pb2.HealthCheckRequest) -> Message:
        if ask.service in ("", SERVICE.full_name):
            serving = self._dataplane.ready()
        else:
            serving = self._dataplane.model_ready(ask.service)
        return _Health(status=_Health.SERVING if serving else _Health.NOT_SERVING)

    def _read(
        self, data: bytes | bytearray, arrived_ns: int, deadline: float | None
    ) -> tuple[InferRequest, bool]:
        began_ns = perf_counter_ns()
        try:
            request, final = self._reader.read(data, began_ns, deadline)
        except GluonserveError as error:
            spent, message = perf_counter_ns() - arrived_ns, identity(data)
            self._dataplane.refused(message.model_name, message.model_version, error, spent)
            raise
        request.arrived_ns = arrived_ns  # which may be long before, in a front process
        return request, final


class Reply(Protocol):
    """Whom the bytes of an answer go to; a future is one."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, data: bytes, /) -> None:
        """The answer."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """What went wrong, for ``status_of``."""
        ...


class Running(Protocol):
    """What is under way."""

    def cancel(self) -> object:
        """Nobody waits any more; nothing if it has ended."""
        ...


class _Nothing:
    def cancel(self) -> None:
        """There is nothing to give up."""


_NOTHING = _Nothing()


class _Call:
    """The data plane's caller: turns what comes of a request into bytes for a reply."""

    __slots__ = ("_calls", "_data", "_mode", "_reply", "write")

    write: Write

    def __init__(
        self, calls: LocalCalls, data: bytes | bytearray, mode: Mode, reply: Reply
    ) -> None:
        self._calls, self._data, self._mode, self._reply = calls, data, mode, reply

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._reply.done()

    def set_result(self, response: InferResponse, /) -> None:
        """Encode the answer."""
        try:
            data = self._calls.written(response, self.write)
        except Exception as error:  # noqa: BLE001 - others of the batch must not hear of it
            self.set_exception(error)
        else:
            self._reply.set_result(data)

    def set_exception(self, error: BaseException, /) -> None:
        """Tell the mistake: as a status, or in a stream's answer."""
        if self._mode == Mode.STREAM and isinstance(error, Exception):
            code, text = status_of(error, STREAM)
            self._reply.set_result(streamed_error(identity(self._data).id, code.name, text))
        else:
            self._reply.set_exception(error)


def _plain(request_type: type[Ask], answer: Callable[[Ask], Message]) -> Plain:
    """Parse, answer and serialise; for everything but inference."""
    return lambda data: answer(parsed(request_type, data)).SerializeToString()
