"""Rules of matrix products, reductions, sorting and recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.rules.call import Call, Rule, Types
    from gluonserve.loader.lowering.values import Shape

_REDUCE = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
]


def _matmul_shape(call: Call, left: Shape, right: Shape) -> Shape:
    if not left or not right:
        raise InvalidModel(f"{call.op_type} of a scalar")
    inner = right[-2] if len(right) > 1 else right[0]
    call.equate(left[-1], inner)
    batch = call.broadcast(left[:-2], right[:-2]) if max(len(left), len(right)) > 2 else ()
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else ()
    return (*batch, *rows, *columns)


def _matmul(call: Call) -> Types:
    return [(call[0].dtype, _matmul_shape(call, call[0].shape, call[1].shape))]


def _matmul_integer(call: Call) -> Types:
    return [(DType.INT32, _matmul_shape(call, call[0].shape, call[1].shape))]


def _qlinear_matmul(call: Call) -> Types:
    return [(call[7].dtype, _matmul_shape(call, call[0].shape, call[3].shape))]


def _gemm(call: Call) -> Types:
    left, right = call[0].shape, call[1].shape
    if len(left) != 2 or len(right) != 2:
        raise InvalidModel(f"Gemm of {list(left)} and {list(right)}")
    left = left[::-1] if call.attribute("transA") else left
    right = right[::-1] if call.attribute("transB") else right
    call.equate(left[1], right[0])
    if call.has(2):
        call.broadcast((left[0], right[1]), call[2].shape)
    return [(call[0].dtype, (left[0], right[1]))]


def _einsum(call: Call) -> Types:
    equation = call.attribute("equation").replace(" ", "")
    terms, _, result = equation.partition("->")
    sizes: dict[str, Dim] = {}
    for at, letters in enumerate(terms.split(",")):
        if len(letters) != call[at].rank:
            raise InvalidModel(f"einsum {equation!r} of rank {call[at].rank}")
        for letter, dim in zip(letters, call[at].shape, strict=True):
            sizes[letter] = call.equate(sizes[letter], dim) if letter in sizes else dim
    return [(call[0].dtype, tuple(sizes[letter] for letter in result))]


def reduced(shape: Shape, axes: tuple[int, ...], *, keep: bool) -> Shape:
    """``shape`` with ``axes`` (counted from the front) reduced to one, or left out."""
    if keep:
        return tuple(1 if at in axes else dim for at, dim in enumerate(shape))
    return tuple(dim for at, dim in enumerate(shape) if at not in axes)


def _reduce(call: Call) -> Types:
    axes = call.numbers(1) if call.has(1) else call.attribute("axes")
    if axes is None and call.has(1):
        raise InvalidModel(f"{call.op_type} over axes that are not known")
    if axes is None or (not axes and not call.attribute("noop_with_empty_axes")):
        axes = range(call[0].rank)
    counted = tuple(call[0].axis(axis) for axis in axes)
    call.op.couple(*(call[0].shape[axis] for axis in counted))
    keep = bool(call.attribute("keepdims", 1))
    return [(call[0].dtype, reduced(call[0].shape, counted, keep=keep))]


def _arg(call: Call) -> Types:
    axis = call[0].axis(call.attribute("axis", 0))
    call.op.couple(call[0].shape[axis])
    keep = bool(call.attribute("keepdims", 1))
    return [(DType.INT64, reduced(call[0].shape, (axis,), keep=keep))]


def _topk(call: Call) -> Types:
    counts = call.dims(1)
    axis = call[0].axis(call.attribute("axis", -1))
    call.op.couple(call[0].shape[axis])
    count = counts[0] if counts else call.op.fresh()
    shape = tuple(count if at == axis else dim for at, dim in enumerate(call[0].shape))
    return [(call[0].dtype, shape), (DType.INT64, shape)]


def _unique(call: Call) -> Types:
    count = call.op.fresh()
    axis = call.attribute("axis")
    shape: Shape = (count,)
    if axis is not None:
        at = call[0].axis(axis)
        shape = (*call[0].shape[:at], count, *call[0].shape[at + 1 :])
    extra = (DType.INT64, (count,))
    inverse = (DType.INT64, (call[0].shape[at] if axis is not None else call.op.fresh(),))
    return [(call[0].dtype, shape), extra, inverse, extra][: call.outputs]


def _recurrent(call: Call) -> Types:
    data, recurrence = call[0], call[2]
    time, batch, _ = data.shape
    directions, hidden = recurrence.shape[0], recurrence.shape[2]
    state = (data.dtype, (directions, batch, hidden))
    return [(data.dtype, (time, directions, batch, hidden)), state, state][: call.outputs]


def _determinant(call: Call) -> Types:
    return [(call[0].dtype, call[0].shape[:-2])]


def _non_max_suppression(call: Call) -> Types:
    return [(DType.INT64, (call.op.fresh(), 3))]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_REDUCE, _reduce),
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _qlinear_matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "ArgMax": _arg,
    "ArgMin": _arg,
    "TopK": _topk,
    "Unique": _unique,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Det": _determinant,
    "NonMaxSuppression": _non_max_suppression,
}
