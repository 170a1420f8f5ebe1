"""The service's calls in a process in front: each is a frame to the server process and back."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING

from gluonserve.errors import ServerNotReady
from gluonserve.rpc.frames import NO_LIMIT, Kind
from gluonserve.rpc.service import HEALTH_CHECK, PLAIN, AnswerFuture
from gluonserve.rpc.status import ToldStatus

if TYPE_CHECKING:
    from gluonserve.rpc.frames import Frame, FrameWire
    from gluonserve.rpc.service import Mode

PLAIN_CODES = {rpc: code for code, rpc in enumerate((*PLAIN, HEALTH_CHECK))}


class RemoteCalls:
    """``rpc.service.Calls`` over ``wire``; its owner passes on the answers that arrive."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._replies: dict[int, AnswerFuture] = {}
        self._idents = itertools.count(1)
        self.wire: FrameWire

    def plain(self, rpc: str, data: bytes) -> asyncio.Future[bytes]:
        """Answer any call but inference."""
        return self._ask(Kind.PLAIN, data, PLAIN_CODES[rpc])

    def infer(
        self, data: bytes, arrived_ns: int, deadline: float | None, mode: Mode
    ) -> asyncio.Future[bytes]:
        """Answer a ModelInferRequest."""
        left = NO_LIMIT if deadline is None else deadline - self._loop.time()
        return self._ask(Kind.INFER, data, mode, left, arrived_ns)

    def answered(self, frame: Frame) -> None:
        """Give an answer, or a status, to whom it belongs; who has left is not here any more."""
        reply = self._replies.pop(frame.ident, None)
        if reply is None:
            return
        if frame.kind == Kind.ANSWER:
            reply.set_result(bytes(frame.data))
        else:
            reply.set_exception(ToldStatus.of(frame.code, frame.data.decode()))

    def leave(self, ident: int) -> None:
        """Nobody waits for this answer any more."""
        if self._replies.pop(ident, None) is not None:
            self.wire.send(Kind.CANCEL, ident)

    def lost(self) -> None:
        """The server process is gone: nothing will be answered."""
        replies, self._replies = self._replies, {}
        for reply in replies.values():
            reply.set_exception(ServerNotReady("the server process has ended"))

    def _ask(
        self, kind: Kind, data: bytes, code: int, left: float = NO_LIMIT, arrived_ns: int = 0
    ) -> asyncio.Future[bytes]:
        ident = next(self._idents)
        reply = AnswerFuture(loop=self._loop)
        reply.give_up = partial(self.leave, ident)
        self._replies[ident] = reply
        self.wire.send(kind, ident, data, code=code, left=left, arrived_ns=arrived_ns)
        return reply
