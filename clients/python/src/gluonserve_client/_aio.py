"""The asyncio client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from gluonserve_client import _answers, _calls
from gluonserve_client._aio_stream import AsyncInferStream, cut_off
from gluonserve_client._arguments import address, seconds, secured, text, version_text
from gluonserve_client._proto import grpc_service_pb2 as pb
from gluonserve_client._request import arrays, infer_request, typed, untyped
from gluonserve_client.errors import NotConnected, RequestCancelled, error_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from gluonserve_client._calls import Answer, Ask, Rpc
    from gluonserve_client._request import Arrays, Inputs, Parameters


class AsyncClient:
    """A connection to one server, for one event loop.

    Every call has a deadline: its own ``timeout`` in seconds, else the client's. A call that could
    not even be sent because nobody listens is tried again a few times within it.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = _calls.TIMEOUT_S,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target, self._timeout = address(target), seconds(timeout)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, _calls.OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, secured(credentials), _calls.OPTIONS)
        self._closed = False
        self._metadata: dict[tuple[str, str], _answers.ModelMetadata] = {}

    def __repr__(self) -> str:
        return f"AsyncClient({self._target!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled. Idempotent."""
        self._closed = True
        await self._channel.close()

    async def infer(
        self,
        model: str,
        inputs: Inputs,
        outputs: Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        version: str | int = "",
        request_id: str = "",
        priority: int = 0,
        classes: Mapping[str, int] | None = None,
        parameters: Parameters | None = None,
    ) -> Arrays:
        """Run ``model`` on ``inputs``; the outputs by name, all of them or those asked for.

        Arrays travel in their own data type, which must be the model's. Lists and numbers get the
        model's, for which its metadata is asked once. ``classes`` names outputs of which only the
        top so many classes are wanted, as ``value:index:label``; where ``outputs`` names none,
        those are the only ones that come.

        Raises:
            GluonserveError: one of its kinds, see ``gluonserve_client.errors``.
        """
        request = infer_request(
            model,
            await self._typed(model, version, inputs),
            outputs,
            version=version,
            request_id=request_id,
            priority=priority,
            classes=classes,
            parameters=parameters,
        )
        return arrays(await self._call(_calls.INFER, request, timeout))

    def stream(self, *, in_flight: int = _calls.IN_FLIGHT) -> AsyncInferStream:
        """A stream for many requests: less work for each than ``infer``, and many at a time."""
        call = self._channel.stream_stream(
            _calls.STREAM_INFER.path,
            _calls.STREAM_INFER.ask.SerializeToString,
            _calls.STREAM_INFER.answer.FromString,
        )
        return AsyncInferStream(call, self._typed, in_flight, lambda: self._closed)

    async def server_live(self, *, timeout: float | None = None) -> bool:
        """Whether the server answers at all."""
        return (await self._call(_calls.SERVER_LIVE, pb.ServerLiveRequest(), timeout)).live

    async def server_ready(self, *, timeout: float | None = None) -> bool:
        """Whether the server takes requests."""
        return (await self._call(_calls.SERVER_READY, pb.ServerReadyRequest(), timeout)).ready

    async def model_ready(
        self, model: str, version: str | int = "", *, timeout: float | None = None
    ) -> bool:
        """Whether the model takes requests.

        Raises:
            ModelNotFound: the server knows none of this name or version.
        """
        ask = pb.ModelReadyRequest(name=text("model", model), version=version_text(version))
        return (await self._call(_calls.MODEL_READY, ask, timeout)).ready

    async def server_metadata(self, *, timeout: float | None = None) -> _answers.ServerMetadata:
        """Name, version and extensions of the server."""
        ask = pb.ServerMetadataRequest()
        return _answers.server_metadata(await self._call(_calls.SERVER_METADATA, ask, timeout))

    async def model_metadata(
        self, model: str, version: str | int = "", *, timeout: float | None = None
    ) -> _answers.ModelMetadata:
        """Inputs and outputs of a model."""
        ask = pb.ModelMetadataRequest(name=text("model", model), version=version_text(version))
        return _answers.model_metadata(await self._call(_calls.MODEL_METADATA, ask, timeout))

    async def model_config(
        self, model: str, version: str | int = "", *, timeout: float | None = None
    ) -> _answers.ModelConfig:
        """How a model is served."""
        ask = pb.ModelConfigRequest(name=text("model", model), version=version_text(version))
        return _answers.model_config(await self._call(_calls.MODEL_CONFIG, ask, timeout))

    async def statistics(
        self, model: str = "", version: str | int = "", *, timeout: float | None = None
    ) -> tuple[_answers.ModelStatistics, ...]:
        """What versions did since they were loaded; of every model where none is named."""
        ask = pb.ModelStatisticsRequest(name=text("model", model), version=version_text(version))
        return _answers.statistics(await self._call(_calls.STATISTICS, ask, timeout))

    async def index(
        self, *, ready: bool = False, timeout: float | None = None
    ) -> tuple[_answers.IndexEntry, ...]:
        """Every model and version of the repository, or only those that serve."""
        ask = pb.RepositoryIndexRequest(ready=bool(ready))
        return _answers.repository_index(await self._call(_calls.INDEX, ask, timeout))

    async def _call(self, rpc: Rpc[Ask, Answer], message: Ask, timeout: float | None) -> Answer:
        call = self._channel.unary_unary(rpc.path, rpc.ask.SerializeToString, rpc.answer.FromString)
        attempts = _calls.Attempts(self._timeout if timeout is None else timeout)
        while True:
            try:
                return await call(message, timeout=attempts.left_s())
            except grpc.aio.AioRpcError as error:
                failure = error_of(error.code(), error.details())
            except grpc.aio.UsageError as error:  # so gRPC says that the channel is closed
                raise NotConnected(_calls.CLOSED) from error
            except asyncio.CancelledError as error:
                if cut_off(closed=self._closed):
                    raise RequestCancelled(_calls.CUT_OFF) from error
                raise
            await asyncio.sleep(attempts.pause_s(failure))

    async def _typed(self, model: str, version: str | int, inputs: Inputs) -> Arrays:
        if not untyped(inputs):
            return typed(inputs, None)
        key = (text("model", model), version_text(version))
        if key not in self._metadata:
            self._metadata[key] = await self.model_metadata(model, version)
        return typed(inputs, self._metadata[key])
