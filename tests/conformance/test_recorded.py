"""Replays the repository's selection of recorded operator cases without MXNet.

What does not agree is listed in ``tests/data/deviations.toml``, and nothing else is: a listed case
that agrees fails here, too. ``tools/select_recorded.py`` chooses the cases.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conforming import MODES, SUMMARY
from tests.conforming_worker import replay
from tests.deviations import listed
from tests.replay import Case, cases

RECORDED = Path(__file__).parents[1] / "data" / "recorded"
CASES = {
    f"{path.stem}-{case.id[1:]}": case
    for path in sorted(RECORDED.glob("*.npz"))
    for case in cases(path)
}
LISTED = listed()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_engines_answer_what_mxnet_answered(name: str, case: Case, mode: str) -> None:
    result = replay(case, mode, name)

    outcome = "" if result.outcome == "agree" else result.outcome
    assert outcome == LISTED.get((name, mode), ""), f"{dict(case.attrs)}: {result}"


def test_the_list_is_that_of_the_last_full_replay() -> None:
    figures = json.loads(SUMMARY.read_text())["operators"]

    counted = {
        (name, mode): row["recorded"] - row["agreed"]
        for name, modes in figures.items()
        for mode, row in modes.items()
        if row["recorded"] > row["agreed"]
    }
    found: dict[tuple[str, str], int] = {}
    for case, mode in LISTED:
        key = (case.rpartition("-")[0], mode)
        found[key] = found.get(key, 0) + 1
    assert found == counted
