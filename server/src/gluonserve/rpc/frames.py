"""What a front process and the server process say to each other: frames over a socket pair.

A frame is a header and the bytes of a message. What is sent within one round of the event loop
leaves together, and many frames may arrive together: under load the cost of a system call and of
waking the other process is shared by a batch of requests.
"""

from __future__ import annotations

import asyncio
import math
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(IntEnum):
    """What a frame is; from a front first, then from the server."""

    PLAIN = 1
    """A call of ``rpc.service.PLAIN``, ``code`` says which, or a health check."""
    INFER = 2
    """An inference, ``code`` is its ``rpc.service.Mode``."""
    CANCEL = 3
    """Nobody waits for the answer any more."""
    BOUND = 4
    """The front listens."""
    FAILED = 5
    """It cannot listen; the data say why."""

    ANSWER = 10
    """The answer to a call."""
    STATUS = 11
    """A call failed: ``code`` is gRPC's number, the data are the text."""
    LISTEN = 12
    """Begin; the data are ``FrontOptions`` as JSON."""
    REFRESH = 13
    """Readiness of the server or of a model may have changed."""
    STOP = 14
    """Take no more calls, and end when those under way have ended or ``left`` is over."""


class Frame(NamedTuple):
    """One frame as it arrived. ``left`` is in seconds, NaN for no limit."""

    kind: int
    code: int
    ident: int
    left: float
    arrived_ns: int
    data: bytes | bytearray


NO_LIMIT = math.nan
_HEAD = Struct("<IBBQdq")  # bytes of the message, then a frame's fields in their order
_HEAD_BYTES = _HEAD.size
_BUFFER_BYTES = 256 * 1024
_LARGE_BYTES = 64 * 1024


class FrameWire(asyncio.BufferedProtocol):
    """One end of a connection; ``receive`` gets every frame, ``lost`` is told of the end, once.

    Large messages are read where they stay, others from one buffer for all.
    """

    def __init__(self, receive: Callable[[Frame], None], lost: Callable[[], None]) -> None:
        self._receive = receive
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes | bytearray] = []
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0  # of the buffer; or of the large message, while there is one
        self._large: Frame | None = None
        self._large_view = self._view

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        data: bytes | bytearray = b"",
        *,
        code: int = 0,
        left: float = NO_LIMIT,
        arrived_ns: int = 0,
    ) -> None:
        """Send a frame with this round of the event loop; to nobody where the other end is gone."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(_HEAD.pack(len(data), kind, code, ident, left, arrived_ns))
        if data:
            self._out.append(data)

    def close(self) -> None:
        """Send what waits, then end the connection; idempotent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)  # a stream's goes both ways

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the protocol
        """Tell the owner."""
        self._transport = None
        self._lost()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol
        """Where the next bytes go."""
        view = self._view if self._large is None else self._large_view
        return view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on the frames that are whole now."""
        self._filled += nbytes
        large = self._large
        if large is None:
            self._parse()
        elif self._filled == len(large.data):
            self._large, self._large_view, self._filled = None, self._view, 0
            self._receive(large)

    def _parse(self) -> None:
        at, end, buffer = 0, self._filled, self._buffer
        while end - at >= _HEAD_BYTES:
            size, kind, code, ident, left, arrived_ns = _HEAD.unpack_from(buffer, at)
            start = at + _HEAD_BYTES
            if start + size > end:
                if size > _LARGE_BYTES:
                    self._begin_large(Frame(kind, code, ident, left, arrived_ns, bytearray(size)))
                    self._keep(start, end)
                    return
                break
            at = start + size
            self._receive(Frame(kind, code, ident, left, arrived_ns, bytes(self._view[start:at])))
        self._keep(at, end)

    def _begin_large(self, frame: Frame) -> None:
        self._large = frame
        self._large_view = memoryview(frame.data)

    def _keep(self, start: int, end: int) -> None:
        """Put the beginning of what has not arrived whole where it belongs."""
        self._filled = end - start
        self._large_view[: self._filled] = self._view[start:end]

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None:
            self._transport.writelines(out)
