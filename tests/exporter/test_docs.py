"""``docs/exporting.md``: its examples run, and its findings are those there are."""

from __future__ import annotations

import re
import textwrap
import warnings
from pathlib import Path

import mxnet as mx
import pytest

from gluonserve_export import KINDS, diagnose
from gluonserve_export.cli import _parser

pytestmark = pytest.mark.mxnet
PAGE = Path(__file__).resolve().parents[2] / "docs/exporting.md"


def test_examples_run_in_order(tmp_path, monkeypatch):
    mx.random.seed(0)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {"__name__": "example"}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, block in enumerate(blocks):
            file = tmp_path / f"example{number}.py"
            file.write_text(block)
            exec(compile(block, str(file), "exec"), names)

    assert len(blocks) > 10
    assert (tmp_path / "models/tiny/1/model.toml").exists()
    printed = str(diagnose(names["careless"], names["x"]))
    assert _without_place(printed) == _without_place(_indented_after("The printed tree:"))


def _without_place(tree):
    return re.sub(r"at example\d*\.py:\d+", "at example.py", tree)


def _indented_after(line):
    rest = PAGE.read_text().split(line + "\n\n")[1]
    block = rest.split("\n\n")[0]
    return textwrap.dedent(block)


def test_commands_are_understood():
    lines = re.findall(r"^    python -m gluonserve_export (.*)$", PAGE.read_text(), re.MULTILINE)

    commands = [_parser().parse_args(line.split()).command for line in lines]

    assert commands == ["diagnose", "export", "repair"]


def test_every_finding_is_listed_as_it_is():
    rows = [
        f"| `{code}` | {kind.weight} | {kind.meaning} | {kind.fix} |"
        for code, kind in KINDS.items()
    ]

    assert PAGE.read_text().endswith("\n".join(rows) + "\n")
