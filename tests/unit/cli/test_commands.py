from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from gluonserve.cli import main
from gluonserve.cli.group import COMMANDS
from gluonserve.config import ServerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

SETTINGS = '[[inputs]]\nname = "data"\ndatatype = "FP32"\nshape = [-1, 3]\n'
ROWS = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], np.float32)
SOFTMAX = np.exp(ROWS) / np.exp(ROWS).sum(axis=1, keepdims=True)


def symbol(*operators: str) -> str:
    """A chain of operators that take one input and no attribute."""
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    for at, operator in enumerate(operators):
        nodes.append({"op": operator, "name": f"node{at}", "inputs": [[at, 0, 0]]})
    return json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[len(operators), 0, 0]]})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory that is one model: the softmax of three numbers."""
    folder = tmp_path / "chances"
    folder.mkdir()
    (folder / "chances-symbol.json").write_text(symbol("softmax"))
    (folder / "model.toml").write_text(SETTINGS)
    return folder


def gluonserve(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_every_command_exists_and_explains_itself() -> None:
    for name in COMMANDS:
        result = gluonserve(name, "--help")

        assert result.exit_code == 0, name
        assert "Usage:" in result.output


def test_module_is_the_command_too() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "gluonserve", "--help"], capture_output=True, text=True, check=True
    )

    assert told.stdout.startswith("Usage: gluonserve ")


def test_serve_has_a_flag_for_every_setting() -> None:
    help_text = gluonserve("serve", "--help").output

    missing = [
        name
        for name in ServerSettings.model_fields
        if name != "model_repository" and "--" + name.replace("_", "-") not in help_text
    ]
    assert missing == []


def test_wrong_usage_is_2() -> None:
    assert gluonserve("convert").exit_code == 2
    assert gluonserve("nonsense").exit_code == 2
    assert gluonserve("serve", "--grpc-port", "many").exit_code == 2


def test_a_server_that_cannot_start_is_3(tmp_path: Path) -> None:
    result = gluonserve("serve", tmp_path / "nowhere")

    assert result.exit_code == 3
    assert "could not start" in result.stderr


def test_errors_are_one_line_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "bad-symbol.json").write_text("{")

    result = gluonserve("convert", tmp_path / "bad-symbol.json", "-o", tmp_path / "x.onnx")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


def test_inspect_shows_tensors_engine_and_batching(model: Path) -> None:
    result = gluonserve("inspect", model, "--json")

    (report,) = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["inputs"][0]["shape"] == [-1, 3]
    assert report["operators"] == {"softmax": 1}
    assert report["executor"]["executor"] == "openvino"
    assert report["batching"] == "up to 32 rows"
    assert report["problems"] == []


def test_inspect_names_everything_that_stops_a_model(model: Path) -> None:
    (model / "chances-symbol.json").write_text(symbol("softmax", "NoSuchThing", "NorThis"))
    (model / "samples.npz").write_bytes(b"nothing")

    result = gluonserve("inspect", model, "--json")

    (report,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert len(report["problems"]) == 2
    assert "samples.npz" in report["problems"][0]
    assert "NoSuchThing" in report["problems"][1]
    assert "NorThis" in report["problems"][1]


def test_inspect_names_the_nodes_in_the_way_and_what_to_do(model: Path) -> None:
    graph = json.loads(symbol("softmax", "NoSuchThing", "Custom", "NoSuchThing"))
    graph["nodes"][1]["attrs"] = {"axis": "sideways"}
    names = [node["name"] for node in graph["nodes"][1:]]
    (model / "chances-symbol.json").write_text(json.dumps(graph))

    (report,) = json.loads(gluonserve("inspect", model, "--json").stdout)
    shown = gluonserve("inspect", model)

    obstacles = {one["operator"]: one for one in report["obstacles"]}
    assert obstacles["softmax"]["nodes"] == [names[0]]
    assert "axis='sideways'" in obstacles["softmax"]["reason"]
    assert "export again" in obstacles["softmax"]["remedy"]
    assert obstacles["NoSuchThing"]["nodes"] == [names[1], names[3]]
    assert "Python code" in obstacles["Custom"]["reason"]
    assert all('executor = "mxnet"' in one["remedy"] for one in obstacles.values())
    assert "what to do" in shown.stdout


def test_convert_writes_onnx_that_answers_the_same(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "chances.onnx"

    result = gluonserve("convert", model, "-o", target)

    assert result.exit_code == 0, result.output
    (answer,) = onnxruntime.InferenceSession(target).run(None, {"data": ROWS})
    np.testing.assert_allclose(answer, SOFTMAX, rtol=1e-5)


def test_convert_wants_to_know_which_of_several(model: Path, tmp_path: Path) -> None:
    (model.parent / "other-symbol.json").write_text(symbol("softmax"))

    several = gluonserve("convert", model.parent, "-o", tmp_path / "x.onnx")
    named = gluonserve("convert", model.parent, "--name", "chances", "-o", tmp_path / "x.onnx")

    assert (several.exit_code, named.exit_code) == (2, 0)
    assert "chances, other" in several.stderr


@pytest.mark.parametrize(
    ("answer", "code"), [(SOFTMAX, 0), (SOFTMAX + 0.1, 1)], ids=["right", "wrong"]
)
def test_verify_compares_with_recorded_answers(model: Path, answer: np.ndarray, code: int) -> None:
    np.savez(model / "samples.npz", **{"in:data": ROWS, "out:node0_output": answer})

    result = gluonserve("verify", model, "--no-live", "--json")

    (compared,) = json.loads(result.stdout)
    assert result.exit_code == code
    assert compared["against"] == "recorded"
    assert compared["passed"] is (code == 0)


def test_verify_fails_where_there_is_nothing_to_compare_with(model: Path) -> None:
    result = gluonserve("verify", model, "--no-live")

    assert result.exit_code == 1
    assert "nothing to compare with" in " ".join(result.stdout.split())


def test_infer_runs_a_model_here_and_shows_labels(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")

    result = gluonserve(
        *("infer", "--model", model, tmp_path / "rows.npy"),
        *("--labels", tmp_path / "labels.txt", "--top", "1"),
    )

    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines()[2:]] == ["cat", "ant"]
    assert "66.52%" in result.stdout


def test_infer_writes_outputs(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)

    gluonserve("infer", "--model", model, tmp_path / "rows.npy", "-o", tmp_path / "y.npz")

    with np.load(tmp_path / "y.npz") as written:
        np.testing.assert_allclose(written["node0_output"], SOFTMAX, rtol=1e-5)


def test_infer_names_a_file_that_is_not_there(model: Path) -> None:
    result = gluonserve("infer", "--model", model, "nothing.npy")

    assert result.exit_code == 2
    assert "nothing.npy: no such file" in result.stderr


def test_infer_refuses_what_does_not_fit(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((2, 4), np.float32))

    result = gluonserve("infer", "--model", model, tmp_path / "rows.npy")

    assert result.exit_code == 1
    assert "'data'" in result.stderr


def test_health_of_nobody_is_1() -> None:
    result = gluonserve("health", "--address", "127.0.0.1:1", "--timeout", "0.5")

    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def test_a_server_that_has_stopped_does_not_wait_for_an_engine() -> None:
    script = (
        "import threading, time; from gluonserve.cli.serve import _leave_what_still_runs; "
        "threading.Thread(target=time.sleep, args=(60,), name='gluonserve-batch_0').start(); "
        "print('stopped'); _leave_what_still_runs()"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=30, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, b"stopped\n")
