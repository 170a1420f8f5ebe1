"""Rules of operators that move elements: reshapes, slices, gathers, padding, and constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.values import FROM_ONNX
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.rules.call import Call, Rule, Types
    from gluonserve.loader.lowering.values import Shape

_FAR = 1 << 31


def _shape(call: Call) -> Types:
    start, end = call.attribute("start", 0), call.attribute("end")
    return [(DType.INT64, (len(call[0].shape[start:end]),))]


def _size(call: Call) -> Types:
    return [(DType.INT64, ())]


def _vector(call: Call, index: int) -> Shape:
    """The shape that an operand holds; free dimensions where only the run time knows it."""
    known = call.dims(index)
    if known is not None:
        return known
    length = call[index].shape[0]
    if not isinstance(length, int):
        raise InvalidModel(f"{call.op_type}: a shape of unknown rank")
    return tuple(call.op.fresh() for _ in range(length))


def _constant_of_shape(call: Call) -> Types:
    value = call.attribute("value")
    dtype = FROM_ONNX[value.data_type] if value is not None else DType.FP32
    return [(dtype, _vector(call, 0))]


def _range(call: Call) -> Types:
    start, limit, step = (call.dims(index) for index in range(3))
    if start and limit and step and isinstance(step[0], int) and step[0]:
        count = -((start[0] - limit[0]) // step[0])
        return [(call[0].dtype, (dims.larger(count, 0),))]
    return [(call[0].dtype, (call.op.fresh(),))]


def _expand(call: Call) -> Types:
    return [(call[0].dtype, call.broadcast(call[0].shape, _vector(call, 1)))]


def _reshape(call: Call) -> Types:
    wanted = list(_vector(call, 1))
    source = call[0].shape
    for at, dim in enumerate(wanted):
        if dim == 0 and not call.attribute("allowzero"):
            wanted[at] = source[at]
    if -1 in wanted:
        at = wanted.index(-1)
        rest = dims.product(dim for other, dim in enumerate(wanted) if other != at)
        inferred = dims.exact_quotient(dims.product(source), rest)
        if inferred is None and isinstance(rest, int) and isinstance(dims.product(source), int):
            raise InvalidModel(f"{list(source)} does not reshape to {wanted}")
        wanted[at] = inferred if inferred is not None else dims.product(source) // rest
    call.equate(dims.product(source), dims.product(wanted))
    return [(call[0].dtype, tuple(wanted))]


def _flatten(call: Call) -> Types:
    axis = call.attribute("axis", 1) % (call[0].rank + 1)
    shape = call[0].shape
    return [(call[0].dtype, (dims.product(shape[:axis]), dims.product(shape[axis:])))]


def _axes(call: Call, rank: int) -> tuple[int, ...]:
    axes = call.numbers(1)
    if axes is None:
        raise InvalidModel(f"{call.op_type} over axes that are not known")
    return tuple(axis % rank for axis in axes)


def _squeeze(call: Call) -> Types:
    shape = call[0].shape
    if not call.has(1):
        axes = tuple(at for at, dim in enumerate(shape) if dim == 1)
    else:
        axes = _axes(call, len(shape))
    for axis in axes:
        call.equate(shape[axis], 1)
    return [(call[0].dtype, tuple(dim for at, dim in enumerate(shape) if at not in axes))]


def _unsqueeze(call: Call) -> Types:
    count = call[1].shape[0]
    rank = call[0].rank + (count if isinstance(count, int) else 0)
    axes = _axes(call, rank)
    rest = iter(call[0].shape)
    return [(call[0].dtype, tuple(1 if at in axes else next(rest) for at in range(rank)))]


def _transpose(call: Call) -> Types:
    order = call.attribute("perm") or tuple(reversed(range(call[0].rank)))
    if sorted(order) != list(range(call[0].rank)):
        raise InvalidModel(f"axes {tuple(order)} do not permute {call[0].rank} dimensions")
    return [(call[0].dtype, tuple(call[0].shape[axis] for axis in order))]


def _concat(call: Call) -> Types:
    values = [operand for operand in call.operands if operand is not None]
    axis = values[0].axis(call.attribute("axis"))
    shape = list(values[0].shape)
    for value in values[1:]:
        if value.rank != len(shape):
            raise InvalidModel(f"Concat of {shape} and {list(value.shape)}")
        for at, dim in enumerate(value.shape):
            shape[at] = shape[at] + dim if at == axis else call.equate(shape[at], dim)
    return [(values[0].dtype, tuple(shape))]


def _split(call: Call) -> Types:
    axis = call[0].axis(call.attribute("axis", 0))
    sizes = call.dims(1)
    if sizes is None:
        parts = call.attribute("num_outputs") or call.outputs
        size = (call[0].shape[axis] + parts - 1) // parts
        last = call[0].shape[axis] - size * (parts - 1)
        sizes = (*(size,) * (parts - 1), last)
    shape = call[0].shape
    return [(call[0].dtype, (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


def _slice(call: Call) -> Types:
    begins, ends = call.dims(1), call.dims(2)
    count = call[1].shape[0]
    axes = call.numbers(3) if call.has(3) else tuple(range(count if isinstance(count, int) else 0))
    steps = call.numbers(4) if call.has(4) else (1,) * len(axes or ())
    if axes is None or steps is None:
        raise InvalidModel("Slice over axes or steps that are not known")
    shape = list(call[0].shape)
    for at, axis in enumerate(axes):
        size = shape[axis]
        if begins is None or ends is None:
            shape[axis] = call.op.fresh()
        else:
            shape[axis] = sliced(size, begins[at], ends[at], steps[at])
            if steps[at] < 0:
                call.op.couple(size)
    return [(call[0].dtype, tuple(shape))]


def sliced(size: Dim, begin: Dim, end: Dim, step: int = 1) -> Dim:
    """How many elements ``begin:end:step`` takes of ``size``, clamped as in Python.

    Where ``size`` is free, a fixed beginning is taken to lie inside it.
    """
    if step < 0:
        first, last = _position(begin, size, size - 1, -1), _position(end, size, size - 1, -1)
        return _count((first - last - step - 1) // -step)
    first, last = _position(begin, size, size, 0), _position(end, size, size, 0)
    if not isinstance(size, int) and isinstance(last, int):
        last = dims.smaller(last, size)
    return _count((last - first + step - 1) // step)


def _count(count: Dim) -> Dim:
    return max(count, 0) if isinstance(count, int) else count


def _position(at: Dim, size: Dim, high: Dim, low: int) -> Dim:
    """A position of a slice counted from the front, clamped where everything is known."""
    if not isinstance(at, int):
        return at
    if at >= _FAR:
        return high
    if at < -_FAR:
        return low
    counted = size + at if at < 0 else at
    if isinstance(counted, int) and isinstance(high, int):
        return min(max(counted, low), high)
    return counted


def _gather(call: Call) -> Types:
    axis = call[0].axis(call.attribute("axis", 0))
    shape = call[0].shape
    return [(call[0].dtype, (*shape[:axis], *call[1].shape, *shape[axis + 1 :]))]


def _gather_elements(call: Call) -> Types:
    return [(call[0].dtype, call[1].shape)]


def _gather_nd(call: Call) -> Types:
    batch = call.attribute("batch_dims", 0)
    data, indices = call[0].shape, call[1].shape
    depth = indices[-1]
    if not isinstance(depth, int):
        raise InvalidModel("GatherND with indices of unknown depth")
    return [(call[0].dtype, (*indices[:-1], *data[batch + depth :]))]


def _tile(call: Call) -> Types:
    repeats = call.dims(1)
    if repeats is None:
        return [(call[0].dtype, tuple(call.op.fresh() for _ in call[0].shape))]
    return [(call[0].dtype, tuple(a * b for a, b in zip(call[0].shape, repeats, strict=True)))]


def _pad(call: Call) -> Types:
    rank = call[0].rank
    pads = call.dims(1)
    axes = call.numbers(3) if call.has(3) else tuple(range(rank))
    shape = list(call[0].shape)
    for at, axis in enumerate(axes or ()):
        known = pads is not None
        added = pads[at] + pads[at + len(axes or ())] if pads is not None else 0
        shape[axis] = shape[axis] + added if known else call.op.fresh()
    return [(call[0].dtype, tuple(shape))]


def _resize(call: Call) -> Types:
    if call.has(3):
        return [(call[0].dtype, _vector(call, 3))]
    scales = call[2].constant
    if scales is None:
        return [(call[0].dtype, tuple(call.op.fresh() for _ in call[0].shape))]
    return [(call[0].dtype, tuple(map(_scaled, call[0].shape, (float(s) for s in scales))))]


def _scaled(dim: Dim, scale: float) -> Dim:
    if scale == int(scale):
        return dim * int(scale)
    if isinstance(dim, int):
        return int(dim * scale)
    top, bottom = scale.as_integer_ratio()
    return dim * top // bottom


def _one_hot(call: Call) -> Types:
    depth = call.dims(1)
    count = depth[0] if depth else call.op.fresh()
    at = call.attribute("axis", -1) % (call[0].rank + 1)
    shape = call[0].shape
    return [(call[2].dtype, (*shape[:at], count, *shape[at:]))]


def _nonzero(call: Call) -> Types:
    return [(DType.INT64, (call[0].rank, call.op.fresh()))]


def _compress(call: Call) -> Types:
    axis = call.attribute("axis")
    count = call.op.fresh()
    if axis is None:
        return [(call[0].dtype, (count,))]
    at, shape = call[0].axis(axis), call[0].shape
    return [(call[0].dtype, (*shape[:at], count, *shape[at + 1 :]))]


def _eye_like(call: Call) -> Types:
    wanted = call.attribute("dtype")
    return [(FROM_ONNX[wanted] if wanted else call[0].dtype, call[0].shape)]


RULES: Mapping[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Expand": _expand,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Tile": _tile,
    "Pad": _pad,
    "Resize": _resize,
    "OneHot": _one_hot,
    "NonZero": _nonzero,
    "Compress": _compress,
    "EyeLike": _eye_like,
}
