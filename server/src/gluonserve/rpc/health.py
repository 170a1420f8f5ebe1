"""grpc.health.v1: the standard question "do you serve?", once (Check) or for ever (Watch).

The empty service name and the inference service's name mean the server, any other name a model.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2

from gluonserve.errors import ModelNotFound, ServerNotReady
from gluonserve.rpc.service import HEALTH_CHECK
from gluonserve.rpc.status import STATUS, ToldStatus, abort

if TYPE_CHECKING:
    from gluonserve.rpc.service import Calls

    Context = grpc.aio.ServicerContext[bytes, bytes]

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
).SerializeToString()


class HealthService:
    """Answers as the data plane says; ``refresh`` makes watchers look again."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._changed = asyncio.Event()
        self._closed = False

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """The handlers of both methods."""
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }

    def refresh(self) -> None:
        """Tell watchers whose answer has changed; called by whoever changes readiness."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """Tell watchers the last status, then end their calls."""
        self._closed = True
        self.refresh()

    async def _check(self, data: bytes, context: Context) -> bytes:
        try:
            return await self._calls.plain(HEALTH_CHECK, data)
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            return await abort(context, error, "Check")

    async def _watch(self, data: bytes, context: Context) -> None:
        try:
            await self._report(data, context)
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            await abort(context, error, "Watch")

    async def _report(self, data: bytes, context: Context) -> None:
        told = None
        while True:
            changed, closed = self._changed, self._closed
            status = await self._status(data)
            if status != told:
                await context.write(status)
                told = status
            if closed:
                raise ServerNotReady("the server is shutting down")
            await changed.wait()

    async def _status(self, data: bytes) -> bytes:
        """What a watcher is told; a model that nobody knows may come to be."""
        try:
            return await self._calls.plain(HEALTH_CHECK, data)
        except ModelNotFound:
            return SERVICE_UNKNOWN
        except ToldStatus as told:
            if told.code is not STATUS[ModelNotFound.kind]:
                raise
            return SERVICE_UNKNOWN
