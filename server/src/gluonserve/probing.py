"""Whether the server of this machine's settings is ready: over gRPC, else over HTTP."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig, ServerNotReady
from gluonserve.ports import EVERY, address

if TYPE_CHECKING:
    from gluonserve.config import ServerSettings

READY_PATH = "/v2/health/ready"


def ready(settings: ServerSettings, *, timeout_s: float) -> str:
    """Where the server answered that it is ready.

    Raises:
        InvalidConfig: the settings name no port that could be asked.
        ServerNotReady: it is not, or nobody answers.
    """
    host = "127.0.0.1" if settings.host in EVERY else settings.host
    if isinstance(settings.grpc_port, int) and settings.grpc_port:
        return ready_over_grpc(address(host, settings.grpc_port), timeout_s=timeout_s)
    if isinstance(settings.http_port, int) and settings.http_port:
        return _ready_over_http(host, settings.http_port, timeout_s)
    raise InvalidConfig(
        "neither the gRPC nor the HTTP port is a fixed number; say --address HOST:PORT"
    )


def ready_over_grpc(address: str, *, model: str = "", timeout_s: float = 3.0) -> str:
    """``address``, where the server (or one model on it) says that it serves.

    Raises:
        ServerNotReady: it does not, or nobody answers.
    """
    from gluonserve.rpc.probe import ask_health  # noqa: PLC0415 - HTTP alone needs no gRPC

    status = ask_health(address, service=model, timeout_s=timeout_s)
    if status != "SERVING":
        raise ServerNotReady(f"{address}: {model + ' is ' if model else ''}{status}")
    return address


def _ready_over_http(host: str, port: int, timeout_s: float) -> str:
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", READY_PATH)
        answer = connection.getresponse()
        if answer.status != 200:
            raise ServerNotReady(f"{host}:{port}: {answer.status} {answer.reason}")
    except (OSError, HTTPException) as error:
        raise ServerNotReady(f"{host}:{port}: {error}") from error
    finally:
        connection.close()
    return f"{host}:{port}"
