"""Networks whose compilation ended the process where every size was stated."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from params_writer import dense, params_file
from tests.networks import Network

if TYPE_CHECKING:
    from pathlib import Path

ROWS, STEPS, UNITS = 2, 16, 32
LOADED = f"""
import sys, gluonserve, numpy as np
rows = np.random.default_rng(0).normal(size=({ROWS}, {STEPS}, {UNITS})).astype(np.float32)
shape = [int(size) for size in sys.argv[3].split(",")]
with gluonserve.load(*sys.argv[1:3], inputs={{"x": ("FP32", shape)}}) as model:
    (answer,) = model(x=rows).values()
print(answer.shape)
"""


def attended(net: Network, data: object, layer: int) -> object:
    """One layer of one head, added to what it reads."""

    def heads(value: object) -> object:
        parts = net.add("Reshape", value, shape=(0, 0, 1, -1))
        turned = net.add("transpose", parts, axes=(0, 2, 1, 3))
        return net.add("Reshape", turned, shape=(-1, 0, 0), reverse=True)

    def dense_of(part: str) -> object:
        weight = net.variable(f"{part}{layer}")
        return heads(
            net.add("FullyConnected", data, weight, num_hidden=UNITS, flatten=False, no_bias=True)
        )

    query, key, value = (dense_of(part) for part in "qkv")
    scores = net.add("_mul_scalar", net.add("batch_dot", query, key, transpose_b=True), scalar=0.25)
    mixed = net.add("batch_dot", net.add("softmax", scores), value)
    parts = net.add("Reshape", mixed, shape=(-1, 1, 0, 0), reverse=True)
    turned = net.add("transpose", parts, axes=(0, 2, 1, 3))
    return net.add("elemwise_add", net.add("Reshape", turned, shape=(0, 0, -1)), data)


@pytest.mark.parametrize("shape", ["2,16,32", "-1,16,32", "-1,-1,32"])
def test_gated_attention_of_one_head_runs(shape: str, tmp_path: Path) -> None:
    net = Network()
    x = net.variable("x")
    gated = net.add("elemwise_mul", x, net.add("sigmoid", x))
    head = attended(net, attended(net, gated, 0), 1)
    symbol, params = tmp_path / "net-symbol.json", tmp_path / "net-0000.params"
    symbol.write_bytes(net.to_bytes(head))
    names = [f"{part}{layer}" for layer in (0, 1) for part in "qkv"]
    weights = np.random.default_rng(1).normal(size=(len(names), UNITS, UNITS)).astype(np.float32)
    params.write_bytes(params_file([dense(one) for one in weights], [f"arg:{n}" for n in names]))

    done = subprocess.run(  # a process of its own, for it is the process that ended
        [sys.executable, "-c", LOADED, str(symbol), str(params), shape],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, f"{(ROWS, STEPS, UNITS)}\n"), done.stderr
