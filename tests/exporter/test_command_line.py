"""``python -m gluonserve_export``."""

from __future__ import annotations

import io
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
    text += "def broken():\n    return CountsByValue()\n"
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


@pytest.mark.parametrize("name", ["usersnets", "usersnets:missing", "nowhere:make"])
def test_unknown_network_is_an_error(name, capsys):
    assert main(["diagnose", name, "--shape", "2,4"]) == 1
    assert name.split(":")[0] in capsys.readouterr().err


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
