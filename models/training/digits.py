"""Handwritten digits for the samples: scikit-learn's 8x8 pictures, enlarged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIDE = 28
HELD_OUT = 0.2


@dataclass(frozen=True)
class Digits:
    """Pictures ``(N, side, side)`` uint8, white on black, and which digit each shows."""

    pictures: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def enlarge(picture: np.ndarray, side: int) -> np.ndarray:
    """One 8x8 picture (0..255) at ``side`` x ``side``, smoothly."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def small_digits() -> Digits:
    """All 1,797 pictures as they come, 8x8, scaled to 0..255."""
    bunch = load_digits()
    pictures = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return Digits(pictures, bunch.target.astype(np.int64))


def split_digits(side: int = SIDE) -> tuple[Digits, Digits]:
    """Enlarged digits to learn from, and digits held out of training (the same ones each time)."""
    digits = small_digits()
    learn, held = train_test_split(
        np.arange(len(digits)), test_size=HELD_OUT, random_state=0, stratify=digits.labels
    )
    large = np.stack([enlarge(picture, side) for picture in digits.pictures])
    return Digits(large[learn], digits.labels[learn]), Digits(large[held], digits.labels[held])


def jitter(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same digits a little turned, shifted and resized, each differently."""
    return np.stack([_jitter_one(picture, random) for picture in pictures])


def _jitter_one(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = np.deg2rad(random.uniform(-12, 12))
    zoom = random.uniform(0.85, 1.15)
    shift = random.uniform(-2, 2, size=2)
    middle = (picture.shape[0] - 1) / 2
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x0 = middle - cos * (middle + shift[0]) - sin * (middle + shift[1])
    y0 = middle + sin * (middle + shift[0]) - cos * (middle + shift[1])
    moved = Image.fromarray(picture).transform(
        picture.shape[::-1],
        Image.Transform.AFFINE,
        (cos, sin, x0, -sin, cos, y0),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(moved)
