"""The other end of the wire, for the command line: lists, describes and calls a server's models."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

import grpc
import numpy as np

from gluonserve.dataplane import IndexEntry
from gluonserve.errors import GluonserveError
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.tensors import DType, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from google.protobuf.message import Message

Answer = TypeVar("Answer", bound="Message")

SERVICE = "/inference.GRPCInferenceService/"
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Caller:
    """A connection to one server, inside an event loop; an ``async with`` closes it."""

    def __init__(self, address: str, *, timeout_s: float = 60.0) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.aio.insecure_channel(address, options=_UNLIMITED)

    async def __aenter__(self) -> Caller:  # noqa: PYI034 - typing.Self is not in Python 3.10
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def index(self) -> list[IndexEntry]:
        """Every version of every model, with its state.

        Raises:
            GluonserveError: the server cannot be reached, or refuses.
        """
        answer = await self._call(
            "RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse
        )
        return [IndexEntry(one.name, one.version, one.state, one.reason) for one in answer.models]

    async def signature(self, model: str, version: str = "") -> Signature:
        """What a model takes and gives.

        Raises:
            GluonserveError: the server cannot be reached, or has no such model.
        """
        ask = pb.ModelMetadataRequest(name=model, version=version)
        answer = await self._call("ModelMetadata", ask, pb.ModelMetadataResponse)
        return Signature(_specs(answer.inputs), _specs(answer.outputs))

    async def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], version: str = ""
    ) -> dict[str, np.ndarray]:
        """The model's answer to these inputs, by output.

        Raises:
            GluonserveError: the server refused, or cannot be reached.
        """
        return await self.send(infer_request(model, inputs, version))

    async def send(self, request: pb.ModelInferRequest) -> dict[str, np.ndarray]:
        """The answer to a request that is sent as it is, by output."""
        answer = await self._call("ModelInfer", request, pb.ModelInferResponse)
        return {
            output.name: np.frombuffer(raw, DType[output.datatype].numpy).reshape(output.shape)
            for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }

    async def labels(
        self, model: str, inputs: Mapping[str, np.ndarray], output: str, count: int
    ) -> dict[int, str]:
        """The labels of the best ``count`` classes of each row of an output, by class."""
        request = infer_request(model, inputs)
        asked = request.outputs.add(name=output)
        asked.parameters["classification"].int64_param = count
        answer = await self._call("ModelInfer", request, pb.ModelInferResponse)
        entries = (entry.split(":", 2) for entry in _strings(answer.raw_output_contents[0]))
        return {int(parts[1]): parts[2] for parts in entries if len(parts) > 2}

    async def _call(self, method: str, ask: Message, answer: type[Answer]) -> Answer:
        call = self._channel.unary_unary(
            SERVICE + method,
            request_serializer=type(ask).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found: Answer = await call(ask, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            text = f"{self.address}: {error.code().name}: {error.details()}"
            raise GluonserveError(text) from error
        return found


def infer_request(
    model: str, inputs: Mapping[str, np.ndarray], version: str = ""
) -> pb.ModelInferRequest:
    """A request with raw tensors."""
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype=DType.of(array.dtype).value, shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


def _specs(tensors: Sequence[pb.ModelMetadataResponse.TensorMetadata]) -> tuple[TensorSpec, ...]:
    """As the server describes them, which does not say which free axis counts rows."""
    return tuple(
        TensorSpec(
            *(one.name, DType[one.datatype], tuple(one.shape)),
            batch_axis=0 if tuple(one.shape[:1]) == (-1,) else None,
        )
        for one in tensors
    )


def _strings(raw: bytes) -> list[str]:
    """The elements of a raw BYTES tensor: each a length of four bytes, then itself."""
    found, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + length].decode(errors="replace"))
        at += 4 + length
    return found
