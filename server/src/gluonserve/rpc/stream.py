"""ModelStreamInfer: many requests over one call, worked on together, answered in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from gluonserve.errors import ServerNotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    Answer = Callable[[bytes], asyncio.Future[bytes]]

IN_FLIGHT = 256
"""Requests of one stream that may be unanswered before no more are read from it."""


class InferStream:
    """One stream: a reader starts requests, ``run`` writes their answers in the same order.

    When the window is full the reader stops reading, so that flow control reaches the client.
    ``answer`` begins to make a serialised response of a serialised request; what comes of it as an
    exception ends the stream.
    """

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes], answer: Answer) -> None:
        self._context = context
        self._answer = answer
        self._unanswered: deque[asyncio.Future[bytes]] = deque()
        self._moved: asyncio.Future[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._read_all = self._draining = False

    async def run(self) -> None:
        """Serve until the client has no more requests and every one is answered.

        Raises:
            ServerNotReady: ``drain`` ended it; what was read before is answered.
        """
        reader = self._reader = asyncio.create_task(self._read())
        try:
            await self._write()
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

    async def _write(self) -> None:
        tasks, write = self._unanswered, self._context.write
        while tasks or not self._read_all:
            if not tasks:
                await self._until_moved()
                continue
            await write(await tasks[0])
            tasks.popleft()
            if len(tasks) == IN_FLIGHT - 1:
                self._move()

    async def _read(self) -> None:
        tasks, read, answer = self._unanswered, self._context.read, self._answer
        try:
            while True:
                if len(tasks) >= IN_FLIGHT:
                    await self._until_moved()
                data = await read()
                if not isinstance(data, bytes):  # grpc.aio.EOF
                    return
                tasks.append(answer(data))
                if len(tasks) == 1:
                    self._move()
        finally:
            self._read_all = True
            self._move()

    def _until_moved(self) -> asyncio.Future[None]:
        """Wait for the other side: the writer when there is nothing, the reader at the limit."""
        self._moved = asyncio.get_running_loop().create_future()
        return self._moved

    def _move(self) -> None:
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)

    async def _stop(self, reader: asyncio.Task[None]) -> None:
        """Leave nothing behind, whatever ended the stream."""
        tasks: list[asyncio.Future[None] | asyncio.Future[bytes]] = [reader, *self._unanswered]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
