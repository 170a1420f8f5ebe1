"""Likelihoods of sequences: connectionist temporal classification and Hawkes processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.stepping import stepped
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

_IMPOSSIBLE = -1e30
"""The logarithm of a probability of zero; far from infinity, so that differences stay numbers."""


@OPS.lowers("CTCLoss")
def ctc_loss(
    op: Emit,
    data: Value,
    label: Value,
    *lengths: Value,
    use_data_lengths: bool = False,
    use_label_lengths: bool = False,
    blank_label: Literal["first", "last"] = "first",
) -> Value:
    """The forward recursion over logarithms, a step of the data at a time.

    Without lengths a label ends before its first padding: 0 where the blank is first, else -1.
    As in MXNet the loss is 0 where the data are too short for the label.
    """
    if len(lengths) != use_data_lengths + use_label_lengths:
        raise InvalidModel(f"{len(lengths)} lengths")
    steps, rows, classes = data.shape
    op.couple(steps)
    op.equate(rows, label.shape[0], "rows of labels")
    blank = op.scalar(0 if blank_label == "first" else classes - 1)
    symbols = op.cast(label, DType.INT64)
    if use_label_lengths:
        ends = op.cast(lengths[-1], DType.INT64)
    else:
        ends = _before_padding(op, symbols, 0 if blank_label == "first" else -1)
    path, jumps = _path(op, op.Max(symbols, 0), blank)
    logs = op.LogSoftmax(op.cast(data, DType.FP32), axis=2)
    places = op.Range(0, op.scalar(steps), 1)
    until = op.cast(lengths[0], DType.INT64) if use_data_lengths else None

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        said, at = parts
        renewed = inner.Add(
            _advanced(inner, states[0], jumps), inner.GatherElements(said, path, axis=1)
        )
        if until is not None:
            running = inner.unsqueeze(inner.Less(at, until), 1)
            renewed = inner.Where(running, renewed, states[0])
        return (renewed,), ()

    begin = op.Concat(
        op.filled(0, (rows, 1), DType.FP32),
        op.filled(_IMPOSSIBLE, (rows, path.shape[1] - 1), DType.FP32),
        axis=1,
    )
    (finals,), _ = stepped(op, [logs, places], [begin], step, reads_data=True)
    return op.cast(_loss(op, finals, ends), data.dtype)


@OPS.lowers("_contrib_hawkesll")
def hawkes_log_likelihood(
    op: Emit,
    lda: Value,
    alpha: Value,
    beta: Value,
    state: Value,
    lags: Value,
    marks: Value,
    valid_length: Value,
    max_time: Value,
) -> tuple[Value, Value]:
    """An event at a time; then what is left of the observed time."""
    rows, kinds = lda.shape
    op.couple(lags.shape[1])
    names = op.cast(op.Range(0, op.scalar(kinds), 1), marks.dtype)
    places = op.cast(op.Range(0, op.scalar(lags.shape[1]), 1), lda.dtype)

    def waited(inner: Emit, memory: Value, since: Value) -> tuple[Value, Value, Value]:
        """Intensity and compensator after a time without events, and how far memory has faded."""
        faded = inner.Exp(inner.Neg(inner.Mul(beta, since)))
        excited = inner.Mul(alpha, memory)
        rate = inner.Add(lda, inner.Mul(inner.Mul(beta, excited), faded))
        passed = inner.Add(inner.Mul(lda, since), inner.Mul(excited, inner.Sub(1, faded)))
        return rate, passed, faded

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        lag, mark, at = parts
        total, now, last, memory = states
        valid = inner.Less(at, valid_length)
        then = inner.Where(valid, inner.Add(now, lag), now)
        happens = inner.And(inner.Equal(inner.unsqueeze(mark, 1), names), inner.unsqueeze(valid, 1))
        rate, passed, faded = waited(inner, memory, inner.Sub(inner.unsqueeze(then, 1), last))
        gain = inner.Where(happens, inner.Sub(inner.Log(rate), passed), inner.scalar(0, lda.dtype))
        summed = inner.Add(total, inner.ReduceSum(gain, [1], keepdims=0))
        fresh = inner.Where(happens, inner.unsqueeze(then, 1), last)
        excited = inner.Where(happens, inner.Add(inner.Mul(memory, faded), 1), memory)
        return (summed, then, fresh, excited), ()

    nothing = op.filled(0, (rows,), lda.dtype)
    begun = [nothing, nothing, op.filled(0, (rows, kinds), lda.dtype), state]
    events = [op.transpose(lags, (1, 0)), op.transpose(marks, (1, 0)), places]
    (total, _, last, memory), _ = stepped(op, events, begun, step, reads_data=True)
    _, passed, faded = waited(op, memory, op.Sub(op.unsqueeze(max_time, 1), last))
    rest = op.ReduceSum(passed, [1], keepdims=0)
    return op.Sub(total, rest), op.Mul(memory, faded)


def _before_padding(op: Emit, symbols: Value, padding: int) -> Value:
    """Where the first padding of each row stands; the length of the row where there is none."""
    places = op.Range(0, op.scalar(symbols.shape[1]), 1)
    ends = op.Where(op.Equal(symbols, padding), places, op.scalar(symbols.shape[1]))
    return op.ReduceMin(ends, [1], keepdims=0)


def _path(op: Emit, symbols: Value, blank: Value) -> tuple[Value, Value]:
    """Labels with blanks between and around them, and the cost of a jump over the blank before."""
    rows, count = symbols.shape
    blanks = op.expand(op.reshape(blank, (1, 1)), (rows, count))
    closing = op.expand(op.reshape(blank, (1, 1)), (rows, 1))
    path = op.Concat(_woven(op, blanks, symbols), closing, axis=1)
    same = op.Equal(op.slice(symbols, 1, 1, None), op.slice(symbols, 1, 0, -1))
    barred, free = op.scalar(_IMPOSSIBLE, DType.FP32), op.scalar(0, DType.FP32)
    costs = op.shaped(op.Where(same, barred, free), (rows, count - 1))
    first = op.filled(_IMPOSSIBLE, (rows, 1), DType.FP32)
    never = op.filled(_IMPOSSIBLE, (rows, count), DType.FP32)
    jumps = op.Concat(_woven(op, never, op.Concat(first, costs, axis=1)), first, axis=1)
    return path, jumps


def _woven(op: Emit, one: Value, other: Value) -> Value:
    """Columns of two matrices in turn."""
    rows, count = one.shape
    pairs = op.Concat(op.unsqueeze(one, 2), op.unsqueeze(op.shaped(other, one.shape), 2), axis=2)
    return op.reshape(pairs, (rows, 2 * count))


def _advanced(op: Emit, logs: Value, jumps: Value) -> Value:
    """Probabilities of being at each place of the path after staying, a step or a jump."""
    rows, count = logs.shape
    behind = [
        op.Concat(op.filled(_IMPOSSIBLE, (rows, by), DType.FP32), op.slice(logs, 1, 0, -by), axis=1)
        for by in (1, 2)
    ]
    stepped_on, jumped = (op.shaped(value, (rows, count)) for value in behind)
    ways = [logs, stepped_on, op.Max(op.Add(jumped, jumps), _IMPOSSIBLE)]
    return op.ReduceLogSumExp(
        op.Concat(*(op.unsqueeze(way, 0) for way in ways), axis=0), [0], keepdims=0
    )


def _loss(op: Emit, logs: Value, ends: Value) -> Value:
    """The loss at the end of each label: its last symbol or the blank behind it."""
    rows = logs.shape[0]
    place = op.unsqueeze(op.Mul(ends, 2), 1)
    blank = op.GatherElements(logs, place, axis=1)
    symbol = op.GatherElements(logs, op.Max(op.Sub(place, 1), 0), axis=1)
    impossible = op.scalar(_IMPOSSIBLE, DType.FP32)
    symbol = op.Where(op.Greater(place, 0), symbol, impossible)
    both = op.ReduceLogSumExp(op.Concat(blank, symbol, axis=1), [1], keepdims=0)
    reached = op.Greater(both, op.scalar(_IMPOSSIBLE / 2, DType.FP32))
    return op.shaped(op.Where(reached, op.Neg(both), op.scalar(0, DType.FP32)), (rows,))
