"""Asks a running server whether it serves, as health checks of containers do."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2

from gluonserve.errors import ServerNotReady

CHECK = "/grpc.health.v1.Health/Check"


def ask_health(address: str, *, service: str = "", timeout_s: float = 3.0) -> str:
    """The serving status (SERVING, NOT_SERVING, ...) of a server or, by ``service``, of a model.

    Raises:
        ServerNotReady: nobody answers there, or the server knows no such model.
    """
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError as error:
            raise ServerNotReady(f"{address}: {error.code().name}: {error.details()}") from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
