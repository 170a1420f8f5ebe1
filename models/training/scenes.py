"""Draws pictures with several handwritten digits in them, and says where each digit is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from digits import Digits, enlarge

SIDE = 128
MOST_DIGITS = 5
INK = 64
TRIES = 20


@dataclass(frozen=True)
class Scenes:
    """Pictures ``(N, SIDE, SIDE, 3)`` uint8 and boxes ``(N, MOST_DIGITS, 5)``.

    A box is digit, left, top, right, bottom, as shares of the picture; unused rows are -1.
    """

    pictures: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)


def draw_scenes(count: int, digits: Digits, random: np.random.Generator) -> Scenes:
    """``count`` scenes with one to five of these 8x8 digits each, never much overlapping."""
    pictures = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    boxes = np.full((count, MOST_DIGITS, 5), -1, np.float32)
    for scene in range(count):
        pictures[scene], found = _draw(digits, random)
        boxes[scene, : len(found)] = found
    return Scenes(pictures, boxes)


def _draw(digits: Digits, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    canvas = _background(random)
    taken = np.zeros((SIDE, SIDE), dtype=bool)
    boxes = []
    for _ in range(random.integers(1, MOST_DIGITS + 1)):
        which = int(random.integers(len(digits)))
        mask = _upright_mask(digits.pictures[which], random)
        place = _free_place(mask.shape, taken, random)
        if place is None:
            continue
        top, left = place
        bottom, right = top + mask.shape[0], left + mask.shape[1]
        taken[top:bottom, left:right] = True
        _paint(canvas[top:bottom, left:right], mask, random)
        boxes.append([digits.labels[which], left / SIDE, top / SIDE, right / SIDE, bottom / SIDE])
    noise = random.normal(0, random.uniform(0, 10), canvas.shape)
    return np.clip(canvas + noise, 0, 255).astype(np.uint8), np.array(boxes, np.float32)


def _upright_mask(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The digit's ink, 0 to 1, cut to the ink's own box and 24 to 72 pixels high or wide."""
    side = round(float(np.exp(random.uniform(np.log(26), np.log(76)))))
    large = Image.fromarray(enlarge(picture, side))
    turned = large.rotate(random.uniform(-10, 10), Image.Resampling.BILINEAR)
    ink = np.asarray(turned, np.float32)
    rows, columns = np.flatnonzero((ink > INK).any(1)), np.flatnonzero((ink > INK).any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.clip((cut - INK / 2) / (192 - INK / 2), 0, 1)


def _free_place(
    shape: tuple[int, int], taken: np.ndarray, random: np.random.Generator
) -> tuple[int, int] | None:
    for _ in range(TRIES):
        top = int(random.integers(0, SIDE - shape[0] + 1))
        left = int(random.integers(0, SIDE - shape[1] + 1))
        if not taken[top : top + shape[0], left : left + shape[1]].any():
            return top, left
    return None


def _paint(area: np.ndarray, mask: np.ndarray, random: np.random.Generator) -> None:
    """Lay ink of a colour that stands out from what is there over ``area``, in place."""
    behind = area.mean(axis=(0, 1))
    while True:
        colour = random.uniform(0, 255, 3)
        if abs(_brightness(colour) - _brightness(behind)) > 70:
            break
    area += mask[..., np.newaxis] * (colour - area)


def _brightness(colour: np.ndarray) -> float:
    return float(colour @ (0.299, 0.587, 0.114))


def _background(random: np.random.Generator) -> np.ndarray:
    """Plain, shaded or mottled."""
    corners = random.uniform(0, 255, 3) + random.uniform(-1, 1, (2, 2, 3)) * random.choice([0, 50])
    grain = random.uniform(-1, 1, (8, 8, 3)) * random.choice([0, 30])
    shade = np.clip(_stretch(corners) + _stretch(grain), 0, 255).astype(np.uint8)
    picture = Image.fromarray(shade).filter(ImageFilter.GaussianBlur(1))
    return np.asarray(picture).astype(np.float64)


def _stretch(colours: np.ndarray) -> np.ndarray:
    return np.stack([_stretch_channel(channel) for channel in np.moveaxis(colours, -1, 0)], -1)


def _stretch_channel(channel: np.ndarray) -> np.ndarray:
    small = Image.fromarray(channel.astype(np.float32))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
