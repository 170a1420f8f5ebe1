"""``docs/exporting.md``: its examples run, and its findings are those there are."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import mxnet as mx
import pytest

from gluonserve_export import KINDS

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


def test_every_finding_is_listed_as_it_is():
    rows = [
        f"| `{code}` | {kind.weight} | {kind.meaning} | {kind.fix} |"
        for code, kind in KINDS.items()
    ]

    assert PAGE.read_text().endswith("\n".join(rows) + "\n")
