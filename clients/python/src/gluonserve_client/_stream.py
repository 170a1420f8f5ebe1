"""The blocking client's stream."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, TypeAlias

import grpc

from gluonserve_client._arguments import check_batches, names, whole
from gluonserve_client._calls import CLOSED, bounded
from gluonserve_client._request import infer_request, outcome
from gluonserve_client.errors import GluonserveError, NotConnected, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from types import TracebackType

    from google.protobuf.message import Message
    from typing_extensions import Self

    from gluonserve_client._proto import grpc_service_pb2 as pb
    from gluonserve_client._request import Arrays, Inputs, Parameters

    Stub: TypeAlias = grpc.StreamStreamMultiCallable[Message, pb.ModelStreamInferResponse]
    Running: TypeAlias = grpc.Call


class InferStream:
    """Many requests over one call, several at a time, answers in the order of the requests.

    Leaving the ``with`` block cancels what is still under way.
    """

    def __init__(
        self, stub: Stub, prepare: Callable[[str, str | int, Inputs], Arrays], in_flight: int
    ) -> None:
        self._stub, self._prepare = stub, prepare
        self._in_flight = whole("in_flight", in_flight, at_least=1)
        self._running: set[Running] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for call in tuple(self._running):
            call.cancel()

    def infer_many(
        self,
        model: str,
        batches: Iterable[Inputs],
        outputs: Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        version: str | int = "",
        priority: int = 0,
        classes: Mapping[str, int] | None = None,
        parameters: Parameters | None = None,
    ) -> Iterator[Arrays]:
        """The outputs for each of ``batches``, which is read as answers make room for more.

        ``batches`` is iterated on another thread. ``timeout`` is for all of them together; without
        one there is none.

        Raises:
            GluonserveError: the first request that failed, or the call.
        """
        outcomes = self.outcomes(
            model,
            batches,
            outputs,
            timeout=timeout,
            version=version,
            priority=priority,
            classes=classes,
            parameters=parameters,
        )
        with contextlib.closing(outcomes):
            for one in outcomes:
                if isinstance(one, GluonserveError):
                    raise one
                yield one

    def outcomes(
        self,
        model: str,
        batches: Iterable[Inputs],
        outputs: Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        version: str | int = "",
        priority: int = 0,
        classes: Mapping[str, int] | None = None,
        parameters: Parameters | None = None,
    ) -> Generator[Arrays | GluonserveError, None, None]:
        """As ``infer_many``, but a failed request yields its error, and the others go on.

        Raises:
            GluonserveError: the call as a whole failed.
        """
        wanted = names("outputs", outputs)
        check_batches(batches)
        feed = _Feed(
            (
                infer_request(
                    model,
                    self._prepare(model, version, inputs),
                    wanted,
                    version=version,
                    priority=priority,
                    classes=classes,
                    parameters=parameters,
                )
                for inputs in batches
            ),
            self._in_flight,
        )
        try:
            call = self._stub(feed, timeout=bounded(timeout))
        except ValueError as error:  # so gRPC says that the channel is closed
            raise NotConnected(CLOSED) from error
        self._running.add(call)
        try:
            for answer in call:
                feed.answered()
                yield outcome(answer)
        except grpc.RpcError as error:
            feed.raise_failure()
            raise error_of(error.code(), error.details()) from error
        finally:
            self._running.discard(call)
            feed.close()
            call.cancel()
        feed.raise_failure()


class _Feed:
    """The requests as gRPC's thread takes them: at most so many unanswered.

    What the source of requests raises is kept for the consumer, where it belongs.
    """

    def __init__(self, requests: Iterator[pb.ModelInferRequest], in_flight: int) -> None:
        self._requests = requests
        self._window = threading.Semaphore(in_flight)
        self._closed = False
        self._failure: BaseException | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pb.ModelInferRequest:
        self._window.acquire()
        if self._closed:
            raise StopIteration
        try:
            return next(self._requests)
        except StopIteration:
            raise
        except BaseException as error:
            self._failure = error
            raise StopIteration from error

    def answered(self) -> None:
        """Make room for another request."""
        self._window.release()

    def close(self) -> None:
        """Give no more requests, and let go of a thread that waits for room."""
        self._closed = True
        self._window.release()

    def raise_failure(self) -> None:
        """Raise what the source of requests raised, if it did."""
        if self._failure is not None:
            raise self._failure
