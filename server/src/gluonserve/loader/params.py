"""Parameter files: mapped, checked when opened, and read array by array when asked."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.ndarray_list import read_list
from gluonserve.loader.npz import NPY_START, STARTS, read_npz
from gluonserve.loader.stored import Dense

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy as np

    from gluonserve.loader.stored import Buffer, Stored

MAX_BYTES = 1 << 40
_SMALLEST = 22  # an empty zip file; an empty list takes 32
PREFIXES = ("arg:", "aux:")


class Params(Mapping[str, "np.ndarray"]):
    """The arrays of a parameter file by bare name.

    Each look-up makes a read-only view into the mapped file: nothing is kept, and pages are read
    when elements are. Views may be misaligned. bfloat16 (as float32) and sparse arrays (as dense
    ones) are copies. ``notes`` are oddities worth telling; ``prefixed`` is false where no name has
    ``arg:`` or ``aux:`` before it, as ``Block.save_parameters`` writes, so that names may be those
    of attributes (``0.weight``) and not those of the graph.
    """

    def __init__(
        self, file: str, buffer: Buffer, stored: Mapping[str, Stored], notes: tuple[str, ...]
    ) -> None:
        self.file = file
        self.notes = notes
        self.prefixed = not stored or any(name.startswith(PREFIXES) for name in stored)
        self._buffer: Buffer | None = buffer
        self._stored = {_bare(name): array for name, array in stored.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        stored = self._stored[name]
        if self._buffer is None:
            raise ValueError(f"{self.file} is closed")
        return stored.load(self._buffer)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, without reading it."""
        return self._stored[name].shape

    def dtype(self, name: str) -> np.dtype:
        """The type of the elements that a look-up gives, without reading them."""
        return self._stored[name].dtype

    def location(self, name: str) -> tuple[str, int, int] | None:
        """File, offset and length of an array whose bytes lie there as they are used."""
        stored = self._stored[name]
        if not isinstance(stored, Dense) or stored.widen or stored.fortran:
            return None
        return self.file, stored.offset, stored.stored_bytes

    @property
    def stored_bytes(self) -> int:
        """What all arrays together take in the file."""
        return sum(array.stored_bytes for array in self._stored.values())

    def close(self) -> None:
        """Lets go of the file; views handed out stay good and keep their mapping alive."""
        buffer, self._buffer = self._buffer, None
        if isinstance(buffer, mmap.mmap):
            with suppress(BufferError):  # views exist: the mapping goes with the last of them
                buffer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_params(path: Path, *, max_bytes: int = MAX_BYTES) -> Params:
    """Opens a parameter file: MXNet's own list of arrays, or an npz of MXNet 2.

    Raises:
        InvalidModel: the file cannot be read or is broken; names the byte and what was expected.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            fits = _SMALLEST <= size <= max_bytes
            buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if fits else None
    except (OSError, ValueError) as cause:
        raise InvalidModel(f"{file}: cannot be read: {cause}") from cause
    if buffer is None:
        bounds = f"{_SMALLEST} to {max_bytes} bytes"
        raise InvalidModel(f"{file}: expected a parameter file of {bounds}, got {size}")
    try:
        return _opened(buffer, file)
    except BaseException:
        with suppress(BufferError):
            buffer.close()
        raise


def _opened(buffer: mmap.mmap, file: str) -> Params:
    start = buffer[:4]
    notes: tuple[str, ...] = ()
    if start == NPY_START:
        raise InvalidModel(f"{file}: expected named arrays, got a single one (npy) without a name")
    if start in STARTS:
        arrays = read_npz(buffer, file)
    else:
        arrays, notes = read_list(buffer, file)
    if sum(array.stored_bytes for _, array in arrays if array) > len(buffer):
        raise InvalidModel(f"{file}: expected arrays side by side, got overlapping ones")
    stored, more = _by_name(arrays)
    return Params(file, buffer, stored, (*notes, *more))


def _by_name(arrays: list[tuple[str, Stored | None]]) -> tuple[dict[str, Stored], list[str]]:
    """The arrays that have a value; of two with one bare name the later counts, as in MXNet."""
    stored: dict[str, Stored] = {}
    names: dict[str, str] = {}
    notes = []
    for name, array in arrays:
        bare = _bare(name)
        if array is None:
            notes.append(f"{bare!r} has no value")
            continue
        if bare in names:
            notes.append(f"{bare!r} is stored twice; the later array counts")
            del stored[names[bare]]
        names[bare] = name
        stored[name] = array
    return stored, notes


def _bare(name: str) -> str:
    return name[4:] if name.startswith(PREFIXES) else name
