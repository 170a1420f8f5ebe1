"""Selections whose size only the data tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()


@OPS.lowers("_contrib_boolean_mask")
def boolean_mask(op: Emit, data: Value, index: Value, *, axis: int = 0) -> Value:
    """The rows whose index is not 0, by ``Compress``.

    Where no row is left MXNet answers a tensor of shape (0,), this one with the data's other axes.
    """
    if axis != 0:
        raise InvalidModel(f"axis is {axis}, and MXNet takes 0 only")
    op.equate(data.shape[0], index.shape[0], "boolean_mask")
    return op.Compress(data, op.cast(index, DType.BOOL), axis=0)
