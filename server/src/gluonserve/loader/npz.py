"""Finds the arrays of an npz file, as MXNet 2's NumPy interface writes parameters."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from gluonserve.errors import InvalidModel
from gluonserve.loader.stored import MAX_RANK, Buffer, Dense, Sparse, Stored, refuse

STARTS = (b"PK\x03\x04", b"PK\x05\x06")
NPY_START = b"\x93NUM"
if TYPE_CHECKING:
    import mmap

_LOCAL_HEADER = 30
_MAX_HEADER = 1 << 16
_DESCR = re.compile(r"'descr'\s*:\s*'([<>|=]?)([a-zA-Z?])([0-9]{0,2})'")
_ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_SHAPE = re.compile(r"'shape'\s*:\s*\(([0-9L,\s]*)\)")
_BROKEN_ZIP = (
    zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OverflowError, LookupError,
    struct.error, EOFError, OSError,
)  # fmt: skip


def read_npz(buffer: mmap.mmap, file: str) -> list[tuple[str, Stored | None]]:
    """Every key with where its array lies in the file.

    Raises:
        InvalidModel: the file is broken or compressed; names the entry and what was expected.
    """
    try:
        with zipfile.ZipFile(cast("IO[bytes]", buffer)) as archive:
            entries = archive.infolist()
    except _BROKEN_ZIP as cause:
        raise InvalidModel(f"{file}: expected a zip file (npz): {cause}") from cause
    spans = {
        entry.filename.removesuffix(".npy"): _span(entry, buffer, file)
        for entry in entries
        if entry.filename.endswith(".npy")
    }
    folders = {str(PurePosixPath(key).parent) for key in spans if key.endswith("/format")}
    dense = [
        (key, read_npy(buffer, *span, file))
        for key, span in spans.items()
        if str(PurePosixPath(key).parent) not in folders
    ]
    return [*dense, *((folder, _sparse(folder, spans, buffer, file)) for folder in sorted(folders))]


def read_npy(buffer: Buffer, start: int, end: int, file: str) -> Dense:
    """Where the elements of the npy file between ``start`` and ``end`` lie."""
    header, data = _header(buffer, start, end, file)
    descr, order, shape = _DESCR.search(header), _ORDER.search(header), _SHAPE.search(header)
    if descr is None or order is None or shape is None:
        refuse(file, start, "an npy header of a plain array", repr(header))
    dims = re.findall(r"[0-9]+", shape[1])
    if len(dims) > MAX_RANK or any(len(dim) > 19 for dim in dims):
        refuse(file, start, f"up to {MAX_RANK} dimensions", shape[1])
    widen = (descr[2], descr[3]) == ("b", "2")  # MXNet's own spelling of bfloat16
    stored = Dense(
        offset=data,
        stored_dtype=np.dtype("<u2") if widen else _dtype(descr, start, file),
        shape=tuple(int(dim) for dim in dims),
        widen=widen,
        fortran=order[1] == "True",
    )
    return stored.checked(file, end)


def _dtype(descr: re.Match[str], start: int, file: str) -> np.dtype:
    if descr[2] not in "?biuf":
        refuse(file, start, "an array of numbers", descr[0])
    try:
        return np.dtype("".join(descr.groups()))
    except TypeError:
        refuse(file, start, "a data type", descr[0])


def _header(buffer: Buffer, start: int, end: int, file: str) -> tuple[str, int]:
    """The text of an npy header, and where the data behind it start."""
    if end - start < 12 or buffer[start : start + 6] != b"\x93NUMPY":
        refuse(file, start, "an npy file", bytes(buffer[start : min(end, start + 6)]))
    form = "<H" if buffer[start + 6] == 1 else "<I"
    size = struct.unpack_from(form, buffer, start + 8)[0]
    first = start + 8 + struct.calcsize(form)
    if size > min(_MAX_HEADER, end - first):
        refuse(file, start + 8, f"a header of at most {min(_MAX_HEADER, end - first)} bytes", size)
    return bytes(buffer[first : first + size]).decode("latin-1"), first + size


def _span(entry: zipfile.ZipInfo, buffer: Buffer, file: str) -> tuple[int, int]:
    """Where the bytes of a stored entry start and end."""
    start = entry.header_offset
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        refuse(file, start, f"{entry.filename!r} neither compressed nor encrypted", "it so")
    if not 0 <= start <= len(buffer) - _LOCAL_HEADER or buffer[start : start + 4] != STARTS[0]:
        refuse(file, start, "a zip entry", "something else")
    name, extra = struct.unpack_from("<HH", buffer, start + 26)
    data = start + _LOCAL_HEADER + name + extra
    if data + entry.file_size > len(buffer):
        refuse(file, data, f"{entry.file_size} bytes of {entry.filename!r}", "the end of the file")
    return data, data + entry.file_size


def _sparse(folder: str, spans: dict[str, tuple[int, int]], buffer: Buffer, file: str) -> Sparse:
    """An array in parts: data, indices, shape, format, and indptr for csr."""

    def part(name: str) -> tuple[int, int]:
        if f"{folder}/{name}" not in spans:
            raise InvalidModel(f"{file}: {folder}: expected an entry {name}.npy, got none")
        return spans[f"{folder}/{name}"]

    start, end = part("format")
    tag = bytes(buffer[_header(buffer, start, end, file)[1] : end])[:16].replace(b"\0", b"")
    if tag not in {b"csr", b"row_sparse"}:
        refuse(file, start, "'csr' or 'row_sparse'", tag)
    shape = read_npy(buffer, *part("shape"), file)
    if len(shape.shape) != 1 or shape.shape[0] > MAX_RANK or shape.dtype.kind not in "iu":
        refuse(file, shape.offset, "a shape of integers", shape.shape)
    return Sparse(
        kind="csr" if tag == b"csr" else "row_sparse",
        shape=tuple(int(dim) for dim in shape.load(buffer)),
        data=read_npy(buffer, *part("data"), file),
        indices=read_npy(buffer, *part("indices"), file),
        indptr=read_npy(buffer, *part("indptr"), file) if tag == b"csr" else None,
    ).checked(buffer, file)
