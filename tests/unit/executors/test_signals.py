"""Signals reach a process whose engines came and went on other threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from gluonserve.executors import FACTORIES

COME_AND_GO = """
    import faulthandler, gc, os, signal, sys, threading
    import exported
    from pathlib import Path
    from gluonserve.executors import choose
    from gluonserve.loader.importing import import_model

    faulthandler.enable()  # gives the main thread an alternate stack, as pytest and servers do
    network = exported.convolution()
    imported = import_model(*network.export(Path(sys.argv[2])), inputs=network.hints)
    executors = [choose(imported, sys.argv[1])]
    del imported

    def close():
        executors.pop().close()
        gc.collect()

    closer = threading.Thread(target=close)
    closer.start()
    closer.join()
    heard = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: heard.append(number))
        os.kill(os.getpid(), number)
    assert heard == [signal.SIGTERM, signal.SIGINT], heard
"""


@pytest.mark.parametrize("engine", [name for name in FACTORIES if name != "mxnet"])
def test_arrive_after_a_model_was_closed_on_another_thread(engine: str, tmp_path) -> None:
    script = textwrap.dedent(COME_AND_GO)
    paths = [path for path in sys.path if path]

    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{script}", engine, tmp_path],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
