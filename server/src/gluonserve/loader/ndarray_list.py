"""Walks MXNet's binary list of named arrays (magic 0x112), arrays of MXNet 0.7 to 2.0 inside."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gluonserve.loader.stored import MAX_RANK, Buffer, Dense, Sparse, Stored, refuse

MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_SMALLEST_RECORD = 4
_SMALLEST_NAME = 8
_BFLOAT16 = 12
_DTYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8", "<u2")
_KINDS: dict[int, Literal["row_sparse", "csr"]] = {1: "row_sparse", 2: "csr"}


@dataclass(slots=True)
class _Cursor:
    """A position in the file; reading moves it, and never past the end."""

    buffer: Buffer
    file: str
    position: int = 0

    @property
    def left(self) -> int:
        return len(self.buffer) - self.position

    def take(self, size: int, what: str) -> int:
        """Steps over ``size`` bytes and tells where they start."""
        if size > self.left:
            refuse(self.file, self.position, f"{size} bytes of {what}", f"{self.left} bytes")
        start = self.position
        self.position += size
        return start

    def numbers(self, form: str, what: str) -> tuple[int, ...]:
        start = self.take(struct.calcsize(form), what)
        return struct.unpack_from(form, self.buffer, start)

    def number(self, form: str, what: str) -> int:
        return self.numbers(form, what)[0]

    def shape(self) -> tuple[int, ...] | None:
        """A rank and that many dimensions; None for an unknown rank."""
        start = self.position
        rank = self.number("<i", "a rank")
        if rank == -1:
            return None
        if not 0 <= rank <= MAX_RANK:
            refuse(self.file, start, f"a rank from -1 to {MAX_RANK}", rank)
        return self.numbers(f"<{rank}q", "dimensions")

    def dtype(self) -> int:
        start = self.position
        flag = self.number("<i", "a data type")
        if not 0 <= flag < len(_DTYPES):
            refuse(self.file, start, f"a data type from 0 to {len(_DTYPES) - 1}", flag)
        return flag

    def data(self, flag: int, shape: tuple[int, ...] | None) -> Dense:
        """Steps over the elements of one array."""
        if shape is None:
            refuse(self.file, self.position, "an array of known rank", "none")
        stored = Dense(self.position, np.dtype(_DTYPES[flag]), shape, widen=flag == _BFLOAT16)
        self.take(stored.checked(self.file, len(self.buffer)).stored_bytes, "data")
        return stored


def read_list(buffer: Buffer, file: str) -> tuple[list[tuple[str, Stored | None]], tuple[str, ...]]:
    """Every name with where its array lies (None: an array without a value), and oddities met.

    Raises:
        InvalidModel: the file is broken; names the byte and what was expected there.
    """
    cursor = _Cursor(buffer, file)
    if (magic := cursor.number("<Q", "the header")) != MAGIC:
        refuse(file, 0, "a parameter file (0x112, or the start of an npz)", hex(magic))
    cursor.take(8, "the header")
    count = _count(cursor, _SMALLEST_RECORD, "arrays")
    arrays = [_record(cursor) for _ in range(count)]
    start = cursor.position
    named = _count(cursor, _SMALLEST_NAME, "names")
    if named != count:
        refuse(file, start, f"{count} names, one for each array", named)
    names = [_name(cursor) for _ in range(count)]
    notes = (f"{cursor.left} bytes after the last name are ignored",) if cursor.left else ()
    return list(zip(names, arrays, strict=True)), notes


def _count(cursor: _Cursor, smallest: int, what: str) -> int:
    start = cursor.position
    count = cursor.number("<Q", f"the number of {what}")
    if count * smallest > cursor.left:
        refuse(cursor.file, start, f"at most {cursor.left // smallest} {what} in this file", count)
    return count


def _name(cursor: _Cursor) -> str:
    size = cursor.number("<Q", "the length of a name")
    start = cursor.take(size, "a name")
    try:
        return bytes(cursor.buffer[start : start + size]).decode("utf-8")
    except UnicodeDecodeError as cause:
        refuse(cursor.file, start + cause.start, "a name in UTF-8", cause.reason)


def _record(cursor: _Cursor) -> Stored | None:
    start = cursor.position
    magic = cursor.number("<I", "an array")
    if magic in {_V2, _V3}:
        return _modern(cursor, numpy=magic == _V3)
    if magic == _V1:
        shape = cursor.shape()
    elif magic <= MAX_RANK:
        shape = cursor.numbers(f"<{magic}I", "dimensions")
    else:
        refuse(cursor.file, start, "the start of an array", hex(magic))
    if not shape:
        return None
    cursor.take(8, "a context")
    return cursor.data(cursor.dtype(), shape)


def _modern(cursor: _Cursor, *, numpy: bool) -> Stored | None:
    """Arrays since 0.12; ``numpy`` ones may have rank 0 and cannot be sparse."""
    start = cursor.position
    storage = cursor.number("<i", "a storage type")
    if storage not in ({0} if numpy else {0, 1, 2}):
        refuse(cursor.file, start, "storage type 0" + ("" if numpy else ", 1 or 2"), storage)
    if storage:
        cursor.shape()  # not to be believed: MXNet wrote it before it knew the number of elements
    shape = cursor.shape()
    if shape is None or (-1 in shape if numpy else not shape):
        return None
    cursor.take(8, "a context")
    flag = cursor.dtype()
    return _sparse(cursor, storage, shape, flag) if storage else cursor.data(flag, shape)


def _sparse(cursor: _Cursor, storage: int, shape: tuple[int, ...], flag: int) -> Sparse:
    start = cursor.position
    described = [(cursor.dtype(), cursor.shape()) for _ in range(storage)]
    counted = described[-1][1]
    if counted is None or len(counted) != 1:
        refuse(cursor.file, start, "indices of one dimension", counted)
    data = cursor.data(flag, counted if storage == 2 else counted + shape[1:])
    parts = [cursor.data(*one) for one in described]
    sparse = Sparse(_KINDS[storage], shape, data, parts[-1], parts[0] if storage == 2 else None)
    return sparse.checked(cursor.buffer, cursor.file)
