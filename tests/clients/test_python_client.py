"""gluonserve_client, blocking and asyncio, against the gRPC front."""

from __future__ import annotations

import asyncio
import itertools
import math
import pickle
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import fakeserver
import numpy as np
import pytest
from fakeplane import add_model, echo_model
from fakeserver import FakeServer

import gluonserve_client
from gluonserve.errors import ExecutionFailed, ModelNotReady, Overloaded, UnsupportedFeature
from gluonserve.rpc.server import build_server
from gluonserve.tensors import DType
from gluonserve_client import AsyncClient, AsyncInferStream, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

ONES = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)}


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeServer]:
    echoes = [echo_model(dtype, -1, -1) for dtype in DType]
    with FakeServer(add_model(), add_model("failing"), add_model("held"), *echoes) as server:
        server.plane.held.add("held")
        yield server


@pytest.fixture
def client(shared: FakeServer) -> Iterator[Client]:
    with Client(shared.target, timeout=20) as client:
        yield client


def test_arrays_go_in_and_come_out_by_name(client: Client) -> None:
    outputs = client.infer("add", ONES)

    assert list(outputs) == ["sum", "difference"]
    np.testing.assert_array_equal(outputs["sum"], np.full((2, 3), 2, np.float32))


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: dtype.value)
def test_every_data_type_survives_the_way_there_and_back(client: Client, dtype: DType) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)

    y = client.infer(f"echo_{dtype.value.lower()}", {"x": x})["y"]

    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    "x",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.zeros((0, 4), np.float32),
    ],
    ids=["not_contiguous", "big_endian", "no_rows"],
)
def test_layout_of_an_array_does_not_matter(client: Client, x: np.ndarray) -> None:
    np.testing.assert_array_equal(client.infer("echo_fp32", {"x": x})["y"], x)


def test_lists_get_the_data_type_of_the_model(client: Client) -> None:
    outputs = client.infer("echo_fp16", {"x": [[1, 2.5]]})

    assert outputs["y"].dtype == np.float16
    assert outputs["y"].tolist() == [[1, 2.5]]


@pytest.mark.parametrize(
    ("model", "values", "told"),
    [
        ("echo_int32", [[1, 2.5]], "input 'x': 2.5 is no INT32"),
        ("echo_uint8", [[255.9, 1]], "input 'x': 255.9 is no UINT8"),
        ("echo_fp32", [[1e300, 1]], r"input 'x': 1e\+300 is no FP32"),
    ],
)
def test_lists_of_what_the_type_cannot_hold_are_refused(
    client: Client, model: str, values: list[list[float]], told: str
) -> None:
    with pytest.raises(gluonserve_client.InvalidRequest, match=told):
        client.infer(model, {"x": values})


@pytest.mark.parametrize("timeout", [math.inf, 1e300])
def test_stream_without_an_end_in_sight(client: Client, timeout: float) -> None:
    with client.stream() as stream:
        (answer,) = stream.infer_many("add", [ONES], timeout=timeout)

    assert answer


def test_asked_for_outputs_are_the_only_ones(client: Client) -> None:
    assert list(client.infer("add", ONES, ["difference"])) == ["difference"]


def test_request_says_all_that_was_asked(shared: FakeServer, client: Client) -> None:
    client.infer(
        "add",
        ONES,
        version=1,
        request_id="seven",
        priority=3,
        parameters={"tag": "x", "on": True, "n": 2, "p": 0.5},
    )

    seen = shared.plane.seen[-1]
    assert (seen.version, seen.id, seen.priority) == ("1", "seven", 3)
    assert seen.parameters == {"tag": "x", "on": True, "n": 2, "p": 0.5}


def test_classes_are_asked_for_by_output(shared: FakeServer, client: Client) -> None:
    client.infer("add", ONES, classes={"sum": 2})

    assert shared.plane.seen[-1].classification == {"sum": 2}


def test_array_that_the_protocol_cannot_carry_is_refused_here(client: Client) -> None:
    with pytest.raises(gluonserve_client.InvalidRequest, match=r"input 'a': expected .* complex"):
        client.infer("add", {"a": np.ones(2, complex)})


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Overloaded("queue full"), gluonserve_client.Overloaded),
        (ModelNotReady("failing", 1, "LOADING"), gluonserve_client.NotReady),
        (UnsupportedFeature("no"), gluonserve_client.Unsupported),
        (ExecutionFailed("failed"), gluonserve_client.ExecutionFailed),
        (ZeroDivisionError(), gluonserve_client.ExecutionFailed),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else "",
)
def test_status_comes_back_as_an_exception(
    shared: FakeServer, client: Client, cause: Exception, expected: type[Exception]
) -> None:
    shared.plane.failing["failing"] = cause
    before = shared.plane.calls

    with pytest.raises(expected):
        client.infer("failing", ONES)
    with client.stream() as stream, pytest.raises(expected):
        list(stream.infer_many("failing", [ONES]))

    assert shared.plane.calls - before == 2, "a refused call is not tried again"


def test_unknown_model_and_bad_tensor_have_exceptions_of_their_own(client: Client) -> None:
    with pytest.raises(gluonserve_client.ModelNotFound, match="nobody"):
        client.infer("nobody", ONES)
    with pytest.raises(gluonserve_client.InvalidRequest, match="'a'"):
        client.infer("add", {"a": ONES["a"][:, :2], "b": ONES["b"]})


def test_message_that_is_too_large_is_no_full_queue(monkeypatch) -> None:
    monkeypatch.setattr(fakeserver, "build_server", partial(build_server, max_message_bytes=4096))
    with (
        FakeServer(echo_model(DType.FP32, -1, -1)) as server,
        Client(server.target) as client,
        pytest.raises(gluonserve_client.InvalidRequest, match=r"larger than max \(.* vs. 4096\)"),
    ):
        client.infer("echo_fp32", {"x": np.zeros((1, 2048), np.float32)})


def test_timeout_ends_a_call_that_waits(client: Client) -> None:
    with pytest.raises(gluonserve_client.DeadlineExceeded):
        client.infer("held", ONES, timeout=0.2)


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.invalid"], ids=["port", "name"])
def test_nobody_listening_is_not_connected(host: str) -> None:
    with (
        Client(f"{host}:{free_port()}") as client,
        pytest.raises(gluonserve_client.NotConnected),
    ):
        client.infer("add", ONES, timeout=0.3)


def test_call_waits_a_moment_for_a_server_that_is_about_to_listen() -> None:
    server = FakeServer(add_model())
    port = free_port()
    server.port = port
    starter = threading.Timer(0.2, server.__enter__)

    with Client(f"127.0.0.1:{port}") as client:
        starter.start()
        try:
            assert client.server_live(timeout=20)
        finally:
            starter.join()
            server.__exit__()


def test_server_and_models_describe_themselves(client: Client) -> None:
    assert client.server_live()
    assert client.server_ready()
    assert client.model_ready("add")
    assert client.server_metadata().name == "gluonserve"
    metadata = client.model_metadata("add")
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in metadata.inputs] == [
        ("a", "FP32", (-1, 3)),
        ("b", "FP32", (-1, 3)),
    ]
    assert metadata.inputs[0].dtype == np.float32
    config = client.model_config("add")
    assert (config.max_batch_size, config.max_delay_us, config.instances) == (8, 0, 1)
    assert client.statistics("add")[0].success.count >= 0
    assert "add" in {entry.name for entry in client.index(ready=True)}


def test_stream_answers_in_the_order_of_the_requests(client: Client) -> None:
    batches = ({"x": np.full((1, 2), n, np.float32)} for n in range(500))

    with client.stream(in_flight=16) as stream:
        got = [int(out["y"][0, 0]) for out in stream.infer_many("echo_fp32", batches)]

    assert got == list(range(500))


def test_stream_reads_no_further_ahead_than_its_window(client: Client) -> None:
    taken = 0

    def batches() -> Iterator[dict[str, np.ndarray]]:
        nonlocal taken
        for taken in itertools.count(1):  # noqa: B007 - the test looks at it
            yield {"x": np.ones((1, 1), np.float32)}

    with client.stream(in_flight=8) as stream:
        for got, _ in enumerate(stream.infer_many("echo_fp32", batches()), 1):
            assert taken <= got + 8
            if got == 100:
                break


def test_failed_request_of_a_stream_leaves_the_others(client: Client) -> None:
    bad = {"x": np.ones(3, np.float32)}
    good = {"x": np.ones((1, 3), np.float32)}

    with client.stream() as stream:
        first, second, third = stream.outcomes("echo_fp32", [good, bad, good])

    assert isinstance(second, gluonserve_client.InvalidRequest)
    assert first["y"].shape == third["y"].shape == (1, 3)


def test_error_in_the_source_of_a_stream_is_raised_as_it_is(client: Client) -> None:
    def batches() -> Iterator[dict[str, np.ndarray]]:
        yield {"x": np.ones((1, 3), np.float32)}
        raise LookupError("no more pictures")

    with client.stream() as stream, pytest.raises(LookupError, match="no more pictures"):
        list(stream.infer_many("echo_fp32", batches()))


def test_leaving_a_stream_cancels_what_is_under_way(shared: FakeServer, client: Client) -> None:
    shared.plane.cancelled.clear()
    shared.plane.entered.clear()
    with client.stream() as stream:
        reader = threading.Thread(target=drain, args=(stream.outcomes("held", [ONES] * 4),))
        reader.start()
        until(shared.plane.entered.is_set)
    reader.join(20)

    until(lambda: shared.plane.cancelled)


def test_representation_shows_the_target(client: Client, shared: FakeServer) -> None:
    assert repr(client) == f"Client({shared.target!r})"


def test_answers_pickle(client: Client) -> None:
    metadata = client.model_metadata("add")

    assert pickle.loads(pickle.dumps(metadata)) == metadata


def test_exported_names_are_exactly_these() -> None:
    public = {name for name in vars(gluonserve_client) if not name.startswith("_")}
    modules = {"annotations", "errors"}

    assert public - modules == set(gluonserve_client.__all__)


async def test_asyncio_client_does_the_same(shared: FakeServer) -> None:
    async with AsyncClient(shared.target) as client:
        outputs = await client.infer("add", ONES, ["sum"])
        lists = await client.infer("echo_fp64", {"x": [[1, 2]]})
        ready = await client.model_ready("add"), await client.server_live()
        config = await client.model_config("add")
        index = await client.index()
        statistics = await client.statistics("add")
        with pytest.raises(gluonserve_client.ModelNotFound):
            await client.infer("nobody", ONES)
        with pytest.raises(gluonserve_client.DeadlineExceeded):
            await client.infer("held", ONES, timeout=0.2)

    assert outputs["sum"].tolist() == [[2, 2, 2]] * 2
    assert lists["y"].dtype == np.float64
    assert ready == (True, True)
    assert (config.name, statistics[0].name) == ("add", "add")
    assert "add" in {entry.name for entry in index}
    assert repr(client) == f"AsyncClient({shared.target!r})"


async def test_asyncio_stream_answers_in_order(shared: FakeServer) -> None:
    batches = ({"x": np.full((1, 2), n, np.float32)} for n in range(300))

    async with AsyncClient(shared.target) as client, client.stream(in_flight=16) as stream:
        got = [int(out["y"][0, 0]) async for out in stream.infer_many("echo_fp32", batches)]

    assert got == list(range(300))


async def test_asyncio_stream_tells_failures_apart(shared: FakeServer) -> None:
    async def batches():
        yield {"x": np.ones((1, 3), np.float32)}
        yield {"x": np.ones(3, np.float32)}
        raise LookupError("no more pictures")

    seen = []

    async def collect(stream: AsyncInferStream) -> None:
        async for outcome in stream.outcomes("echo_fp32", batches()):
            seen.append(type(outcome))  # noqa: PERF401 - it ends with an error

    async with AsyncClient(shared.target) as client, client.stream() as stream:
        with pytest.raises(LookupError):
            await collect(stream)

    assert seen == [dict, gluonserve_client.InvalidRequest]


def drain(outcomes: Iterator[object]) -> None:
    with pytest.raises(gluonserve_client.RequestCancelled):
        list(outcomes)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds: float = 20) -> None:
    """Wait for a condition, bounded."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


ROW = {"a": np.ones((1, 3), np.float32), "b": np.ones((1, 3), np.float32)}


class Unwilling:
    """An array of another library that cannot be had, as a tensor of PyTorch that is trained."""

    def __array__(self, *_: object) -> np.ndarray:
        raise RuntimeError("it needs a gradient")


@pytest.mark.parametrize(
    ("inputs", "asked", "told"),
    [
        (None, {}, "inputs: expected arrays by the names of the inputs, got NoneType"),
        (ROW["a"], {}, "inputs: expected arrays by the names of the inputs, got ndarray"),
        ({**ROW, "a": [[1], [2, 3]]}, {}, "input 'a': not an array of numbers"),
        ({**ROW, "a": "abc"}, {}, "input 'a': not an array of numbers"),
        ({**ROW, "a": [["1", "2", "3"]]}, {}, "input 'a': not an array of numbers: got .*'1'"),
        ({**ROW, "a": [[1j, 2, 3]]}, {}, "input 'a': not an array of numbers: got .*1j"),
        ({**ROW, "a": [[1, None, 3]]}, {}, "input 'a': not an array of numbers: got None"),
        ({**ROW, "a": Unwilling()}, {}, "input 'a': not an array of numbers: it needs a gradient"),
        ({**ROW, "a": np.array([[1, 2, 3]], object)}, {}, "input 'a': expected an array of BOOL"),
        ({**ROW, "a": np.ma.masked_less(ROW["a"], 2)}, {}, "input 'a': masked values cannot be"),
        ({1: ROW["a"]}, {}, "name in inputs: expected text, got 1"),
        ({"a\udc80": ROW["a"]}, {}, "name in inputs: expected text that can be sent as UTF-8"),
        (ROW, {"model": None}, "model: expected text, got None"),
        (ROW, {"version": None}, 'version: expected a number, or "" for the latest, got None'),
        (ROW, {"version": True}, 'version: expected a number, or "" for the latest, got True'),
        (ROW, {"request_id": 7}, "request_id: expected text, got 7"),
        (ROW, {"outputs": "sum"}, "outputs: expected a list of names, got the text 'sum'"),
        (ROW, {"outputs": 3}, "outputs: expected a list of names, got 3"),
        (ROW, {"outputs": [None]}, r"outputs\[0\]: expected text, got None"),
        (ROW, {"priority": 2**70}, "priority: expected a whole number from 0 to 2.*, got 11805916"),
        (ROW, {"priority": -1}, "priority: expected a whole number from 0 to 2.*, got -1"),
        (ROW, {"priority": 1.5}, "priority: expected a whole number from 0 to 2.*, got 1.5"),
        (ROW, {"classes": ["sum"]}, "classes: expected numbers of classes by the names of outputs"),
        (ROW, {"classes": {"sum": "3"}}, r"classes\['sum'\]: expected a whole number from 1"),
        (ROW, {"classes": {1: 3}}, "name in classes: expected text, got 1"),
        (ROW, {"parameters": [1]}, r"parameters: expected values by their names, got \[1\]"),
        (ROW, {"parameters": {1: 1}}, "name in parameters: expected text, got 1"),
        (ROW, {"parameters": {"x": [1]}}, r"parameters\['x'\]: expected true or false, a number"),
        (ROW, {"parameters": {"x": 2**64}}, r"parameters\['x'\]: cannot be sent: Value out of"),
        (ROW, {"timeout": "3"}, "timeout: expected seconds, got '3'"),
        (ROW, {"timeout": math.nan}, "timeout: expected seconds, got nan"),
    ],
)
async def test_misuse_is_told_by_its_argument(shared, client: Client, inputs, asked, told) -> None:
    asked = {"model": "add", "inputs": inputs, **asked}

    with pytest.raises(gluonserve_client.InvalidRequest, match=told):
        client.infer(**asked)
    async with AsyncClient(shared.target) as other:
        with pytest.raises(gluonserve_client.InvalidRequest, match=told):
            await other.infer(**asked)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"batches": ROW}, "batches: expected the inputs of many requests, one after the other"),
        ({"batches": None}, "batches: expected the inputs of many requests, one after the other"),
        ({"batches": [ROW], "outputs": "sum"}, "outputs: expected a list of names, got the text"),
        ({"batches": [ROW], "timeout": math.nan}, "timeout: expected seconds, got nan"),
        ({"batches": [ROW, None]}, "inputs: expected arrays by the names of the inputs"),
    ],
)
async def test_misuse_of_a_stream_too(shared, client: Client, asked, told) -> None:
    with client.stream() as stream, pytest.raises(gluonserve_client.InvalidRequest, match=told):
        list(stream.infer_many("add", **asked))
    async with AsyncClient(shared.target) as other, other.stream() as stream:
        with pytest.raises(gluonserve_client.InvalidRequest, match=told):
            _ = [one async for one in stream.infer_many("add", **asked)]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"target": None}, "target: expected HOST:PORT, as in localhost:8001, got None"),
        ({"target": ""}, "target: expected HOST:PORT, as in localhost:8001, got ''"),
        ({"target": "http://localhost:1"}, "target: expected HOST:PORT, as in localhost:8001"),
        ({"target": "localhost:99999"}, "target: expected a port up to 65535"),
        ({"target": "a:1", "timeout": None}, "timeout: expected seconds, got None"),
        ({"target": "a:1", "credentials": "x"}, "credentials: expected grpc.ChannelCredentials"),
    ],
)
async def test_misuse_of_clients_themselves(kind, made, told) -> None:
    with pytest.raises(gluonserve_client.InvalidRequest, match=told):
        kind(**made)


@pytest.mark.parametrize(
    "question", ["model_ready", "model_metadata", "model_config", "statistics"]
)
def test_misuse_of_questions(client: Client, question) -> None:
    with pytest.raises(gluonserve_client.InvalidRequest, match="model: expected text, got 3"):
        getattr(client, question)(3)


def test_numbers_of_numpy_are_numbers(shared: FakeServer, client: Client) -> None:
    client.infer(
        "add",
        ROW,
        version=np.int64(1),
        priority=np.int32(3),
        classes={"sum": np.int64(2)},
        parameters={"on": np.bool_(True), "n": np.int16(2), "p": np.float32(0.5)},
    )

    seen = shared.plane.seen[-1]
    assert (seen.version, seen.priority, seen.classification) == ("1", 3, {"sum": 2})
    kinds = {name: type(one) for name, one in seen.parameters.items()}
    assert kinds == {"on": bool, "n": int, "p": float}


def test_names_of_outputs_may_come_from_a_generator(client: Client) -> None:
    asked = (name for name in ("difference", "sum"))

    assert len(client.infer("add", ROW, asked, classes={"sum": 1})) == 2


def test_infinite_timeout_is_a_long_one(client: Client) -> None:
    assert client.infer("add", ROW, timeout=float("inf"))


def test_stream_without_a_window_is_refused(client: Client) -> None:
    with pytest.raises(gluonserve_client.InvalidRequest, match=r"in_flight: expected .* got 0"):
        client.stream(in_flight=0)


class TestClosing:
    async def test_closing_ends_calls_under_way_with_an_error_of_the_clients(self, shared) -> None:
        client = AsyncClient(shared.target)
        waiting = await held(shared, client.infer("held", ONES))

        await client.close()

        with pytest.raises(gluonserve_client.RequestCancelled, match="client was closed before"):
            await waiting

    async def test_so_it_does_with_streams(self, shared) -> None:
        client = AsyncClient(shared.target)
        waiting = await held(shared, first(client.stream().infer_many("held", [ONES])))

        await client.close()

        with pytest.raises(gluonserve_client.RequestCancelled, match="client was closed before"):
            await waiting

    async def test_leaving_a_stream_ends_what_is_under_way_with_an_error(self, shared) -> None:
        async with AsyncClient(shared.target) as client:
            async with client.stream() as stream:
                waiting = await held(shared, first(stream.infer_many("held", [ONES])))

            with pytest.raises(gluonserve_client.RequestCancelled, match="stream was left"):
                await waiting

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="there a task cannot be asked")
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_cancelled_task_stays_cancelled_whatever_closes_besides(
        self, shared, streamed: bool
    ) -> None:
        client = AsyncClient(shared.target)
        call = first(client.stream().infer_many("held", [ONES])) if streamed else None
        waiting = await held(shared, call or client.infer("held", ONES))

        waiting.cancel()
        await client.close()

        with pytest.raises(asyncio.CancelledError):
            await waiting

    def test_closed_client_says_so(self, shared) -> None:
        client = Client(shared.target)
        stream = client.stream()
        client.close()

        with pytest.raises(gluonserve_client.NotConnected, match="the client is closed"):
            client.infer("add", ONES)
        with pytest.raises(gluonserve_client.NotConnected, match="the client is closed"):
            list(stream.infer_many("add", [ONES]))

    async def test_closed_asyncio_client_says_so(self, shared) -> None:
        client = AsyncClient(shared.target)
        stream = client.stream()
        await client.close()

        with pytest.raises(gluonserve_client.NotConnected, match="the client is closed"):
            await client.infer("add", ONES)
        with pytest.raises(gluonserve_client.NotConnected, match="the client is closed"):
            await first(stream.infer_many("add", [ONES]))


async def held(shared: FakeServer, call) -> asyncio.Task:
    """The call as a task, once the server holds it."""
    shared.plane.entered.clear()
    task = asyncio.ensure_future(call)
    await asyncio.to_thread(until, shared.plane.entered.is_set)
    return task


async def first(answers):
    return await anext(answers)
