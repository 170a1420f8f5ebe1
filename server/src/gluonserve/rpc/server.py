"""The gRPC server: its services, its port, and the order in which it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from gluonserve.errors import InvalidConfig
from gluonserve.ports import EVERY, address, addresses
from gluonserve.rpc.health import HEALTH, HealthService
from gluonserve.rpc.reflection import reflection_handlers
from gluonserve.rpc.service import SERVICE, InferenceService

if TYPE_CHECKING:
    from gluonserve.rpc.service import Calls

LARGEST_MESSAGE = 2**31 - 1
_LOOKAHEAD_BYTES = 4 * 1024 * 1024
_SECOND_MS = 1000


def build_server(
    calls: Calls, *, max_message_bytes: int = LARGEST_MESSAGE, shares_port: bool = False
) -> RpcServer:
    """A server over ``calls`` that does not listen yet; call it inside the event loop.

    Servers that share their port get its connections in turn.
    """
    server = grpc.aio.server(options=_options(max_message_bytes, shares_port=shares_port))
    inference, health = InferenceService(calls), HealthService(calls)
    handlers = {
        SERVICE.full_name: inference.handlers(),
        HEALTH.full_name: health.handlers(),
        **reflection_handlers(),
    }
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, calls) for name, calls in handlers.items())
    )
    return RpcServer(server, inference, health)


class RpcServer:
    """A gRPC server from ``start`` to ``stop``."""

    def __init__(
        self, server: grpc.aio.Server, inference: InferenceService, health: HealthService
    ) -> None:
        self._server = server
        self._inference = inference
        self._health = health

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound, which with port 0 is any free one.

        Raises:
            InvalidConfig: the address cannot be bound.
        """
        try:
            for one in [host] if host in EVERY else addresses(host):
                port = self._bind(address(one, port))
        except OSError as error:
            raise InvalidConfig(f"gRPC: cannot listen on {host}:{port}: {error}") from error
        await self._server.start()
        return port

    def _bind(self, wanted: str) -> int:
        try:
            bound = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise InvalidConfig(f"gRPC: cannot listen on {wanted}: {error}") from error
        if not bound:
            raise InvalidConfig(f"gRPC: cannot listen on {wanted}")
        return bound

    def refresh_health(self) -> None:
        """Tell health watchers; call it whenever readiness of server or models may have changed."""
        self._health.refresh()

    async def stop(self, grace: float) -> None:
        """Stop listening, finish what was accepted within ``grace`` seconds, cancel the rest.

        The data plane should already drain. Watchers hear the last status and streams answer what
        they have read; otherwise calls that never end by themselves would use up the whole grace.
        """
        self._health.close()
        self._inference.drain()
        await self._server.stop(grace)


def _options(max_message_bytes: int, *, shares_port: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # only on purpose: two servers on one port would share its requests silently
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.max_concurrent_streams", LARGEST_MESSAGE),
        # by default gRPC cancels what comes beyond a thousand at once, unseen; queues here refuse
        ("grpc.server.max_pending_requests", LARGEST_MESSAGE),
        ("grpc.server.max_pending_requests_hard_limit", LARGEST_MESSAGE),
        # by default a picture of 600 KB goes back and forth ten times before it is here
        ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
        ("grpc.keepalive_time_ms", 60 * _SECOND_MS),  # finds dead clients, so that their work stops
        ("grpc.keepalive_timeout_ms", 20 * _SECOND_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5 * _SECOND_MS),
        ("grpc.http2.max_ping_strikes", 0),  # clients with short keepalives are not cut off
    ]
