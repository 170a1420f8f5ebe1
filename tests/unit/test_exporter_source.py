"""The exporter's source: it stands alone, and Python 3.7 can read it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "exporter/src").rglob("*.py"))
ALLOWED = {"mxnet", "numpy", "gluonserve_export"}
STANDARD = {
    *(
        "__future__",
        "argparse",
        "ast",
        "collections",
        "contextlib",
        "ctypes",
        "dataclasses",
        "functools",
    ),
    *("importlib", "inspect", "itertools", "json", "linecache", "numbers", "operator", "os"),
    *("pathlib", "re", "shutil", "sys", "textwrap", "threading", "types", "typing"),
}


def _name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_python_3_7_can_read_it(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_it_needs_numpy_and_mxnet_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ] + [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert {name.split(".")[0] for name in names} <= ALLOWED | STANDARD


def test_every_finding_is_explained_in_the_docs() -> None:
    source = (ROOT / "exporter/src/gluonserve_export/findings.py").read_text()
    codes = re.findall(r'^    "([a-z-]+)": Kind\(', source, re.MULTILINE)
    page = (ROOT / "docs/exporting.md").read_text()

    assert len(codes) > 20
    assert [code for code in codes if f"`{code}`" not in page] == []
