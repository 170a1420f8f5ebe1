"""Loops and branches, whose bodies are MXNet subgraphs: ``Loop`` and ``If``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.stepping import carried, filled_up, stepped
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.graph import Graph
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_foreach", ignoring=("num_args", "num_outputs"))
def foreach(
    op: Emit,
    *inputs: Value,
    num_out_data: int,
    in_state_locs: Dims,
    in_data_locs: Dims,
    remain_locs: Dims,
) -> tuple[Value, ...]:
    """A step takes axis 0 of the data apart, and its answers are stacked on a new axis 0.

    A step's part of a vector has shape (1,), not ().
    """
    (steps,) = _subgraphs(op, 1)
    sizes = (len(in_data_locs), len(in_state_locs), len(remain_locs))
    if sum(sizes) != len(inputs):
        raise InvalidModel(f"{len(inputs)} inputs, and places for {sum(sizes)}")
    data, states = inputs[: sizes[0]], inputs[sizes[0] : sizes[0] + sizes[1]]
    captured = inputs[sizes[0] + sizes[1] :]
    op.couple(*(value.shape[0] for value in data))

    def step(
        inner: Emit, parts: Sequence[Value], current: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        rows = [value if value.rank else inner.reshape(value, (1,)) for value in parts]
        bound = _bound((in_data_locs, rows), (in_state_locs, current), (remain_locs, captured))
        answers = inner.inline(steps, bound)
        return answers[num_out_data:], answers[:num_out_data]

    reads = any(value.reads_data for value in inputs)
    finals, stacked = stepped(op, data, states, step, reads_data=reads)
    return (*stacked, *finals)


@OPS.lowers("_while_loop", ignoring=("num_args", "num_outputs"))
def while_loop(
    op: Emit,
    *inputs: Value,
    num_out_data: int,
    max_iterations: int,
    cond_input_locs: Dims,
    func_input_locs: Dims,
    func_var_locs: Dims,
) -> tuple[Value, ...]:
    """``Loop``; rows of stacked answers past the last step, which MXNet leaves unset, are zero."""
    condition, step = _subgraphs(op, 2)
    places = [func_input_locs[at] for at in func_var_locs]
    variables = [inputs[at] for at in places]
    begun = [(value.dtype, value.shape) for value in variables]
    reads = any(value.reads_data for value in inputs)

    def goes_on(inner: Emit, values: Sequence[Value]) -> Value:
        current = {**dict(enumerate(inputs)), **dict(zip(places, values, strict=True))}
        (verdict,) = inner.inline(condition, [current[at] for at in cond_input_locs])
        return _truth(inner, verdict)

    first = goes_on(op, variables)
    flags = [(DType.INT64, ()), (DType.BOOL, ())]
    body = op.body([*flags, *begun], reads_data=reads)
    current = {**dict(enumerate(inputs)), **dict(zip(places, body.inputs[2:], strict=True))}
    answers = body.op.inline(step, [current[at] for at in func_input_locs])
    stacked, renewed = answers[:num_out_data], answers[num_out_data:]
    kept = carried(body.op, variables, renewed)
    again = goes_on(body.op, kept)
    if again.reads_data:
        op.couple(*(dim for value in answers for dim in value.shape))
    count = op.fresh()
    results = op.node(
        "Loop", op.scalar(max_iterations), first, *variables,
        outputs=len(answers), reads_data=reads, body=body.graph(again, *kept, *stacked),
        types=[*begun, *((v.dtype, (count, *v.shape)) for v in stacked)],
    )  # fmt: skip
    finals, rows = results[: len(begun)], results[len(begun) :]
    return (*(filled_up(op, value, max_iterations) for value in rows), *finals)


@OPS.lowers("_cond", ignoring=("num_args", "num_outputs"))
def cond(
    op: Emit,
    *inputs: Value,
    cond_input_locs: Dims,
    then_input_locs: Dims,
    else_input_locs: Dims,
) -> tuple[Value, ...]:
    """``If``; both branches answer tensors of the same shapes."""
    condition, *branches = _subgraphs(op, 3)
    (verdict,) = op.inline(condition, [inputs[at] for at in cond_input_locs])
    truth = _truth(op, verdict)
    bodies, answers = [], []
    for branch, places in zip(branches, (then_input_locs, else_input_locs), strict=True):
        body = op.body([], reads_data=False)
        answers.append(body.op.inline(branch, [inputs[at] for at in places]))
        bodies.append(body)
    kinds = [
        (one.dtype, op.same_shape(one, other, what="branches"))
        for one, other in zip(*answers, strict=True)
    ]
    reads = any(value.reads_data for value in (truth, *answers[0], *answers[1]))
    if truth.reads_data:
        op.couple(*(dim for _, shape in kinds for dim in shape))
    graphs = [
        body.graph(*(body.op.cast(v, kind) for v, (kind, _) in zip(mine, kinds, strict=True)))
        for body, mine in zip(bodies, answers, strict=True)
    ]
    return op.node(
        "If", truth, outputs=len(kinds), types=kinds, reads_data=reads,
        then_branch=graphs[0], else_branch=graphs[1],
    )  # fmt: skip


def _subgraphs(op: Emit, count: int) -> tuple[Graph, ...]:
    graphs = op.mxnet_node.subgraphs
    if len(graphs) != count:
        raise InvalidModel(f"{len(graphs)} subgraphs, not {count}")
    return graphs


def _bound(*groups: tuple[Dims, Sequence[Value]]) -> list[Value]:
    """Values in the order of a subgraph's inputs, given in groups with their places."""
    by_place = {
        place: value
        for places, values in groups
        for place, value in zip(places, values, strict=True)
    }
    if sorted(by_place) != list(range(len(by_place))):
        raise InvalidModel(f"inputs of a subgraph at {sorted(by_place)}")
    return [by_place[place] for place in range(len(by_place))]


def _truth(op: Emit, value: Value) -> Value:
    """A tensor of one element as a condition: whether it is not zero."""
    return op.reshape(op.cast(value, DType.BOOL), ())
