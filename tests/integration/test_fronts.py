"""Processes in front: what becomes of calls when one of them dies, and of them when we do."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from fakemodels import export
from fakeplane import FakeDataPlane, echo_model
from served import Served
from structlog.testing import capture_logs

from gluonserve.errors import InvalidConfig
from gluonserve.rpc.fronts import FrontOptions, Fronts
from gluonserve.rpc.server import LARGEST_MESSAGE
from gluonserve.tensors import DType
from gluonserve_client._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAIT_S = 20


@pytest.fixture
async def plane() -> FakeDataPlane:
    held = echo_model(DType.FP32, -1, -1)
    held.name = "held"
    plane = FakeDataPlane(echo_model(DType.FP32, -1, -1), held)
    plane.held.add("held")
    return plane


@pytest.fixture
async def port(plane: FakeDataPlane) -> AsyncIterator[int]:
    fronts = Fronts(plane, FrontOptions(LARGEST_MESSAGE), 2)
    yield await fronts.start("127.0.0.1", 0)
    await fronts.stop(0)
    assert not fronts_of(os.getpid())


def fronts_of(server: int) -> set[int]:
    """The front processes of a server process."""
    found = " ".join(one.read_text() for one in Path(f"/proc/{server}/task").glob("*/children"))
    return {int(pid) for pid in found.split() if "gluonserve.rpc.front" in command(pid)}


def command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


def until_gone(pids: set[int]) -> bool:
    end = time.monotonic() + WAIT_S
    while any(command(str(pid)) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


async def infer(port: int, model: str) -> pb.ModelInferResponse:
    (answer,) = await infer_at_once(port, model, 1, within=WAIT_S)
    return answer


async def infer_at_once(
    port: int, model: str, count: int, *, within: float
) -> list[pb.ModelInferResponse]:
    message = pb.ModelInferRequest(
        model_name=model, raw_input_contents=[np.ones((1, 2), np.float32).tobytes()]
    )
    message.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        calls = (call(message, timeout=within, wait_for_ready=True) for _ in range(count))
        return await asyncio.gather(*calls)


async def test_every_front_takes_calls_on_the_one_port(port: int) -> None:
    answers = await asyncio.gather(*(infer(port, "echo_fp32") for _ in range(40)))

    assert [answer.model_name for answer in answers] == ["echo_fp32"] * 40
    assert len(fronts_of(os.getpid())) == 2


async def test_thousands_of_calls_at_once_are_all_taken(port: int) -> None:
    """gRPC would cancel what comes beyond a thousand before anybody sees it."""
    answers = await infer_at_once(port, "echo_fp32", 3000, within=60)

    assert len(answers) == 3000


async def test_front_that_dies_takes_its_calls_along_and_is_replaced(
    plane: FakeDataPlane, port: int
) -> None:
    call = asyncio.ensure_future(infer(port, "held"))
    await asyncio.wait_for(plane.entered.wait(), WAIT_S)
    dead = fronts_of(os.getpid())

    with capture_logs() as logs:
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        await plane.until(lambda: plane.cancelled)
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await call
        answer = await infer(port, "echo_fp32")

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert answer.model_name == "echo_fp32"
    assert not dead & fronts_of(os.getpid())
    assert [one["event"] for one in logs] == ["front process ended, starting another"] * 2


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1"])
async def test_address_that_cannot_be_had_is_told_and_leaves_nothing(port: int, host: str) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    wanted = taken.getsockname()[1]
    before = fronts_of(os.getpid())
    other = Fronts(FakeDataPlane(), FrontOptions(LARGEST_MESSAGE), 1)

    with taken, pytest.raises(InvalidConfig, match=f"cannot listen on {host}:{wanted}: "):
        await other.start(host, wanted)

    assert fronts_of(os.getpid()) == before
    assert port


def test_front_imports_nothing_from_the_working_directory(tmp_path, monkeypatch) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)

    served = Served(export(tmp_path / "models"), "--front-processes=1")

    assert len(fronts_of(served.process.pid)) == 1
    served.stop()


def test_fronts_end_with_the_server_process_however_it_ends(tmp_path) -> None:
    served = Served(export(tmp_path), "--front-processes=2")
    fronts = fronts_of(served.process.pid)

    served.process.kill()
    served.kill()

    assert len(fronts) == 2
    assert until_gone(fronts)
