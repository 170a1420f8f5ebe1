"""How long and how often to measure, and on what."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    "gluonserve",
    "openvino",
    "onnxruntime",
    "onnx",
    "grpcio",
    "protobuf",
    "uvloop",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's effort: ``rounds`` interleaved turns of about ``slice_seconds`` each."""

    rounds: int
    slice_seconds: float
    mxnet_python: str

    def turns(self, what: str) -> Iterator[int]:
        """Count the rounds, telling the person who waits."""
        for turn in range(self.rounds):
            print(f"  {what}: round {turn + 1} of {self.rounds}", file=sys.stderr, flush=True)
            yield turn


def conditions(plan: Plan, arguments: str) -> dict[str, object]:
    """Machine, versions and effort: what a reader needs to judge or repeat the figures."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": f'make bench ARGS="{arguments}"',
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
        },
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "h2load": _first_line(["h2load", "--version"]),
        "rounds": plan.rounds,
        "slice_seconds": plan.slice_seconds,
        "load_average_before": os.getloadavg()[0],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(command: list[str]) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
