"""A server for as long as the demo runs: on free ports, stopped by SIGTERM as in production."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.request import urlopen

from telling import Samples, samples

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a running server is."""

    grpc: str
    metrics: str

    def scrape(self) -> Samples:
        """What a scraper would read now."""
        with urlopen(self.metrics, timeout=5) as page:
            return samples(page.read().decode())


@contextlib.contextmanager
def serving(models: Path) -> Iterator[Serving]:
    """Start ``gluonserve serve`` on these models, wait for its ready line, stop it at the end."""
    command = [str(Path(sys.executable).with_name("gluonserve")), "serve", str(models)]
    command += ["--host", "127.0.0.1", "--http-port", "off", "--grpc-port", "0"]
    command += ["--metrics-port", "0", "--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = _ready_line(process.stdout)
            grpc, metrics = (_port(name, line) for name in ("grpc", "metrics"))
            yield Serving(f"127.0.0.1:{grpc}", f"http://127.0.0.1:{metrics}/metrics")
        finally:
            process.terminate()


def _ready_line(stdout: IO[str] | None) -> str:
    for line in stdout or ():
        print(f"  | {line}", end="")
        if line.startswith("gluonserve is ready"):
            return line
        if line.startswith("gluonserve is"):
            break
    raise SystemExit("demo: the server did not become ready")


def _port(name: str, line: str) -> str:
    found = re.search(rf"\b{name} (\d+)", line)
    if found is None:
        raise SystemExit(f"demo: no {name} port in {line!r}")
    return found[1]
