"""Writes parameter files of every era, from the description of the format and nothing else."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

DTYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "?", "i2", "u2", "u4", "u8")
Version = Literal[0, 1, 2, 3]


def params_file(records: Sequence[bytes], names: Sequence[str]) -> bytes:
    """A list of arrays and their names."""
    encoded = [name.encode() for name in names]
    return b"".join(
        (
            struct.pack("<QQQ", 0x112, 0, len(records)),
            *records,
            struct.pack("<Q", len(encoded)),
            *(struct.pack("<Q", len(name)) + name for name in encoded),
        )
    )


def dense(array: np.ndarray, version: Version = 2, flag: int | None = None) -> bytes:
    """One array, as the writers of 0.7 (0), 0.11 (1), 0.12 (2) and NumPy arrays (3) laid it out."""
    if flag is None:
        flag = [np.dtype(code) for code in DTYPES].index(array.dtype)
    tail = struct.pack("<iii", 1, 0, flag) + array.tobytes()
    if version == 0:
        return struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape) + tail
    if version == 1:
        return struct.pack("<I", 0xF993FAC8) + _shape(array.shape) + tail
    magic = 0xF993FAC7 + version
    return struct.pack("<Ii", magic, 0) + _shape(array.shape) + tail


def none(version: Version = 2) -> bytes:
    """An array that has no value."""
    if version == 0:
        return struct.pack("<I", 0)
    if version == 1:
        return struct.pack("<Ii", 0xF993FAC8, 0)
    return struct.pack("<Iii", 0xF993FAC7 + version, 0, 0 if version == 2 else -1)


def row_sparse(shape: Sequence[int], rows: Sequence[int], data: np.ndarray) -> bytes:
    """Some rows of an array; the others are zeros."""
    indices = np.asarray(rows, np.int64)
    return _sparse(1, data.shape, shape, data, [indices])


def csr(
    shape: Sequence[int],
    starts: Sequence[int],
    columns: Sequence[int],
    data: np.ndarray,
    claimed: Sequence[int] | None = None,
) -> bytes:
    """A matrix by its non-zero elements; ``claimed`` is the storage shape when that is wrong."""
    aux = [np.asarray(starts, np.int64), np.asarray(columns, np.int64)]
    return _sparse(2, data.shape if claimed is None else claimed, shape, data, aux)


def _sparse(
    storage: int,
    storage_shape: Sequence[int],
    shape: Sequence[int],
    data: np.ndarray,
    aux: Sequence[np.ndarray],
) -> bytes:
    flags = [np.dtype(code) for code in DTYPES]
    return b"".join(
        (
            struct.pack("<Ii", 0xF993FAC9, storage),
            _shape(storage_shape),
            _shape(shape),
            struct.pack("<iii", 1, 0, flags.index(data.dtype)),
            *(struct.pack("<i", flags.index(one.dtype)) + _shape(one.shape) for one in aux),
            data.tobytes(),
            *(one.tobytes() for one in aux),
        )
    )


def _shape(shape: Sequence[int]) -> bytes:
    return struct.pack(f"<i{len(shape)}q", len(shape), *shape)
