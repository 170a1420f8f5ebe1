"""Replays the repository's selection of recorded operator cases on both engines, without MXNet."""

from __future__ import annotations

from pathlib import Path

import pytest
from replay import ENGINES, Case, cases, replay

RECORDED = Path(__file__).parents[1] / "data" / "recorded"
CASES = [case for path in sorted(RECORDED.glob("*.npz")) for case in cases(path)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_engines_answer_what_mxnet_answered(case: Case, engine: str) -> None:
    verdict = replay(case, engine)

    assert verdict.outcome == "agree", f"{dict(case.attrs)}: {verdict.outcome}: {verdict.detail}"
