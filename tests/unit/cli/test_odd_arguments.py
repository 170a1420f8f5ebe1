"""Odd numbers, names and files on the command line: one error that says what would be right."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from exported import activations

from gluonserve.cli import main
from gluonserve.cli.rendering import json_text

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

FREE = "127.0.0.1:1"


def gluonserve(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory that is one model, with two outputs of five numbers."""
    folder = tmp_path / "acts"
    folder.mkdir()
    activations().export(folder)
    settings = '[[inputs]]\nname = "data"\ndatatype = "FP32"\nshape = [-1, 5]\n'
    (folder / "model.toml").write_text(settings)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "net", "--seconds", "0"],
        ["bench", "net", "--seconds", "nan"],
        ["bench", "net", "--seconds", "inf"],
        ["bench", "net", "--warmup", "-1"],
        ["bench", "net", "--seconds", "1e9"],
        ["bench", "net", "--warmup", "1e300"],
        ["bench", "net", "--in-flight", "1000000"],
        ["bench", "net", "--rate", "1e13"],
        ["bench", "net", "--rate", "inf"],
        ["bench", "net", "--rate", "nan"],
        ["health", "--timeout", "0"],
        ["health", "--timeout", "1e300"],
        ["health", "--model", "net"],
        ["verify", ".", "--tolerance", "-1"],
        ["infer", "net", "x.npy", "--top", "0"],
        ["infer", "net", "x.npy", "--threshold", "nan"],
    ],
    ids=" ".join,
)
def test_number_out_of_range_is_wrong_usage(arguments) -> None:
    result = gluonserve(*arguments, *(["--address", FREE] if arguments[0] == "bench" else []))

    assert result.exit_code == 2, result.output
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "a\udcff", "--address", FREE],
        ["bench", "a", "--address", "a\udcff"],
        ["infer", "a\udcff", __file__, "--address", FREE],
        ["infer", "a", __file__, "--address", "a\udcff"],
        ["models", "list", "--address", "a\udcff"],
        ["health", "--address", "a\udcff"],
        ["health", "--address", FREE, "--model", "a\udcff"],
        ["serve", "--host", "a\udcff"],
    ],
    ids=ascii,
)
def test_text_that_is_not_utf8_is_wrong_usage(arguments) -> None:
    result = gluonserve(*arguments)

    assert result.exit_code == 2, result.output
    assert "UTF-8" in result.stderr


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "expected HOST:PORT, as in localhost:8001, not ''"),
        ("http://localhost:8001", "expected HOST:PORT, as in localhost:8001, not 'http:"),
        ("localhost:99999", "'localhost:99999': ports go up to 65535"),
    ],
)
def test_address_that_is_none_is_wrong_usage(address, told) -> None:
    result = gluonserve("models", "list", "--address", address)

    assert result.exit_code == 2, result.output
    assert told in " ".join(result.stderr.split())


def test_tensorrt_is_told_not_to_be_in_this_release(model) -> None:
    result = gluonserve("verify", model, "--executor", "tensorrt")

    assert result.exit_code == 2
    assert "TensorRT is not in this release" in " ".join(result.output.split())


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_no_model_is_an_error(tmp_path, command) -> None:
    result = gluonserve(command, tmp_path)

    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path} holds no model\n"


def test_what_there_is_is_told_where_the_wanted_is_not(model, tmp_path) -> None:
    result = gluonserve("convert", model, "-o", tmp_path / "x.onnx", "--version", 9)

    assert result.exit_code == 2
    assert result.stderr == f"error: {model}: no model version 9; there is net 1\n"


def test_verification_without_answers_has_no_figures(model) -> None:
    table = gluonserve("verify", model, "--no-live")
    (row,) = json.loads(gluonserve("verify", model, "--no-live", "--json").stdout)

    assert "FAILED: net: nothing to compare with" in " ".join(table.stdout.split())
    assert "inf" not in table.stdout
    assert (row["relative"], row["passed"]) == (None, False)


class TestInfer:
    @pytest.fixture
    def array(self, tmp_path: Path) -> Path:
        np.save(tmp_path / "x.npy", np.array([[1, np.nan, np.inf, -np.inf, 2]], np.float32))
        return tmp_path / "x.npy"

    @pytest.mark.filterwarnings("error")
    def test_json_has_no_constants_that_json_has_not(self, model, array) -> None:
        shown = gluonserve("infer", "--model", model, array, "--json").stdout

        def refuse(name: str) -> None:
            raise AssertionError(name)

        assert json.loads(shown, parse_constant=refuse)["outputs"]

    @pytest.mark.parametrize(
        ("name", "told"), [("x", "x: no such file"), ("acts", "acts: not a file")]
    )
    def test_input_that_is_no_file(self, model, tmp_path, name, told) -> None:
        result = gluonserve("infer", "--model", model, tmp_path / name)

        assert result.exit_code == 2
        assert told in "".join(result.output.split("\n"))

    def test_output_of_another_kind_is_told_before_anything_runs(self, model, array) -> None:
        result = gluonserve("infer", "--model", model, array, "-o", "x.txt")

        assert result.exit_code == 2
        assert "x.txt: expected a name in .npz, .json, .jpeg, .jpg, .png" in result.output

    def test_output_that_cannot_be_written(self, model, array, tmp_path) -> None:
        target = tmp_path / "nowhere" / "x.npz"

        result = gluonserve("infer", "--model", model, array, "-o", target)

        assert result.exit_code == 1
        assert result.stderr == f"error: {target}: cannot be written: No such file or directory\n"

    def test_drawing_without_a_picture(self, model, array, tmp_path) -> None:
        result = gluonserve("infer", "--model", model, array, "-o", tmp_path / "x.png")

        assert result.exit_code == 2
        assert "nothing to draw: there is no detections" in result.output

    def test_several_models_are_told_what_can_be_done(self, model, array, tmp_path) -> None:
        shutil.copytree(model, tmp_path / "other")

        here = gluonserve("infer", "--model", tmp_path, array)
        converted = gluonserve("convert", tmp_path, "-o", tmp_path / "x.onnx")

        assert here.exit_code == converted.exit_code == 2
        found = f"error: {tmp_path}: expected one model, found acts, other; "
        assert here.stderr == found + "say the path of one of them\n"
        assert converted.stderr == found + "--name says which\n"

    def test_labels_that_are_no_text(self, model, array, tmp_path) -> None:
        (tmp_path / "labels").write_bytes(b"\xff\xfe")

        result = gluonserve("infer", "--model", model, array, "--labels", tmp_path / "labels")

        assert result.exit_code == 2
        assert "labels: cannot be read" in result.output


def test_constants_that_json_has_not_are_text() -> None:
    value = {"a": (float("nan"), [float("inf"), -float("inf")]), "b": 1.5}

    assert json.loads(json_text(value)) == {"a": ["NaN", ["Infinity", "-Infinity"]], "b": 1.5}


def test_name_with_brackets_is_shown_as_it_is(model) -> None:
    result = gluonserve("inspect", model.rename(model.with_name("[red]")))

    assert "net version 1" in result.stdout
    assert (
        "[red]" in gluonserve("inspect", model.with_name("[red]"), "--model-name", "[red]").stdout
    )
