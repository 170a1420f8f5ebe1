"""Memory that batches are built in: aligned, grown when needed, never copied on the way.

An engine binds the arrays it is given, so what matters is that the same memory comes back for the
same shapes; slots go round through a free list instead of being made for every batch.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from gluonserve.errors import ExecutionFailed, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.tensors import Signature, TensorSpec

ALIGNMENT = 64
_SHAPES_KEPT = 64
_FAR_LESS = 64
RUNS_UNTIL_GONE = 8
"""In a row, of far smaller batches than the largest before them."""


class Slot(Protocol):
    """What an engine binds for one run at a time; ``memory`` is that of its inputs, by name."""

    memory: dict[str, InputMemory]


SlotT = TypeVar("SlotT", bound=Slot)


class InputMemory:
    """The memory of one input in one slot: as large as the largest shape it ever held."""

    def __init__(self, spec: TensorSpec) -> None:
        self._dtype = spec.dtype.numpy
        self._bytes = np.empty(0, np.uint8)
        self._views: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()

    def view(self, shape: tuple[int, ...]) -> np.ndarray:
        """A C-contiguous array of that shape; the same object as long as the memory stays put."""
        view = self._views.get(shape)
        if view is None:
            view = self._views[shape] = self._carve(shape)
            if len(self._views) > _SHAPES_KEPT:
                self._views.popitem(last=False)
        return view

    def _carve(self, shape: tuple[int, ...]) -> np.ndarray:
        needed = math.prod(shape) * self._dtype.itemsize
        if needed > self._bytes.nbytes:
            self._views.clear()
            self._bytes = aligned_bytes(needed)
        return self._bytes[:needed].view(self._dtype).reshape(shape)


class FreeList(Generic[SlotT]):
    """Slots that nobody holds; makes one when it is empty and keeps no more than ``keep``.

    Thread-safe without a lock: a deque's ``append`` and ``pop`` are atomic.
    """

    def __init__(self, make: Callable[[], SlotT], keep: int) -> None:
        self._make = make
        self._free: deque[SlotT] = deque(maxlen=keep)

    def take(self) -> SlotT:
        """The slot given back last, whose memory is warm, else a new one."""
        try:
            return self._free.pop()
        except IndexError:
            return self._make()

    def give_back(self, slot: SlotT) -> None:
        """Keep the slot for the next taker; the one unused for longest goes when there are many."""
        self._free.append(slot)

    def clear(self) -> None:
        """Let every free slot go."""
        self._free.clear()


class Footprint:
    """Tells when an engine should let memory go, which keeps what its largest run took.

    It should once several runs in a row needed far less, so that one huge request is not paid for
    ever, and sizes that come again and again are not paid for each time.
    """

    def __init__(self) -> None:
        self._largest = self._small_since = 0

    def outgrown(self, inputs: Mapping[str, np.ndarray]) -> bool:
        """Note a run on these inputs; whether memory should go now, for ``gone`` if it does."""
        size = sum([array.nbytes for array in inputs.values()])
        if size * _FAR_LESS >= self._largest:
            self._largest, self._small_since = max(size, self._largest), 0
            return False
        self._small_since += 1
        if self._small_since < RUNS_UNTIL_GONE:
            return False
        self._small_since = 0
        return True

    def gone(self) -> None:
        """Memory has gone: nothing is known of what the engine keeps from now on."""
        self._largest = 0


class SlotLease(Generic[SlotT]):
    """One holder's use of a slot, from a free list and back to it."""

    def __init__(self, free: FreeList[SlotT], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._free: FreeList[SlotT] | None = free
        self._slot: SlotT | None = free.take()
        memory = self._slot.memory
        self.inputs: Mapping[str, np.ndarray] = {
            name: memory[name].view(shapes[name]) for name in memory
        }
        self.outputs: Mapping[str, np.ndarray] = {}

    @property
    def slot(self) -> SlotT:
        """What it holds.

        Raises:
            ExecutionFailed: it was released.
        """
        if self._slot is None:
            raise ExecutionFailed("the lease was released before it ran")
        return self._slot

    def retire(self) -> None:
        """Let the slot go with its memory when it is released, and all that are free at once."""
        if self._free is not None:
            self._free.clear()
            self._free = None

    def release(self) -> None:
        """Back to the free list, once."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self.outputs = {}
            if self._free is not None:
                self._free.give_back(slot)


def input_memory(signature: Signature) -> dict[str, InputMemory]:
    """Memory of a slot for every input."""
    return {spec.name: InputMemory(spec) for spec in signature.inputs}


def aligned_bytes(size: int) -> np.ndarray:
    """Uninitialised bytes that begin on a cache line, where engines need not copy them."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


class AskedShapes:
    """Checks the shapes that leases are asked for; what a signature says is read once."""

    def __init__(self, signature: Signature) -> None:
        self._names = {spec.name: None for spec in signature.inputs}
        self._rows = tuple(
            (spec.name, spec.batch_axis) for spec in signature.inputs if spec.batch_axis is not None
        )

    def have_no_rows(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether some input that has a batch axis has no rows.

        Raises:
            InvalidRequest: an input has no shape, or a shape no input; naming them.
        """
        if shapes.keys() != self._names.keys():
            raise self._wrong_names(shapes)
        for name, axis in self._rows:
            shape = shapes[name]
            if axis < len(shape) and not shape[axis]:
                return True
        return False

    def _wrong_names(self, shapes: Mapping[str, tuple[int, ...]]) -> InvalidRequest:
        wrong = [f"input {name!r} is missing" for name in self._names if name not in shapes]
        wrong += [f"there is no input {name!r}" for name in shapes if name not in self._names]
        names = ", ".join(self._names)
        return InvalidRequest(f"{'; '.join(wrong)}; the model's inputs are {names}")
