"""Memory of one import in a fresh process.

`python -m benchmarks.memory_worker SYMBOL PARAMS SHAPE` prints one JSON line: resident bytes with
the packages imported, the peaks while the network was imported and compiled, and what stayed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gluonserve.executors import ExecutorOptions, choose
from gluonserve.loader.importing import InputHint, import_model


def resident(key: str) -> int:
    """A figure of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def main(symbol: str, params: str, shape: str) -> None:
    """Import and compile; a first, tiny look at the engine has loaded its libraries."""
    from gluonserve.executors.openvino import process_core  # noqa: PLC0415 - timed apart

    process_core()  # its libraries load before the measure begins
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    row = tuple(map(int, shape.split(",")))
    imported = import_model(
        Path(symbol), Path(params), inputs={"data": InputHint(shape=(-1, *row))}
    )
    after_import = resident("VmHWM")
    executor = choose(imported, "auto", ExecutorOptions())
    figures = {
        "packages_bytes": before,
        "import_peak_bytes": after_import - before,
        "compile_peak_bytes": resident("VmHWM") - before,
        "compiled_bytes": resident("VmRSS") - before,
    }
    executor.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
