"""Recurrent layers and cells, compared with live MXNet at lengths that one import serves."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Network, Operator

from gluonserve.loader.importing import InputHint, import_model

pytestmark = pytest.mark.mxnet

MODES = ["rnn_relu", "rnn_tanh", "lstm", "gru"]
GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}
HIDDEN = 5


def drawn(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(dtype)


def vector_length(
    mode: str, inputs: int, layers: int, directions: int, projection: int | None = None
) -> int:
    rows, answers = GATES[mode] * HIDDEN, projection or HIDDEN
    total = 0
    for layer in range(layers):
        width = directions * answers if layer else inputs
        each = rows * (width + answers + 2) + (projection or 0) * HIDDEN
        total += directions * each
    return total


def feeds(
    mode: str,
    steps: int,
    rows: int,
    *,
    layers: int = 1,
    directions: int = 1,
    projection: int | None = None,
    dtype: str = "float32",
) -> dict[str, np.ndarray]:
    states = layers * directions
    given = {
        "data": drawn(steps, steps, rows, 3, dtype=dtype),
        "parameters": drawn(9, vector_length(mode, 3, layers, directions, projection), dtype=dtype),
        "state": drawn(steps + 1, states, rows, projection or HIDDEN, dtype=dtype),
    }
    if mode == "lstm":
        given["state_cell"] = drawn(steps + 2, states, rows, HIDDEN, dtype=dtype)
    return given


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_fused_layers_at_several_lengths(mode: str, layers: int, bidirectional: bool) -> None:
    size = {"layers": layers, "directions": 1 + bidirectional}
    operator = Operator(
        "RNN", feeds(mode, 4, 2, **size), outputs=3 if mode == "lstm" else 2, free=True,
        stored=("parameters",), mode=mode, state_size=HIDDEN, num_layers=layers,
        bidirectional=bidirectional, state_outputs=True, p=0.5,
    )  # fmt: skip

    for steps, rows in ((4, 2), (1, 1), (9, 3)):
        operator.check(feeds(mode, steps, rows, **size))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("layers", [1, 2])
def test_projected_lstm_at_several_lengths(layers: int, bidirectional: bool) -> None:
    size = {"layers": layers, "directions": 1 + bidirectional, "projection": 2}
    operator = Operator(
        "RNN", feeds("lstm", 4, 2, **size), outputs=3, free=True, stored=("parameters",),
        mode="lstm", state_size=HIDDEN, num_layers=layers, bidirectional=bidirectional,
        projection_size=2, state_outputs=True,
    )  # fmt: skip

    for steps, rows in ((4, 2), (1, 1), (7, 3)):
        operator.check(feeds("lstm", steps, rows, **size))


@pytest.mark.parametrize("mode", MODES)
def test_parameters_that_a_request_brings_and_float64(mode: str) -> None:
    Operator(
        "RNN", feeds(mode, 4, 2, layers=2, dtype="float64"), mode=mode, state_size=HIDDEN,
        num_layers=2,
    ).check()  # fmt: skip


def test_lengths_and_clips_are_ignored_as_mxnet_does_on_a_cpu() -> None:
    given = feeds("lstm", 4, 2, directions=2)
    given["sequence_length"] = np.array([1, 3], np.float32)

    Operator(
        "RNN", given, outputs=3, mode="lstm", state_size=HIDDEN, num_layers=1, bidirectional=True,
        state_outputs=True, use_sequence_length=True, lstm_state_clip_min=-0.01,
        lstm_state_clip_max=0.01,
    ).check()  # fmt: skip


def layer_network(layer: object, data: np.ndarray) -> Network:
    """A Gluon block as it is exported: begin states have unknown dimensions."""
    import mxnet as mx  # noqa: PLC0415

    layer.initialize(mx.init.Uniform(0.5))
    layer(mx.nd.array(data))
    parameters = layer.collect_params().items()
    stored = {name: value.data().asnumpy() for name, value in parameters}
    return Network(layer(mx.sym.var("data")), {"data": data}, stored)


@pytest.mark.parametrize("layout", ["NTC", "TNC"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_gluon_layers_begin_with_zeros_for_any_rows_and_steps(kind: str, layout: str) -> None:
    from mxnet import gluon  # noqa: PLC0415

    layer = getattr(gluon.rnn, kind)(HIDDEN, 2, layout=layout, bidirectional=True, dropout=0.3)
    nest = gluon.nn.HybridSequential()
    nest.add(layer, gluon.nn.Dense(2, flatten=False))
    network = layer_network(nest, drawn(1, 4, 2, 3))

    for shape in ((4, 2, 3), (1, 1, 3), (6, 5, 3)):
        network.check({"data": drawn(2, *shape)})


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_size_of_a_step_is_that_of_the_weights_where_data_leaves_it_open(kind: str) -> None:
    from mxnet import gluon  # noqa: PLC0415

    class Reader(gluon.HybridBlock):
        """Reads a picture column by column, as recognizers of text do."""

        def __init__(self) -> None:
            super().__init__()
            with self.name_scope():
                self.layer = getattr(gluon.rnn, kind)(HIDDEN, bidirectional=True, layout="NTC")

        def hybrid_forward(self, F: object, x: object) -> object:  # noqa: N803
            halved = F.Pooling(x, kernel=(2, 1), stride=(2, 1), pool_type="max")
            return self.layer(F.transpose(F.reshape(halved, (0, -3, -1)), (0, 2, 1)))

    network = layer_network(Reader(), drawn(1, 2, 3, 8, 4))

    for shape in ((2, 3, 8, 4), (1, 3, 9, 7)):
        network.check({"data": drawn(2, *shape)})


@pytest.mark.parametrize(
    ("layout", "hint", "batchable"),
    [
        ("NTC", None, True),
        ("TNC", None, True),
        ("TNC", 1, True),
        ("TNC", 0, False),
    ],
    ids=["rows first", "steps first", "steps first, rows named", "steps named for rows"],
)
def test_steps_are_never_batched(layout: str, hint: int | None, batchable: bool) -> None:
    from mxnet import gluon  # noqa: PLC0415

    nest = gluon.nn.HybridSequential()
    nest.add(gluon.rnn.LSTM(HIDDEN, 1, layout=layout))
    network = layer_network(nest, drawn(1, 4, 2, 3))

    signature = import_model(
        network.symbol.tojson().encode(),
        network.stored,
        inputs={"data": InputHint(batch_axis=hint)},
    ).signature

    assert signature.batchable is batchable, signature.why


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_two_layers_over_the_same_steps(kind: str) -> None:
    """OpenVINO swaps time and rows twice for the second, where the number of steps is known."""
    from mxnet import gluon  # noqa: PLC0415

    nest = gluon.contrib.nn.HybridConcurrent(axis=2)
    nest.add(*(getattr(gluon.rnn, kind)(HIDDEN) for _ in range(3)))
    network = layer_network(nest, drawn(1, 6, 2, 3))

    for shape in [(-1, -1, 3), (6, -1, 3), (6, 2, 3)]:
        network.imported = import_model(
            network.symbol.tojson().encode(),
            network.stored,
            inputs={"data": InputHint(shape=shape, batch_axis=1 if -1 in shape else "none")},
        )
        network.__dict__.pop("engines", None)
        network.check({"data": drawn(2, 6, 2, 3)})


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("merge", [True, False], ids=["merged", "apart"])
def test_unrolled_cells(kind: str, merge: bool) -> None:
    import mxnet as mx  # noqa: PLC0415

    cell = getattr(mx.gluon.rnn, kind)(HIDDEN, input_size=3)
    cell.initialize(mx.init.Uniform(0.5))
    outputs, states = cell.unroll(4, mx.sym.var("data"), layout="NTC", merge_outputs=merge)
    heads = mx.sym.Group([*([outputs] if merge else outputs), *states])
    stored = {name: value.data().asnumpy() for name, value in cell.collect_params().items()}
    network = Network(heads, {"data": drawn(1, 2, 4, 3)}, stored)

    for rows in (2, 1, 5):
        network.check({"data": drawn(rows, rows, 4, 3)})


def test_unrolled_cells_up_to_the_lengths_of_rows() -> None:
    import mxnet as mx  # noqa: PLC0415

    cell = mx.gluon.rnn.BidirectionalCell(
        mx.gluon.rnn.LSTMCell(HIDDEN, input_size=3), mx.gluon.rnn.GRUCell(HIDDEN, input_size=3)
    )
    cell.initialize(mx.init.Uniform(0.5))
    outputs, states = cell.unroll(
        4, mx.sym.var("data"), layout="NTC", merge_outputs=True, valid_length=mx.sym.var("ends")
    )
    stored = {name: value.data().asnumpy() for name, value in cell.collect_params().items()}
    given = {"data": drawn(1, 3, 4, 3), "ends": np.array([1, 4, 3], np.float32)}
    network = Network(mx.sym.Group([outputs, *states]), given, stored)

    network.check()
    network.check({"data": drawn(2, 1, 4, 3), "ends": np.array([2], np.float32)})
