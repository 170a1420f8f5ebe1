"""`gluonserve serve` as a process of its own, from its ready line to its end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

PROGRAM = Path(sys.executable).with_name("gluonserve")


class Served:
    """A server on free ports; ``ready`` is its line, ``table`` what came before."""

    def __init__(self, path: Path, *flags: str, program: Path = PROGRAM) -> None:
        ports = [f"--{name}-port=0" for name in ("http", "grpc", "metrics")]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        self.process = subprocess.Popen(
            [program, "serve", path, "--host", "127.0.0.1", *ports, *flags],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.table: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("gluonserve is "):
                self.ready = line
                break
            self.table.append(line)
        self.ports = {
            name: int(port) for name, port in re.findall(r"(http|grpc|metrics) (\d+)", self.ready)
        }
        self.address = f"127.0.0.1:{self.ports['grpc']}"

    def metrics(self) -> list[Sample]:
        """What a scraper sees now."""
        url = f"http://127.0.0.1:{self.ports['metrics']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        return [sample for family in families for sample in family.samples]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            sample.value
            for sample in self.metrics()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def stop(self, number: int = signal.SIGTERM, *, times: int = 1) -> list[dict]:
        """End it; its log."""
        for _ in range(times):
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        self._log.seek(0)
        lines = self._log.read().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def kill(self) -> None:
        """End it whatever it does; nothing if it has ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self._log.close()
