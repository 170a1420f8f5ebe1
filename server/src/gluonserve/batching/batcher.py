"""When batches are cut, and what becomes of them: slots, timers, threads and futures.

There is no task and no loop here that could die. Everything is a callback of the event loop: a
request arrives, a timer fires, a batch lands; each ends by asking the queue whether a free slot can
be filled. Only the executor's work runs on threads.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import TYPE_CHECKING

from structlog import get_logger

from gluonserve.batching.alarm import Alarm
from gluonserve.batching.answer import Answer, BatcherStatistics, Timing
from gluonserve.batching.burst import Burst
from gluonserve.batching.deadlines import Deadlines
from gluonserve.batching.flight import Flight, error_of
from gluonserve.batching.observer import Unobserved
from gluonserve.batching.policy import BatchPolicy, DropReason
from gluonserve.batching.queue import Pending, RequestQueue
from gluonserve.batching.tensors import RowLayout
from gluonserve.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerNotReady,
    ShapesRefused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import numpy as np
    from typing_extensions import Self

    from gluonserve.batching.observer import BatchObserver
    from gluonserve.batching.queue import Batch, Reply
    from gluonserve.executors.protocol import Executor
    from gluonserve.tensors import Signature

log = get_logger(__name__)

_LEAD_SECONDS = 0.005  # a deadline less the batch: the way to the caller, whose clock is ahead


class DynamicBatcher:
    """Runs the rows of many requests as few batches, on the event loop that entered it.

    A slot is reserved before a batch is cut: while every slot is busy requests pile up into larger
    batches, and a lone request at rest waits for ``max_delay_ms`` at most. A signature that is not
    batchable, or no policy, takes the same way with every request alone.

    The observer is told on the event loop. The executor stays its owner's, who closes it after
    the batcher. ``signature`` replaces the executor's own where a self-check or the settings judged
    batching differently.
    """

    def __init__(
        self,
        executor: Executor,
        policy: BatchPolicy | None = None,
        observer: BatchObserver | None = None,
        *,
        signature: Signature | None = None,
        model: str = "",
        version: str = "",
    ) -> None:
        signature = executor.signature if signature is None else signature
        self.policy = BatchPolicy(enabled=False) if policy is None else policy
        self.batches = self.policy.enabled and signature.batchable
        self._executor = executor
        self._observer: BatchObserver = Unobserved() if observer is None else observer
        self._layout = RowLayout(signature)
        self._free = self._ahead = max(1, executor.concurrency)
        self._queue = RequestQueue(self.policy, self._dropped, slots=self._free)
        self._running = Deadlines()
        self._flights: set[Flight] = set()
        self._pump_scheduled = False
        self._burst = Burst()
        self._alarm = Alarm(self._pump)
        self._closing = False
        self._empty: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._log = log.bind(model=model, version=version)

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def open(self) -> None:
        """Start taking requests on the running event loop."""
        if self._closing or self._loop is not None:
            raise ServerNotReady("a batcher is opened once")
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(self._free, thread_name_prefix="gluonserve-batch")

    async def submit(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Answer:
        """Wait for the answer to one request.

        ``deadline`` is a time of the loop's clock; it holds while the request waits and while it
        runs. Priority 1 goes first and larger numbers later; 0 is ``policy.default_priority``.
        Cancelling the caller takes the request out of the queue at once and bothers nobody else.

        Raises:
            InvalidRequest: the inputs are not the signature's, or disagree in rows.
            Overloaded: the queue is full.
            DeadlineExceeded: the deadline passed first.
            ServerNotReady: the batcher is closed or closing.
            ExecutionFailed: the engine failed on its batch; ShapesRefused: takes no such shapes.
        """
        reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        pending = self.enqueue(inputs, reply, deadline=deadline, priority=priority)
        try:
            return await reply
        finally:
            self.leave(pending)

    def enqueue(
        self,
        inputs: Mapping[str, np.ndarray],
        reply: Reply,
        *,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Pending:
        """Take a request whose outcome goes to ``reply``, on the event loop; as ``submit`` says.

        A reply must not raise: others may share its batch. Who gives up calls ``leave``.
        """
        loop = self._loop
        if loop is None or self._closing:
            raise ServerNotReady("the model is not taking requests: it is closing or not open yet")
        if priority < 0:
            raise InvalidRequest(f"priority must be 0 (default), 1 (first) or more, not {priority}")
        rows, nbytes, company = self._layout.measure(inputs)
        now = loop.time()
        if deadline is not None and deadline <= now:
            self._observer.dropped(DropReason.EXPIRED, rows)
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        pending = Pending(
            inputs,
            rows,
            nbytes,
            company if self.batches else None,
            priority or self.policy.default_priority,
            deadline,
            now,
            perf_counter_ns(),
            reply,
        )
        try:
            self._queue.append(pending, now)
        except Overloaded:
            self._observer.dropped(DropReason.REFUSED, rows)
            raise
        self._observer.queued(rows)
        if self._has_slot():
            self._wake()
        elif deadline is not None:
            self._alarm.by(deadline)
        return pending

    def leave(self, pending: Pending) -> None:
        """Take a request out of the queue, if it is still there: nobody waits for its answer."""
        if pending.group is not None:
            self._queue.remove(pending)
            self._settle_close()

    def statistics(self) -> BatcherStatistics:
        """What waits and what runs, now."""
        queue = self._queue
        return BatcherStatistics(
            queued_requests=queue.requests,
            queued_rows=queue.rows,
            queued_bytes=queue.nbytes,
            running_batches=len(self._flights),
            running_requests=sum(len(flight.batch.requests) for flight in self._flights),
            free_slots=max(0, self._free),
        )

    async def close(self, within: float = 10.0) -> bool:
        """Refuse new requests, finish the queued ones within so many seconds, fail what is left.

        Idempotent. False if a batch is still in the executor: its lease is out, and its thread
        ends when the executor returns.
        """
        self._closing = True
        if self._loop is None or self._pool is None:
            return True
        try:
            if self._queue.requests or self._flights:
                if self._empty is None:
                    self._empty = self._loop.create_future()
                self._wake()
                await asyncio.wait({self._empty}, timeout=within)
        finally:
            self._abandon()
            self._pool.shutdown(wait=not self._flights, cancel_futures=True)
        return not self._flights

    def _dropped(self, pending: Pending, reason: DropReason) -> None:
        """Settle a request that left the queue without being taken."""
        if not pending.reply.done():
            if reason is DropReason.EXPIRED:
                pending.reply.set_exception(DeadlineExceeded("the deadline passed in the queue"))
            elif reason is DropReason.CLOSED:
                pending.reply.set_exception(ServerNotReady("the model closed before its turn came"))
        self._observer.queued(-pending.rows)
        self._observer.dropped(reason, pending.rows)

    # Cutting batches

    def _has_slot(self) -> bool:
        """A slot is free; or, where work is short and cannot grow, the place behind a busy one."""
        ahead = self._burst.short and self._queue.is_full
        return self._free > (-self._ahead if ahead else 0)

    def _awaits_burst(self) -> bool:
        """Whether to wait for those just answered; not with long work while others run it."""
        return self._burst.expected and (self._burst.short or not self._flights)

    def _wake(self) -> None:
        """Pump once what is ready now has arrived; a burst then shares a batch."""
        if not self._pump_scheduled and self._loop is not None:
            self._pump_scheduled = True
            self._burst.begin(self._queue.requests, self._loop.time())
            self._loop.call_soon(self._gather if self._awaits_burst() else self._pump)

    def _gather(self) -> None:
        """Pump when the burst is over or fills a batch."""
        loop, queue = self._loop, self._queue
        if loop is None or not self._pump_scheduled:  # a timer has pumped in between
            return
        full = self._closing or queue.rows >= self.policy.max_rows
        if full or self._burst.is_over(queue.requests, loop.time()):
            self._pump()
        elif self._burst.pause:
            loop.call_later(self._burst.pause, self._gather)
        else:
            loop.call_soon(self._gather)

    def _pump(self, now: float = 0.0) -> None:
        """Fill free slots while batches are ripe, then sleep until the next moment that matters."""
        loop, pool = self._loop, self._pool
        if loop is None or pool is None:
            return
        self._pump_scheduled = False
        now = max(now, loop.time())
        try:
            self._expire(now)
            lead = self._burst.typical_seconds + _LEAD_SECONDS
            while self._has_slot():
                batch = self._queue.take(now, lead=lead, draining=self._closing)
                if batch is None:
                    break
                self._launch(batch, loop, pool)
        finally:
            self._rest()
            self._settle_close()

    def _expire(self, now: float) -> None:
        self._queue.expire(now)
        for pending in self._running.pop_expired(now):
            if not pending.reply.done():
                pending.reply.set_exception(DeadlineExceeded("the deadline passed in the engine"))

    def _rest(self) -> None:
        moments = [self._queue.deadlines.earliest(), self._running.earliest()]
        if self._has_slot():
            moments.append(self._queue.due(self._burst.typical_seconds + _LEAD_SECONDS))
        ahead = [moment for moment in moments if moment is not None]
        if ahead:
            self._alarm.by(min(ahead))

    # Running batches

    def _launch(
        self, batch: Batch, loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor
    ) -> None:
        self._free -= 1
        flight = Flight(batch, self._padded(batch.rows))
        self._flights.add(flight)
        for pending in batch.requests:
            pending.inputs = {}  # the flight holds them until they are stacked
            if pending.deadline is not None:
                self._running.add(pending)
        try:
            pool.submit(self._fly, flight)
        except Exception as cause:  # noqa: BLE001 - whatever it is, the callers must hear of it
            flight.failure = cause
            loop.call_soon(self._land, flight)
        self._observer.queued(-batch.rows)
        rows, padding = batch.rows, flight.padded - batch.rows
        self._observer.batch_closed(batch.reason, len(batch.requests), rows, padding)

    def _padded(self, rows: int) -> int:
        """The rows of the batch that the engine sees."""
        sizes = self.policy.pad_to
        if not self.batches or rows > self.policy.max_rows or not sizes:
            return rows
        place = bisect_left(sizes, rows)
        return sizes[place] if place < len(sizes) else rows

    def _fly(self, flight: Flight) -> None:
        """Run a batch on one of the pool's threads, and tell the loop, once."""
        flight.execute(self._executor, self._layout)
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._land, flight)
            except RuntimeError:
                self._log.warning("batch ended after its event loop", rows=flight.batch.rows)

    def _land(self, flight: Flight) -> None:
        """Start the next batch, then give this one's callers their outcome."""
        self._free += 1
        self._flights.discard(flight)
        if flight.failure is None:
            self._burst.learn(len(flight.batch.requests), self._queue.requests, flight.seconds)
        try:
            if self._awaits_burst() and self._queue.rows < self.policy.max_rows:
                self._wake()
            elif not self._pump_scheduled:
                self._pump()
        finally:
            if flight.failure is None:
                self._answer(flight)
            else:
                self._fail(flight, flight.failure)
            self._settle_close()

    def _answer(self, flight: Flight) -> None:
        layout, outputs, cut_ns = self._layout, flight.outputs, flight.cut_ns
        input_ns, infer_ns, output_ns = flight.times
        requests, rows = flight.batch.requests, flight.batch.rows
        start = 0
        for pending in requests:
            stop = start + pending.rows
            reply = pending.reply
            if not reply.done():
                own = outputs if len(requests) == 1 else layout.split(outputs, start, stop)
                waited = cut_ns - pending.arrived_ns
                reply.set_result(Answer(own, Timing(waited, input_ns, infer_ns, output_ns, rows)))
            if pending.watch is not None:
                self._running.discard(pending)
            start = stop
        self._observer.batch_finished(rows, input_ns, infer_ns, output_ns)

    def _fail(self, flight: Flight, cause: BaseException) -> None:
        requests, rows = flight.batch.requests, flight.batch.rows
        if not isinstance(cause, ShapesRefused):
            self._log.error("batch failed", requests=len(requests), rows=rows, exc_info=cause)
        for pending in requests:
            self._running.discard(pending)
            if not pending.reply.done():
                pending.reply.set_exception(error_of(cause))

    # Closing

    def _settle_close(self) -> None:
        busy = self._queue.requests or self._flights
        if self._empty is not None and not busy and not self._empty.done():
            self._empty.set_result(None)

    def _abandon(self) -> None:
        """Fail whatever a bounded close could not finish; nobody is left waiting."""
        self._alarm.stop()
        left = self._queue.requests
        self._queue.clear()
        for flight in self._flights:
            for pending in flight.batch.requests:
                self._running.discard(pending)
                if not pending.reply.done():
                    left += 1
                    pending.reply.set_exception(
                        ServerNotReady("the model closed before the engine answered")
                    )
        if left:
            self._log.warning("batcher closed before it was empty", requests=left)
