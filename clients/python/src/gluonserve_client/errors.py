"""What a call can come back with instead of an answer.

GluonserveError
├── InvalidRequest      arguments cannot be sent, or do not fit the model  INVALID_ARGUMENT
├── ModelNotFound       no such model or version                           NOT_FOUND
├── NotReady            it is loading, failed to load, or the server stops UNAVAILABLE
│   └── NotConnected    nobody answers there, or the client is closed      UNAVAILABLE
├── Overloaded          the queue is full; later, not at once, try again   RESOURCE_EXHAUSTED
├── DeadlineExceeded    the answer did not come in time                    DEADLINE_EXCEEDED
├── RequestCancelled    the call was cancelled                             CANCELLED
├── Unsupported         the server has not what the request asks for       UNIMPLEMENTED
└── ExecutionFailed     the server failed; its log says why                everything else
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Mapping


class GluonserveError(Exception):
    """The root of every error that a call raises; its text is the server's."""


class InvalidRequest(GluonserveError):
    """An argument cannot be sent, or does not fit the model; the text says which."""


class ModelNotFound(GluonserveError):
    """No model of this name, or not in this version."""


class NotReady(GluonserveError):
    """The model or the server does not take requests now; nothing was executed."""


class NotConnected(NotReady):
    """Nobody answers at the address, or the client is closed; nothing was sent."""


class Overloaded(GluonserveError):
    """The queue is full. Trying again at once makes it worse."""


class DeadlineExceeded(GluonserveError):
    """The answer did not come within the timeout."""


class RequestCancelled(GluonserveError):
    """The call was cancelled, for one by closing the client while it waited."""


class Unsupported(GluonserveError):
    """The server has not what the request asks for."""


class ExecutionFailed(GluonserveError):
    """The server failed on the request; its log says why."""


ERRORS: Mapping[grpc.StatusCode, type[GluonserveError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: RequestCancelled,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}
# What gRPC says when a call never left this process. Were it worded otherwise one day, such calls
# would be plain NotReady and not be tried again.
_NEVER_SENT = ("failed to connect to all addresses", "errors resolving ", "DNS resolution failed")

# What gRPC says, with the same status as a full queue, of what no later try will change.
_TOO_LARGE = "message larger than max"


def error_of(code: grpc.StatusCode, details: str | None) -> GluonserveError:
    """The exception for a call's status."""
    text = details or code.name
    if code is grpc.StatusCode.UNAVAILABLE and text.startswith(_NEVER_SENT):
        return NotConnected(text)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in text:
        return InvalidRequest(text)
    return ERRORS.get(code, ExecutionFailed)(text)


def error_named(status: str, text: str) -> GluonserveError:
    """The exception for one request of a stream, whose status travels by name."""
    codes = {code.name: code for code in ERRORS}
    return error_of(codes[status], text) if status in codes else ExecutionFailed(text)
