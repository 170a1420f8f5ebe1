from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from gluonserve.errors import InvalidRequest
from gluonserve.feeding import read_inputs
from gluonserve.tensors import DType, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = TensorSpec("tokens", DType.INT32, (-1, 3))
MASK = TensorSpec("mask", DType.FP32, (-1, 3))
SPECS = (TOKENS, MASK)


def test_npz_gives_inputs_by_name_and_samples_answers_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, **{"in:mask": np.ones((2, 3), np.float64), "out:y": np.zeros(1)})

    found = read_inputs([file], SPECS)

    assert list(found) == ["mask"]
    assert found["mask"].dtype == np.float32


def test_npy_files_are_the_inputs_in_order(tmp_path: Path) -> None:
    files = [tmp_path / "a.npy", tmp_path / "b.npy"]
    np.save(files[0], np.array([[1, 2, 3]]))
    np.save(files[1], np.array([[1.0, 0.0, 1.0]]))

    found = read_inputs(files, SPECS)

    assert found["tokens"].tolist() == [[1, 2, 3]]
    assert found["mask"].tolist() == [[1, 0, 1]]


def test_a_number_by_itself_stays_one(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.float32(3))

    found = read_inputs([tmp_path / "x.npy"], [TensorSpec("x", DType.FP32, (), None)])

    assert found["x"].shape == ()


def test_a_single_row_gets_its_axis(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.array([1, 2, 3]))

    assert read_inputs([file], SPECS)["tokens"].shape == (1, 3)


def test_byte_order_mark_of_an_editor_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("[[1, 2, 3]]", encoding="utf-8-sig")

    assert read_inputs([file], SPECS[:1])


@pytest.mark.parametrize(
    "content",
    [
        {"tokens": [[1, 2, 3]]},
        [[1, 2, 3]],
        {"inputs": [{"name": "tokens", "shape": [1, 3], "datatype": "INT32", "data": [1, 2, 3]}]},
    ],
    ids=["by_name", "bare", "protocol"],
)
def test_json_of_each_kind(tmp_path: Path, content: object) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(content))

    assert read_inputs([file], SPECS)["tokens"].tolist() == [[1, 2, 3]]


def test_pictures_are_rows(tmp_path: Path) -> None:
    files = []
    for shade in (0, 255):
        files.append(tmp_path / f"{shade}.png")
        Image.new("L", (4, 4), shade).save(files[-1])

    found = read_inputs(files, [MASK, TensorSpec("data", DType.FP32, (-1, 1, 4, 4))])

    assert found["data"].shape == (2, 1, 4, 4)
    assert found["data"].mean(axis=(1, 2, 3)).tolist() == [0, 1]


def test_values_that_do_not_fit_the_type_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.array([[1.5, 2, 3]]))

    with pytest.raises(InvalidRequest, match="do not fit INT32"):
        read_inputs([file], SPECS)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, other=np.ones(3))

    with pytest.raises(InvalidRequest, match="'other'; the model's inputs are tokens, mask"):
        read_inputs([file], SPECS)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(b"PK\x03\x04 but no archive")

    with pytest.raises(InvalidRequest, match=r"x\.npz: cannot be read"):
        read_inputs([file], SPECS)


def test_more_files_than_inputs_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.array([[1, 2, 3]]))

    with pytest.raises(InvalidRequest, match="already given"):
        read_inputs([file, file], [TOKENS])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"1,2,3", "a kind of file that is not read; expected npy, npz, JSON, PNG"),
        ("a.npy", b"1 2 3", "not a npy file, whatever its name says"),
        ("a.npz", b"", "the file is empty"),
        ("a.npy", b"\x93NUMPY\x01", "cannot be read: "),
        ("a.json", b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        ("a.json", b"[1, 2", "cannot be read: "),
        ("a.json", b"[[1, 2], [3]]", "lists in it differ in length or depth"),
        ("a.json", b'{"tokens": ["a"]}', "input 'tokens': expected an array of numbers"),
        ("a.json", b'{"tokens": null}', "input 'tokens': expected an array of numbers"),
        ("a.json", b'{"tokens": {"a": 1}}', "input 'tokens': expected an array of numbers"),
        ("a.json", b'{"tokens": [NaN, 1, 2]}', "input 'tokens': values do not fit INT32"),
        ("a.json", b'{"inputs": [{"data": [1]}]}', "expected objects with name, shape"),
        ("a.json", b'{"inputs": ["tokens"]}', "expected objects with name, shape"),
        ("a.json", b'{"inputs": [{"name": "tokens", "shape": [9], "data": [1]}]}', "reshape"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_an_input_is_one_error_of_ours(tmp_path, name, content, told) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(InvalidRequest) as caught:
        read_inputs([file], SPECS)

    assert str(caught.value).startswith(f"{file}: ")
    assert told in str(caught.value)
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [np.array([{}, 1], object), np.zeros((1, 3), complex), np.array(["a"])],
    ids=["objects", "complex", "text"],
)
@pytest.mark.filterwarnings("error")
def test_arrays_of_other_things_than_numbers_are_refused(tmp_path: Path, array) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)

    with pytest.raises(InvalidRequest, match=r"numbers$"):
        read_inputs([tmp_path / "a.npy"], SPECS)


def test_endings_may_be_large(tmp_path: Path) -> None:
    (tmp_path / "A.JSON").write_text("[[1, 2, 3]]")

    assert read_inputs([tmp_path / "A.JSON"], SPECS)["tokens"].tolist() == [[1, 2, 3]]
