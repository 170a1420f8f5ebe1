"""What the server says about itself and its models, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluonserve_client._request import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve_client._proto import grpc_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output; -1 in the shape is a free size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of its arrays (BYTES are arrays of ``bytes`` objects)."""
        return DTYPES[self.datatype]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """Who answers, and which extensions of the protocol it has."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives. ``properties`` are facts for people."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """How a model is served. ``max_delay_us`` is None where requests are not batched."""

    name: str
    platform: str
    max_batch_size: int
    max_delay_us: int | None
    max_queue_rows: int
    instances: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and the nanoseconds it took altogether."""

    count: int
    ns: int


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What a version did since it was loaded. Inferences are rows, executions are batches."""

    name: str
    version: str
    inference_count: int
    execution_count: int
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of one model in the repository, its state and the reason for it."""

    name: str
    version: str
    state: str
    reason: str


def server_metadata(message: pb.ServerMetadataResponse) -> ServerMetadata:
    """From the message."""
    return ServerMetadata(message.name, message.version, tuple(message.extensions))


def model_metadata(message: pb.ModelMetadataResponse) -> ModelMetadata:
    """From the message."""
    return ModelMetadata(
        message.name,
        tuple(message.versions),
        message.platform,
        tuple(_tensor(tensor) for tensor in message.inputs),
        tuple(_tensor(tensor) for tensor in message.outputs),
        dict(message.properties),
    )


def model_config(message: pb.ModelConfigResponse) -> ModelConfig:
    """From the message."""
    config = message.config
    batching = config.dynamic_batching
    batched = config.HasField("dynamic_batching")
    return ModelConfig(
        config.name,
        config.platform,
        config.max_batch_size,
        batching.max_queue_delay_microseconds if batched else None,
        batching.default_queue_policy.max_queue_size,
        sum(group.count for group in config.instance_group),
        {key: value.string_value for key, value in config.parameters.items()},
    )


def statistics(message: pb.ModelStatisticsResponse) -> tuple[ModelStatistics, ...]:
    """From the message."""
    return tuple(_statistics(model) for model in message.model_stats)


def repository_index(message: pb.RepositoryIndexResponse) -> tuple[IndexEntry, ...]:
    """From the message."""
    return tuple(
        IndexEntry(entry.name, entry.version, entry.state, entry.reason) for entry in message.models
    )


def _tensor(message: pb.ModelMetadataResponse.TensorMetadata) -> Tensor:
    return Tensor(message.name, message.datatype, tuple(message.shape))


def _statistics(message: pb.ModelStatistics) -> ModelStatistics:
    sums = message.inference_stats
    return ModelStatistics(
        message.name,
        message.version,
        message.inference_count,
        message.execution_count,
        _duration(sums.success),
        _duration(sums.fail),
        _duration(sums.queue),
        _duration(sums.compute_input),
        _duration(sums.compute_infer),
        _duration(sums.compute_output),
    )


def _duration(message: pb.StatisticDuration) -> Duration:
    return Duration(message.count, message.ns)
