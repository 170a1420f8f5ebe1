"""A small HTTP/1.1 server for short answers to GET: health probes and metrics, nothing more.

Requests have no body here and answers are small, so what is spoken is a request head in, one whole
answer out, on connections that stay open. Anything else is refused and the connection closed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from structlog import get_logger

from gluonserve.errors import InvalidConfig
from gluonserve.ports import bound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = get_logger(__name__)

_LARGEST_HEAD = 16 * 1024
_IDLE_SECONDS = 75.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What was asked; header names are in lower case, the path's escapes are undone."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


class _BadRequest(Exception):
    """The head is not one that this server reads."""


class HttpServer:
    """Listens from ``start`` to ``stop`` and asks ``answer`` for each request."""

    def __init__(self, answer: Callable[[HttpRequest], Awaitable[HttpAnswer]]) -> None:
        self._answer = answer
        self._servers: list[asyncio.Server] = []
        self._idle: set[asyncio.StreamWriter] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound, which with port 0 is any free one.

        Raises:
            InvalidConfig: the address cannot be bound.
        """
        try:
            held = bound(host, port)
            self._servers = [
                await asyncio.start_server(self._converse, sock=one, limit=_LARGEST_HEAD)
                for one in held
            ]
        except OSError as error:
            raise InvalidConfig(f"HTTP: cannot listen on {host}:{port}: {error}") from error
        return int(held[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, finish what was asked, end every connection."""
        self._stopping = True
        for server in self._servers:
            server.close()
        for writer in self._idle:
            writer.close()
        if self._busy:
            await asyncio.wait(self._busy, timeout=5)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first request to its last."""
        task = asyncio.current_task()
        if task is not None:
            self._busy.add(task)
        try:
            while not self._stopping:
                self._idle.add(writer)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE_SECONDS)
                self._idle.discard(writer)
                if not await self._respond(head, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError):
            pass  # the caller went away, or had nothing more to ask
        except asyncio.LimitOverrunError:
            await self._send(
                writer, _problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), last=True
            )
        finally:
            self._idle.discard(writer)
            if task is not None:
                self._busy.discard(task)
            writer.close()

    async def _respond(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may stay open."""
        try:
            request, version = _parsed(head)
        except _BadRequest:
            await self._send(writer, _problem(HTTPStatus.BAD_REQUEST), last=True)
            return False
        headers = request.headers
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        asked_to_close = "close" in headers.get("connection", "").lower()
        last = has_body or asked_to_close or version == "HTTP/1.0" or self._stopping
        answer = await self._answered(request)
        await self._send(writer, answer, last=last, body=request.method != "HEAD")
        return not last

    async def _answered(self, request: HttpRequest) -> HttpAnswer:
        if request.method not in {"GET", "HEAD"}:
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return await self._answer(request)
        except Exception:
            log.exception("http request failed", path=request.path)
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        answer: HttpAnswer,
        *,
        last: bool,
        body: bool = True,
    ) -> None:
        lines = [
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            f"content-type: {answer.content_type}",
            f"content-length: {len(answer.body)}",
            f"connection: {'close' if last else 'keep-alive'}",
        ]
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("allow: GET, HEAD")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        writer.write(head + answer.body if body else head)
        await writer.drain()


def _parsed(head: bytes) -> tuple[HttpRequest, str]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.0", "HTTP/1.1"}:
        raise _BadRequest(first)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise _BadRequest(line)
        headers[name.lower()] = value.strip()
    try:
        path = unquote(urlsplit(words[1]).path)
    except ValueError as error:
        raise _BadRequest(words[1]) from error
    return HttpRequest(words[0], path, headers), words[2]


def _problem(status: HTTPStatus) -> HttpAnswer:
    return HttpAnswer(status, f"{status.phrase}\n".encode())
