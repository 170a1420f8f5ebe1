"""The gRPC front over a data plane in memory, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

from fakeplane import FakeDataPlane

from gluonserve.rpc.local import LocalCalls
from gluonserve.rpc.server import RpcServer, build_server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fakeplane import FakeModel
    from typing_extensions import Self

T = TypeVar("T")
WAIT_S = 20


class FakeServer:
    """Listens on a free port between ``with`` and its end."""

    def __init__(self, *models: FakeModel) -> None:
        self._models = models
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.plane: FakeDataPlane
        self.rpc: RpcServer
        self.target = ""
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._stopped.set)
        self._thread.join(WAIT_S)

    def run(self, coroutine: Coroutine[None, None, T]) -> T:
        """Await on the server's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    def do(self, action: Callable[[], object]) -> None:
        """Call on the server's event loop."""
        self._loop.call_soon_threadsafe(action)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self.plane = FakeDataPlane(*self._models)
        self.rpc = build_server(LocalCalls(self.plane))
        self.target = f"127.0.0.1:{await self.rpc.start('127.0.0.1', self.port)}"
        self._started.set()
        await self._stopped.wait()
        await self.rpc.stop(0)
