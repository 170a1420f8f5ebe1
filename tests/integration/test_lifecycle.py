"""A whole server as its own process: started, stopped under load, and what it says meanwhile."""

from __future__ import annotations

import queue
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tritonclient.grpc as triton
from served import PROGRAM, Served
from tritonclient.utils import InferenceServerException

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MODEL = "resnet_digits"
TOLERANCE = 1e-4


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    shutil.copytree(ROOT / "models" / MODEL, tmp_path / MODEL)
    server = Served(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def samples() -> dict[str, np.ndarray]:
    with np.load(ROOT / "models" / MODEL / "1" / "samples.npz") as archive:
        return {name.split(":")[0]: archive[name] for name in archive.files}


def asked(client: triton.InferenceServerClient, data: np.ndarray) -> np.ndarray:
    tensor = triton.InferInput("data", data.shape, "FP32")
    tensor.set_data_from_numpy(data)
    result = client.infer(MODEL, [tensor])
    return result.as_numpy(result.get_response().outputs[0].name)


def load(port: int, data: np.ndarray, ends: queue.Queue, going: threading.Event) -> None:
    """One caller after another on a connection of its own, until the server refuses."""
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        while True:
            try:
                ends.put(asked(client, data))
                going.set()
            except InferenceServerException as error:  # noqa: PERF203 - the last one
                ends.put(error)
                return


def test_says_what_serves_and_where(served) -> None:
    assert served.ready.startswith("gluonserve is ready: ")
    assert served.ports.keys() == {"http", "grpc", "metrics"}
    assert served.table[0].split()[:3] == [MODEL, "1", "READY"]
    served.stop()


def test_answers_are_mxnets(served, samples) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{served.ports['grpc']}") as client:
        answer = asked(client, samples["in"])

    error = np.linalg.norm(answer - samples["out"]) / np.linalg.norm(samples["out"])
    assert error <= TOLERANCE
    served.stop()


@pytest.mark.parametrize("times", [1, 5], ids=["one signal", "signal and its echoes"])
def test_stopped_under_load_it_answers_or_refuses_everyone(served, samples, times) -> None:
    ends: queue.Queue = queue.Queue()
    goings = [threading.Event() for _ in range(8)]
    callers = [
        threading.Thread(target=load, args=(served.ports["grpc"], samples["in"], ends, going))
        for going in goings
    ]
    for caller in callers:
        caller.start()
    assert all(going.wait(timeout=30) for going in goings)

    events = [entry["event"] for entry in served.stop(times=times)]
    for caller in callers:
        caller.join(timeout=30)
    outcomes = [ends.get_nowait() for _ in range(ends.qsize())]

    answers = [one for one in outcomes if isinstance(one, np.ndarray)]
    errors = [one for one in outcomes if not isinstance(one, np.ndarray)]
    assert not any(caller.is_alive() for caller in callers)
    assert len(errors) == len(callers)
    assert {error.status() for error in errors} == {"StatusCode.UNAVAILABLE"}
    assert all(np.allclose(answer, samples["out"], atol=1e-3) for answer in answers)
    assert served.process.returncode == 0
    assert events[-1] == "stopped"
    assert "batcher closed before it was empty" not in events
    assert "stopping at once" not in events


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_orderly_end_is_no_failure(served, number) -> None:
    log = served.stop(number)

    assert served.process.returncode == 0
    assert [entry["event"] for entry in log][-2:] == ["draining", "stopped"]
    assert not [entry for entry in log if entry["level"] == "error"]


def test_one_broken_model_leaves_the_others(tmp_path) -> None:
    shutil.copytree(ROOT / "models" / MODEL, tmp_path / MODEL)
    (tmp_path / "bad-symbol.json").write_text('{"nodes": [')
    server = Served(tmp_path, "--no-strict-readiness")

    with triton.InferenceServerClient(f"127.0.0.1:{server.ports['grpc']}") as client:
        index = {one.name: one for one in client.get_model_repository_index().models}
        assert client.is_model_ready(MODEL)
        assert client.is_server_ready()

    assert (index["bad"].state, index[MODEL].state) == ("UNAVAILABLE", "READY")
    assert "bad-symbol.json" in index["bad"].reason
    server.stop()


def test_port_in_use_ends_it_before_it_loads(served, tmp_path) -> None:
    command = [PROGRAM, "serve", tmp_path, "--host", "127.0.0.1", "--http-port", "off"]
    taken = [f"--grpc-port={served.ports['grpc']}", "--metrics-port=off"]

    second = subprocess.run(
        [*command, *taken], capture_output=True, text=True, timeout=60, check=False
    )

    assert second.returncode != 0
    port = served.ports["grpc"]
    assert f"grpc_port: 127.0.0.1:{port} is in use by another program" in second.stderr
    assert "add_port" not in second.stderr, "gRPC's own lines say less"
    assert "model ready" not in second.stderr
    served.stop()
