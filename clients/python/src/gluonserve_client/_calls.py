"""The calls of the service, the channel's options, and when a call is tried again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gluonserve_client._arguments import seconds
from gluonserve_client._proto import grpc_service_pb2 as pb
from gluonserve_client.errors import DeadlineExceeded, NotConnected

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from gluonserve_client.errors import GluonserveError

Ask = TypeVar("Ask", bound="Message")
Answer = TypeVar("Answer", bound="Message")

TIMEOUT_S = 60.0
IN_FLIGHT = 64
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
)
CLOSED = "the client is closed"
CUT_OFF = "the client was closed before the answer came"
_PAUSES_S = (0.1, 0.2, 0.4)
_LONGEST_S = 365 * 86_400.0  # gRPC takes no infinite deadline for what it is


def bounded(timeout: float | None) -> float | None:
    """A timeout that gRPC takes; None is none."""
    return None if timeout is None else min(seconds(timeout), _LONGEST_S)


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Ask, Answer]):
    """One method of the service with its messages."""

    name: str
    ask: type[Ask]
    answer: type[Answer]

    @property
    def path(self) -> str:
        """Where it is called."""
        return f"/inference.GRPCInferenceService/{self.name}"


SERVER_LIVE = Rpc("ServerLive", pb.ServerLiveRequest, pb.ServerLiveResponse)
SERVER_READY = Rpc("ServerReady", pb.ServerReadyRequest, pb.ServerReadyResponse)
MODEL_READY = Rpc("ModelReady", pb.ModelReadyRequest, pb.ModelReadyResponse)
SERVER_METADATA = Rpc("ServerMetadata", pb.ServerMetadataRequest, pb.ServerMetadataResponse)
MODEL_METADATA = Rpc("ModelMetadata", pb.ModelMetadataRequest, pb.ModelMetadataResponse)
MODEL_CONFIG = Rpc("ModelConfig", pb.ModelConfigRequest, pb.ModelConfigResponse)
STATISTICS = Rpc("ModelStatistics", pb.ModelStatisticsRequest, pb.ModelStatisticsResponse)
INDEX = Rpc("RepositoryIndex", pb.RepositoryIndexRequest, pb.RepositoryIndexResponse)
INFER = Rpc("ModelInfer", pb.ModelInferRequest, pb.ModelInferResponse)
STREAM_INFER = Rpc("ModelStreamInfer", pb.ModelInferRequest, pb.ModelStreamInferResponse)


class Attempts:
    """The tries of one call within its timeout.

    Only a call that never left this process is tried again: a second try after a refusal would add
    to the load that was refused, and after a lost connection it could run twice.
    """

    def __init__(self, timeout_s: float) -> None:
        self._until = time.monotonic() + min(seconds(timeout_s), _LONGEST_S)
        self._pauses = iter(_PAUSES_S)

    def left_s(self) -> float:
        """Seconds until the deadline.

        Raises:
            DeadlineExceeded: there are none.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the timeout passed before the server could be reached")
        return left

    def pause_s(self, error: GluonserveError) -> float:
        """How long to wait before the next try.

        Raises:
            GluonserveError: ``error``, where there should be no other try.
        """
        pause = next(self._pauses, None) if isinstance(error, NotConnected) else None
        if pause is None or time.monotonic() + pause >= self._until:
            raise error
        return pause
