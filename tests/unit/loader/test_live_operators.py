"""The list of operators that are asked of live MXNet is whole: it holds all that are lowered."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import tomllib
from asking import LIST, listed

from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import Lowering

CONFORMANCE = Path(__file__).parents[2] / "conformance"
DRAWN = sorted(path.stem for path in CONFORMANCE.glob("test_drawn_*.py"))
REASONS: dict[str, str] = tomllib.loads((LIST.parent / "not_live.toml").read_text("utf-8"))
"""Operators that are not asked of live MXNet, and why."""
LOWERED = {entry.name for entry in TABLE.entries() if isinstance(entry, Lowering)}


def test_each_operator_is_asked_of_live_mxnet_or_listed_with_its_reason() -> None:
    assert LOWERED - set(listed()) - set(REASONS) == set()


def test_reasons_are_given_only_where_there_is_need() -> None:
    assert set(REASONS) <= LOWERED
    assert set(REASONS) & set(listed()) == set()
    assert all(reason.strip() for reason in REASONS.values())


@pytest.mark.parametrize("name", DRAWN)
def test_the_list_has_what_is_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CONFORMANCE))
    table = importlib.import_module(name).TABLE

    assert {op for op, files in listed().items() if f"{name}.py" in files} == set(table)


def test_the_list_names_files_that_are_there() -> None:
    names = {name for files in listed().values() for name in files}

    assert {name for name in names if not list(CONFORMANCE.parent.rglob(name))} == set()
