from __future__ import annotations

import re
from pathlib import Path

import pytest

from gluonserve.metrics import DEFINITIONS

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"gluonserve_[a-z_]+")


@pytest.mark.parametrize("file", ["prometheus/rules.yml", "grafana/gluonserve.json"], ids=str)
def test_shipped_queries_use_metrics_that_exist(file: str) -> None:
    exported = {one.name for one in DEFINITIONS}

    used = {
        re.sub("_(bucket|sum|count)$", "", name)
        for name in NAME.findall((DEPLOY / file).read_text())
    }

    assert used
    assert used <= exported
