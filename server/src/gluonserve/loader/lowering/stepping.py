"""Goes through axis 0 of tensors step by step, or round after round, in one ``Loop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

    Step = Callable[
        [Emit, Sequence[Value], Sequence[Value]], tuple[Sequence[Value], Sequence[Value]]
    ]
    Round = Callable[[Emit, Value, Sequence[Value]], tuple[Value, Sequence[Value]]]


def stepped(
    op: Emit,
    data: Sequence[Value],
    states: Sequence[Value],
    step: Step,
    *,
    reads_data: bool,
    backwards: bool = False,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The states after the last step, and what the steps answered on a new axis 0.

    ``step`` emits the body: it gets an emitter, this step's part of the data and the states, and
    answers new states and the step's answers. OpenVINO's ``Scan`` cannot see values outside of
    it, so this is a ``Loop`` that gathers its part.
    """
    length = data[0].shape[0]
    for value in data:
        length = op.equate(length, value.shape[0], "steps")
    begun = [(value.dtype, value.shape) for value in states]
    body = op.body([(DType.INT64, ()), (DType.BOOL, ()), *begun], reads_data=reads_data)
    inner, (at, goes_on, *current) = body.op, body.inputs
    place = inner.Sub(op.scalar(length - 1), at) if backwards else at
    parts = [inner.Gather(value, place, axis=0) for value in data]
    renewed, answers = step(inner, parts, current)
    kept = carried(inner, states, renewed)
    results = op.node(
        "Loop", op.scalar(length), op.const(True), *states,
        outputs=len(kept) + len(answers), reads_data=reads_data,
        body=body.graph(goes_on, *kept, *answers),
        types=[*begun, *((v.dtype, (length, *v.shape)) for v in answers)],
    )  # fmt: skip
    stacked = results[len(kept) :]
    if backwards:
        stacked = tuple(op.slice(value, 0, None, None, -1) for value in stacked)
    return results[: len(kept)], stacked


def repeated(
    op: Emit, most: Value, states: Sequence[Value], step: Round, *, reads_data: bool
) -> tuple[Value, ...]:
    """The states after ``most`` rounds, or after the first one that says that it was the last.

    ``step`` emits the body: it gets an emitter, how many rounds were before and the states, and
    answers whether there is another round, and new states.
    """
    begun = [(value.dtype, value.shape) for value in states]
    body = op.body([(DType.INT64, ()), (DType.BOOL, ()), *begun], reads_data=reads_data)
    again, renewed = step(body.op, body.inputs[0], body.inputs[2:])
    kept = carried(body.op, states, renewed)
    return op.node(
        "Loop", most, op.const(True), *states,
        outputs=len(kept), reads_data=reads_data, body=body.graph(again, *kept), types=begun,
    )  # fmt: skip


def carried(inner: Emit, before: Sequence[Value], after: Sequence[Value]) -> list[Value]:
    """What a step hands to the next one, in the types and shapes that it took."""
    if len(before) != len(after):
        raise InvalidModel(f"a step takes {len(before)} states and answers {len(after)}")
    kept = []
    for old, new in zip(before, after, strict=True):
        shape = inner.same_shape(old, new, what="a state before and after a step")
        kept.append(inner.shaped(inner.cast(new, old.dtype), shape))
    return kept


def filled_up(op: Emit, rows: Value, length: Dim) -> Value:
    """Stacked rows with rows of zeros behind them; there may be no row at all."""
    count, *rest = rows.shape
    stated = op.node(
        "Reshape", rows, op.shape_vector(rows.shape), allowzero=1, types=[(rows.dtype, rows.shape)]
    )[0]
    missing = op.filled(0, (length - count, *rest), rows.dtype)
    return op.Concat(stated, missing, axis=0)
