"""Makes the small files beside it with MXNet 1.9.1, and records what MXNet itself reads in them.

Usage, in the oracle's environment: python tests/data/formats/make_formats.py
"""

from __future__ import annotations

import json
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet.gluon import nn

HERE = Path(__file__).parent


def cnn() -> gluon.HybridBlock:
    """Convolution, normalisation, residual addition."""

    class Residual(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__(prefix="residual_")
            with self.name_scope():
                self.conv = nn.Conv2D(2, 3, padding=1)
                self.norm = nn.BatchNorm()
                self.dense = nn.Dense(3)

        def hybrid_forward(self, F, x):  # noqa: N803
            y = F.relu(self.norm(self.conv(x)) + x)
            return self.dense(F.Pooling(y, kernel=(2, 2), stride=(2, 2), pool_type="max"))

    return Residual()


def mlp() -> gluon.HybridBlock:
    """Two inputs, several outputs: one repeated, one with several values, one that is an input."""

    class Heads(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__(prefix="heads_")
            with self.name_scope():
                self.dense = nn.Dense(4, in_units=3)
                self.norm = nn.BatchNorm(in_channels=4)

        def hybrid_forward(self, F, x, y):  # noqa: N803
            hidden = F.Dropout(self.norm(self.dense(x)), p=0.5)
            values, places = F.topk(hidden, k=2, ret_typ="both")
            halves = F.split(hidden, num_outputs=2, axis=1)
            return hidden, y, values, places, halves[1], hidden, F.sort(hidden, axis=1)

    return Heads()


def rnn() -> gluon.HybridBlock:
    """A fused LSTM whose begin states are inputs."""
    return gluon.rnn.LSTM(3, num_layers=1, input_size=2, prefix="lstm_")


def loops() -> gluon.HybridBlock:
    """A foreach with parameters inside, a while loop and a condition."""

    class Loops(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__(prefix="loops_")
            with self.name_scope():
                self.cell = nn.Dense(2, in_units=4, flatten=False)
                self.norm = nn.BatchNorm(in_channels=2)

        def hybrid_forward(self, F, x, state):  # noqa: N803
            def step(row, carried):
                joined = F.concat(row, carried, dim=1)
                new = self.norm(self.cell(joined))
                return new, new

            outputs, last = F.contrib.foreach(step, x, state)
            counted, _ = F.contrib.while_loop(
                cond=lambda total: F.sum(total) < 10,
                func=lambda total: (total, total + 1),
                loop_vars=[last],
                max_iterations=3,
            )
            chosen = F.contrib.cond(F.sum(last) > 0, lambda: last + 1, lambda: last - 1)
            return outputs, counted[0] if isinstance(counted, list) else counted, chosen

    return Loops()


def export(name: str, net: gluon.HybridBlock, *inputs: np.ndarray) -> None:
    """Exports a network with seeded weights and records MXNet's view of the two files."""
    mx.random.seed(7)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(*(mx.nd.array(value) for value in inputs))
    net.export(str(HERE / name))
    record(name)


def export_numpy() -> None:
    """A network of the NumPy interface: rank 0 is real, arrays are of version 3."""
    mx.npx.set_np()

    class Three(mx.init.Initializer):
        def _init_weight(self, _, array):
            array[()] = 3

    class Scale(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__(prefix="scale_")
            with self.name_scope():
                self.dense = nn.Dense(2, in_units=3)
                self.factor = self.params.get("factor", shape=(), init=Three())

        def hybrid_forward(self, F, x, factor):  # noqa: N803
            y = self.dense(x) * factor
            return y, F.np.mean(y), F.np.concatenate([y, y], axis=1)

    net = Scale()
    net.initialize(mx.init.Constant(0.5))
    net.hybridize()
    net(mx.np.ones((2, 3)))
    net.export(str(HERE / "numpy"))
    record("numpy")
    mx.npx.reset_np()


def save_arrays() -> None:
    """Every data type and storage that MXNet 1.9.1 saves, behind a symbol that needs none."""
    types = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")
    arrays = {f"arg:{name}": mx.nd.arange(6, dtype=name).reshape((2, 3)) for name in types}
    arrays["arg:bool"] = mx.nd.array([[1, 0, 1]]).astype("bool")
    widened = mx.nd.array([1.5, -2.25, 3e38]).astype(np.dtype([("bfloat16", np.uint16)]))
    arrays["arg:bfloat16"] = widened
    arrays["arg:größe"] = mx.nd.ones((1,))
    dense = mx.nd.array([[0, 1, 0], [0, 0, 0], [2, 0, 3], [0, 0, 0]])
    for storage in ("row_sparse", "csr"):
        arrays[f"aux:{storage}"] = dense.tostype(storage)
        arrays[f"aux:{storage}_empty"] = mx.nd.zeros((4, 3)).tostype(storage)
    mx.nd.waitall()
    mx.nd.save(str(HERE / "arrays-0000.params"), arrays)
    expected = {
        name.split(":")[1]: array.asnumpy()
        for name, array in arrays.items()
        if array is not widened
    }
    expected["bfloat16"] = widened.astype("float32").asnumpy()
    np.savez(HERE / "arrays-expected.npz", **expected)


def record(name: str) -> None:
    """What MXNet lists for the symbol, and the arrays that it loads from the parameters."""
    symbol = mx.sym.load(str(HERE / f"{name}-symbol.json"))
    facts = {
        "outputs": symbol.list_outputs(),
        "arguments": symbol.list_arguments(),
        "auxiliary": symbol.list_auxiliary_states(),
        "inputs": symbol.list_inputs(),
    }
    (HERE / f"{name}-facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    arrays = mx.nd.load(str(HERE / f"{name}-0000.params"))
    bare = {key.split(":", 1)[1]: array.asnumpy() for key, array in arrays.items()}
    np.savez(HERE / f"{name}-expected.npz", **bare)


if __name__ == "__main__":
    export("cnn", cnn(), np.ones((1, 2, 4, 4)))
    export("mlp", mlp(), np.ones((2, 3)), np.ones((2, 1)))
    export("rnn", rnn(), np.ones((2, 1, 2)))
    export("loops", loops(), np.ones((3, 1, 2)), np.ones((1, 2)))
    save_arrays()
    export_numpy()
