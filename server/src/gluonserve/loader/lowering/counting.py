"""Histograms, flat indices and their parts, spectra, and sums over whole tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.attributes import Dims, Floats
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

OPS.refuses(
    "_set_value",
    "reset_arrays",
    reason="it changes its input in place, and a graph of ONNX has values that stay",
)
OPS.refuses(
    "_onehot_encode",
    "fill_element_0index",
    reason="MXNet has it for arrays only; a graph with it ends the process",
)
OPS.refuses("_imdecode", reason="it reads a file of a picture, which belongs before the network")


@OPS.lowers("_histogram")
def histogram(
    op: Emit,
    data: Value,
    bins: Value | None = None,
    *,
    bin_cnt: int | None = None,
    range: Floats | None = None,
) -> tuple[Value, Value]:
    """Counts between edges, given or evenly spread; the last bin holds its upper edge too."""
    if bins is None:
        if bin_cnt is None or range is None or len(range) != 2:
            raise InvalidModel("a histogram without edges, or a number of bins and their range")
        low, high = range
        places = np.arange(bin_cnt + 1, dtype=np.float64)
        edges = (high * places + low * (bin_cnt - places)) / bin_cnt
        bins = op.const(edges.astype(data.dtype.numpy))
    op.couple(*data.shape)
    numbers = op.reshape(data, (1, dims.product(data.shape)))
    lower = op.unsqueeze(op.slice(bins, 0, 0, -1), 1)
    upper = op.unsqueeze(op.slice(bins, 0, 1, None), 1)
    last = op.slice(upper, 0, -1, None)
    below = op.Less(numbers, upper)
    at_end = op.And(op.Equal(numbers, last), op.Equal(upper, last))
    inside = op.And(op.GreaterOrEqual(numbers, lower), op.Or(below, at_end))
    return op.ReduceSum(op.cast(inside, DType.INT64), [1], keepdims=0), bins


@OPS.lowers("_ravel_multi_index")
def ravel_multi_index(op: Emit, data: Value, *, shape: Dims = ()) -> Value:
    """Columns of indices as places in the flat tensor; the first dimension may be anything."""
    op.equate(data.shape[0], len(shape), "rows of indices")
    steps = np.cumprod((1, *shape[:0:-1]), dtype=np.int64)[::-1]
    whole = op.cast(data, DType.INT64)
    behind = (1,) * (data.rank - 1)
    products = op.Mul(whole, op.const(steps.reshape(-1, *behind)))
    return op.cast(op.ReduceSum(products, [0], keepdims=0), data.dtype)


@OPS.lowers("_unravel_index")
def unravel_index(op: Emit, data: Value, *, shape: Dims = ()) -> Value:
    """The reverse: a row of indices for each dimension."""
    if not shape:
        raise InvalidModel("indices are taken apart without a shape")
    rest = op.cast(data, DType.INT64)
    rows = []
    for size in shape[:0:-1]:
        rows.append(op.Mod(rest, size))
        rest = op.quotient(rest, size)
    rows.append(op.Mod(rest, shape[0]) if shape[0] > 0 else rest)
    stacked = op.Concat(*(op.unsqueeze(row, 0) for row in reversed(rows)), axis=0)
    return op.cast(stacked, data.dtype)


@OPS.lowers("all_finite", ignoring=("init_output",))
def all_finite(op: Emit, data: Value) -> Value:
    """1 or 0, of shape (1,)."""
    return _finite(op, data)


@OPS.lowers("multi_all_finite", ignoring=("num_arrays", "init_output"))
def multi_all_finite(op: Emit, *data: Value) -> Value:
    """The same of several tensors."""
    result, *others = (_finite(op, value) for value in data)
    for other in others:
        result = op.Min(result, other)
    return result


@OPS.lowers("multi_sum_sq", ignoring=("num_arrays",))
def multi_sum_sq(op: Emit, *data: Value) -> Value:
    """The sum of squares of each tensor."""
    sums = [
        op.reshape(op.ReduceSumSquare(op.cast(value, DType.FP32), keepdims=0), (1,))
        for value in data
    ]
    return sums[0] if len(sums) == 1 else op.Concat(*sums, axis=0)


@OPS.lowers("_contrib_allclose")
def allclose(
    op: Emit,
    a: Value,
    b: Value,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = True,
) -> Value:
    """Whether |a - b| <= atol + rtol * |b| everywhere: a byte of rank 0 in all graphs."""
    if not a.is_float:
        a, b = op.cast(a, DType.FP64), op.cast(b, DType.FP64)
    same = op.Equal(a, b)
    near = op.LessOrEqual(op.Abs(op.Sub(a, b)), op.Add(op.Mul(op.Abs(b), rtol), atol))
    alike = op.Or(same, near)
    if equal_nan:
        alike = op.Or(alike, op.And(op.IsNaN(a), op.IsNaN(b)))
    least = op.ReduceMin(op.cast(alike, DType.INT32), keepdims=0)
    return op.cast(least, DType.UINT8)


@OPS.lowers("_contrib_fft", ignoring=("compute_size",))
def fft(op: Emit, data: Value) -> Value:
    """Over the last axis; real and imaginary parts take turns. MXNet has it on GPUs only."""
    size = data.shape[-1]
    shape = (*data.shape, 2)
    turned = op.node(
        "DFT", op.unsqueeze(data, data.rank), axis=data.rank - 1, types=[(data.dtype, shape)]
    )[0]
    return op.reshape(turned, (*data.shape[:-1], size * 2))


@OPS.lowers("_contrib_ifft", ignoring=("compute_size",))
def ifft(op: Emit, data: Value) -> Value:
    """The reverse of ``_contrib_fft``, times the length as in MXNet; only the real parts."""
    size = data.shape[-1] // 2
    pairs = op.reshape(data, (*data.shape[:-1], size, 2))
    turned = op.node(
        "DFT", pairs, axis=data.rank - 1, inverse=1, types=[(data.dtype, pairs.shape)]
    )[0]
    real = op.reshape(op.slice(turned, data.rank, 0, 1), pairs.shape[:-1])
    return op.Mul(real, op.scalar(size, data.dtype))


def _finite(op: Emit, data: Value) -> Value:
    least = op.ReduceMin(op.cast(op.Less(op.Abs(data), np.inf), DType.FP32), keepdims=0)
    return op.reshape(least, (1,))
