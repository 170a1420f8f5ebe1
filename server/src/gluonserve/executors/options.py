"""What an executor is asked for: a device, a precision, threads and instances."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from gluonserve.errors import BackendUnavailable, InvalidConfig

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_CUDA = re.compile(r"cuda(?::(\d+))?")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """How to run a model; the defaults are exact answers on all cores of this machine.

    ``threads`` are those of one instance; None shares every core this process may use among them.
    ``source`` is the exported symbol file and its parameter file, which only MXNet itself reads.
    ``why`` is told in the executor's description.
    """

    device: str = "cpu"
    precision: str = "fp32"
    threads: int | None = None
    instances: int = 1
    source: tuple[Path, Path | None] | None = None
    why: str = "chosen by name"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InvalidConfig(
                f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}"
            )
        if self.instances < 1:
            raise InvalidConfig(f"instances {self.instances} is not at least 1")
        if self.threads is not None and self.threads < 1:
            raise InvalidConfig(f"threads {self.threads} is not at least 1")
        if self.device != "cpu" and not self.device.startswith("tensorrt"):
            cuda_index(self.device)

    @property
    def all_threads(self) -> int:
        """The threads of all instances together."""
        return self.threads * self.instances if self.threads else available_cores()


def cuda_index(device: str) -> int | None:
    """The number of the GPU that ``cuda:N`` names (``cuda`` alone is the first); None for cpu.

    Raises:
        BackendUnavailable: TensorRT is asked for.
        InvalidConfig: the text names no device.
    """
    if device == "cpu":
        return None
    if device.startswith("tensorrt"):
        raise BackendUnavailable(
            "TensorRT is not in this release; use device 'cuda:0', ONNX Runtime's CUDA provider"
        )
    match = _CUDA.fullmatch(device)
    if match is None:
        raise InvalidConfig(f"device {device!r} is not one of cpu, cuda:0, cuda:1, ...")
    return int(match.group(1) or 0)


def available_cores() -> int:
    """The cores this process may use: its affinity, or its container's quota where that is less."""
    allowed = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, min(cores, _quota(_QUOTA) or cores))


def _quota(path: Path) -> int | None:
    """The whole cores that a cgroup-v2 ``cpu.max`` file allows; None where it sets no limit."""
    try:
        share, period = path.read_text().split()
    except (OSError, ValueError):  # no cgroup v2, or nothing mounted: no quota to know of
        return None
    return None if share == "max" else max(1, round(int(share) / int(period)))
