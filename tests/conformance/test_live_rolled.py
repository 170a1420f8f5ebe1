"""Unrolled cells of real exports run as one layer, and answer what MXNet answers step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gluonserve
from gluonserve.loader.importing import InputHint, import_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.mxnet

ENGINES = ("openvino", "onnxruntime")
ROWS, FEATURES, HIDDEN = 3, 5, 6


def unrolling(make: Callable[[Any], Any], steps: int, layout: str, kind: str) -> Any:
    """A block that unrolls the cell that ``make`` makes, and answers what ``kind`` says."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    class Unrolling(mx.gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            with self.name_scope():
                self.cell = make(mx.gluon)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803 - Gluon's name
            merged = kind == "merged"
            outputs, states = self.cell.unroll(steps, x, layout=layout, merge_outputs=merged)
            if kind == "last":
                return outputs[-1]
            if kind == "states":
                return [outputs[-1], *states]
            if kind == "some":
                return [outputs[0] + outputs[-1], outputs[2]]
            if kind == "backwards":
                return F.stack(*reversed(outputs), axis=1)
            return outputs

    block = Unrolling()
    block.initialize(mx.init.Normal(0.6))
    block.hybridize()
    return block


def sequential(gluon: Any) -> Any:
    cell = gluon.rnn.HybridSequentialRNNCell()
    cell.add(gluon.rnn.LSTMCell(HIDDEN))
    cell.add(gluon.rnn.DropoutCell(0.5))
    cell.add(gluon.rnn.ResidualCell(gluon.rnn.GRUCell(HIDDEN)))
    cell.add(gluon.rnn.RNNCell(4))
    return cell


CELLS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "lstm": (lambda gluon: gluon.rnn.LSTMCell(HIDDEN), 1),
    "gru": (lambda gluon: gluon.rnn.GRUCell(HIDDEN), 1),
    "tanh": (lambda gluon: gluon.rnn.RNNCell(HIDDEN), 0),
    "relu": (lambda gluon: gluon.rnn.RNNCell(HIDDEN, activation="relu"), 0),
    "layers": (sequential, 2),
    "zoneout": (lambda gluon: gluon.rnn.ZoneoutCell(gluon.rnn.LSTMCell(HIDDEN), 0.3, 0.3), 0),
}


def checked(block: Any, folder: Path, shape: tuple[int, ...], rolls: int) -> None:
    """Export, and compare on both engines; ``rolls`` is how many chains run as layers."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = np.random.default_rng(5).normal(size=shape).astype("f")
    wanted = block(mx.nd.array(data))
    wanted = [one.asnumpy() for one in (wanted if isinstance(wanted, list) else [wanted])]
    block.export(str(folder / "net"))
    files = folder / "net-symbol.json", folder / "net-0000.params"
    imported = import_model(*files, inputs={"data": InputHint(shape=(-1, -1, shape[2]))})
    assert len(imported.rewrites) == rolls, imported.rewrites
    for engine in ENGINES:
        with gluonserve.load(*files, executor=engine, inputs={"data": ("FP32", shape)}) as model:
            for got, want in zip(model({"data": data}).values(), wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6, err_msg=engine)


@pytest.mark.parametrize("kind", ["merged", "list", "last", "states", "some", "backwards"])
@pytest.mark.parametrize("cell", CELLS)
def test_answers_of_every_cell(cell: str, kind: str, tmp_path: Path) -> None:
    make, rolls = CELLS[cell]

    checked(unrolling(make, 7, "NTC", kind), tmp_path, (ROWS, 7, FEATURES), rolls)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_time_first(cell: str, tmp_path: Path) -> None:
    make, rolls = CELLS[cell]

    checked(unrolling(make, 5, "TNC", "merged"), tmp_path, (5, ROWS, FEATURES), rolls)


def test_both_directions(tmp_path: Path) -> None:
    def both(gluon: Any) -> Any:
        return gluon.rnn.BidirectionalCell(gluon.rnn.LSTMCell(HIDDEN), gluon.rnn.GRUCell(HIDDEN))

    checked(unrolling(both, 6, "NTC", "merged"), tmp_path, (ROWS, 6, FEATURES), 2)


def test_short_chains_stay_as_they_are(tmp_path: Path) -> None:
    checked(unrolling(CELLS["lstm"][0], 3, "NTC", "merged"), tmp_path, (ROWS, 3, FEATURES), 0)


@pytest.mark.parametrize("cell", [*CELLS][:4])
def test_a_cell_that_reads_its_own_answers_stays_as_it_is(cell: str, tmp_path: Path) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    class Feeding(mx.gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            with self.name_scope():
                self.cell = CELLS[cell][0](mx.gluon)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803 - Gluon's name
            state = [F.zeros_like(x).slice_axis(axis=1, begin=0, end=HIDDEN)]
            state *= 2 if cell == "lstm" else 1
            for _ in range(6):
                answer, state = self.cell(x, state)
                x = F.concat(answer, x.slice_axis(axis=1, begin=0, end=2), dim=1)
            return x

    block = Feeding()
    block.initialize(mx.init.Normal(0.6))
    block.hybridize()
    data = np.random.default_rng(5).normal(size=(ROWS, HIDDEN + 2)).astype("f")
    wanted = block(mx.nd.array(data)).asnumpy()
    block.export(str(tmp_path / "net"))
    files = tmp_path / "net-symbol.json", tmp_path / "net-0000.params"

    assert import_model(*files).rewrites == ()
    for engine in ENGINES:
        with gluonserve.load(*files, executor=engine) as model:
            (got,) = model({"data": data}).values()
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6, err_msg=engine)
