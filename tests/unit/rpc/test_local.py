"""Calls over the data plane of this process leave nothing behind."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest
from fakemodels import FakeLoad, export

from gluonserve.dataplane import DataPlane
from gluonserve.errors import ModelNotFound
from gluonserve.recording import Outcome
from gluonserve.repository.repository import Repository
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc.local import LocalCalls
from gluonserve.rpc.service import Mode


def request(model: str) -> bytes:
    message = pb.ModelInferRequest(
        model_name=model, raw_input_contents=[np.ones((1, 2), np.float32).tobytes()]
    )
    message.inputs.add(name="data", datatype="FP32", shape=[1, 2])
    return message.SerializeToString()


@pytest.fixture
async def repository(tmp_path):
    repository = Repository(export(tmp_path / "net"), model_name="net", load=FakeLoad())
    await repository.load_all()
    yield repository
    await repository.close(0)


@pytest.fixture
async def calls(repository: Repository) -> LocalCalls:
    return LocalCalls(DataPlane(repository))


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name)
async def test_answered_requests_need_no_collector_of_cycles(calls: LocalCalls, mode: Mode) -> None:
    data = request("net")
    for _ in range(3):
        await calls.infer(data, 0, None, mode)
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            await calls.infer(data, 0, None, mode)
        garbage = gc.collect()
    finally:
        gc.enable()

    assert garbage < 100


async def test_cancelled_call_is_told_to_the_data_plane(
    calls: LocalCalls, repository: Repository
) -> None:
    call = calls.infer(request("net"), 0, None, Mode.UNARY)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert repository.get("net").recorder.refused[Outcome.CANCELLED] == 1


async def test_mistakes_are_raised_or_told_in_the_answer(calls: LocalCalls) -> None:
    with pytest.raises(ModelNotFound):
        await calls.infer(request("other"), 0, None, Mode.UNARY)
    with pytest.raises(ModelNotFound):
        await calls.infer(request("other"), 0, None, Mode.STREAM_CLOSING)
    answer = await calls.infer(request("other"), 0, None, Mode.STREAM)

    assert "other" in pb.ModelStreamInferResponse.FromString(answer).error_message
