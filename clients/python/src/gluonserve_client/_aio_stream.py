"""The asyncio client's stream."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, TypeAlias

import grpc

from gluonserve_client._arguments import check_batches, names, whole
from gluonserve_client._calls import CLOSED, CUT_OFF, bounded
from gluonserve_client._request import infer_request, outcome
from gluonserve_client.errors import (
    GluonserveError,
    NotConnected,
    RequestCancelled,
    error_of,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Mapping,
    )
    from types import TracebackType

    from google.protobuf.message import Message
    from typing_extensions import Self

    from gluonserve_client._proto import grpc_service_pb2 as pb
    from gluonserve_client._request import Arrays, Inputs, Parameters

    Batches: TypeAlias = Iterable[Inputs] | AsyncIterable[Inputs]
    Stub: TypeAlias = grpc.aio.StreamStreamMultiCallable[Message, pb.ModelStreamInferResponse]
    Running: TypeAlias = grpc.aio.StreamStreamCall[Message, pb.ModelStreamInferResponse]

_LEFT = "the stream was left before its answers came"


class AsyncInferStream:
    """Many requests over one call, several at a time, answers in the order of the requests.

    Leaving the ``async with`` block cancels what is still under way.
    """

    def __init__(
        self,
        stub: Stub,
        prepare: Callable[[str, str | int, Inputs], Awaitable[Arrays]],
        in_flight: int,
        closed: Callable[[], bool],
    ) -> None:
        self._stub, self._prepare = stub, prepare
        self._in_flight = whole("in_flight", in_flight, at_least=1)
        self._client_closed, self._left = closed, False
        self._running: set[Running] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left = True
        for call in tuple(self._running):
            call.cancel()

    async def infer_many(
        self,
        model: str,
        batches: Batches,
        outputs: Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        version: str | int = "",
        priority: int = 0,
        classes: Mapping[str, int] | None = None,
        parameters: Parameters | None = None,
    ) -> AsyncIterator[Arrays]:
        """The outputs for each of ``batches``, which is read as answers make room for more.

        ``timeout`` is for all of them together; without one there is none.

        Raises:
            GluonserveError: the first request that failed, or the call.
        """
        outcomes = self.outcomes(
            model,
            batches,
            outputs,
            timeout=timeout,
            version=version,
            priority=priority,
            classes=classes,
            parameters=parameters,
        )
        async with contextlib.aclosing(outcomes):
            async for one in outcomes:
                if isinstance(one, GluonserveError):
                    raise one
                yield one

    async def outcomes(
        self,
        model: str,
        batches: Batches,
        outputs: Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        version: str | int = "",
        priority: int = 0,
        classes: Mapping[str, int] | None = None,
        parameters: Parameters | None = None,
    ) -> AsyncGenerator[Arrays | GluonserveError, None]:
        """As ``infer_many``, but a failed request yields its error, and the others go on.

        Raises:
            GluonserveError: the call as a whole failed.
        """
        wanted = names("outputs", outputs)
        check_batches(batches)
        window = asyncio.Semaphore(self._in_flight)
        call = self._begun(timeout)

        async def write() -> None:
            try:
                async for inputs in _asynchronous(batches):
                    await window.acquire()
                    request = infer_request(
                        model,
                        await self._prepare(model, version, inputs),
                        wanted,
                        version=version,
                        priority=priority,
                        classes=classes,
                        parameters=parameters,
                    )
                    await call.write(request)
            finally:
                if not call.done():
                    await call.done_writing()

        writer = asyncio.create_task(write())
        try:
            async for answer in call:
                window.release()
                yield outcome(answer)
            await writer
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code(), error.details()) from error
        except asyncio.CancelledError as error:
            if cut_off(closed=self._left or self._client_closed()):
                raise RequestCancelled(_LEFT if self._left else CUT_OFF) from error
            raise
        finally:
            self._running.discard(call)
            call.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def _begun(self, timeout: float | None) -> Running:
        try:
            call = self._stub(timeout=bounded(timeout))
        except grpc.aio.UsageError as error:  # so gRPC says that the channel is closed
            raise NotConnected(CLOSED) from error
        self._running.add(call)
        return call


async def _asynchronous(batches: Batches) -> AsyncIterator[Inputs]:
    if isinstance(batches, AsyncIterable):
        async for inputs in batches:
            yield inputs
    else:
        for inputs in batches:
            yield inputs


def cut_off(*, closed: bool) -> bool:
    """Whether a cancelled call was cut off by closing, and not by who cancels this task.

    Before Python 3.11 a task does not tell whether it is being cancelled: there closing counts.
    """
    task = asyncio.current_task()
    if task is None or sys.version_info < (3, 11):
        return closed
    return closed and not task.cancelling()
