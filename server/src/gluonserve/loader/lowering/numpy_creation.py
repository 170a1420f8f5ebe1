"""Constants of the numpy interface, and tensors made from another's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gluonserve.loader.lowering import creation, dims
from gluonserve.loader.lowering.creation import Kind, converted, kind_of
from gluonserve.loader.lowering.table import OpTable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable

    from gluonserve.loader.attributes import Dims
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

OPS = OpTable()

Number: TypeAlias = Literal["float16", "float32", "float64", "int32", "int64", "int8", "uint8"]
Window: TypeAlias = "Callable[[np.ndarray], np.ndarray]"

OPS.lowers("_npi_zeros", ignoring=("ctx",))(creation.zeros)
OPS.lowers("_npi_ones", ignoring=("ctx",))(creation.ones)
OPS.lowers("_npi_arange", ignoring=("ctx",))(creation.arange)


@OPS.lowers("_npi_full_like", ignoring=("ctx",))
def full_like(op: Emit, a: Value, *, fill_value: float, dtype: Kind | None = None) -> Value:
    """A number in the data's shape; its values play no part."""
    return op.filled(fill_value, a.shape, a.dtype if dtype is None else kind_of(dtype))


@OPS.lowers("_npi_eye", ignoring=("ctx",))
def eye(
    op: Emit,
    *,
    N: int,  # noqa: N803 - MXNet's name
    M: int | None = None,  # noqa: N803 - MXNet's name
    k: int = 0,
    dtype: Number = "float32",
) -> Value:
    """A constant; without columns it is square, and 0 columns are none."""
    return op.const(np.eye(N, M, k, dtype=np.dtype(dtype)))


@OPS.lowers("_npi_identity", ignoring=("ctx",))
def identity(op: Emit, *, shape: Dims = (), dtype: Kind = "float32") -> Value:
    """A constant."""
    return op.const(np.eye(shape[0], dtype=np.dtype(dtype)))


@OPS.lowers("_npi_indices", ignoring=("ctx",))
def indices(op: Emit, *, dimensions: Dims, dtype: Number = "int32") -> Value:
    """A constant: every element's position, the axes first."""
    return op.const(np.indices(dimensions, dtype=np.dtype(dtype)))


@OPS.lowers("_npi_logspace", ignoring=("ctx",))
def logspace(
    op: Emit,
    *,
    start: float,
    stop: float,
    num: int,
    endpoint: bool = True,
    base: float = 10.0,
    dtype: Number = "float32",
) -> Value:
    """A constant: powers of the base, their exponents evenly spaced."""
    step = (stop - start) / max(num - endpoint, 1)
    with np.errstate(all="ignore"):
        return op.const(converted(base ** (start + np.arange(num) * step), kind_of(dtype)))


def _register_window(name: str, shape: Window) -> None:
    @OPS.lowers(name, ignoring=("ctx",))
    def window(
        op: Emit,
        *,
        M: int | None = None,  # noqa: N803 - MXNet's name
        dtype: Number = "float32",
    ) -> Value:
        """A constant; below one point it is empty."""
        count = max(M or 0, 0)
        phases = np.arange(count) * (2 * np.pi / max(count - 1, 1))
        weights = np.ones(1) if count == 1 else shape(phases)
        return op.const(converted(weights, kind_of(dtype)))


_register_window("_npi_hanning", lambda phase: 0.5 - 0.5 * np.cos(phase))
_register_window("_npi_hamming", lambda phase: 0.54 - 0.46 * np.cos(phase))
_register_window(
    "_npi_blackman", lambda phase: 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase)
)


@OPS.lowers("_npi_diag_indices_from")
def diag_indices_from(op: Emit, data: Value) -> Value:
    """The positions of the main diagonal of a tensor whose sides are alike, int64."""
    size = data.shape[0]
    for dim in data.shape[1:]:
        size = op.equate(size, dim, "the sides of a diagonal")
    line = creation.ramp(op, size, 0, 1, dtype=DType.INT64)
    return op.expand(op.unsqueeze(line, 0), (data.rank, dims.larger(size, 0)))
