"""The order in which a server starts and stops, with models that need no engine."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from fakemodels import FakeLoad, export
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs
from unit.batching.fakes import ManualLoop, row, run_manually, settled, until

from gluonserve.config import ServerSettings
from gluonserve.errors import InvalidConfig, ServerNotReady
from gluonserve.inference import InferRequest
from gluonserve.ports import addresses
from gluonserve.serving import Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator


def settings(path, **changes) -> ServerSettings:
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "host": "127.0.0.1"}
    return ServerSettings(model_repository=path, **{**ports, "exit_timeout_s": 5, **changes})


async def status(port: int, path: str) -> int:
    def ask() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as page:
                return page.status
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(ask)


async def health(port: int) -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return (await check(health_pb2.HealthCheckRequest(), timeout=10)).status


def loopbacks() -> list[str]:
    """This machine's, of both families where it has both."""
    return ["127.0.0.1", "::1"] if "::" in addresses("0.0.0.0") else ["127.0.0.1"]


async def listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


class TestStart:
    async def test_is_live_before_it_is_ready(self, tmp_path) -> None:
        gate = threading.Event()
        server = Server(settings(export(tmp_path)), load=FakeLoad(gate))
        await server.start()
        ports = server.ports

        assert await status(ports["http"], "/v2/health/live") == 200
        assert await status(ports["http"], "/v2/health/ready") == 503
        assert await status(ports["metrics"], "/metrics") == 200
        assert await health(ports["grpc"]) == health_pb2.HealthCheckResponse.NOT_SERVING
        gate.set()
        await server.loaded()

        assert await status(ports["http"], "/v2/health/ready") == 200
        assert await health(ports["grpc"]) == health_pb2.HealthCheckResponse.SERVING
        await server.stop()

    async def test_tells_ports_and_models(self, tmp_path) -> None:
        export(tmp_path, "net")
        export(tmp_path, "broken")
        server = Server(settings(tmp_path, strict_readiness=False), load=FakeLoad())
        await server.start()
        await server.loaded()

        line, table = server.ready_line(), list(server.model_lines())

        assert all(f"{name} {port}" in line for name, port in server.ports.items())
        assert line.startswith("gluonserve is ready: ")
        assert "1 of 2 models serve" in line
        assert table[0].split()[:3] == ["broken", "1", "UNAVAILABLE"]
        assert table[1].split()[:3] == ["net", "1", "READY"]
        await server.stop()

    async def test_ports_can_be_off(self, tmp_path) -> None:
        off = settings(export(tmp_path), http_port="off", grpc_port="off", metrics_port="off")
        server = Server(off, load=FakeLoad())

        await server.start()
        await server.loaded()

        assert server.ports == {}
        assert server.dataplane.ready()
        await server.stop()

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "127.0.0.1"])
    @pytest.mark.parametrize("fronts", [0, 1])
    async def test_every_port_listens_where_the_ready_line_says(
        self, tmp_path, host: str, fronts: int
    ) -> None:
        there = settings(export(tmp_path), host=host, front_processes=fronts)
        server = Server(there, load=FakeLoad())
        await server.start()
        await server.loaded()
        told = addresses(host)

        heard = {
            name: [one for one in loopbacks() if await listens(one, port)]
            for name, port in server.ports.items()
        }

        assert f" on {' and '.join(told)}; " in server.ready_line()
        mine = [one for one in loopbacks() if one in told or host in ("0.0.0.0", "::")]
        assert heard == dict.fromkeys(("metrics", "http", "grpc"), mine)
        await server.stop()

    async def test_taken_port_stops_it_before_loading(self, tmp_path) -> None:
        first, load = Server(settings(export(tmp_path)), load=FakeLoad()), FakeLoad()
        await first.start()
        taken = settings(tmp_path, grpc_port=first.ports["grpc"])

        with pytest.raises(InvalidConfig, match="is in use"):
            await Server(taken, load=load).start()

        assert load.loaded == []
        await first.stop()

    async def test_missing_repository_stops_it(self, tmp_path) -> None:
        with pytest.raises(InvalidConfig, match="no such directory"):
            await Server(settings(tmp_path / "nowhere")).start()


class TestStop:
    async def test_answers_what_is_inside_and_takes_no_more(self, tmp_path) -> None:
        load = FakeLoad(gated=True)
        server = Server(settings(export(tmp_path)), load=load)
        await server.start()
        await server.loaded()
        inside = asyncio.create_task(server.dataplane.infer(InferRequest("model", row(2.0))))
        await until(lambda: load.executors["model"].leases_out == 1)

        stopping = asyncio.create_task(server.stop())
        await until(lambda: not server.dataplane.ready())
        await until(lambda: server.repository.all_versions()[0].state.value == "UNLOADING")
        with pytest.raises(ServerNotReady):
            await server.dataplane.infer(InferRequest("model", row(3.0)))
        assert await status(server.ports["metrics"], "/metrics") == 200
        load.executors["model"].open_gate()
        await stopping

        np.testing.assert_array_equal((await inside).outputs["doubled"], row(4.0)["data"])
        assert load.closed == ["model"]

    def test_drain_delay_may_be_longer_than_the_exit_timeout(self, tmp_path) -> None:
        off = {"http_port": "off", "grpc_port": "off", "metrics_port": "off"}
        chosen = settings(export(tmp_path), drain_delay_s=60, exit_timeout_s=5, **off)

        async def scenario(loop: ManualLoop) -> None:
            server = Server(chosen, load=FakeLoad())
            await server.start()
            await server.loaded()
            stopping = asyncio.create_task(server.stop())
            await loop.advance(59)

            answer = await server.dataplane.infer(InferRequest("model", row(1.0)))

            assert answer.outputs["doubled"].max() == 2.0
            await loop.advance(2)
            await loop.advance(0.25)
            await stopping

        run_manually(scenario)

    def test_refuses_in_words_until_no_request_comes(self, tmp_path) -> None:
        off = {"http_port": "off", "grpc_port": "off", "metrics_port": "off"}
        chosen = settings(export(tmp_path), **off)

        async def scenario(loop: ManualLoop) -> None:
            server = Server(chosen, load=FakeLoad())
            await server.start()
            await server.loaded()
            stopping = asyncio.create_task(server.stop())
            for _ in range(3):
                await settled()
                with pytest.raises(ServerNotReady, match="the server is shutting down"):
                    await server.dataplane.infer(InferRequest("model", row(1.0)))
                await loop.advance(0.25)
                assert server.repository.all_ready()

            await loop.advance(0.25)
            await stopping

        run_manually(scenario)

    async def test_bound_fails_what_is_left(self, tmp_path) -> None:
        load = FakeLoad(gated=True)
        server = Server(settings(export(tmp_path), exit_timeout_s=0), load=load)
        await server.start()
        await server.loaded()
        inside = asyncio.create_task(server.dataplane.infer(InferRequest("model", row(2.0))))
        await until(lambda: load.executors["model"].leases_out == 1)

        await server.stop()

        with pytest.raises(ServerNotReady):
            await inside
        assert load.closed == []
        load.executors["model"].open_gate()

    async def test_serves_on_while_load_balancers_look_away(self, tmp_path) -> None:
        server = Server(settings(export(tmp_path), drain_delay_s=60), load=FakeLoad())
        await server.start()
        await server.loaded()

        stopping = asyncio.create_task(server.stop())
        await until(lambda: not server.dataplane.ready())

        assert await status(server.ports["http"], "/v2/health/ready") == 503
        answer = await server.dataplane.infer(InferRequest("model", row(2.0)))
        assert answer.outputs["doubled"][0, 0] == 4.0
        stopping.cancel()
        await asyncio.wait({stopping})
        await server.stop(0)

    async def test_loading_does_not_hold_it(self, tmp_path) -> None:
        gate = threading.Event()
        server = Server(settings(export(tmp_path), exit_timeout_s=0), load=FakeLoad(gate))
        await server.start()

        await server.stop()
        gate.set()

        assert server.repository.all_versions()[0].state.value == "UNAVAILABLE"


class TestSignals:
    @pytest.fixture(autouse=True)
    def _heard(self) -> Iterator[None]:
        """Tests under nohup would not hear SIGHUP, as a server under nohup does not."""
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGHUP, before)

    @pytest.mark.parametrize(
        "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name
    )
    async def test_one_drains_and_handlers_come_back(self, tmp_path, number) -> None:
        before = signal.getsignal(number)
        lines: list[str] = []
        load = FakeLoad()
        serving = asyncio.create_task(
            serve(Server(settings(export(tmp_path)), load=load), lines.append)
        )
        await until(lambda: bool(lines))

        os.kill(os.getpid(), number)
        await asyncio.wait_for(serving, 20)

        assert signal.getsignal(number) is before
        assert load.closed == ["model"]
        assert "gluonserve is ready" in lines[-1]

    @pytest.mark.parametrize(
        ("number", "pause"),
        [(signal.SIGTERM, 3.0), (signal.SIGINT, 0.25)],
        ids=["SIGTERM", "SIGINT"],
    )
    def test_only_a_second_one_after_a_pause_ends_the_waiting(
        self, tmp_path, number, pause
    ) -> None:
        load, lines = FakeLoad(gated=True), []
        off = {"http_port": "off", "grpc_port": "off", "metrics_port": "off"}
        chosen = settings(export(tmp_path), exit_timeout_s=600, **off)

        async def scenario(loop: ManualLoop) -> None:
            server = Server(chosen, load=load)
            serving = asyncio.create_task(serve(server, lines.append))
            await until(lambda: bool(lines))
            inside = asyncio.create_task(server.dataplane.infer(InferRequest("model", row(2.0))))
            await until(lambda: load.executors["model"].leases_out == 1)

            with capture_logs() as log:
                os.kill(os.getpid(), signal.SIGTERM)
                await until(lambda: not server.dataplane.ready())
                await loop.advance(pause * 0.9)
                os.kill(os.getpid(), number)
                await until(lambda: any(one["event"] == "stopping already" for one in log))
                assert not inside.done()
                await loop.advance(pause * 0.2)
                os.kill(os.getpid(), number)
                await serving

            with pytest.raises(ServerNotReady):
                await inside
            load.executors["model"].open_gate()

        run_manually(scenario)

    async def test_hang_up_stays_ignored_under_nohup(self, tmp_path) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        lines: list[str] = []
        server = Server(settings(export(tmp_path)), load=FakeLoad())
        serving = asyncio.create_task(serve(server, lines.append))
        await until(lambda: bool(lines))

        try:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert server.dataplane.ready()
        finally:
            signal.signal(signal.SIGHUP, before)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(serving, 20)

    async def test_while_loading_is_heard(self, tmp_path) -> None:
        gate, lines = threading.Event(), []
        server = Server(settings(export(tmp_path)), load=FakeLoad(gate))
        serving = asyncio.create_task(serve(server, lines.append))
        await until(lambda: bool(server.ports))

        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not server.dataplane.ready())
        gate.set()
        await asyncio.wait_for(serving, 20)

        assert lines == []
