"""What a caller of the batcher gets, and what the batcher says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Timing(NamedTuple):
    """Where a request's time went; all but the queue's is its batch's."""

    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int
    batch_rows: int


class Answer(NamedTuple):
    """A request's outputs, in signature order; the arrays stay valid as long as they are held."""

    outputs: dict[str, np.ndarray]
    timing: Timing


class BatcherStatistics(NamedTuple):
    """A snapshot of what waits and what runs."""

    queued_requests: int
    """Requests that wait for a batch."""
    queued_rows: int
    """Their rows."""
    queued_bytes: int
    """The bytes of their inputs."""
    running_batches: int
    """Batches handed to the executor and not back yet."""
    running_requests: int
    """Their requests."""
    free_slots: int
    """How many more batches may run at the same time."""
