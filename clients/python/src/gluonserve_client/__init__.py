"""Asks a gluonserve server: arrays in, arrays out, over gRPC.

with Client("localhost:8001") as client:
outputs = client.infer("resnet50", {"data": images}, timeout=0.5)
"""

from __future__ import annotations

from gluonserve_client._aio import AsyncClient
from gluonserve_client._aio_stream import AsyncInferStream
from gluonserve_client._answers import (
    Duration,
    IndexEntry,
    ModelConfig,
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
    Tensor,
)
from gluonserve_client._stream import InferStream
from gluonserve_client._sync import Client
from gluonserve_client.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    GluonserveError,
    InvalidRequest,
    ModelNotFound,
    NotConnected,
    NotReady,
    Overloaded,
    RequestCancelled,
    Unsupported,
)

__all__ = [
    "AsyncClient",
    "AsyncInferStream",
    "Client",
    "DeadlineExceeded",
    "Duration",
    "ExecutionFailed",
    "GluonserveError",
    "IndexEntry",
    "InferStream",
    "InvalidRequest",
    "ModelConfig",
    "ModelMetadata",
    "ModelNotFound",
    "ModelStatistics",
    "NotConnected",
    "NotReady",
    "Overloaded",
    "RequestCancelled",
    "ServerMetadata",
    "Tensor",
    "Unsupported",
]
