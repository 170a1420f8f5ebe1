"""Exports the networks that are measured, with random weights, into a folder that git ignores.

`python -m benchmarks.networks` in the oracle's environment, where MXNet is installed. Each network
becomes a model of a repository, so that the same files are served. Weights are Xavier's; the speed
of dense networks does not depend on them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"


@dataclass(frozen=True, slots=True)
class Network:
    """A network to measure and the shape of one row of its input ``data``."""

    name: str
    row: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Its model directory in the cache."""
        return CACHE / "models" / self.name

    @property
    def symbol(self) -> Path:
        """The exported graph."""
        return self.folder / f"{self.name}-symbol.json"

    @property
    def params(self) -> Path:
        """The exported parameters."""
        return self.folder / f"{self.name}-0000.params"


LENET = Network("lenet", (1, 28, 28))
RESNET50 = Network("resnet50_v1", (3, 224, 224))
MOBILENET = Network("mobilenetv2_1.0", (3, 224, 224))
NETWORKS = (LENET, RESNET50, MOBILENET)

EMPTY_SYMBOL = """{"nodes": [
  {"op": "null", "name": "data", "inputs": []},
  {"op": "_copy", "name": "answer", "inputs": [[0, 0, 0]]}
], "arg_nodes": [0], "node_row_ptr": [0, 1, 2], "heads": [[1, 0, 0]],
"attrs": {"mxnet_version": ["int", 10901]}}
"""
EMPTY_SETTINGS = """description = "nothing but the copy of one number: what a request costs"

[[inputs]]
name = "data"
datatype = "FP32"
shape = [-1, 1]
"""


def write_empty() -> Path:
    """A model that copies one number, made without MXNet; its directory."""
    folder = CACHE / "models" / "empty"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty-symbol.json").write_text(EMPTY_SYMBOL)
    (folder / "model.toml").write_text(EMPTY_SETTINGS)
    return folder


def with_instances(network: Network, count: int) -> Path:
    """The same model served by so many instances that share the cores; its directory."""
    folder = CACHE / "instances" / network.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in (network.symbol, network.params):
        link = folder / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    settings = (network.folder / "model.toml").read_text()
    (folder / "model.toml").write_text(f"instances = {count}\n\n{settings}")
    return folder


def export_all() -> None:
    """Export whatever is not in the cache yet."""
    import mxnet as mx  # noqa: PLC0415 - only the oracle's environment has it

    for network in NETWORKS:
        if network.params.exists():
            continue
        network.folder.mkdir(parents=True, exist_ok=True)
        block = _lenet(mx) if network is LENET else _from_zoo(mx, network.name)
        block.initialize(mx.init.Xavier())
        block.hybridize()
        block(mx.nd.zeros((1, *network.row)))
        block.export(str(network.folder / network.name))
        _declare_row(network)


def _declare_row(network: Network) -> None:
    shape = ", ".join(str(size) for size in (-1, *network.row))
    settings = f'[[inputs]]\nname = "data"\ndatatype = "FP32"\nshape = [{shape}]\n'
    (network.folder / "model.toml").write_text(settings)


def _from_zoo(mx: object, name: str) -> object:
    return mx.gluon.model_zoo.vision.get_model(name)  # type: ignore[attr-defined]


def _lenet(mx: object) -> object:
    nn = mx.gluon.nn  # type: ignore[attr-defined]
    network = nn.HybridSequential()
    network.add(
        nn.Conv2D(20, kernel_size=5, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Conv2D(50, kernel_size=5, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Flatten(),
        nn.Dense(512, activation="relu"),
        nn.Dense(10),
    )
    return network


if __name__ == "__main__":
    export_all()
    sys.stdout.write(f"{CACHE / 'models'}\n")
