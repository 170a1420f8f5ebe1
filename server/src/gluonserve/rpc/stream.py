"""ModelStreamInfer: many requests over one call, worked on together, answered in their order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gluonserve.errors import ServerNotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import grpc

    Answer = Callable[[bytes], Coroutine[None, None, bytes]]

IN_FLIGHT = 256
"""Requests of one stream that may be unanswered before no more are read from it."""


class InferStream:
    """One stream: a reader starts requests, ``run`` writes their answers in the same order.

    When the window is full the reader stops reading, so that flow control reaches the client.
    ``answer`` makes a serialised response of a serialised request; what it raises ends the stream.
    """

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes], answer: Answer) -> None:
        self._context = context
        self._answer = answer
        self._window = asyncio.Semaphore(IN_FLIGHT)
        self._answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        self._started: set[asyncio.Task[bytes]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._draining = False

    async def run(self) -> None:
        """Serve until the client has no more requests and every one is answered.

        Raises:
            ServerNotReady: ``drain`` ended it; what was read before is answered.
        """
        reader = self._reader = asyncio.create_task(self._read())
        try:
            while (task := await self._answers.get()) is not None:
                await self._context.write(await task)
                self._window.release()
            if not self._draining:
                await reader  # has ended; raises what it met
        finally:
            await self._stop(reader)
        if self._draining:
            raise ServerNotReady("the server is shutting down")

    def drain(self) -> None:
        """Read no more requests; answer those that were read, then end the call."""
        self._draining = True
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        try:
            while True:
                await self._window.acquire()
                data = await self._context.read()
                if not isinstance(data, bytes):  # grpc.aio.EOF
                    return
                task = asyncio.create_task(self._answer(data))
                self._started.add(task)
                task.add_done_callback(self._started.discard)
                self._answers.put_nowait(task)
        finally:
            self._answers.put_nowait(None)

    async def _stop(self, reader: asyncio.Task[None]) -> None:
        """Leave no task behind, whatever ended the stream."""
        tasks = [reader, *self._started]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
