"""Which tests run where: live MXNet in the oracle's environment, GPUs where there are some.

A marked test that cannot run here is deselected, and the end of the report says how many and why.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

if TYPE_CHECKING:
    from pathlib import Path

# Hypothesis also draws the numbers that stand in the modules that happen to be imported: what a
# derandomized test draws would depend on the tests before it.
providers._get_local_constants = Constants

WHY = {
    "mxnet": "MXNet is not installed here; `make test` runs them in .venv-mxnet",
    "gpu": "there is no NVIDIA GPU here; `make gpu-test` runs them where there is one",
    "slow": "they take long; `-m slow` runs them, as `make conformance` and `make zoo` do",
}
LEFT_OUT = pytest.StashKey[dict[str, int]]()
FILES_LEFT_OUT = pytest.StashKey[list[str]]()
_ALL_OF_MXNET = re.compile(
    r"^(import mxnet|from mxnet|pytestmark = pytest\.mark\.mxnet$)", re.MULTILINE
)
HAS_MXNET = importlib.util.find_spec("mxnet") is not None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import files whose tests cannot run here: they may need packages of elsewhere."""
    if not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text()
    if config.option.markexpr.split(" ")[0] == "mxnet":
        return "mark.mxnet" not in text or None
    if _ALL_OF_MXNET.search(text) and not HAS_MXNET:
        files = config.stash.setdefault(FILES_LEFT_OUT, [])
        files.append(collection_path.name)
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run here."""
    asked = config.option.markexpr
    off = {
        "mxnet": not HAS_MXNET,
        "gpu": not _has_gpu(),
        "slow": "slow" not in asked,
    }
    left_out = config.stash.setdefault(LEFT_OUT, {})
    for marker in (name for name, is_off in off.items() if is_off):
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked:
            left_out[marker] = len(marked)
            config.hook.pytest_deselected(items=marked)
            items[:] = [item for item in items if item not in marked]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left out, and why."""
    for marker, count in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(f"{count} tests marked {marker} not run: {WHY[marker]}")
    if files := config.stash.get(FILES_LEFT_OUT, []):
        terminalreporter.write_line(f"{len(files)} files of such tests not read: {WHY['mxnet']}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write which operators are asked of live MXNet, where that is asked for."""
    if os.environ.get("GLUONSERVE_LIST_LIVE") and not session.testsfailed:
        from asking import write  # noqa: PLC0415 - else nothing of it is needed

        write()


def _has_gpu() -> bool:
    if shutil.which("nvidia-smi") is None:
        return False
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU" in listing.stdout
