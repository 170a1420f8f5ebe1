"""``make demo``, run for real."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCENES = sorted((ROOT / "demo/pictures").glob("scene-*.png"))


def test_demo_sees_what_is_there_draws_it_and_reads_metrics_back() -> None:
    done = subprocess.run(
        [sys.executable, "demo/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"answered [\d,]+ rows per second, p50 [\d.]+ ms", done.stdout)
    for scene in SCENES:
        drawn = Image.open(ROOT / "demo-output" / scene.name).convert("RGB")
        plain = Image.open(scene).convert("RGB").resize(drawn.size, Image.Resampling.NEAREST)
        assert np.any(np.asarray(drawn) != np.asarray(plain))
