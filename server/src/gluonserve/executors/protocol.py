"""The seam between whoever forms batches and whoever runs them.

Protocols and not base classes: an executor may be a compiled network in this process, a device
with pinned staging memory, or a worker process behind shared memory, and none of them shares code
with another. The executor owns batch memory: a lease hands out writable input views into which
requests are stacked directly, so that no tensor is copied twice on its way to the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve.tensors import Signature


class Lease(Protocol):
    """Memory for one batch, held by one caller from ``Executor.lease`` until ``release``."""

    @property
    def inputs(self) -> Mapping[str, np.ndarray]:
        """Writable, C-contiguous arrays of the leased shapes, one per input; contents undefined."""
        ...

    @property
    def outputs(self) -> Mapping[str, np.ndarray]:
        """The answers of the last ``run``, in signature order; valid until ``release``."""
        ...

    def release(self) -> None:
        """Give the memory back. Idempotent; the arrays must not be touched afterwards."""
        ...


class Executor(Protocol):
    """One compiled model. ``run`` blocks; up to ``concurrency`` threads may be in it at once."""

    @property
    def signature(self) -> Signature:
        """Inputs and outputs as the engine takes and gives them."""
        ...

    @property
    def concurrency(self) -> int:
        """How many leases may run at the same time to good effect."""
        ...

    @property
    def description(self) -> Mapping[str, str]:
        """Facts for people: ``executor``, ``version``, ``device``, ``precision``, ``why`` it."""
        ...

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> Lease:
        """Batch memory for these input shapes; cheap, never blocks on the engine."""
        ...

    def run(self, lease: Lease) -> None:
        """Run the batch that stands in ``lease.inputs``; releases the GIL.

        Raises:
            ExecutionFailed: the engine refused or failed.
        """
        ...

    def close(self) -> None:
        """Free engine and memory. No lease may be outstanding."""
        ...
