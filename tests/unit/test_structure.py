"""The house's rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
SOURCES = tuple(ROOT / one for one in ("server/src", "clients/python/src", "exporter/src", "tools"))
MODULES = sorted(
    path for source in SOURCES for path in source.rglob("*.py") if "_proto" not in path.parts
)
VAGUE = {"utils", "util", "helpers", "common", "core", "base", "manager"}
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_has_a_telling_name(path: Path) -> None:
    names = {path.stem, *path.relative_to(ROOT).parts[:-1]}

    assert not names & VAGUE


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_and_its_functions_are_short(path: Path) -> None:
    text = path.read_text()
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in functions
        if node.end_lineno is not None and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    }

    assert not long
    assert text.count("\n") <= LONGEST_MODULE


def test_picture_of_the_rooms_is_the_rule_that_is_checked() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    page = (ROOT / "docs/architecture.md").read_text()
    picture = page.partition("## Rooms")[2].split("```")[1]

    shown = [line.split("  ")[0] for line in picture.splitlines() if line[:1].strip()]

    assert shown == rules["contracts"][0]["layers"]


def test_distributions_carry_one_version() -> None:
    folders = ("server", "clients/python", "exporter")
    projects = [ROOT / folder / "pyproject.toml" for folder in folders]

    versions = {tomllib.loads(path.read_text())["project"]["version"] for path in projects}

    assert len(versions) == 1


def test_changelog_tells_of_the_version() -> None:
    project = tomllib.loads((ROOT / "server/pyproject.toml").read_text())["project"]

    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-mxnet.txt"])
def test_pins_name_versions_and_no_place(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]

    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[^ ;]+( ?; .+)?", line)]

    assert not odd
