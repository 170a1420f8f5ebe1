"""``python -m gluonserve_export``."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
import odd_networks as odd
import pytest
from mxnet.gluon import nn

from gluonserve_export import NotInferred, repair
from gluonserve_export.cli import main

pytestmark = pytest.mark.mxnet


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """A user's module, in the working directory."""
    tests = str(Path(__file__).parents[1])
    text = f"import sys\nsys.path.insert(0, {tests!r})\nfrom odd_networks import *\n\n\n"
    text += "def make():\n    net = InSequential()\n    net.initialize()\n    return net\n\n\n"
    text += "def broken():\n    return CountsByValue()\n\n\n"
    text += (
        "def dense():\n    net = nn.Dense(3, in_units=4)\n    net.initialize()\n    return net\n"
    )
    text += "\n\ndef raises():\n    raise RuntimeError('there are no weights')\n"
    text += "\n\ndef nothing():\n    return None\n\n\nNUMBER = 3\nNETWORK = dense()\n"
    (tmp_path / "unreadable.py").write_text("def make(:\n")
    (tmp_path / "failing.py").write_text("import os\n1 / 0\n")
    (tmp_path / "usersnets.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_diagnose_prints_the_tree(capsys):
    code = main(["diagnose", "usersnets:make", "--shape", "2,4"])

    printed = capsys.readouterr().out
    assert "layers: Sequential (plain)" in printed
    assert "nn.HybridSequential instead of nn.Sequential" in printed
    assert code == 1  # its parameters have no values before it has run


def test_export_writes_a_model_directory(tmp_path, capsys):
    code = main(["export", "usersnets:make", "--shape", "2,4", "-o", str(tmp_path / "m")])

    assert code == 0, capsys.readouterr()
    names = sorted(one.name for one in (tmp_path / "m/1").iterdir())
    assert names == ["model-0000.params", "model-symbol.json", "model.toml", "samples.npz"]


def test_refusal_names_the_line_and_fails(tmp_path, capsys):
    code = main(["export", "usersnets:broken", "--shape", "2,4", "-o", str(tmp_path / "m")])

    assert code == 1
    assert "x.max().asscalar()" in capsys.readouterr().err


def one_error(capsys):
    """The one line that a command says when it fails."""
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    return line


WRONG_NETWORKS = {
    "usersnets": "is not MODULE:FUNCTION",
    "usersnets:missing": "there is no 'missing' in usersnets",
    "nowhere:make": "No module named 'nowhere'",
    "unreadable:make": "SyntaxError",
    "failing:make": "ZeroDivisionError: division by zero (at failing.py:2: 1 / 0)",
    "usersnets:NUMBER": "is of type int, and no function or network",
    "usersnets:nothing": "something of type NoneType",
    "usersnets:raises": "RuntimeError: there are no weights (at usersnets.py",
}


@pytest.mark.parametrize("name", WRONG_NETWORKS)
@pytest.mark.parametrize("command", ["diagnose", "export"])
def test_what_is_no_network_is_one_error(name, command, tmp_path, capsys):
    output = ["-o", str(tmp_path / "m")] if command == "export" else []

    assert main([command, name, "--shape", "2,4", *output]) == 1
    assert WRONG_NETWORKS[name] in one_error(capsys)


WRONG_ARGUMENTS = {
    "not a shape": (["--shape", "2,x"], "'2,x' is not a shape like"),
    "negative shape": (["--shape", "2,-4"], "'2,-4' is not a shape like"),
    "empty shape": (["--shape", ""], "'' is not a shape like"),
    "type": (["--shape", "2,4", "--dtype", "float99"], "'float99' is no data type"),
    "types": (["--shape", "2,4", *["--dtype", "int32"] * 2], "2 times --dtype for 1 inputs"),
    "no file": (["--shape", "2,4", "--params", "no.params"], "--params no.params"),
    "other file": (["--shape", "2,4", "--params", "usersnets.py"], "--params usersnets.py"),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_argument_is_one_error(case, capsys):
    arguments, message = WRONG_ARGUMENTS[case]

    assert main(["diagnose", "usersnets:dense", *arguments]) == 1
    assert message in one_error(capsys)


def test_network_may_be_there_already(capsys):
    assert main(["diagnose", "usersnets:NETWORK", "--shape", "2,4"]) == 0
    assert "Nothing found" in capsys.readouterr().out


def test_findings_are_printed_as_json(tmp_path, capsys):
    assert main(["diagnose", "usersnets:broken", "--shape", "2,4", "--json"]) == 1

    plain, read = json.loads(capsys.readouterr().out)
    assert (plain["code"], plain["stops"]) == ("plain-block", False)
    assert (read["code"], read["stops"]) == ("value-read", True)
    assert read["file"].endswith("odd_networks.py")
    assert read["line"] > 0

    export = ["export", "usersnets:dense", "--shape", "2,4", "-o", str(tmp_path / "m"), "--json"]
    assert main(export) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"folder": str(tmp_path / "m/1"), "findings": []}


def test_export_says_why_it_cannot_write(tmp_path, capsys):
    export = ["export", "usersnets:dense", "--shape", "2,4", "-o"]

    assert main([*export, str(tmp_path / "m")]) == 0
    capsys.readouterr()
    assert main([*export, str(tmp_path / "m")]) == 1
    assert "exists; give another version, or overwrite=True" in one_error(capsys)
    assert main([*export, str(tmp_path / "usersnets.py")]) == 1
    assert "usersnets.py/1 cannot be written" in one_error(capsys)


def test_export_runs_the_network_so_it_needs_shapes(tmp_path, capsys):
    assert main(["export", "usersnets:dense", "-o", str(tmp_path / "m")]) == 1
    assert "give --shape for each input" in one_error(capsys)


@pytest.mark.parametrize("version", ["0", "-1", "first"])
def test_versions_are_positive(version, tmp_path, capsys):
    export = ["export", "usersnets:dense", "--shape", "2,4", "-o", str(tmp_path / "m")]

    with pytest.raises(SystemExit) as ended:
        main([*export, f"--version={version}"])

    assert ended.value.code == 2
    assert "is not a positive whole number" in capsys.readouterr().err


def exported(folder, net, shape):
    net.initialize()
    net.hybridize()
    net(mx.nd.ones(shape))
    net.export(str(folder / "net"))
    return str(folder / "net-symbol.json"), str(folder / "net-0000.params")


def test_repair_infers_what_a_dense_layer_tells(tmp_path, capsys):
    net = nn.HybridSequential()
    net.add(nn.Dense(3), nn.Dense(2))
    symbol, params = exported(tmp_path, net, (1, 6))

    assert main(["repair", symbol, params]) == 0

    text = (tmp_path / "model.toml").read_text()
    assert 'name = "data"\ndatatype = "FP32"\nshape = [-1, 6]\nbatch_axis = 0' in text
    with np.load(str(tmp_path / "samples.npz")) as record:
        assert record["in:data"].shape == (1, 6)


WRONG_REPAIRS = {
    "no symbol": (["no-symbol.json", "net-0000.params"], "there is no file no-symbol.json"),
    "no params": (["net-symbol.json", "no.params"], "there is no file no.params"),
    "symbol": (["usersnets.py", "net-0000.params"], "usersnets.py is not a symbol file"),
    "params": (["net-symbol.json", "usersnets.py"], "usersnets.py is not a parameter file"),
    "name": (["net-symbol.json", "net-0000.params", "--shape", "x=1,6"], "no input is called 'x'"),
    "type name": (["net-symbol.json", "net-0000.params", "--dtype", "x=int8"], "is called 'x'"),
    "type": (["net-symbol.json", "net-0000.params", "--dtype", "data=a"], "'a' is no data type"),
    "pair": (["net-symbol.json", "net-0000.params", "--shape", "1,6"], "is not INPUT=VALUE"),
    "shape": (["net-symbol.json", "net-0000.params", "--shape", "data=1,7"], "does not run on"),
}


@pytest.mark.parametrize("case", WRONG_REPAIRS)
def test_repair_says_what_is_wrong_in_one_error(case, tmp_path, capsys):
    net = nn.HybridSequential()
    net.add(nn.Dense(3))
    exported(tmp_path, net, (1, 6))
    arguments, message = WRONG_REPAIRS[case]

    assert main(["repair", *arguments]) == 1
    assert message in one_error(capsys)
    assert not (tmp_path / "model.toml").exists()


def test_repair_keeps_a_model_toml(tmp_path, capsys):
    net = nn.HybridSequential()
    net.add(nn.Dense(3))
    symbol, params = exported(tmp_path, net, (1, 6))
    (tmp_path / "model.toml").write_text("# by hand")

    assert main(["repair", symbol, params]) == 1
    assert "exists; give overwrite=True" in one_error(capsys)
    assert (tmp_path / "model.toml").read_text() == "# by hand"
    assert main(["repair", symbol, params, "--overwrite"]) == 0


def test_repair_asks_for_what_it_cannot_infer(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody to ask
    symbol, params = exported(tmp_path, odd.fine_sequential(), (1, 3, 8, 8))

    assert main(["repair", symbol, params]) == 1
    assert "--shape data=1,3,224,224" in capsys.readouterr().err
    assert main(["repair", symbol, params, "--shape", "data=1,3,8,8"]) == 0
    assert "shape = [-1, 3, 8, 8]" in (tmp_path / "model.toml").read_text()


def test_repair_asks_a_person(tmp_path):
    symbol, params = exported(tmp_path, odd.fine_sequential(), (1, 3, 8, 8))
    asked = []

    repair(symbol, params, ask=lambda name: asked.append(name) or (1, 3, 8, 8))

    assert asked == ["data"]


def test_repair_knows_labels_of_losses(tmp_path):
    data = mx.sym.var("data")
    scores = mx.sym.FullyConnected(data, num_hidden=3, name="fc")
    head = mx.sym.SoftmaxOutput(scores, name="softmax")
    head.save(str(tmp_path / "net-symbol.json"))
    held = {"arg:fc_weight": mx.nd.ones((3, 4)), "arg:fc_bias": mx.nd.zeros((3,))}
    mx.nd.save(str(tmp_path / "net-0000.params"), held)

    repair(tmp_path / "net-symbol.json", tmp_path / "net-0000.params")

    text = (tmp_path / "model.toml").read_text()
    assert "softmax_label" not in text
    assert 'name = "softmax_output"' in text


def test_repair_says_when_files_do_not_belong_together(tmp_path):
    net = odd.fine_sequential()
    symbol, _ = exported(tmp_path, net, (1, 3, 8, 8))
    net.save_parameters(str(tmp_path / "saved.params"))

    with pytest.raises(NotInferred, match="save_parameters"):
        repair(symbol, tmp_path / "saved.params")


def test_repaired_export_is_served(tmp_path):
    gluonserve = pytest.importorskip("gluonserve")
    net = odd.fine_sequential()
    symbol, params = exported(tmp_path, net, (1, 3, 8, 8))
    repair(symbol, params, shapes={"data": (1, 3, 8, 8)})

    with gluonserve.load(str(tmp_path)) as model:
        x = mx.nd.random.uniform(shape=(4, 3, 8, 8))
        (answer,) = model(data=x.asnumpy()).values()

    np.testing.assert_allclose(answer, net(x).asnumpy(), rtol=1e-4, atol=1e-5)
