"""Arrays that lie in a mapped file: where, of which type and shape, and how they become NumPy's."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

import numpy as np

from gluonserve.errors import InvalidModel

MAX_RANK = 32
DENSE_RATIO = 1024
DENSE_FLOOR = 1 << 20
"""A sparse array may take this many bytes when dense, or DENSE_RATIO times what it has stored."""

Buffer: TypeAlias = mmap.mmap | bytes


def refuse(file: str, offset: int, expected: str, got: object) -> NoReturn:
    """Says what is wrong with a file at a byte offset."""
    raise InvalidModel(f"{file}: byte {offset}: expected {expected}, got {str(got)[:80]}")


@dataclass(frozen=True, slots=True)
class Dense:
    """Elements side by side from ``offset``; ``widen`` marks bfloat16, which becomes float32."""

    offset: int
    stored_dtype: np.dtype
    shape: tuple[int, ...]
    widen: bool = False
    fortran: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of the loaded array."""
        return np.dtype("<f4") if self.widen else self.stored_dtype

    @property
    def stored_bytes(self) -> int:
        """How much of the file the array takes."""
        return math.prod(self.shape) * self.stored_dtype.itemsize

    def load(self, buffer: Buffer) -> np.ndarray:
        """A read-only view into the buffer (perhaps misaligned), or a copy where one widens."""
        flat = np.frombuffer(buffer, self.stored_dtype, math.prod(self.shape), self.offset)
        if self.widen:
            flat = (flat.astype("<u4") << np.uint32(16)).view("<f4")
        array = flat.reshape(self.shape, order="F" if self.fortran else "C")
        array.flags.writeable = False
        return array

    def checked(self, file: str, end: int) -> Dense:
        """Itself, if shape and size are possible in a file whose usable part ends at ``end``."""
        if len(self.shape) > MAX_RANK:
            refuse(file, self.offset, f"at most {MAX_RANK} dimensions", len(self.shape))
        if any(dim < 0 for dim in self.shape):
            refuse(file, self.offset, "dimensions of at least 0", self.shape)
        if math.prod(dim or 1 for dim in self.shape) >= 1 << 58:
            refuse(file, self.offset, "a shape that memory can hold", self.shape)
        if self.offset + self.stored_bytes > end:
            wanted = f"{self.stored_bytes} bytes of data for shape {self.shape}"
            refuse(file, self.offset, wanted, f"{max(0, end - self.offset)} bytes")
        return self


@dataclass(frozen=True, slots=True)
class Sparse:
    """A row_sparse or csr array; it becomes dense when it is loaded."""

    kind: Literal["row_sparse", "csr"]
    shape: tuple[int, ...]
    data: Dense
    indices: Dense
    indptr: Dense | None = None

    @property
    def dtype(self) -> np.dtype:
        """The type of the loaded array."""
        return self.data.dtype

    @property
    def stored_bytes(self) -> int:
        """How much of the file the array takes."""
        return sum(part.stored_bytes for part in (self.data, self.indices, self.indptr) if part)

    def load(self, buffer: Buffer) -> np.ndarray:
        """A read-only dense array of its own memory."""
        dense = np.zeros(self.shape, self.dtype)
        indices, data = self.indices.load(buffer), self.data.load(buffer)
        if self.indptr is None:
            dense[indices] = data
        else:
            rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr.load(buffer)))
            dense[rows, indices] = data
        dense.flags.writeable = False
        return dense

    def checked(self, buffer: Buffer, file: str) -> Sparse:
        """Itself, if its indices fit its shape and its dense form is in proportion to the file."""
        place = self.data.offset
        dense = math.prod(self.shape) * self.dtype.itemsize
        allowed = max(DENSE_FLOOR, DENSE_RATIO * self.stored_bytes)
        if len(self.shape) > MAX_RANK or any(dim < 0 for dim in self.shape):
            refuse(file, place, "the shape of a sparse array", self.shape)
        if dense > allowed or math.prod(dim or 1 for dim in self.shape) >= 1 << 58:
            refuse(file, place, f"at most {allowed} bytes when dense", f"{dense} for {self.shape}")
        if self.kind == "csr":
            self._check_csr(buffer, file)
        else:
            self._check_rows(buffer, file)
        return self

    def _check_rows(self, buffer: Buffer, file: str) -> None:
        indices = _indices(self.indices, buffer, file)
        place = self.indices.offset
        if len(self.shape) < 1 or self.data.shape != (len(indices), *self.shape[1:]):
            refuse(file, place, f"{len(indices)} rows of shape {self.shape[1:]}", self.data.shape)
        if len(indices) and (indices[0] < 0 or indices[-1] >= self.shape[0]):
            refuse(file, place, f"row numbers from 0 to {self.shape[0] - 1}", "one outside")
        if np.any(indices[1:] <= indices[:-1]):
            refuse(file, place, "rising row numbers", "one that does not rise")

    def _check_csr(self, buffer: Buffer, file: str) -> None:
        if len(self.shape) != 2 or self.indptr is None:
            refuse(file, self.data.offset, "a csr array of two dimensions", self.shape)
        starts = _indices(self.indptr, buffer, file)
        columns = _indices(self.indices, buffer, file)
        place = self.indptr.offset
        if len(starts) != self.shape[0] + 1:
            refuse(file, place, f"{self.shape[0] + 1} row starts", len(starts))
        if starts[0] != 0 or starts[-1] != len(columns) or np.any(starts[1:] < starts[:-1]):
            refuse(file, place, f"row starts rising from 0 to {len(columns)}", "others")
        place = self.indices.offset
        if self.data.shape != columns.shape:
            refuse(file, place, f"{len(columns)} elements", self.data.shape)
        if len(columns) and (columns.min() < 0 or columns.max() >= self.shape[1]):
            refuse(file, place, f"column numbers from 0 to {self.shape[1] - 1}", "one outside")


Stored: TypeAlias = Dense | Sparse


def _indices(stored: Dense, buffer: Buffer, file: str) -> np.ndarray:
    if stored.stored_dtype.kind not in "iu" or len(stored.shape) != 1 or stored.widen:
        got = f"{stored.dtype} of shape {stored.shape}"
        refuse(file, stored.offset, "a list of whole numbers as indices", got)
    return stored.load(buffer).astype(np.int64)
