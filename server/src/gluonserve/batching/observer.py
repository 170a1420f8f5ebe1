"""Who is told what the batcher does, as it does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gluonserve.batching.policy import CloseReason, DropReason


class BatchObserver(Protocol):
    """Counts what happens. Called on the event loop, often: plain additions only, and no raising.

    A protocol, so that the batcher knows neither Prometheus nor the server's statistics.
    """

    def queued(self, rows: int, /) -> None:
        """The queue grew (or shrank, below zero) by so many rows."""
        ...

    def dropped(self, reason: DropReason, rows: int, /) -> None:
        """One request of so many rows ended without having been run."""
        ...

    def batch_closed(self, reason: CloseReason, requests: int, rows: int, padding: int, /) -> None:
        """A batch was cut and handed to the executor."""
        ...

    def batch_finished(self, rows: int, input_ns: int, infer_ns: int, output_ns: int, /) -> None:
        """A batch was executed; failed ones are not reported here."""
        ...


class Unobserved:
    """Counts nothing."""

    def queued(self, rows: int, /) -> None:
        """Ignore it."""

    def dropped(self, reason: DropReason, rows: int, /) -> None:
        """Ignore it."""

    def batch_closed(self, reason: CloseReason, requests: int, rows: int, padding: int, /) -> None:
        """Ignore it."""

    def batch_finished(self, rows: int, input_ns: int, infer_ns: int, output_ns: int, /) -> None:
        """Ignore it."""
