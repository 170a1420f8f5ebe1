"""What one model version did, in plain integers: the single source of metrics and statistics.

A recorder is written by the event loop's thread only, so it needs no locks; readers on other
threads copy. It knows nothing of Prometheus: ``metrics.py`` exposes recorders, ``statistics()``
answers the ModelStatistics call from the same numbers.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gluonserve.errors import ErrorKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gluonserve.batching.answer import Timing
    from gluonserve.batching.policy import CloseReason, DropReason


class Outcome(Enum):
    """How a request ended; the values are the ``outcome`` label."""

    OK = "ok"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    UNSUPPORTED = "unsupported"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


OUTCOMES: Mapping[ErrorKind, Outcome] = {
    ErrorKind.INVALID: Outcome.INVALID,
    ErrorKind.NOT_FOUND: Outcome.NOT_FOUND,
    ErrorKind.NOT_READY: Outcome.UNAVAILABLE,
    ErrorKind.UNSUPPORTED: Outcome.UNSUPPORTED,
    ErrorKind.OVERLOADED: Outcome.OVERLOADED,
    ErrorKind.TIMED_OUT: Outcome.TIMED_OUT,
    ErrorKind.CANCELLED: Outcome.CANCELLED,
    ErrorKind.FAILED: Outcome.FAILED,
}

_US, _MS, _S = 1_000, 1_000_000, 1_000_000_000
LATENCY_BOUNDS_NS = (
    *(100 * _US, 250 * _US, 500 * _US),
    *(1 * _MS, 2_500 * _US, 5 * _MS, 10 * _MS, 25 * _MS, 50 * _MS, 100 * _MS, 250 * _MS, 500 * _MS),
    *(1 * _S, 2_500 * _MS, 5 * _S, 10 * _S),
)
CODEC_BOUNDS_NS = (
    *(5 * _US, 10 * _US, 25 * _US, 50 * _US, 100 * _US, 250 * _US, 500 * _US),
    *(1 * _MS, 5 * _MS, 25 * _MS, 100 * _MS, 1 * _S),
)
ROWS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Distribution:
    """Counts of observations per bucket, and their sum, in the unit of the bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        """Count one observation; a bound belongs to its own bucket."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened and how long it took altogether."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """All executed batches of one size."""

    rows: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What one version did since it was loaded, as the protocol's statistics extension tells it.

    ``inference_count`` counts rows, ``execution_count`` batches. The durations but ``fail`` count
    successful requests, each once, batched or not. ``last_inference_ms`` is Unix time.
    """

    name: str
    version: str
    last_inference_ms: int
    inference_count: int
    execution_count: int
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    batches: tuple[BatchStatistics, ...]


class ModelRecorder:
    """Everything counted for one generation of one model version.

    Implements the batcher's ``BatchObserver``. All ``*_ns`` arguments are nanoseconds.
    """

    def __init__(self, model: str, version: str) -> None:
        self.model, self.version = model, version
        self.ok = 0
        self.refused = dict.fromkeys(OUTCOMES.values(), 0)
        self.rows = 0
        self.padding_rows = 0
        self.queue_rows = 0
        self.inflight = 0
        self.closed_by: dict[CloseReason, int] = {}
        self.request = Distribution(LATENCY_BOUNDS_NS)
        self.queue = Distribution(LATENCY_BOUNDS_NS)
        self.compute = Distribution(LATENCY_BOUNDS_NS)
        self.decode = Distribution(CODEC_BOUNDS_NS)
        self.encode = Distribution(CODEC_BOUNDS_NS)
        self.batch_rows = Distribution(ROWS_BOUNDS)
        self.load_ns: int | None = None
        self._fail_ns = self._input_ns = self._output_ns = 0
        self._last_ns = 0
        self._batches: dict[int, list[int]] = {}

    def succeeded(self, rows: int, decode_ns: int, start_ns: int, timing: Timing) -> None:
        """Count a request that arrived at ``start_ns`` and is answered now.

        Runs once per request: written out, not through ``Distribution.observe``.
        """
        self._last_ns = now_ns = time.perf_counter_ns()
        total_ns = now_ns - start_ns
        queue_ns, input_ns, infer_ns, output_ns, _ = timing
        compute_ns = input_ns + infer_ns + output_ns
        self.ok += 1
        self.rows += rows
        spread = self.request
        spread.counts[bisect_left(LATENCY_BOUNDS_NS, total_ns)] += 1
        spread.total += total_ns
        spread = self.queue
        spread.counts[bisect_left(LATENCY_BOUNDS_NS, queue_ns)] += 1
        spread.total += queue_ns
        spread = self.compute
        spread.counts[bisect_left(LATENCY_BOUNDS_NS, compute_ns)] += 1
        spread.total += compute_ns
        spread = self.decode
        spread.counts[bisect_left(CODEC_BOUNDS_NS, decode_ns)] += 1
        spread.total += decode_ns
        self._input_ns += input_ns
        self._output_ns += output_ns

    def ended(self, outcome: Outcome, total_ns: int = 0) -> None:
        """Count a request that ended without an answer."""
        self.refused[outcome] += 1
        self._fail_ns += total_ns

    def queued(self, rows: int, /) -> None:
        """The queue grew (or shrank, below zero) by so many rows."""
        self.queue_rows += rows

    def dropped(self, reason: DropReason, rows: int, /) -> None:
        """Counted as the outcome of the request that was dropped."""

    def batch_closed(self, reason: CloseReason, requests: int, rows: int, padding: int, /) -> None:  # noqa: ARG002 - the protocol
        """A batch was cut, for this reason."""
        self.closed_by[reason] = self.closed_by.get(reason, 0) + 1
        self.padding_rows += padding

    def batch_finished(self, rows: int, input_ns: int, infer_ns: int, output_ns: int, /) -> None:
        """A batch was executed."""
        self.batch_rows.observe(rows)
        sums = self._batches.get(rows)
        if sums is None:
            sums = self._batches[rows] = [0, 0, 0, 0]
        sums[0] += 1
        sums[1] += input_ns
        sums[2] += infer_ns
        sums[3] += output_ns

    def statistics(self) -> ModelStatistics:
        """The numbers so far."""
        good, bad = self.ok, sum(self.refused.values())
        return ModelStatistics(
            name=self.model,
            version=self.version,
            last_inference_ms=self._last_inference_ms(),
            inference_count=self.rows,
            execution_count=sum(sums[0] for sums in self._batches.values()),
            success=Duration(good, self.request.total),
            fail=Duration(bad, self._fail_ns),
            queue=Duration(good, self.queue.total),
            compute_input=Duration(good, self._input_ns),
            compute_infer=Duration(good, self.compute.total - self._input_ns - self._output_ns),
            compute_output=Duration(good, self._output_ns),
            batches=tuple(
                BatchStatistics(rows, *(Duration(sums[0], ns) for ns in sums[1:]))
                for rows, sums in sorted(self._batches.items())
            ),
        )

    def _last_inference_ms(self) -> int:
        """Unix time of the last answer; recorded on the clock that requests read anyway."""
        if not self._last_ns:
            return 0
        return (time.time_ns() - time.perf_counter_ns() + self._last_ns) // _MS
