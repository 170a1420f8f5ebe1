"""Load from another process, written in C: h2load sending prepared gRPC messages.

A gRPC call is a POST whose body is length-prefixed messages, so h2load can send it; a body of many
messages is a whole client stream. h2load does not read gRPC's status, so the number of answered
bytes is compared with what that many right answers weigh.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

UNARY = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


class LoadFailed(Exception):
    """The generator reports errors, or answers that are not the expected ones."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How load is shaped: ``clients`` connections with ``streams`` calls in flight on each.

    A call carries ``messages`` requests; 1 is a unary call.
    """

    clients: int
    streams: int = 1
    messages: int = 1

    @property
    def path(self) -> str:
        """The RPC that such calls go to."""
        return UNARY if self.messages == 1 else STREAM


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the generator saw, and what it cost the machine."""

    requests: int
    seconds: float
    generator_cpu_seconds: float
    call_p50_ms: float
    call_p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def framed(message: bytes) -> bytes:
    """One message as gRPC puts it into a body: a flag byte, its length, itself."""
    return b"\0" + struct.pack(">I", len(message)) + message


def h2load(port: int, request: bytes, answer_bytes: int, shape: Shape, requests: int) -> Load:
    """Send ``requests`` copies of a serialised request; each answer must weigh ``answer_bytes``.

    Raises:
        LoadFailed: a call failed, or answers are missing or of another size.
    """
    program = shutil.which("h2load")
    if program is None:
        raise LoadFailed("h2load is not installed: apt-get install nghttp2-client")
    calls = max(requests // shape.messages, shape.clients * shape.streams)
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(framed(request) * shape.messages)
        command = [
            *(program, "-t", "1", "-c", str(shape.clients), "-m", str(shape.streams)),
            *("-n", str(calls), "-w", "24", "-W", "24", "-d", str(body), f"--log-file={log}"),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://127.0.0.1:{port}{shape.path}",
        ]
        before = os.times()
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        after = os.times()
        spent = [float(line.split()[2]) for line in log.read_text().splitlines()]
    _check(run.stdout + run.stderr, calls, calls * shape.messages * (answer_bytes + 5))
    p50, p99 = np.percentile(spent, [50, 99]) / 1000
    return Load(
        requests=calls * shape.messages,
        seconds=_seconds(run.stdout),
        generator_cpu_seconds=(after[2] + after[3]) - (before[2] + before[3]),
        call_p50_ms=float(p50),
        call_p99_ms=float(p99),
    )


def _check(report: str, calls: int, answered_bytes: int) -> None:
    succeeded = _number(r"(\d+) succeeded", report)
    data = _number(r"\((\d+)\) data", report)
    if succeeded != calls or data != answered_bytes:
        raise LoadFailed(
            f"{succeeded} of {calls} calls succeeded with {data} of {answered_bytes} bytes of"
            f" answers:\n{report}"
        )


def _number(pattern: str, report: str) -> int:
    found = re.search(pattern, report)
    if found is None:
        raise LoadFailed(f"h2load reports no {pattern!r}:\n{report}")
    return int(found[1])


def _seconds(report: str) -> float:
    found = re.search(r"finished in ([\d.]+)(us|ms|s)", report)
    if found is None:
        raise LoadFailed(f"h2load reports no duration:\n{report}")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]
