"""What of a graph is known at import: small constants, and shapes as far as their symbols go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.values import FROM_ONNX
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.values import Value

Attributes: TypeAlias = "Mapping[str, Any]"
Content: TypeAlias = "tuple[Dim, ...]"
Known: TypeAlias = "tuple[DType, Content, tuple[int, ...]]"
"""Type, elements and shape of a short vector (or scalar) of integers."""
Symbolic: TypeAlias = "Callable[[Sequence[Value], Attributes], Known | None]"
Numeric: TypeAlias = "Callable[[Sequence[Any], Attributes], np.ndarray | None]"
"""Arrays (None where an optional input is left out) and attributes in, the result out."""

_LARGEST = 4096
"""Elements; larger constants are left to the engine, so that weights are not copied here."""


def fold(
    op_type: str, operands: Sequence[Value | None], attributes: Attributes
) -> np.ndarray | None:
    """The result of a node whose inputs are small constants; None where it must be emitted."""
    if op_type not in _NUMPY:
        return None
    arrays = [None if operand is None else operand.constant for operand in operands]
    present = [operand for operand in operands if operand is not None]
    if not present or any(operand.constant is None for operand in present):
        return None
    if sum(array.size for array in arrays if array is not None) > _LARGEST:
        return None
    with np.errstate(all="ignore"):
        result = _NUMPY[op_type](arrays, attributes)
    return result if result is not None and result.size <= _LARGEST else None


def content(op_type: str, operands: Sequence[Value | None], attributes: Attributes) -> Known | None:
    """Type, elements and shape of a short vector of integers that may be symbolic."""
    if op_type == "Shape" and operands[0] is not None:
        start, end = attributes.get("start", 0), attributes.get("end")
        elements = operands[0].shape[start:end]
        return DType.INT64, elements, (len(elements),)
    if op_type == "Size" and operands[0] is not None:
        return DType.INT64, (dims.product(operands[0].shape),), ()
    rule = _SYMBOLIC.get(op_type)
    if rule is None or any(o is not None and o.dtype not in _WHOLE for o in operands):
        return None
    vectors = [None if operand is None else operand.integers for operand in operands]
    if any(v is None for v, o in zip(vectors, operands, strict=True) if o is not None):
        return None
    return rule([o for o in operands if o is not None], attributes)


_WHOLE = frozenset({DType.INT32, DType.INT64})


def _known(value: Value) -> Content:
    return value.integers or ()


def _numbers(value: Value) -> tuple[int, ...] | None:
    elements = _known(value)
    numbers = tuple(element for element in elements if isinstance(element, int))
    return numbers if len(numbers) == len(elements) else None


def _extent(elements: Content, value: Value) -> tuple[int, ...]:
    return (len(elements),) if value.rank else ()


def _arithmetic(operate: Callable[[Dim, Dim], Dim]) -> Symbolic:
    def rule(values: Sequence[Value], _: Attributes) -> Known | None:
        one, *others = values
        elements, rank = _known(one), one.rank
        for other in others:
            more = _known(other)
            if len(elements) != len(more) and 1 not in (len(elements), len(more)):
                return None
            width = max(len(elements), len(more))
            left, right = _widened(elements, width), _widened(more, width)
            elements = tuple(operate(a, b) for a, b in zip(left, right, strict=True))
            rank = max(rank, other.rank)
        return one.dtype, elements, (len(elements),) if rank else ()

    return rule


def _widened(elements: Content, width: int) -> Content:
    return elements * width if len(elements) == 1 else elements


def _concat(values: Sequence[Value], _: Attributes) -> Known | None:
    elements = tuple(element for value in values for element in _known(value))
    return values[0].dtype, elements, (len(elements),)


def _gather(values: Sequence[Value], attributes: Attributes) -> Known | None:
    source, index = _known(values[0]), _numbers(values[1])
    if index is None or attributes.get("axis", 0) not in (0, -1) or values[1].rank > 1:
        return None
    if not all(-len(source) <= at < len(source) for at in index):
        return None
    elements = tuple(source[at] for at in index)
    return values[0].dtype, elements, _extent(elements, values[1])


def _slice(values: Sequence[Value], _: Attributes) -> Known | None:
    source = _known(values[0])
    numbers = [_numbers(value) for value in values[1:]]
    if any(number is None or len(number) != 1 for number in numbers):
        return None
    begin, end = (number[0] for number in numbers[:2] if number)
    step = numbers[3][0] if len(numbers) > 3 and numbers[3] else 1
    elements = source[slice(begin, end if end >= -len(source) else None, step)]
    return values[0].dtype, elements, (len(elements),)


def _same(values: Sequence[Value], _: Attributes) -> Known | None:
    elements = _known(values[0])
    return values[0].dtype, elements, _extent(elements, values[0])


def _cast(values: Sequence[Value], attributes: Attributes) -> Known | None:
    dtype = FROM_ONNX[attributes["to"]]
    if dtype not in _WHOLE:
        return None
    return dtype, _known(values[0]), _extent(_known(values[0]), values[0])


def _squeeze(values: Sequence[Value], _: Attributes) -> Known | None:
    elements = _known(values[0])
    return (values[0].dtype, elements, ()) if len(elements) == 1 else None


def _unsqueeze(values: Sequence[Value], _: Attributes) -> Known | None:
    return (values[0].dtype, _known(values[0]), (1,)) if values[0].rank == 0 else None


def _reshape(values: Sequence[Value], _: Attributes) -> Known | None:
    wanted, elements = _numbers(values[1]), _known(values[0])
    if wanted is None or len(wanted) > 1:
        return None
    return values[0].dtype, elements, (len(elements),) if wanted else ()


def _reduce_prod(values: Sequence[Value], attributes: Attributes) -> Known | None:
    keep = attributes.get("keepdims", 1)
    return values[0].dtype, (dims.product(_known(values[0])),), (1,) if keep else ()


_SYMBOLIC: Mapping[str, Symbolic] = {
    "Add": _arithmetic(lambda a, b: a + b),
    "Sub": _arithmetic(lambda a, b: a - b),
    "Mul": _arithmetic(lambda a, b: a * b),
    "Max": _arithmetic(dims.larger),
    "Min": _arithmetic(dims.smaller),
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Identity": _same,
    "Cast": _cast,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "ReduceProd": _reduce_prod,
}


def _elementwise(function: Callable[..., Any]) -> Numeric:
    return lambda arrays, _: np.asarray(function(*arrays))


def _divide(arrays: Sequence[np.ndarray], _: Attributes) -> np.ndarray | None:
    top, bottom = arrays
    if top.dtype.kind == "f":
        return np.asarray(top / bottom)
    if not np.all(bottom):
        return None
    quotient = np.abs(top) // np.abs(bottom)
    return np.asarray(quotient * np.sign(top) * np.sign(bottom)).astype(top.dtype)


def _reduce(function: Callable[..., Any]) -> Numeric:
    def rule(arrays: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
        axes = tuple(int(a) for a in arrays[1]) if len(arrays) > 1 and arrays[1] is not None else ()
        keep = bool(attributes.get("keepdims", 1))
        result = function(arrays[0], axis=axes or None, keepdims=keep)
        return np.asarray(result).astype(arrays[0].dtype)

    return rule


def _numpy_slice(arrays: Sequence[np.ndarray], _: Attributes) -> np.ndarray:
    data, begins, ends = arrays[:3]
    axes = arrays[3] if len(arrays) > 3 and arrays[3] is not None else range(len(begins))
    steps = arrays[4] if len(arrays) > 4 and arrays[4] is not None else [1] * len(begins)
    where = [slice(None)] * data.ndim
    for axis, begin, end, step in zip(axes, begins, ends, steps, strict=True):
        stop = int(end) if int(end) >= -data.shape[axis] else None
        where[int(axis)] = slice(int(begin), stop, int(step))
    return data[tuple(where)]


def _numpy_unsqueeze(arrays: Sequence[np.ndarray], _: Attributes) -> np.ndarray:
    return np.expand_dims(arrays[0], tuple(int(axis) for axis in arrays[1]))


def _numpy_squeeze(arrays: Sequence[np.ndarray], _: Attributes) -> np.ndarray:
    axes = tuple(int(axis) for axis in arrays[1]) if len(arrays) > 1 else None
    return np.squeeze(arrays[0], axes)


def _numpy_reshape(arrays: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray | None:
    wanted = [int(size) for size in arrays[1]]
    if 0 in wanted or attributes.get("allowzero"):
        return None
    return arrays[0].reshape(wanted)


_NUMPY: Mapping[str, Numeric] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "Cast": lambda arrays, given: arrays[0].astype(FROM_ONNX[given["to"]].numpy),
    "Concat": lambda arrays, given: np.concatenate(arrays, axis=given["axis"]),
    "Div": _divide,
    "Equal": _elementwise(np.equal),
    "Expand": lambda arrays, _: arrays[0] * np.ones([int(n) for n in arrays[1]], arrays[0].dtype),
    "Floor": _elementwise(np.floor),
    "Gather": lambda arrays, given: np.asarray(
        np.take(arrays[0], arrays[1], axis=given.get("axis", 0))
    ),
    "Greater": _elementwise(np.greater),
    "Identity": lambda arrays, _: arrays[0],
    "Less": _elementwise(np.less),
    "Max": _elementwise(np.maximum),
    "Min": _elementwise(np.minimum),
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Range": lambda arrays, _: np.arange(
        arrays[0].item(), arrays[1].item(), arrays[2].item(), dtype=arrays[0].dtype
    ),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _numpy_reshape,
    "Round": _elementwise(np.rint),
    "Slice": _numpy_slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _numpy_squeeze,
    "Sub": _elementwise(np.subtract),
    "Transpose": lambda arrays, given: np.transpose(arrays[0], given.get("perm")),
    "Unsqueeze": _numpy_unsqueeze,
    "Where": _elementwise(np.where),
}
