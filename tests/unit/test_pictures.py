from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from gluonserve.errors import InvalidRequest
from gluonserve.pictures import (
    Detection,
    Pixels,
    detections,
    draw_detections,
    is_detection_output,
    read_picture,
)
from gluonserve.tensors import DType, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

GREY_RAW = TensorSpec("data", DType.UINT8, (-1, 4, 6, 1))
COLOUR = TensorSpec("data", DType.FP32, (-1, 3, 4, 6))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Six by four; red grows to the right, green downwards, blue is 255."""
    values = np.zeros((4, 6, 3), np.uint8)
    values[..., 0] = np.arange(6) * 10
    values[..., 1] = np.arange(4)[:, None] * 20
    values[..., 2] = 255
    path = tmp_path / "picture.png"
    Image.fromarray(values).save(path)
    return path


def test_channels_first_floats_get_zero_to_one(picture: Path) -> None:
    row = read_picture(picture, COLOUR)

    assert row.shape == (1, 3, 4, 6)
    assert row.dtype == np.float32
    assert row[0, 0, 0, 5] == pytest.approx(50 / 255)
    assert row[0, 2].min() == 1


def test_channels_last_get_raw_values_in_grey(picture: Path) -> None:
    row = read_picture(picture, GREY_RAW)

    assert row.shape == (1, 4, 6, 1)
    assert row.dtype == np.uint8
    assert row.max() > 1


def test_imagenet_normalisation_is_per_channel(picture: Path) -> None:
    row = read_picture(picture, COLOUR, Pixels.IMAGENET)

    assert row[0, 2, 0, 0] == pytest.approx((1 - 0.406) / 0.225, rel=1e-5)


def test_picture_is_resized_to_the_input(picture: Path) -> None:
    row = read_picture(picture, TensorSpec("data", DType.FP32, (-1, 1, 8, 8)))

    assert row.shape == (1, 1, 8, 8)


def test_free_sizes_take_the_picture_as_it_is(picture: Path) -> None:
    row = read_picture(picture, TensorSpec("data", DType.FP32, (-1, 3, -1, -1)))

    assert row.shape == (1, 3, 4, 6)


def test_whole_numbers_are_only_raw(picture: Path) -> None:
    with pytest.raises(InvalidRequest, match="can only be raw"):
        read_picture(picture, GREY_RAW, Pixels.UNIT)


def test_an_input_of_another_shape_takes_no_pictures(picture: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not hold pictures"):
        read_picture(picture, TensorSpec("tokens", DType.FP32, (-1, 128)))


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"no picture")

    with pytest.raises(InvalidRequest, match=r"picture\.png: not a picture"):
        read_picture(path, COLOUR)


def test_detections_leave_out_filling_and_low_scores_best_first() -> None:
    rows = np.array(
        [
            [2, 0.6, 0.1, 0.2, 0.3, 0.4],
            [-1, 0.9, 0, 0, 1, 1],
            [1, 0.8, 0, 0, 1, 1],
            [1, 0.2, 0, 0, 1, 1],
        ]
    )

    found = detections(rows, threshold=0.5)

    assert [(one.label, one.score) for one in found] == [(1, 0.8), (2, 0.6)]
    assert found[1].corners == pytest.approx((0.1, 0.2, 0.3, 0.4))


def test_boxes_are_drawn_where_they_were_found(picture: Path, tmp_path: Path) -> None:
    target = tmp_path / "drawn.png"

    draw_detections(picture, [Detection(0, 0.9, (0.5, 0.5, 1.0, 1.0))], {0: "three"}, target)

    with Image.open(target) as drawn:
        pixels = np.asarray(drawn)
    changed = (pixels == np.array([0xE6, 0x19, 0x4B])).all(axis=2)
    assert changed[:, pixels.shape[1] // 2 + 2].any()
    assert not changed[:, : pixels.shape[1] // 2 - 2].any()


@pytest.mark.parametrize(
    "corners", [(1.0, 1.0, 0.5, 0.5), (1.0, 0.5, 0.5, 1.0), (0.5, 0.5, np.inf, 7)]
)
def test_boxes_are_drawn_whichever_corners_come_first(
    picture: Path, tmp_path: Path, corners: tuple[float, float, float, float]
) -> None:
    for name, one in (("as_it_is", corners), ("in_order", (0.5, 0.5, 1.0, 1.0))):
        draw_detections(picture, [Detection(0, 0.9, one)], {}, tmp_path / f"{name}.png")

    assert (tmp_path / "as_it_is.png").read_bytes() == (tmp_path / "in_order.png").read_bytes()


def test_box_without_a_place_is_not_drawn(picture: Path, tmp_path: Path) -> None:
    nowhere = Detection(0, 0.9, (0.5, np.nan, 1.0, 1.0))

    for name, found in (("nowhere", [nowhere]), ("nothing", [])):
        draw_detections(picture, found, {}, tmp_path / f"{name}.png")

    assert (tmp_path / "nowhere.png").read_bytes() == (tmp_path / "nothing.png").read_bytes()


@pytest.mark.parametrize("label", [np.inf, np.nan, -np.inf, 0.5, -2])
def test_what_is_no_class_makes_no_detections(label: float) -> None:
    output = np.zeros((1, 2, 6), np.float32)
    output[0, 1, 0] = label

    assert not is_detection_output(output)


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 100, 6), True), ((2, 100, 4), False), ((2, 6), False)], ids=str
)
def test_detection_outputs_are_known_by_their_shape(shape: tuple[int, ...], expected: bool) -> None:
    assert is_detection_output(np.zeros(shape, np.float32)) is expected


def test_a_camera_s_orientation_is_followed(tmp_path: Path) -> None:
    upright = Image.new("L", (6, 4))
    upright.paste(255, (3, 0, 6, 4))
    turned, note = upright.rotate(90, expand=True), Image.Exif()
    note[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=note, quality=100)

    row = read_picture(tmp_path / "turned.jpg", GREY_RAW)

    assert row[0, :, 3:].min() > 200
    assert row[0, :, :3].max() < 50


def test_of_16_bits_the_upper_ones_are_taken(tmp_path: Path) -> None:
    deep = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2570
    Image.fromarray(deep).save(tmp_path / "deep.png")

    row = read_picture(tmp_path / "deep.png", GREY_RAW)

    assert row[0, :, :, 0].tolist() == (deep >> 8).tolist()


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA", "CMYK"])
def test_every_kind_of_white_is_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("white.jpg" if mode == "CMYK" else "white.png")
    Image.new("RGB", (6, 4), "white").convert(mode).save(path)

    assert read_picture(path, GREY_RAW).min() == 255
    assert read_picture(path, COLOUR).min() == 1


@pytest.mark.parametrize("damage", ["cut", "chunk", "bomb"])
def test_broken_pictures_are_one_error_that_names_the_file(
    picture: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = picture.read_bytes()
    if damage == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)
    else:
        tail = b"" if damage == "cut" else b"\0" * 12
        picture.write_bytes(whole[:45] + tail)

    with pytest.raises(InvalidRequest, match=r"picture\.png: not a picture that can be read"):
        read_picture(picture, COLOUR)
