"""grpc.health.v1: the standard question "do you serve?", once (Check) or for ever (Watch).

The empty service name and the inference service's name mean the server, any other name a model.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2

from gluonserve.errors import ModelNotFound, ServerNotReady
from gluonserve.rpc.codec import parsed
from gluonserve.rpc.service import SERVICE
from gluonserve.rpc.status import abort

if TYPE_CHECKING:
    from gluonserve.dataplane import DataPlane

    Context = grpc.aio.ServicerContext[bytes, bytes]

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
Answer = health_pb2.HealthCheckResponse
SERVING = Answer(status=Answer.SERVING).SerializeToString()
NOT_SERVING = Answer(status=Answer.NOT_SERVING).SerializeToString()
SERVICE_UNKNOWN = Answer(status=Answer.SERVICE_UNKNOWN).SerializeToString()


class HealthService:
    """Answers from the data plane; ``refresh`` makes watchers look again."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane
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
            return self._status(_service(data))
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            return await abort(context, error, "Check")

    async def _watch(self, data: bytes, context: Context) -> None:
        try:
            await self._report(_service(data), context)
        except Exception as error:  # noqa: BLE001 - abort logs what was not foreseen
            await abort(context, error, "Watch")

    async def _report(self, service: str, context: Context) -> None:
        told = None
        while True:
            changed = self._changed
            try:
                status = self._status(service)
            except ModelNotFound:
                status = SERVICE_UNKNOWN
            if status != told:
                await context.write(status)
                told = status
            if self._closed:
                raise ServerNotReady("the server is shutting down")
            await changed.wait()

    def _status(self, service: str) -> bytes:
        if service in ("", SERVICE.full_name):
            serving = self._dataplane.ready()
        else:
            serving = self._dataplane.model_ready(service)
        return SERVING if serving else NOT_SERVING


def _service(data: bytes) -> str:
    return parsed(health_pb2.HealthCheckRequest, data).service
