"""Writes the pictures of ``make demo``: digits and scenes that no sample model learned from.

Run in the environment that has MXNet: ``python models/training/pictures.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from digits import small_digits, split_digits
from scenes import draw_scenes

PICTURES = Path(__file__).resolve().parents[2] / "demo/pictures"
SCENES = 4


def main() -> None:
    """One picture of each digit, and a few scenes; what is in them stands in the file names."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    _, held = split_digits()
    for digit in range(10):
        last = np.flatnonzero(held.labels == digit)[-1]
        Image.fromarray(held.pictures[last]).save(PICTURES / f"digit-{digit}.png")
    _, small = split_digits(side=small_digits().pictures.shape[1])
    scenes = draw_scenes(SCENES, small, np.random.default_rng(42))
    for picture, boxes in zip(scenes.pictures, scenes.boxes, strict=True):
        shown = "".join(str(int(digit)) for digit in sorted(boxes[boxes[:, 0] >= 0, 0]))
        Image.fromarray(picture).save(PICTURES / f"scene-{shown}.png")


if __name__ == "__main__":
    main()
