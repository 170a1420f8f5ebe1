"""The container image, built and run for real: `make image-test`.

deploy/image.sh has built it. It runs with buildah's chroot isolation: its own files, user and
programs, this machine's network. A stop is a SIGTERM to its main process, as Docker's is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tritonclient.grpc as triton

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
RESULTS = ROOT / "benchmarks" / "results" / "image.json"
STORAGE = Path(os.environ.get("IMAGE_STORAGE", ROOT / "build" / "image"))
TAG = os.environ.get("IMAGE_TAG", "localhost/gluonserve:latest")
STOPS_WITHIN_SECONDS = 10
PORTS = ("--grpc-port", "0", "--metrics-port", "0", "--http-port", "0", "--host", "127.0.0.1")

pytestmark = pytest.mark.slow


def buildah(*arguments: str) -> list[str]:
    layers, run = STORAGE / "layers", STORAGE / "run"
    storage = ["--storage-driver", "vfs", "--root", str(layers), "--runroot", str(run)]
    return ["buildah", *storage, *arguments]


def output_of(*arguments: str) -> str:
    run = subprocess.run(buildah(*arguments), capture_output=True, text=True, check=True)
    return run.stdout.strip()


@dataclass
class Container:
    """A container of the image, its settings, and the server that runs in it."""

    name: str
    config: dict
    process: subprocess.Popen[str]
    ports: dict[str, int]
    began: float
    start_seconds: float

    @property
    def main_pid(self) -> int:
        """The server's own process, which buildah's processes stand around."""
        pid = self.process.pid
        while Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"buildah"):
            threads = Path(f"/proc/{pid}/task").glob("*/children")
            pid = next(int(child) for thread in threads for child in thread.read_text().split())
        return pid

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run another command in the container."""
        flags = [f"--env={name}={value}" for name, value in variables.items()]
        full = buildah("run", "--isolation", "chroot", *flags, self.name, "--", *command)
        return subprocess.run(full, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def image() -> dict:
    inspected = json.loads(output_of("inspect", "--type", "image", TAG))
    return inspected["Docker"]["config"]


@pytest.fixture(scope="module")
def container(image: dict) -> Iterator[Container]:
    name = output_of("from", "--pull-never", TAG)
    output_of("config", "--volume", "/models-", name)  # else buildah's chroot hides the mount there
    mounted = ["--volume", f"{MODELS}:/models:ro"]
    command = [*image["Entrypoint"], *image["Cmd"], *PORTS]
    full = buildah("run", "--isolation", "chroot", *mounted, name, "--", *command)
    began, clock = time.time(), time.perf_counter()
    with subprocess.Popen(full, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next((one for one in process.stdout if one.startswith("gluonserve is")), "")
            seconds = time.perf_counter() - clock
            assert line.startswith("gluonserve is ready"), line
            ports = {kind: int(port) for kind, port in re.findall(r"(\w+) (\d+)[, ]", line)}
            yield Container(name, image, process, ports, began, seconds)
        finally:
            process.kill()
    output_of("rm", name)


def test_runs_as_nobody_in_particular(container: Container) -> None:
    status = Path(f"/proc/{container.main_pid}/status").read_text()

    assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE)
    assert container.config["User"] == "10001:10001"


def test_holds_no_compiler_no_mxnet_and_nothing_that_builds(container: Container) -> None:
    packages = container.run(["python", "-c", _LIST_PACKAGES]).stdout.split()
    programs = container.run(["sh", "-c", "command -v gcc cc make pip pip3; true"]).stdout

    assert {"gluonserve", "gluonserve-client", "openvino", "onnxruntime"} <= set(packages)
    assert not {"mxnet", "grpcio-tools", "pip", "setuptools"} & set(packages)
    assert programs == ""


_LIST_PACKAGES = """
from importlib.metadata import distributions
print(*(one.metadata["Name"] for one in distributions()))
"""


def test_answers_tritonclient(container: Container) -> None:
    recorded = np.load(MODELS / "lenet_digits" / "1" / "samples.npz")
    pictures, (expected,) = (
        recorded["in:data"],
        [recorded[name] for name in recorded if "out:" in name],
    )
    sent = triton.InferInput("data", list(pictures.shape), "UINT8")
    sent.set_data_from_numpy(pictures)

    with triton.InferenceServerClient(f"127.0.0.1:{container.ports['grpc']}") as client:
        names = {entry.name for entry in client.get_model_repository_index().models}
        answer = client.infer("lenet_digits", [sent])
        output = answer.as_numpy(answer.get_response().outputs[0].name)

    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)
    assert {path.name for path in MODELS.iterdir() if (path / "1").is_dir()} <= names


def test_is_scraped(container: Container) -> None:
    url = f"http://127.0.0.1:{container.ports['metrics']}/metrics"

    with urllib.request.urlopen(url) as page:
        text = page.read().decode()

    assert re.search(
        r'^gluonserve_requests_total\{[^}]*outcome="ok"[^}]*\} [1-9]', text, re.MULTILINE
    )


def test_own_health_check_says_yes(container: Container) -> None:
    check = container.config["Healthcheck"]["Test"]

    run = container.run(check[1:], GLUONSERVE_GRPC_PORT=str(container.ports["grpc"]))

    assert check[0] == "CMD"
    assert (run.returncode, run.stderr) == (0, "")


def test_own_health_check_says_no_where_nothing_serves(container: Container) -> None:
    run = container.run(container.config["Healthcheck"]["Test"][1:], GLUONSERVE_GRPC_PORT="1")

    assert run.returncode != 0


def test_image_says_how_it_is_used(image: dict) -> None:
    assert image["StopSignal"] == "SIGTERM"
    assert set(image["ExposedPorts"]) == {"8000/tcp", "8001/tcp", "8002/tcp"}
    assert list(image["Volumes"]) == ["/models"]


def test_writes_no_file_of_its_own(container: Container) -> None:
    """So that the container can run with a read-only root file system."""
    found = container.run(["find", "/", "-xdev", "-type", "f", "-newermt", f"@{container.began}"])

    assert set(found.stdout.split()) <= {
        *("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv")  # buildah's
    }


def test_stops_cleanly_on_sigterm(container: Container) -> None:
    """The last test: it also writes down the size of the image and how long it took to start."""
    began = time.perf_counter()
    os.kill(container.main_pid, signal.SIGTERM)
    exit_code = container.process.wait(timeout=STOPS_WITHIN_SECONDS)

    _report(container, time.perf_counter() - began)
    assert exit_code == 0


def _report(container: Container, stop_seconds: float) -> None:
    listed = json.loads(output_of("images", "--json", TAG))[0]
    models = sum((path / "1").is_dir() for path in MODELS.iterdir())
    figures = {
        "size": listed["size"],
        f"start_to_ready_seconds_with_{models}_models": round(container.start_seconds, 2),
        "sigterm_to_exit_seconds": round(stop_seconds, 2),
        "python": sys.version.split()[0],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"figures": figures}, indent=2) + "\n")
