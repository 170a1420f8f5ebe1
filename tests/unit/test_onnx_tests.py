"""Each of the 131 tests that MXNet has for its ONNX exporter is covered by cases or tests of ours.

``tests/data/onnx_tests.json`` lists them as MXNet 1.9's ``tests/python-pytest/onnx/
test_operators.py`` defines them (four names are defined twice), with recorded cases by operator
and position, or with tests of ours by file and name.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
LISTED = json.loads((ROOT / "tests/data/onnx_tests.json").read_text())
FIGURES = json.loads((ROOT / "tests/data/conformance.json").read_text())["operators"]


def test_all_of_them_are_listed() -> None:
    assert len(LISTED) == 131
    assert all(any(one.get("cases", {}).values()) or one.get("tests") for one in LISTED)


def test_the_recorded_cases_exist() -> None:
    missing = [
        (one["test"], operator, number)
        for one in LISTED
        for operator, numbers in one.get("cases", {}).items()
        for number in numbers
        if number >= FIGURES.get(operator, {}).get("auto", {}).get("recorded", 0)
    ]

    assert missing == []


def test_the_tests_exist() -> None:
    missing = [
        name
        for one in LISTED
        for name in one.get("tests", [])
        if f"def {name.partition('::')[2]}(" not in (ROOT / name.partition("::")[0]).read_text()
    ]

    assert missing == []
