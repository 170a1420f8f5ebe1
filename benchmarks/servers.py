"""Servers under load, each its own process: gluonserve as users start it, and an empty server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from benchmarks.generators import UNARY
from gluonserve.rpc._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Self

OK = re.compile(r'^gluonserve_requests_total\{[^}]*outcome="ok"[^}]*\} (\S+)$', re.MULTILINE)


def infer_request(model: str, rows: np.ndarray) -> bytes:
    """A serialised request for ``rows`` of the input ``data``."""
    request = pb.ModelInferRequest(model_name=model)
    request.inputs.add(name="data", datatype="FP32").shape.extend(rows.shape)
    request.raw_input_contents.append(rows.tobytes())
    return bytes(request.SerializeToString())


class ServerProcess:
    """A server in another process, from ``with`` to the end of the block."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.port = 0

    def __enter__(self) -> Self:
        """Start it and wait until it says where it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        """End it as an operator would."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def _listen(self) -> None:
        self.port = self._announced(r"listening on (\d+)")

    def _announced(self, pattern: str) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(pattern, line):
                return int(found[1])
        raise RuntimeError(f"{self._command} ended before it listened")

    def answer(self, request: bytes) -> pb.ModelInferResponse:
        """One answer to this serialised request."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options=_UNLIMITED) as channel:
            call = channel.unary_unary(
                UNARY, response_deserializer=pb.ModelInferResponse.FromString
            )
            return call(request, timeout=60)

    def answer_bytes(self, request: bytes, *, streamed: bool) -> int:
        """What its answer weighs as one message of a unary call or of a stream."""
        answer = self.answer(request)
        return (
            pb.ModelStreamInferResponse(infer_response=answer) if streamed else answer
        ).ByteSize()

    def cpu_seconds(self) -> float:
        """Processor time it has used so far, all processes and threads together."""
        ticks = 0
        for process in self._processes():
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, int]:
        """Its processes' resident bytes now, and the most they ever were."""
        statuses = [(process / "status").read_text() for process in self._processes()]
        return {
            name: sum(int(_KIB[key].search(status)[1]) * 1024 for status in statuses)  # type: ignore[index]
            for name, key in (("resident_bytes", "VmRSS"), ("peak_bytes", "VmHWM"))
        }

    def _processes(self) -> list[Path]:
        """Itself, and the processes that it has started."""
        server = Path("/proc", str(self._process.pid))
        children = " ".join(one.read_text() for one in server.glob("task/*/children"))
        return [server, *(Path("/proc", pid) for pid in children.split())]


_KIB = {key: re.compile(rf"^{key}:\s+(\d+) kB$", re.MULTILINE) for key in ("VmRSS", "VmHWM")}
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GluonServer(ServerProcess):
    """gluonserve with its defaults, on free ports of this machine only."""

    def __init__(self, path: Path) -> None:
        program = str(Path(sys.executable).parent / "gluonserve")
        ports = ("--grpc-port", "0", "--metrics-port", "0", "--http-port", "off")
        super().__init__([program, "serve", str(path), "--host", "127.0.0.1", *ports])

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        super().__enter__()
        return self

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            ports = dict(re.findall(r"(grpc|metrics)\D*?(\d+)", line))
            if len(ports) == 2:
                self.port, self._metrics_port = int(ports["grpc"]), int(ports["metrics"])
                return
        raise RuntimeError(f"{self._command} ended before it was ready")

    def answered(self) -> int:
        """Requests answered well, by the server's own count."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics") as page:
            return int(sum(float(count) for count in OK.findall(page.read().decode())))


class EmptyServer(ServerProcess):
    """The yardstick: decodes requests and answers ``answer``."""

    def __init__(self, answer: pb.ModelInferResponse) -> None:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name, "answer")
        file.write_bytes(answer.SerializeToString())
        super().__init__([sys.executable, "-m", "benchmarks.empty_server", str(file)])

    def __exit__(self, *_: object) -> None:
        """End it and remove the prepared answer."""
        super().__exit__()
        self._folder.cleanup()
