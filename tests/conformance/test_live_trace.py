"""Where answers differ, the first node at which an engine and MXNet part is found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from gluonserve.cli import main
from gluonserve.executors import choose
from gluonserve.executors.options import ExecutorOptions
from gluonserve.loader.hints import InputHint
from gluonserve.loader.importing import import_model
from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import Lowering, OpTable
from gluonserve.repository.layout import find
from gluonserve.repository.opening import Opened, open_source
from gluonserve.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value
    from gluonserve.repository.layout import ModelSource

pytestmark = pytest.mark.mxnet

WRONG = OpTable()


@WRONG.lowers("sigmoid")
def sigmoid(op: Emit, data: Value) -> Value:
    """Wrong on purpose."""
    return op.Tanh(data)


for entry in TABLE.entries():
    if entry.name != "sigmoid" and isinstance(entry, Lowering):
        WRONG.lowers(entry.name, ignoring=entry.ignoring, without=entry.without)(entry.function)


def opened_wrongly(source: ModelSource, samples: object) -> Opened:
    """As the server does, with the table in which one lowering is wrong; MXNet as it is."""
    if source.settings.executor == "mxnet":
        return open_source(source, None)
    hints = {
        one.name: InputHint(one.datatype, one.shape, one.batch_axis, one.accept)
        for one in source.settings.inputs
    }
    imported = import_model(source.symbol, source.params, inputs=hints, table=WRONG)
    options = ExecutorOptions(threads=1)
    return Opened(choose(imported, source.settings.executor, options))


def exported(folder: Path, *, depth: int = 3) -> ModelSource:
    """A network with two branches; far down in the second is the operator that will be wrong."""
    import mxnet as mx  # noqa: PLC0415

    def layers(value: mx.sym.Symbol, branch: str, count: int) -> mx.sym.Symbol:
        for at in range(count):
            weight = mx.sym.var(f"{branch}{at}_weight")
            dense = mx.sym.FullyConnected(
                value, weight, no_bias=True, num_hidden=5, name=f"{branch}{at}"
            )
            value = mx.sym.tanh(dense, name=f"{branch}{at}_tanh")
        return value

    data = mx.sym.var("data")
    left, right = layers(data, "left", depth), layers(data, "right", depth)
    parts = mx.sym.split(right, num_outputs=2, axis=0, name="parts")
    right = mx.sym.Concat(parts[1], mx.sym.sigmoid(parts[0], name="culprit"), dim=0)
    heads = mx.sym.Group([mx.sym.relu(left), layers(left + right, "joined", depth)])
    heads.save(str(folder / "net-symbol.json"))
    rng = np.random.default_rng(0)
    arrays = {
        f"arg:{name}": mx.nd.array(rng.normal(0, 0.6, (5, 5)))
        for name in heads.list_arguments()
        if name != "data"
    }
    mx.nd.save(str(folder / "net-0000.params"), arrays)
    np.savez(folder / "samples.npz", **{"in:data": rng.normal(0, 1, (4, 5)).astype("f4")})
    (source,) = find(folder)
    return source


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_wrong_lowering_is_found(engine: str, tmp_path: Path) -> None:
    source = exported(tmp_path)
    source = replace(source, settings=source.settings.model_copy(update={"executor": engine}))

    found = list(verify(source, live=True, tracing=True, opening=opened_wrongly))

    parting = next(one.parting for one in found if one.parting is not None)
    assert [one.passed for one in found] == [True, False]
    assert (parting.node, parting.operator, parting.engine) == ("culprit", "sigmoid", engine)
    assert parting.inputs == ("parts [2, 5]",)
    assert parting.our_shape == parting.mxnets_shape == (2, 5)
    x = np.arctanh(parting.ours[0])
    assert parting.mxnets[0] == pytest.approx(1 / (1 + np.exp(-x)), rel=1e-4)
    assert parting.largest == pytest.approx(abs(parting.ours[0] - parting.mxnets[0]), rel=1e-4)
    assert parting.runs < 12


def test_nothing_is_looked_for_where_answers_agree(tmp_path: Path) -> None:
    source = exported(tmp_path)

    found = list(verify(source, live=True, tracing=True))

    assert all(one.passed and one.parting is None for one in found)


def test_the_command_prints_both_sides(tmp_path: Path) -> None:
    exported(tmp_path, depth=1)

    asked = ["verify", str(tmp_path), "--trace", "--tolerance", "1e-30", "--json"]
    result = CliRunner().invoke(main, asked)
    shown = CliRunner().invoke(main, asked[:-1])

    partings = [one["parting"] for one in json.loads(result.stdout) if one["parting"]]
    assert result.exit_code == shown.exit_code == 1
    assert len(partings) == 1
    assert f"and MXNet part at '{partings[0]['node']}'" in shown.stdout
    assert "reads, and agrees on" in shown.stdout
