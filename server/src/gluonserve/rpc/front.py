"""A process in front: takes gRPC calls, hands them to the server process, gives the answers.

`python -m gluonserve.rpc.front FD`, where FD is its end of a socket pair; ``rpc.fronts`` starts it.
It knows no model and does no arithmetic: gRPC's own work, which is most of a small request's cost,
no longer shares an interpreter with the batcher.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from typing import TYPE_CHECKING

from structlog import get_logger

from gluonserve import logs
from gluonserve.errors import InvalidConfig
from gluonserve.loops import new_event_loop
from gluonserve.rpc.frames import FrameWire, Kind
from gluonserve.rpc.options import FrontOptions
from gluonserve.rpc.remote import RemoteCalls
from gluonserve.rpc.server import build_server

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gluonserve.rpc.frames import Frame
    from gluonserve.rpc.server import RpcServer

log = get_logger(__name__)


class Front:
    """One front from the frame that tells it to listen to its end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls = RemoteCalls()
        self._wire = self._calls.wire = FrameWire(self._received, self._lost)
        self._rpc: RpcServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def run(self, link: socket.socket) -> None:
        """Serve until the server process says stop, or has ended."""
        await self._loop.create_unix_connection(lambda: self._wire, sock=link)
        await self._ended.wait()
        self._wire.close()

    def _received(self, frame: Frame) -> None:
        if frame.kind in (Kind.ANSWER, Kind.STATUS):
            self._calls.answered(frame)
        elif frame.kind == Kind.REFRESH:
            if self._rpc is not None:
                self._rpc.refresh_health()
        elif frame.kind == Kind.STOP:
            self._start(self._stop(frame.left))
        elif frame.kind == Kind.LISTEN:
            self._start(self._listen(FrontOptions.parse(frame.data)))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """End the process if a part of it has failed: the server process starts another."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("front process failed", exc_info=error)
            self._ended.set()

    async def _listen(self, options: FrontOptions) -> None:
        logs.configure(options.log_level, options.log_format)
        rpc = build_server(
            self._calls, max_message_bytes=options.max_message_bytes, shares_port=True
        )
        try:
            await rpc.start(options.host, options.port)
        except InvalidConfig as error:
            self._wire.send(Kind.FAILED, data=str(error).encode())
            return
        self._rpc = rpc
        gc.freeze()
        self._wire.send(Kind.BOUND)

    async def _stop(self, grace: float) -> None:
        if self._rpc is not None:
            await self._rpc.stop(grace)
        self._ended.set()

    def _lost(self) -> None:
        self._calls.lost()
        self._start(self._stop(0))


def main(descriptor: int) -> None:
    """Serve on this end of a socket pair. Signals are the server process's: it says when to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    async def run() -> None:
        await Front().run(socket.socket(fileno=descriptor))

    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
