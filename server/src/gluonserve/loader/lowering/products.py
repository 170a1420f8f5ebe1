"""Matrix products as MXNet defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.table import OpTable

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("dot", ignoring=("forward_stype",))
def dot(
    op: Emit, lhs: Value, rhs: Value, *, transpose_a: bool = False, transpose_b: bool = False
) -> Value:
    """The last axis of one with the first of the other, not batched.

    ``transpose_a`` contracts the first axis of the left instead, ``transpose_b`` the last of the
    right; the others keep their order. Where both have a free axis left, all of the right meets
    every row of the left, and so it has no rows of its own.
    """
    if transpose_a and lhs.rank > 1:
        lhs = op.transpose(lhs, (*range(1, lhs.rank), 0))
    if transpose_b and rhs.rank > 1:
        rhs = op.transpose(rhs, (rhs.rank - 1, *range(rhs.rank - 1)))
    inner = op.equate(lhs.shape[-1], rhs.shape[0], f"dot of {lhs.shape} and {rhs.shape}")
    if any(dims.symbols(dim) for dim in lhs.shape[:-1]):
        op.couple(*rhs.shape[1:])
    rows = op.reshape(lhs, (dims.product(lhs.shape[:-1]), inner)) if lhs.rank != 2 else lhs
    columns = op.reshape(rhs, (inner, dims.product(rhs.shape[1:]))) if rhs.rank != 2 else rhs
    shape = (*lhs.shape[:-1], *rhs.shape[1:])
    return op.reshape(op.MatMul(rows, columns), shape or (1,))


@OPS.lowers("batch_dot", ignoring=("forward_stype",))
def batch_dot(
    op: Emit, lhs: Value, rhs: Value, *, transpose_a: bool = False, transpose_b: bool = False
) -> Value:
    """``MatMul`` over equal leading axes; a transpose swaps the last two."""
    if lhs.rank != rhs.rank or lhs.rank < 3:
        raise InvalidModel(f"batch_dot of {list(lhs.shape)} and {list(rhs.shape)}")
    for one, other in zip(lhs.shape[:-2], rhs.shape[:-2], strict=True):
        op.equate(one, other, f"batch_dot of {lhs.shape} and {rhs.shape}")
    left = _turned(op, lhs) if transpose_a else lhs
    right = _turned(op, rhs) if transpose_b else rhs
    product = op.MatMul(left, right)
    batch = tuple(op.equate(a, b) for a, b in zip(lhs.shape[:-2], rhs.shape[:-2], strict=True))
    return op.shaped(product, (*batch, *product.shape[-2:]))


def _turned(op: Emit, value: Value) -> Value:
    return op.transpose(value, (*range(value.rank - 2), value.rank - 1, value.rank - 2))
