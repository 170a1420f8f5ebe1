"""Pictures in and out: a file as a model's input, and detections drawn onto a picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from gluonserve.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gluonserve.tensors import TensorSpec

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_SPREAD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324")


class Pixels(Enum):
    """What numbers a model wants for pixels."""

    RAW = "raw"
    """0 to 255."""
    UNIT = "unit"
    """0 to 1, as ToTensor makes them."""
    IMAGENET = "imagenet"
    """0 to 1, less ImageNet's mean, over its standard deviation."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How an input holds a picture; a size of None is whatever the file has."""

    height: int | None
    width: int | None
    channels: int
    channels_last: bool


@dataclass(frozen=True, slots=True)
class Detection:
    """One found object: its class, score, and corners (left, top, right, bottom) from 0 to 1."""

    label: int
    score: float
    corners: tuple[float, float, float, float]


def frame_of(spec: TensorSpec) -> Frame:
    """How this input holds a picture.

    Raises:
        InvalidRequest: its shape is not that of pictures.
    """
    dims = spec.shape
    if len(dims) in (3, 4):
        *_, first, second, third = dims
        if third in (1, 3) and first not in (1, 3):
            return Frame(_pixels(first), _pixels(second), third, channels_last=True)
        if first in (1, 3):
            return Frame(_pixels(second), _pixels(third), first, channels_last=False)
    raise InvalidRequest(
        f"input {spec.name!r} with shape {list(dims)} does not hold pictures: expected rows of"
        " (height, width, channels) or (channels, height, width) with 1 or 3 channels"
    )


def _pixels(dim: int) -> int | None:
    return None if dim == -1 else dim


def read_picture(path: Path, spec: TensorSpec, pixels: Pixels | None = None) -> np.ndarray:
    """A picture as one row (with its batch axis) of ``spec``, resized to the input's size.

    Without ``pixels``, inputs with the channels last and integer inputs get 0 to 255 (such models
    hold their own preprocessing), others 0 to 1. As with ``mx.image.imread``, a camera's note of
    its orientation is followed, alpha is left out, and of 16 bits the upper 8 are taken.

    Raises:
        InvalidRequest: the file is no picture, or the input takes none.
    """
    frame = frame_of(spec)
    picture = _upright(path, "L" if frame.channels == 1 else "RGB")
    target = (frame.width or picture.width, frame.height or picture.height)
    if picture.size != target:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
    values = np.asarray(picture).reshape(target[1], target[0], frame.channels)
    values = _scaled(values, spec, pixels or _usual_pixels(spec, frame))
    if not frame.channels_last:
        values = values.transpose(2, 0, 1)
    batched = values[None] if len(spec.shape) == 4 else values
    return np.ascontiguousarray(batched, dtype=spec.dtype.numpy)


def _upright(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            return picture.convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"{path}: not a picture that can be read: {error}") from error


def _usual_pixels(spec: TensorSpec, frame: Frame) -> Pixels:
    whole = spec.dtype.numpy.kind in "iu"
    return Pixels.RAW if whole or frame.channels_last else Pixels.UNIT


def _scaled(values: np.ndarray, spec: TensorSpec, pixels: Pixels) -> np.ndarray:
    if pixels is Pixels.RAW:
        return values
    if spec.dtype.numpy.kind in "iu":
        raise InvalidRequest(
            f"input {spec.name!r} is {spec.dtype.value}: its pixels can only be raw"
        )
    unit = values.astype(np.float32) / 255
    if pixels is Pixels.IMAGENET and values.shape[-1] == 3:
        return (unit - _MEAN) / _SPREAD
    return unit


def is_detection_output(output: np.ndarray) -> bool:
    """Whether an output looks like rows of (class, score, left, top, right, bottom).

    Classes are whole numbers from -1, which is filling.
    """
    if output.ndim != 3 or output.shape[2] != 6 or output.dtype.kind != "f":
        return False
    classes = output[..., 0]
    return bool((np.isfinite(classes) & (classes == np.floor(classes)) & (classes >= -1)).all())


def detections(rows: np.ndarray, threshold: float) -> list[Detection]:
    """The objects in one picture's rows of (class, score, corners); class -1 is filling."""
    kept = rows[(rows[:, 0] >= 0) & (rows[:, 1] >= threshold)]
    return [
        Detection(
            int(row[0]), float(row[1]), (float(row[2]), float(row[3]), float(row[4]), float(row[5]))
        )
        for row in kept[np.argsort(-kept[:, 1], kind="stable")]
    ]


def draw_detections(
    source: Path,
    found: Sequence[Detection],
    labels: Mapping[int, str],
    target: Path,
    side: int = 512,
) -> None:
    """Write the picture with a box, a label and a score per object; small pictures are enlarged.

    Corners may come in either order; a box of which one is NaN has no place on a picture.
    """
    picture = _upright(source, "RGB")
    factor = max(1, round(side / max(picture.size)))
    picture = picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
    draw = ImageDraw.Draw(picture)
    for one in found:
        if np.isnan(one.corners).any():
            continue
        colour = _COLOURS[one.label % len(_COLOURS)]
        ends = np.sort(np.reshape(one.corners, (2, 2)), axis=0)
        box = tuple(np.clip(ends, 0, 1).ravel() * (picture.size * 2))
        draw.rectangle(box, outline=colour, width=2)
        name = labels.get(one.label, f"class {one.label}")
        _caption(draw, f"{name}: {one.score:.0%}", box[0], box[1], colour)
    picture.save(target)


def _caption(draw: ImageDraw.ImageDraw, text: str, left: float, bottom: float, colour: str) -> None:
    _, _, width, height = draw.textbbox((0, 0), text)
    top = max(bottom - height - 3, 0)
    draw.rectangle((left, top, left + width + 4, top + height + 3), fill=colour)
    draw.text((left + 2, top + 1), text, fill="white")
