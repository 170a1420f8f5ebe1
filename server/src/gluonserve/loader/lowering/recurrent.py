"""Fused recurrent layers: ``RNN`` in its four modes, layer by layer and direction by direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.stepping import stepped
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

SHARED_SEQUENCE = "Recurrent nodes that read the same"
"""OpenVINO swaps time and rows of the data twice for the second of such nodes."""
_GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}
_ORDER = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2]}
"""ONNX's gates by their places in MXNet: input, output, forget, cell; update, reset, hidden."""


@dataclass(frozen=True, slots=True)
class Layers:
    """The sizes of a fused layer."""

    mode: str
    inputs: int
    hidden: int
    count: int
    directions: int
    projection: int | None = None

    @property
    def answers(self) -> int:
        """What a step answers in one direction."""
        return self.hidden if self.projection is None else self.projection

    @property
    def gates(self) -> int:
        """Rows of a weight: every gate's hidden units."""
        return _GATES[self.mode] * self.hidden

    def weights(self) -> Iterator[tuple[int, int]]:
        """Shapes of all weights, in the order of the parameter vector."""
        for layer in range(self.count):
            inputs = self.directions * self.answers if layer else self.inputs
            for _ in range(self.directions):
                yield (self.gates, inputs)
                yield (self.gates, self.answers)
                if self.projection is not None:
                    yield (self.projection, self.hidden)


@dataclass(frozen=True, slots=True)
class Direction:
    """The parameters of one direction of one layer."""

    inward: Value
    recurrent: Value
    projection: Value | None
    inward_bias: Value
    recurrent_bias: Value


@OPS.lowers(
    "RNN", ignoring=("p", "lstm_state_clip_min", "lstm_state_clip_max", "lstm_state_clip_nan")
)
def rnn(
    op: Emit,
    data: Value,
    parameters: Value,
    state: Value,
    *others: Value,
    state_size: int,
    num_layers: int,
    bidirectional: bool = False,
    mode: Literal["gru", "lstm", "rnn_relu", "rnn_tanh"],
    state_outputs: bool = False,
    projection_size: int | None = None,
    use_sequence_length: bool = False,
) -> tuple[Value, ...]:
    """``LSTM``, ``GRU`` or ``RNN`` per layer; with a projection a ``Loop``.

    Gates are put into ONNX's order by nodes that engines fold, so that weights stay in their file.
    As MXNet on a CPU it ignores sequence lengths and the clipping of states, which only cuDNN
    knows. Steps are axis 0 and rows are axis 1.
    """
    cells, lengths = (others[:1], others[1:]) if mode == "lstm" else ((), others)
    if len(lengths) != use_sequence_length:
        raise InvalidModel(f"{len(others) + 3} inputs of {mode}")
    for value in lengths:
        op.equate(value.shape[0], data.shape[1], "sequence_length")
    op.couple(data.shape[0])
    op.counts_rows(data.shape[1])
    directions = 1 + bidirectional
    layers = Layers(
        mode, _input_size(op, data, parameters, state_size, num_layers, directions, mode,
        projection_size), state_size, num_layers, directions, projection_size,
    )  # fmt: skip
    data = op.reshape(data, (*data.shape[:2], layers.inputs))
    states = [
        _begin(op, value, data, layers, size)
        for value, size in zip((state, *cells), (layers.answers, state_size), strict=False)
    ]
    answered = _layers(
        op, op.cast(data, DType.FP32), _parameters(op, parameters, layers), states, layers
    )
    kept = answered if state_outputs else answered[:1]
    return tuple(op.cast(value, data.dtype) for value in kept)


def _input_size(
    op: Emit,
    data: Value,
    parameters: Value,
    hidden: int,
    count: int,
    directions: int,
    mode: str,
    projection: int | None,
) -> int:
    """The size of a step of the data; the length of the parameter vector tells it.

    It tells too where data is free there, as pictures are whose rows were folded into channels.
    """
    known = Layers(mode, 0, hidden, count, directions, projection)
    size, length = data.shape[2], parameters.shape[0]
    others: Dim = sum(rows * columns for rows, columns in known.weights())
    others += count * directions * known.gates * 2
    op.equate(length, others + directions * known.gates * size, "parameters")
    told = dims.exact_quotient(length - others, directions * known.gates)
    if isinstance(size, int) or not isinstance(told, int):
        return op.static(size, "the size of a step")
    return told


def _begin(op: Emit, state: Value, data: Value, layers: Layers, size: int) -> Value:
    """A begin state in float32, its rows those of the data."""
    rows = op.equate(data.shape[1], state.shape[1], "rows of a state")
    op.equate(state.shape[0], layers.count * layers.directions, "layers of a state")
    op.equate(state.shape[2], size, "size of a state")
    shape = (layers.count * layers.directions, rows, size)
    return op.cast(op.shaped(state, shape), DType.FP32)


def _parameters(op: Emit, flat: Value, layers: Layers) -> list[list[Direction]]:
    """The parameter vector taken apart: all weights by layer and direction, then all biases."""
    weights = list(layers.weights())
    biases = [(layers.gates,)] * (layers.count * layers.directions * 2)
    pieces = [op.cast(piece, DType.FP32) for piece in _pieces(op, flat, [*weights, *biases])]
    width = 2 if layers.projection is None else 3
    offsets = pieces[len(weights) :]
    found = []
    for at in range(layers.count * layers.directions):
        mine = pieces[at * width : (at + 1) * width]
        projection = mine[2] if width == 3 else None
        found.append(Direction(mine[0], mine[1], projection, *offsets[2 * at : 2 * at + 2]))
    step = layers.directions
    return [found[at : at + step] for at in range(0, len(found), step)]


def _pieces(op: Emit, flat: Value, shapes: Sequence[tuple[int, ...]]) -> list[Value]:
    """Consecutive parts of a vector in their shapes; of stored ones views."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    if [part.shape for part in flat.parts] == [(size,) for size in sizes]:
        return [op.reshape(part, shape) for part, shape in zip(flat.parts, shapes, strict=True)]
    ends = list(accumulate(sizes))
    ranges = zip((0, *ends[:-1]), ends, shapes, strict=True)
    if flat.constant is not None:
        vector = flat.constant
        return [op.const(vector[begin:end].reshape(shape)) for begin, end, shape in ranges]
    return [op.reshape(op.slice(flat, 0, begin, end), shape) for begin, end, shape in ranges]


def _layers(
    op: Emit,
    data: Value,
    parameters: Sequence[Sequence[Direction]],
    states: Sequence[Value],
    layers: Layers,
) -> tuple[Value, ...]:
    """All layers: what the last answers at each step, and the final states of all."""
    finals: list[tuple[Value, ...]] = []
    for at, directions in enumerate(parameters):
        first = at * layers.directions
        begins = [
            state if layers.count == 1 else op.slice(state, 0, first, first + layers.directions)
            for state in states
        ]
        if layers.projection is None:
            data, *ends = _fused(op, data, directions, begins, layers)
        else:
            data, *ends = _projected(op, data, directions, begins)
        finals.append(tuple(ends))
    return (data, *(_joined(op, ends) for ends in zip(*finals, strict=True)))


def _fused(
    op: Emit, data: Value, parameters: Sequence[Direction], states: Sequence[Value], layers: Layers
) -> tuple[Value, ...]:
    """One layer as one ONNX node."""
    inward = _joined(op, [_gates(op, each.inward, layers) for each in parameters])
    recurrent = _joined(op, [_gates(op, each.recurrent, layers) for each in parameters])
    biases = [
        op.Concat(
            _gates(op, each.inward_bias, layers), _gates(op, each.recurrent_bias, layers), axis=1
        )
        for each in parameters
    ]
    onnx, activation = _NODES[layers.mode]
    steps, *ends = op.node(
        onnx, _by_itself(op, data), inward, recurrent, _joined(op, biases), None, *states,
        outputs=1 + len(states), hidden_size=layers.hidden,
        direction="bidirectional" if layers.directions > 1 else "forward",
        activations=[activation] * layers.directions if activation else None,
        linear_before_reset=1 if layers.mode == "gru" else None,
    )  # fmt: skip
    if layers.directions == 1:
        return (op.squeeze(steps, 1), *ends)
    wide = (steps.shape[0], steps.shape[2], layers.directions * layers.hidden)
    return (op.reshape(op.transpose(steps, (0, 2, 1, 3)), wide), *ends)


def _by_itself(op: Emit, data: Value) -> Value:
    """What only this node reads, where the engine turns what several recurrent nodes read twice.

    A bound from below that finite numbers keep is a node of its own, and NaN passes it. Each is
    another, by one step of the type, for the engine makes one of equal nodes.
    """
    scope = op.scope.outermost
    scope.recurrent += 1
    if scope.recurrent == 1 or op.target.has(SHARED_SEQUENCE):
        return data
    kind = np.finfo(data.dtype.numpy)
    least = float(kind.min) * (1 - (scope.recurrent - 2) * float(kind.eps))
    return op.node("Max", op.scalar(least, data.dtype), data)[0]


_NODES = {
    "rnn_relu": ("RNN", "Relu"),
    "rnn_tanh": ("RNN", "Tanh"),
    "lstm": ("LSTM", ""),
    "gru": ("GRU", ""),
}
"""ONNX's operators, and their activation where it is not the only one."""


def _gates(op: Emit, weight: Value, layers: Layers) -> Value:
    """A weight or bias with its gates in ONNX's order, as the single direction of a layer."""
    order = _ORDER.get(layers.mode)
    shape = weight.shape
    if order is not None:
        apart = op.reshape(weight, (_GATES[layers.mode], layers.hidden, *shape[1:]))
        weight = op.Gather(apart, order, axis=0)
    return op.reshape(weight, (1, *shape))


def _joined(op: Emit, values: Sequence[Value]) -> Value:
    return values[0] if len(values) == 1 else op.Concat(*values, axis=0)


def _projected(
    op: Emit, data: Value, parameters: Sequence[Direction], states: Sequence[Value]
) -> tuple[Value, ...]:
    """One layer of an LSTM whose answers are projected, which ONNX's node does not know."""
    answers, ends, cells = [], [], []
    for at, each in enumerate(parameters):
        begin = [op.squeeze(op.slice(state, 0, at, at + 1), 0) for state in states]
        end, cell, steps = _projecting(op, data, each, begin, backwards=at > 0)
        answers.append(steps)
        ends.append(op.unsqueeze(end, 0))
        cells.append(op.unsqueeze(cell, 0))
    joined = answers[0] if len(answers) == 1 else op.Concat(*answers, axis=2)
    return joined, _joined(op, ends), _joined(op, cells)


def _projecting(
    op: Emit,
    data: Value,
    parameters: Direction,
    states: Sequence[Value],
    *,
    backwards: bool,
) -> tuple[Value, ...]:
    """One direction: its final answer and cell, and the answers of all steps.

    What flows in is computed for all steps at once.
    """
    bias = op.Add(parameters.inward_bias, parameters.recurrent_bias)
    inward = op.Add(op.MatMul(data, op.transpose(parameters.inward, (1, 0))), bias)
    turned = op.transpose(parameters.recurrent, (1, 0))
    projection = op.transpose(_required(parameters.projection), (1, 0))

    def step(
        inner: Emit, parts: Sequence[Value], current: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        last, cell = current
        gates = inner.Add(parts[0], inner.MatMul(last, turned))
        entered, forgot, fresh, shown = inner.node(
            "Split", gates, outputs=4, axis=1, num_outputs=4, types=[(cell.dtype, cell.shape)] * 4
        )
        renewed = inner.Add(
            inner.Mul(inner.Sigmoid(forgot), cell),
            inner.Mul(inner.Sigmoid(entered), inner.Tanh(fresh)),
        )
        said = inner.MatMul(inner.Mul(inner.Sigmoid(shown), inner.Tanh(renewed)), projection)
        return (said, renewed), (said,)

    reads = data.reads_data or any(state.reads_data for state in states)
    finals, stacked = stepped(op, [inward], states, step, reads_data=reads, backwards=backwards)
    return (*finals, *stacked)


def _required(value: Value | None) -> Value:
    if value is None:
        raise InvalidModel("a projection without a weight")
    return value
