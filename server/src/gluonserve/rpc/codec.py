"""Inference messages to the data plane's requests, and its answers to wire bytes.

This is the hot path. Raw tensors of a request are read without a copy. Answers are written as wire
bytes directly, not through a message object: whatever does not change from one answer to the next
(model, version, names, datatypes, shapes) is serialised once and kept, and a tensor is copied once,
from the engine's array into the bytes that are sent.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from gluonserve.dataplane import InferRequest
from gluonserve.errors import InvalidRequest
from gluonserve.rpc._proto.grpc_service_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)
from gluonserve.rpc.contents import input_arrays
from gluonserve.rpc.parameters import FINAL_RESPONSE_WANTED, read_outputs, read_parameters

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gluonserve.dataplane import InferResponse

Ask = TypeVar("Ask", bound=Message)
_KEPT_HEADS = 1024
_ID, _RAW, _STREAMED = b"\x1a", b"\x32", b"\x12"  # tags: a field's number * 8 + 2
_FINAL = ModelInferResponse(
    parameters={"triton_final_response": {"bool_param": True}}  # type: ignore[dict-item]
).SerializeToString()


def parsed(kind: type[Ask], data: bytes) -> Ask:
    """The message of this kind in ``data``.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"the request is not a {kind.DESCRIPTOR.name} message") from error


def decode(
    message: ModelInferRequest, arrived_ns: int, now: float, deadline: float | None
) -> InferRequest:
    """The request as the data plane takes it.

    ``now`` and the call's ``deadline`` are on the event loop's clock, ``arrived_ns`` on
    ``perf_counter_ns``.

    Raises:
        InvalidRequest: the message contradicts itself or the protocol.
        UnsupportedFeature: it asks for a part of the protocol that is not implemented.
    """
    request = InferRequest(
        message.model_name,
        input_arrays(message),
        message.model_version,
        message.id,
        deadline=deadline,
        arrived_ns=arrived_ns,
    )
    if message.outputs:
        read_outputs(message.outputs, request)
    if message.parameters:
        read_parameters(message.parameters, request, now)
    request.decode_ns = perf_counter_ns() - arrived_ns
    return request


def wants_final_mark(message: ModelInferRequest) -> bool:
    """Whether a streamed answer should say that it is the last one of its request."""
    parameters = message.parameters
    return (
        bool(parameters)
        and FINAL_RESPONSE_WANTED in parameters
        and parameters[FINAL_RESPONSE_WANTED].bool_param
    )


class AnswerWriter:
    """Writes answers as wire bytes and keeps the unchanging part of recent kinds of answers."""

    def __init__(self) -> None:
        self._heads: dict[Hashable, tuple[bytes, list[bytes], int]] = {}

    def unary(self, response: InferResponse) -> bytes:
        """The answer as a serialised ModelInferResponse."""
        parts, _ = self._parts(response)
        return b"".join(parts)

    def streamed(self, response: InferResponse) -> bytes:
        """The answer as a serialised ModelStreamInferResponse."""
        parts, size = self._parts(response)
        return b"".join((_STREAMED, _varint(size), *parts))

    def final(self, response: InferResponse) -> bytes:
        """The same, marked as the last answer of its request."""
        parts, size = self._parts(response)
        return b"".join((_STREAMED, _varint(size + len(_FINAL)), *parts, _FINAL))

    def _parts(self, response: InferResponse) -> tuple[list[bytes | memoryview], int]:
        arrays = [
            array if array.flags.c_contiguous else np.ascontiguousarray(array)
            for array in response.outputs.values()
        ]
        shapes = tuple([array.shape for array in arrays])
        if "BYTES" in response.datatypes:
            arrays = [packed(array) if array.dtype == object else array for array in arrays]
        sizes = tuple([array.nbytes for array in arrays])
        key = (
            response.model,
            response.version,
            response.datatypes,
            *response.outputs,
            shapes,
            sizes,
        )
        head = self._heads.get(key)
        if head is None:
            head = self._new_head(key, response, shapes, sizes)
        fixed, tags, size = head
        parts: list[bytes | memoryview] = [fixed]
        if response.id:
            name = response.id.encode()
            length = _varint(len(name))
            parts += (_ID, length, name)
            size += 1 + len(length) + len(name)
        for tag, array in zip(tags, arrays, strict=True):
            parts.append(tag)
            parts.append(array.data)
        return parts, size

    def _new_head(
        self,
        key: Hashable,
        response: InferResponse,
        shapes: tuple[tuple[int, ...], ...],
        sizes: tuple[int, ...],
    ) -> tuple[bytes, list[bytes], int]:
        """All of an answer but its id and its tensors' bytes, and the size without the id."""
        message = ModelInferResponse(model_name=response.model, model_version=response.version)
        specs = zip(response.outputs, response.datatypes, shapes, strict=True)
        for name, datatype, shape in specs:
            message.outputs.add(name=name, datatype=datatype, shape=shape)
        fixed = message.SerializeToString()
        tags = [_RAW + _varint(size) for size in sizes]
        if len(self._heads) >= _KEPT_HEADS:
            self._heads.clear()
        head = (fixed, tags, len(fixed) + sum(map(len, tags)) + sum(sizes))
        self._heads[key] = head
        return head


def streamed_error(request_id: str, text: str) -> bytes:
    """A serialised ModelStreamInferResponse: which request of a stream failed, and why."""
    answer = ModelInferResponse(id=request_id)
    return ModelStreamInferResponse(error_message=text, infer_response=answer).SerializeToString()


def packed(strings: np.ndarray) -> np.ndarray:
    """A BYTES tensor in raw form: every element behind its length in four little-endian bytes."""
    data = b"".join(
        part for text in strings.flat for part in (len(text).to_bytes(4, "little"), text)
    )
    return np.frombuffer(data, np.uint8)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
