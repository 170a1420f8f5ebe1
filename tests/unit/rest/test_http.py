"""The small HTTP server: probes and scrapers of any manners get whole answers."""

from __future__ import annotations

import asyncio

import pytest
from fakemodels import FakeLoad, export

from gluonserve.dataplane import DataPlane
from gluonserve.errors import InvalidConfig
from gluonserve.metrics import Metrics
from gluonserve.repository.repository import Repository
from gluonserve.rest.pages import health_pages, metrics_pages
from gluonserve.rest.server import HttpAnswer, HttpServer


@pytest.fixture
async def repository(tmp_path):
    export(tmp_path, "net")
    export(tmp_path, "broken")
    repository = Repository(tmp_path, load=FakeLoad())
    yield repository
    await repository.close(0)


@pytest.fixture
async def listening():
    """Starts servers; stops them at the end."""
    servers = []

    async def start(answer) -> int:
        servers.append(HttpServer(answer))
        return await servers[-1].start("127.0.0.1", 0)

    yield start
    for server in servers:
        await server.stop()


async def said(port: int, *lines: str) -> bytes:
    """Everything the server says to these lines until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(f"{line}\r\n" for line in lines).encode("latin-1"))
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def got(port: int, path: str, *headers: str) -> tuple[int, bytes]:
    answer = await said(port, f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "")
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def echo(request) -> HttpAnswer:
    return HttpAnswer(body=request.path.encode())


class TestHealth:
    async def test_live_at_once_and_ready_when_loaded(self, repository, listening) -> None:
        port = await listening(health_pages(DataPlane(repository, strict_readiness=False)))

        assert await got(port, "/v2/health/live") == (200, b'{"live": true}')
        assert await got(port, "/v2/health/ready") == (503, b'{"ready": false}')
        await repository.load_all()
        assert await got(port, "/v2/health/ready") == (200, b'{"ready": true}')

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/v2/models/net/ready", 200),
            ("/v2/models/net/versions/1/ready", 200),
            ("/v2/models/broken/ready", 503),
            ("/v2/models/nobody/ready", 404),
            ("/v2/models/net/versions/2/ready", 404),
            ("/v2/models/net/versions/two/ready", 400),
            ("/v2/elsewhere", 404),
            ("/v2/health/live?x=1", 200),
        ],
    )
    async def test_models(self, repository, listening, path, status) -> None:
        await repository.load_all()
        port = await listening(health_pages(DataPlane(repository)))

        assert (await got(port, path))[0] == status


class TestMetrics:
    async def test_page(self, repository, listening) -> None:
        await repository.load_all()
        port = await listening(metrics_pages(Metrics(repository)))

        status, body = await got(port, "/metrics")

        assert status == 200
        assert b'gluonserve_model_state{model="net",state="READY",version="1"} 1.0' in body
        assert (await got(port, "/"))[0] == 404

    async def test_openmetrics(self, repository, listening) -> None:
        port = await listening(metrics_pages(Metrics(repository)))

        _, body = await got(port, "/metrics", "Accept: application/openmetrics-text")

        assert body.endswith(b"# EOF\n")


class TestManners:
    async def test_connection_stays_open_for_more(self, listening) -> None:
        port = await listening(echo)

        lines = ("GET /a HTTP/1.1", "", "GET /b HTTP/1.1", "Connection: close", "")

        answer = await said(port, *lines)

        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert answer.endswith(b"/b")

    async def test_old_clients_are_left_after_one(self, listening) -> None:
        answer = await said(await listening(echo), "GET /a HTTP/1.0", "")

        assert answer.endswith(b"/a")
        assert b"connection: close" in answer

    async def test_head_has_no_body(self, listening) -> None:
        answer = await said(await listening(echo), "HEAD /a HTTP/1.0", "")

        assert b"content-length: 2\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")

    async def test_escapes_are_undone(self, listening) -> None:
        assert await got(await listening(echo), "/v2/a%20b") == (200, b"/v2/a b")

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            (("POST / HTTP/1.1", "Content-Length: 5", "", "hello"), 405),
            (("nonsense", ""), 400),
            (("GET / HTTP/3", ""), 400),
            (("GET / HTTP/1.1", "no colon", ""), 400),
            (("GET / HTTP/1.1", "x: " + "y" * 20_000, ""), 431),
        ],
        ids=["method", "words", "version", "header", "size"],
    )
    async def test_what_is_not_spoken_is_refused_and_left(self, listening, lines, status) -> None:
        answer = await said(await listening(echo), *lines)

        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"connection: close" in answer

    async def test_failing_page_tells_nothing(self, listening) -> None:
        async def fail(_) -> HttpAnswer:
            raise RuntimeError("secret")

        status, body = await got(await listening(fail), "/")

        assert (status, body) == (500, b"Internal Server Error\n")

    async def test_taken_port_is_told(self, listening) -> None:
        port = await listening(echo)

        with pytest.raises(InvalidConfig, match=f"cannot listen on 127.0.0.1:{port}"):
            await HttpServer(echo).start("127.0.0.1", port)

    async def test_stop_ends_idle_connections_and_finishes_answers(self) -> None:
        asked, allowed = asyncio.Event(), asyncio.Event()

        async def slow(request) -> HttpAnswer:
            asked.set()
            await allowed.wait()
            return await echo(request)

        server = HttpServer(slow)
        port = await server.start("127.0.0.1", 0)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        request = asyncio.create_task(got(port, "/a"))
        await asked.wait()

        stopping = asyncio.create_task(server.stop())
        assert await idle.read() == b""
        allowed.set()
        await stopping

        assert await request == (200, b"/a")
        idle_writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
