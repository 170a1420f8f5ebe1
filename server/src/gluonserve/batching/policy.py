"""The limits of batching, why a batch was closed, and why a request never reached one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How large batches grow, how long requests wait for company, and how many may wait at all.

    A request larger than ``max_rows`` runs alone. A request larger than a bound of the queue is
    taken only while nothing else waits; apart from that the bounds are exact.

    Raises:
        ValueError: a limit that no request could ever meet.
    """

    max_rows: int = 32
    """Largest batch handed to the executor, in rows of the batch axis."""
    max_delay_ms: float = 0.0
    """How long the oldest request may wait for company; 0 takes what is waiting already."""
    max_queue_rows: int = 4096
    """How many rows may wait; a request counts for one row at least."""
    max_queue_bytes: int = 1 << 30
    """How many bytes of input may wait."""
    default_priority: int = 100
    """The level of requests that ask for priority 0. Level 1 goes first, larger levels later."""
    pad_to: tuple[int, ...] = ()
    """Batch sizes that the engine is prepared for: a batch is padded up to the next of these."""
    enabled: bool = True
    """False runs each request alone, within the same bounds."""

    def __post_init__(self) -> None:
        if min(self.max_rows, self.max_queue_rows, self.max_queue_bytes, self.default_priority) < 1:
            raise ValueError(f"every limit of a batch policy must be 1 or more: {self}")
        if not self.max_delay_ms >= 0:
            raise ValueError(f"max_delay_ms must be 0 or more, not {self.max_delay_ms}")
        if any(size > self.max_rows for size in self.pad_to):
            raise ValueError(f"pad_to goes beyond max_rows = {self.max_rows}: {self.pad_to}")


class CloseReason(Enum):
    """Why a batch was cut when it was; the values label a metric."""

    FULL = "full"
    """Nothing more could join it, or the next in line did not fit."""
    DELAY = "delay"
    """Its oldest request had waited for ``max_delay_ms``."""
    IDLE = "idle"
    """The device was free and no delay is asked for."""
    DEADLINE = "deadline"
    """Waiting longer would have cost a request its deadline."""
    DRAIN = "drain"
    """The batcher is closing."""


class DropReason(Enum):
    """Why a request left, or was kept out of, the queue without being run."""

    CANCELLED = "cancelled"
    """Its caller has gone."""
    EXPIRED = "expired"
    """Its deadline passed."""
    REFUSED = "refused"
    """The queue was full."""
    CLOSED = "closed"
    """The batcher was closed before its turn came."""
