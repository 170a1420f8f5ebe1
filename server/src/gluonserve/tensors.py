"""What a tensor is here: its data type, its declared shape, and a model's signature of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


class DType(Enum):
    """A data type; the value is its name in the Open Inference Protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"

    @property
    def numpy(self) -> np.dtype:
        """The little-endian NumPy dtype of the same values."""
        return _NUMPY[self]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _NUMPY[self].itemsize

    @classmethod
    def of(cls, dtype: np.dtype | type) -> DType:
        """The data type of a NumPy dtype.

        Raises:
            KeyError: no data type of the protocol holds such values.
        """
        return _FROM_NUMPY[np.dtype(dtype).newbyteorder("=")]


_NUMPY: Mapping[DType, np.dtype] = {
    DType.BOOL: np.dtype("?"),
    DType.UINT8: np.dtype("u1"),
    DType.UINT16: np.dtype("<u2"),
    DType.UINT32: np.dtype("<u4"),
    DType.UINT64: np.dtype("<u8"),
    DType.INT8: np.dtype("i1"),
    DType.INT16: np.dtype("<i2"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.FP16: np.dtype("<f2"),
    DType.FP32: np.dtype("<f4"),
    DType.FP64: np.dtype("<f8"),
}
_FROM_NUMPY: Mapping[np.dtype, DType] = {dtype: kind for kind, dtype in _NUMPY.items()}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: a name, a data type, and a shape in which -1 is a free dimension.

    ``batch_axis`` is the axis that counts rows; None means that the tensor has none: such an input
    is the same for all rows of a batch, such an output is shared by all callers of a batch.
    ``optional`` inputs (begin states) are zeros when a request leaves them out. ``accept`` lists
    further data types that requests may use for this input, converted exactly or refused.
    ``guessed`` says that nothing tells its rank, and requests may show that it is another.
    ``flattened`` inputs are matrices, for the network flattens each row of whatever it is given;
    requests may bring rows of more axes.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    batch_axis: int | None = 0
    optional: bool = False
    accept: tuple[DType, ...] = ()
    guessed: bool = False
    flattened: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a model, in MXNet's order.

    ``batchable`` is false where rows of several requests must not be run together; ``why`` then
    says which output or input stands in the way (or that settings say so).
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batchable: bool = True
    why: str = ""
