"""Copies of a small network, each compiled for one combination of shapes that comes often.

With free dimensions an engine works out sizes in every run that it would otherwise know: small
networks take up to twice as long. docs/decisions/one-compiled-network-for-all-shapes.md has the
figures.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import structlog

from gluonserve.errors import ExecutionFailed
from gluonserve.executors.infer_requests import Compiled, RequestLease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gluonserve.executors.infer_requests import Combination

    Arrays = Mapping[str, np.ndarray]

OFTEN = 8
"""Runs of the same shapes after which they are compiled by themselves."""
_BUDGET_BYTES = 64 << 20  # of all copies of a network together
# What a copy was measured to take at most, beside a quarter of all that its nodes hand on.
_COPY_BYTES, _OF_PARAMETERS, _OF_VALUES = 6 << 20, 2.5, 0.25
_TOLERANCE = 1e-2  # relative; a copy that an engine got wrong is far off, and rounding is far below

log = structlog.get_logger()


def copy_bytes(parameter_bytes: int, value_bytes: int = 0) -> int:
    """About what a copy takes of a network with such parameters, whose nodes hand on such values.

    Engines compute several nodes in one and use memory again, so that of the values a quarter is
    there at a time, at most.
    """
    return int(_COPY_BYTES + _OF_PARAMETERS * parameter_bytes + _OF_VALUES * value_bytes)


def may_have_copies(parameter_bytes: int) -> bool:
    """Whether any copy of a network with such parameters can be afforded."""
    return copy_bytes(parameter_bytes) <= _BUDGET_BYTES


class CopyTooLarge(Exception):
    """A copy for these shapes would take more than is left for copies."""


class FrequentShapes:
    """Counts runs by combination of shapes, and compiles those that come often.

    ``compiled_for`` compiles for shapes by input name, in so many bytes. One copy is compiled at a
    time, on a thread of its own; it is used once it has given the answer that the network with free
    dimensions gave.
    """

    def __init__(
        self,
        compiled_for: Callable[[Mapping[str, tuple[int, ...]], int], Compiled],
        *,
        wanted: bool,
    ) -> None:
        self._compiled_for = compiled_for
        self._left = _BUDGET_BYTES if wanted else 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ran(self, combination: Combination, lease: RequestLease) -> None:
        """Count a run; the lease still holds its inputs and outputs."""
        combination.runs += 1
        if combination.runs % OFTEN == 0 and self._left and not combination.tried:
            self._begin(combination, lease)

    def close(self) -> None:
        """Compile no more, and wait for the one that is being compiled."""
        with self._lock:
            self._left, thread = 0, self._thread
        if thread is not None:
            thread.join()

    def _begin(self, combination: Combination, lease: RequestLease) -> None:
        with self._lock:
            if not self._left or (self._thread is not None and self._thread.is_alive()):
                return  # it is asked again when the shapes have come as often once more
            combination.tried = True
            example = _copied(lease.inputs), _copied(lease.outputs)
            self._thread = threading.Thread(
                target=self._compile, args=(combination, *example), name="compile-for-shapes"
            )
            self._thread.start()

    def _compile(self, combination: Combination, inputs: Arrays, outputs: Arrays) -> None:
        shapes = {name: array.shape for name, array in inputs.items()}
        try:
            compiled = self._compiled_for(shapes, self._left)
            lease = RequestLease(compiled.free, tuple(outputs), shapes)
            for name, array in lease.inputs.items():
                np.copyto(array, inputs[name])
            lease.run(compiled.model, combination.expected)
            alike = _alike(lease.outputs.values(), outputs.values())
            lease.release()
        except CopyTooLarge:
            return  # as it says, the network with free dimensions serves these shapes
        except (RuntimeError, ExecutionFailed) as error:
            log.warning("openvino fails with stated shapes", shapes=shapes, error=str(error))
            return
        if alike:
            self._left = max(self._left - compiled.bytes, 0)
            combination.alone = compiled
        else:
            log.warning("openvino answers otherwise with stated shapes", shapes=shapes)


def _copied(arrays: Arrays) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in arrays.items()}


def _alike(ours: Iterable[np.ndarray], theirs: Iterable[np.ndarray]) -> bool:
    return all(map(_close, ours, theirs))


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    whole = np.isfinite(other)
    if not np.array_equal(one[~whole], other[~whole], equal_nan=True):
        return False
    difference = np.linalg.norm(one[whole].astype(np.float64) - other[whole])
    return bool(difference <= _TOLERANCE * np.linalg.norm(other[whole].astype(np.float64)))
