"""Which gRPC status tells which error, and the one place where errors become statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import grpc
import structlog

from gluonserve.errors import ErrorKind, GluonserveError

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS: Mapping[ErrorKind, grpc.StatusCode] = {
    ErrorKind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorKind.NOT_READY: grpc.StatusCode.UNAVAILABLE,
    ErrorKind.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.TIMED_OUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorKind.CANCELLED: grpc.StatusCode.CANCELLED,
    ErrorKind.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorKind.FAILED: grpc.StatusCode.INTERNAL,
}

_BY_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_LONGEST = 4096  # bytes as sent: peers refuse a longer header at random from 8 KiB, always from 16

log = structlog.get_logger(__name__)


class ToldStatus(Exception):
    """How another process of this server ended a call."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)

    @classmethod
    def of(cls, number: int, text: str) -> ToldStatus:
        """The status of this number."""
        return cls(_BY_NUMBER[number], text)


def status_of(error: Exception, rpc: str) -> tuple[grpc.StatusCode, str]:
    """The status and text a client sees.

    What was not foreseen is logged here, with its trace, and leaves as two words: its text may tell
    more about the server than a client should know.
    """
    if isinstance(error, ToldStatus):
        return error.code, error.text
    if isinstance(error, GluonserveError):
        return STATUS[error.kind], str(error)
    log.error("rpc failed", rpc=rpc, exc_info=error)
    return grpc.StatusCode.INTERNAL, "internal error"


async def abort(
    context: grpc.aio.ServicerContext[bytes, bytes], error: Exception, rpc: str
) -> NoReturn:
    """End a call with the status of ``error``.

    An error of gRPC's own says that nobody takes an answer any more; gRPC is left to tell that.
    """
    if isinstance(error, grpc.aio.InternalError):
        raise error
    code, text = status_of(error, rpc)
    await context.abort(code, shortened(text))


def shortened(text: str) -> str:
    """As much of ``text`` as a header can hold, however long the names that it repeats.

    A status whose text is longer does not arrive: the caller is told of its size instead.
    """
    data = text.encode(errors="replace")
    if len(data) <= _LONGEST // 3:  # every byte may take three: %C3
        return text
    room = _LONGEST
    for end, byte in enumerate(data):
        room -= 1 if 0x20 <= byte < 0x7F and byte != ord("%") else 3
        if room < 0:
            return data[:end].decode(errors="ignore") + "..."
    return text
