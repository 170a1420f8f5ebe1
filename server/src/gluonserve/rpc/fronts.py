"""gRPC in processes in front of this one, which keeps the data plane: they share one port.

A front that dies is started again; the calls that it held are taken out of the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from structlog import get_logger

from gluonserve.errors import GluonserveError, InvalidConfig, ServerNotReady
from gluonserve.ports import bound
from gluonserve.rpc.frames import FrameWire, Kind
from gluonserve.rpc.local import LocalCalls
from gluonserve.rpc.options import FrontOptions
from gluonserve.rpc.remote import PLAIN_CODES
from gluonserve.rpc.service import STREAM, Mode
from gluonserve.rpc.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gluonserve.dataplane import DataPlane
    from gluonserve.rpc.frames import Frame
    from gluonserve.rpc.local import Running

__all__ = ["CAN_SHARE_PORTS", "FrontOptions", "Fronts"]

log = get_logger(__name__)

CAN_SHARE_PORTS = hasattr(socket, "SO_REUSEPORT")

_SOCKET_BYTES = 4 * 1024 * 1024  # the system may allow less
_START_S = 60.0
# without the working directory, which `-m` would import from before anything else
_FRONT = (
    "import sys; sys.path[:1] == [''] and sys.path.pop(0); "
    "from gluonserve.rpc.front import main; main(int(sys.argv[1]))"
)
_LATE_S = 2.0  # how long after its time a stopping front may take to end
_PAUSE_S = 1.0  # between the end of a front and the next try
_PLAIN = {code: rpc for rpc, code in PLAIN_CODES.items()}
_MODES = {mode.value: mode for mode in Mode}


class Fronts:
    """So many front processes from ``start`` to ``stop``; made inside the event loop."""

    def __init__(self, dataplane: DataPlane, options: FrontOptions, count: int) -> None:
        self._calls = LocalCalls(dataplane)
        self._options = options
        self._count = count
        self._fronts: set[_Front] = set()
        self._replacing: set[asyncio.Task[None]] = set()
        self._held: list[socket.socket] = []
        self._stopping = False

    async def start(self, host: str, port: int) -> int:
        """Hold the port and start the fronts on it; the port, which with 0 is any free one.

        Raises:
            InvalidConfig: the address cannot be bound.
        """
        try:
            self._held = bound(host, port, shared=True)
        except OSError as error:
            raise InvalidConfig(f"gRPC: cannot listen on {host}:{port}: {error}") from error
        ours: int = self._held[0].getsockname()[1]
        self._options = replace(self._options, host=host, port=ours)
        try:
            await asyncio.gather(*(self._launch() for _ in range(self._count)))
        except BaseException:
            await self.stop(0)
            raise
        return ours

    def refresh_health(self) -> None:
        """Tell health watchers; call it whenever readiness of server or models may have changed."""
        for front in self._fronts:
            front.wire.send(Kind.REFRESH)

    async def stop(self, grace: float) -> None:
        """Finish the calls that were accepted within ``grace`` seconds, cancel the rest.

        The data plane should already drain. May be called again, with less time.
        """
        self._stopping = True
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        await asyncio.gather(*(front.stop(grace) for front in self._fronts))
        for held in self._held:
            held.close()

    async def _launch(self) -> None:
        front = _Front(self._calls, self._ended)
        self._fronts.add(front)
        try:
            await front.start(self._options)
        except BaseException:
            self._fronts.discard(front)
            raise

    def _ended(self, front: _Front) -> None:
        self._fronts.discard(front)
        if front.listens and not self._stopping:
            log.error("front process ended, starting another", pid=front.pid)
            task = asyncio.create_task(self._replace(front))
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _replace(self, front: _Front) -> None:
        await front.reap()
        while not await self._relaunched():  # noqa: ASYNC110 - what is waited for is the machine
            await asyncio.sleep(_PAUSE_S)

    async def _relaunched(self) -> bool:
        try:
            await self._launch()
        except (GluonserveError, OSError) as error:
            log.error("front process cannot be started", reason=str(error))  # noqa: TRY400 - told in one line
            return False
        return True


class _Front:
    """One front process, and the calls that came through it."""

    def __init__(self, calls: LocalCalls, ended: Callable[[_Front], None]) -> None:
        self._calls = calls
        self._tell = ended
        self._loop = asyncio.get_running_loop()
        self.running: dict[int, _Reply] = {}
        self._bound: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._process: asyncio.subprocess.Process | None = None
        self.wire = FrameWire(self._received, self._lost)

    @property
    def listens(self) -> bool:
        """Whether it has come so far."""
        return self._bound.done() and self._bound.exception() is None

    @property
    def pid(self) -> int:
        """The process, 0 before there is one."""
        return self._process.pid if self._process else 0

    async def start(self, options: FrontOptions) -> None:
        """Start the process; it listens when this returns.

        Raises:
            InvalidConfig: it cannot listen.
            ServerNotReady: it ended, or took too long.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):  # a large message should not wait for the reader many times
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        with theirs:
            command = [sys.executable, "-c", _FRONT, str(theirs.fileno())]
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)
            )
        await self._loop.create_unix_connection(lambda: self.wire, sock=ours)
        self.wire.send(Kind.LISTEN, data=options.encode())
        try:
            await asyncio.wait_for(asyncio.shield(self._bound), _START_S)
        except asyncio.TimeoutError:
            raise ServerNotReady(f"a front process did not start in {_START_S:g} s") from None
        finally:
            if not self.listens:
                await self.reap()

    async def stop(self, grace: float) -> None:
        """Let it end within ``grace`` seconds and a little, else end it."""
        self.wire.send(Kind.STOP, left=grace)
        await asyncio.wait({self._ended}, timeout=grace + _LATE_S)
        await self.reap()

    async def reap(self) -> None:
        """Make sure that the process is gone."""
        self.wire.close()
        process = self._process
        if process is None:
            return
        if not self._ended.done():
            _kill(process)
        try:
            await asyncio.wait_for(process.wait(), _LATE_S)
        except asyncio.TimeoutError:
            _kill(process)
            await process.wait()

    def _lost(self) -> None:
        for reply in list(self.running.values()):
            reply.leave()
        if not self._bound.done():
            self._bound.set_exception(ServerNotReady("a front process ended before it listened"))
            self._bound.exception()  # perhaps nobody waits for it any more
        self._ended.set_result(None)
        self._tell(self)

    def _received(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == Kind.INFER:
            self._infer(frame)
        elif kind == Kind.CANCEL:
            reply = self.running.get(frame.ident)
            if reply is not None:
                reply.leave()
        elif kind == Kind.PLAIN:
            self._answer(frame)
        elif kind == Kind.BOUND:
            self._bound.set_result(None)
        elif kind == Kind.FAILED:
            self._bound.set_exception(InvalidConfig(frame.data.decode()))

    def _infer(self, frame: Frame) -> None:
        _, mode, ident, left, arrived_ns, data = frame
        deadline = None if math.isnan(left) else self._loop.time() + left
        called = _MODES[mode]
        reply = self.running[ident] = _Reply(self, ident, called)
        reply.inference = self._calls.begin(data, arrived_ns, deadline, called, reply)

    def _answer(self, frame: Frame) -> None:
        rpc = _PLAIN[frame.code]
        try:
            data = self._calls.answer(rpc, frame.data)
        except Exception as error:  # noqa: BLE001 - status_of logs what was not foreseen
            self.failed(frame.ident, error, rpc)
        else:
            self.wire.send(Kind.ANSWER, frame.ident, data)

    def failed(self, ident: int, error: BaseException, rpc: str) -> None:
        """Tell the front what went wrong with a call."""
        cause = error if isinstance(error, Exception) else ServerNotReady(str(error))
        code, text = status_of(cause, rpc)
        self.wire.send(Kind.STATUS, ident, text.encode(errors="replace"), code=code.value[0])


class _Reply:
    """Where the answer to one inference goes: a frame to the front that asked.

    No future and no task: they would be a tenth of what a small request costs.
    """

    __slots__ = ("_front", "_ident", "_mode", "inference")

    inference: Running

    def __init__(self, front: _Front, ident: int, mode: Mode) -> None:
        self._front, self._ident, self._mode = front, ident, mode

    def done(self) -> bool:
        """Whether it is answered, or nobody waits any more."""
        return self._ident not in self._front.running

    def leave(self) -> None:
        """Nobody waits any more."""
        del self._front.running[self._ident]
        self.inference.cancel()

    def set_result(self, data: bytes, /) -> None:
        """The answer."""
        del self._front.running[self._ident]
        self._front.wire.send(Kind.ANSWER, self._ident, data)

    def set_exception(self, error: BaseException, /) -> None:
        """What went wrong."""
        del self._front.running[self._ident]
        rpc = "ModelInfer" if self._mode == Mode.UNARY else STREAM
        self._front.failed(self._ident, error, rpc)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
