"""Small exported networks, written as files without MXNet, and what they compute."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from params_writer import dense, params_file

from gluonserve.loader.importing import InputHint
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass
class Graph:
    """A symbol file under construction; an operator is its name, and its inputs are nodes."""

    nodes: list[dict[str, object]] = field(default_factory=list)

    def variable(self, name: str) -> int:
        self.nodes.append({"op": "null", "name": name, "inputs": []})
        return len(self.nodes) - 1

    def operator(self, op: str, name: str, inputs: Sequence[int], **attributes: object) -> int:
        texts = {key: str(value) for key, value in attributes.items()}
        refs = [[at, 0, 0] for at in inputs]
        self.nodes.append({"op": op, "name": name, "attrs": texts, "inputs": refs})
        return len(self.nodes) - 1

    def text(self, heads: Sequence[int]) -> str:
        return json.dumps(
            {
                "nodes": self.nodes,
                "arg_nodes": [at for at, node in enumerate(self.nodes) if node["op"] == "null"],
                "node_row_ptr": list(range(len(self.nodes) + 1)),
                "heads": [[at, 0, 0] for at in heads],
                "attrs": {"mxnet_version": ["int", 10901]},
            }
        )


@dataclass(frozen=True)
class Network:
    """An export and its meaning; ``draw`` makes inputs of so many rows."""

    symbol: str
    weights: Mapping[str, np.ndarray]
    draw: Callable[[int], dict[str, np.ndarray]]
    compute: Callable[..., tuple[np.ndarray, ...]]
    hints: Mapping[str, InputHint] = field(default_factory=dict)

    def export(self, folder: Path, prefix: str = "net") -> tuple[Path, Path | None]:
        """Write ``prefix-symbol.json`` and, where there are weights, ``prefix-0000.params``."""
        symbol, params = folder / f"{prefix}-symbol.json", folder / f"{prefix}-0000.params"
        symbol.write_text(self.symbol)
        if not self.weights:
            return symbol, None
        names = [f"arg:{name}" for name in self.weights]
        params.write_bytes(params_file([dense(array) for array in self.weights.values()], names))
        return symbol, params


def convolution(pad: int = 1) -> Network:
    """A convolution, relu, and maxima of 2x2 pixels: engines refuse it without rows."""
    graph = Graph()
    data, weight, bias = (graph.variable(name) for name in ("data", "conv_weight", "conv_bias"))
    conv = graph.operator(
        "Convolution", "conv", (data, weight, bias), kernel=(3, 3), pad=(pad, pad), num_filter=16
    )
    relu = graph.operator("Activation", "relu", (conv,), act_type="relu")
    pool = graph.operator("Pooling", "pool", (relu,), kernel=(2, 2), stride=(2, 2), pool_type="max")
    random = np.random.default_rng(1)
    weights = {
        "conv_weight": random.normal(size=(16, 8, 3, 3)).astype(np.float32),
        "conv_bias": random.normal(size=16).astype(np.float32),
    }

    def compute(data: np.ndarray) -> tuple[np.ndarray, ...]:
        padded = np.pad(data, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        answer = np.einsum("nchwij,ocij->nohw", windows, weights["conv_weight"])
        answer = np.maximum(answer + weights["conv_bias"][:, None, None], 0)
        rows, filters, height, width = answer.shape
        return (answer.reshape(rows, filters, height // 2, 2, width // 2, 2).max((3, 5)),)

    def draw(rows: int) -> dict[str, np.ndarray]:
        return {"data": random.normal(size=(rows, 8, 6, 4)).astype(np.float32)}

    return Network(graph.text([pool]), weights, draw, compute)


def activations(dtype: type[np.generic] = np.float32, shape: tuple[int, ...] = (-1, 5)) -> Network:
    """Two outputs in an order that is not alphabetical, of an input of any size."""
    graph = Graph()
    data = graph.variable("data")
    tail = graph.operator("Activation", "zz", (data,), act_type="relu")
    head = graph.operator("Activation", "aa", (tail,), act_type="softsign")
    random = np.random.default_rng(2)

    def compute(data: np.ndarray) -> tuple[np.ndarray, ...]:
        relu = np.maximum(data, 0)
        return relu, relu / (1 + np.abs(relu))

    def draw(rows: int) -> dict[str, np.ndarray]:
        return {"data": random.normal(size=(rows, 5)).astype(dtype)}

    hints = {"data": InputHint(DType.of(dtype), shape)}
    return Network(graph.text([tail, head]), {}, draw, compute, hints)


def classifier(dtype: type[np.generic] = np.float32) -> Network:
    """The loss that a network was trained with, whose labels are left in the graph."""
    graph = Graph()
    data, label = graph.variable("data"), graph.variable("softmax_label")
    loss = graph.operator("SoftmaxOutput", "softmax", (data, label))
    random = np.random.default_rng(3)

    def compute(data: np.ndarray) -> tuple[np.ndarray, ...]:
        scores = np.exp(data)
        return (scores / scores.sum(1, keepdims=True),)

    def draw(rows: int) -> dict[str, np.ndarray]:
        return {"data": random.normal(size=(rows, 4)).astype(dtype)}

    return Network(
        graph.text([loss]), {}, draw, compute, {"data": InputHint(DType.of(dtype), (-1, 4))}
    )
