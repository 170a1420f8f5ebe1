"""Inference messages to the data plane's requests, and its answers to wire bytes.

This is the hot path. Clients send the same message again and again with other tensors, so a message
is taken apart into its unchanging part, its id and its tensors. The unchanging part is parsed and
checked once and kept, the tensors are read where they lie. Answers likewise: model, version, names,
datatypes and shapes are serialised once and kept, and a tensor is copied once, from the engine's
array into the bytes that are sent.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from gluonserve.errors import InvalidRequest
from gluonserve.inference import InferRequest
from gluonserve.rpc._proto.grpc_service_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)
from gluonserve.rpc.contents import input_arrays
from gluonserve.rpc.parameters import Parameters, RequestedOutputs, read_outputs, read_parameters
from gluonserve.rpc.wire import TAG_ID, TAG_RAW_OUTPUT, TAG_STREAMED, layout, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gluonserve.inference import InferResponse

Ask = TypeVar("Ask", bound=Message)
_LONG = 0x80  # lengths from here on take more than one byte
_KEPT, _KEPT_PER_MODEL, _LONGEST_KEPT = 1024, 64, 4096
_FINAL = ModelInferResponse(
    parameters={"triton_final_response": InferParameter(bool_param=True)}
).SerializeToString()


def parsed(kind: type[Ask], data: bytes | bytearray) -> Ask:
    """The message of this kind in ``data``.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise InvalidRequest(f"the request is not a {kind.DESCRIPTOR.name} message") from error


def identity(data: bytes | bytearray) -> ModelInferRequest:
    """The request to whom an error belongs: empty where ``data`` cannot even be parsed."""
    try:
        return ModelInferRequest.FromString(bytes(data))
    except DecodeError:
        return ModelInferRequest()


class _Tensor(NamedTuple):
    """A raw tensor of a form: the bytes before its data, and what the data is."""

    header: bytes
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    size: int


class _Form(NamedTuple):
    """What requests have in common that differ in id and tensor data only."""

    start: bytes
    tensors: list[_Tensor]
    model: str
    version: str
    outputs: RequestedOutputs
    parameters: Parameters


class RequestReader:
    """Reads requests, and keeps the forms of recent ones. ``clock`` is the event loop's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._forms: dict[bytes, list[_Form]] = {}  # by the bytes that name the model

    def read(
        self, data: bytes | bytearray, arrived_ns: int, deadline: float | None
    ) -> tuple[InferRequest, bool]:
        """The request in ``data``, and whether its answer should say that it is the last one.

        The earlier of its own timeout and the call's ``deadline`` counts. ``arrived_ns`` is on
        ``perf_counter_ns``. Raw tensors are read-only views of ``data``, or of an aligned copy.

        Raises:
            InvalidRequest: the message contradicts itself or the protocol.
            UnsupportedFeature: it asks for a part of the protocol that is not implemented.
        """
        if len(data) > 1:
            for form in self._forms.get(bytes(data[: 2 + data[1]]), ()):
                found = _filled(form, data)
                if found is not None:
                    return self._request(form, *found, arrived_ns, deadline)
        message = parsed(ModelInferRequest, data)
        inputs = input_arrays(message)
        form = _Form(
            b"",
            [],
            message.model_name,
            message.model_version,
            read_outputs(message.outputs),
            read_parameters(message.parameters),
        )
        self._keep(form, data, inputs)
        return self._request(form, message.id, inputs, arrived_ns, deadline)

    def _keep(self, form: _Form, data: bytes | bytearray, inputs: dict[str, np.ndarray]) -> None:
        """Remember the form of a message where others can be like it, the latest first."""
        found = layout(bytes(data))
        if found is None or len(found.start) + sum(map(len, found.headers)) > _LONGEST_KEPT:
            return
        tensors = [
            _Tensor(header, name, array.shape, array.dtype, array.nbytes)
            for header, (name, array) in zip(found.headers, inputs.items(), strict=True)
        ]
        if len(self._forms) >= _KEPT:
            self._forms.clear()
        forms = self._forms.setdefault(bytes(data[: 2 + data[1]]), [])
        forms.insert(0, form._replace(start=found.start, tensors=tensors))
        del forms[_KEPT_PER_MODEL:]

    def _request(
        self,
        form: _Form,
        request_id: str,
        inputs: dict[str, np.ndarray],
        arrived_ns: int,
        deadline: float | None,
    ) -> tuple[InferRequest, bool]:
        priority, timeout_s, final_mark, others = form.parameters
        if timeout_s:
            until = self._clock() + timeout_s
            deadline = until if deadline is None else min(deadline, until)
        names, classification = form.outputs
        request = InferRequest(
            form.model,
            inputs,
            form.version,
            request_id,
            names,
            deadline,
            priority,
            classification,
            others,
            arrived_ns,
            perf_counter_ns() - arrived_ns,
        )
        return request, final_mark


def _filled(form: _Form, data: bytes | bytearray) -> tuple[str, dict[str, np.ndarray]] | None:
    """Id and tensors of a message, or None where it is not of this form."""
    start = form.start
    if not data.startswith(start):
        return None
    at, request_id = len(start), ""
    if data[at : at + 1] == TAG_ID:
        try:
            first, length = at + 2, data[at + 1]
            at = first + length
            request_id = data[first:at].decode()
        except (IndexError, UnicodeDecodeError):
            return None
        if length >= _LONG:
            return None
    inputs: dict[str, np.ndarray] = {}
    for header, name, shape, dtype, size in form.tensors:
        if not data.startswith(header, at):
            return None
        at += len(header)
        if at + size > len(data):
            return None
        if at % dtype.itemsize or not size:
            inputs[name] = np.ndarray(shape, dtype, data[at : at + size])
        else:
            inputs[name] = np.ndarray(shape, dtype, data, at)
        at += size
    return (request_id, inputs) if at == len(data) else None


class AnswerWriter:
    """Writes answers as wire bytes, and keeps the unchanging part of recent ones."""

    def __init__(self) -> None:
        self._heads: dict[Hashable, tuple[bytes, list[bytes], int]] = {}

    def unary(self, response: InferResponse) -> bytes:
        """The answer as a serialised ModelInferResponse."""
        parts, size = self._parts(response)
        return _joined(parts, size)

    def streamed(self, response: InferResponse) -> bytes:
        """The answer as a serialised ModelStreamInferResponse."""
        parts, size = self._parts(response)
        length = varint(size)
        return _joined([TAG_STREAMED, length, *parts], 1 + len(length) + size)

    def final(self, response: InferResponse) -> bytes:
        """The same, marked as the last answer of its request."""
        parts, size = self._parts(response)
        size += len(_FINAL)
        length = varint(size)
        return _joined([TAG_STREAMED, length, *parts, _FINAL], 1 + len(length) + size)

    def _parts(self, response: InferResponse) -> tuple[list[bytes | memoryview], int]:
        """The pieces of the answer in order, and the size of them all."""
        arrays = list(response.outputs.values())
        shapes = tuple([array.shape for array in arrays])
        key = (*response.outputs, response.model, response.version, response.datatypes, shapes)
        head = self._heads.get(key)
        if head is None:
            if "BYTES" in response.datatypes:
                arrays = [packed(array) if array.dtype == object else array for array in arrays]
            head = self._new_head(key, response, shapes, [array.nbytes for array in arrays])
        fixed, tags, size = head
        parts: list[bytes | memoryview] = [fixed]
        if response.id:
            name = response.id.encode()
            length = varint(len(name))
            parts += (TAG_ID, length, name)
            size += 1 + len(length) + len(name)
        for tag, array in zip(tags, arrays, strict=True):
            parts.append(tag)
            parts.append(array.data if array.flags.c_contiguous else array.tobytes())
        return parts, size

    def _new_head(
        self,
        key: Hashable,
        response: InferResponse,
        shapes: tuple[tuple[int, ...], ...],
        sizes: list[int],
    ) -> tuple[bytes, list[bytes], int]:
        """All of an answer but its id and its tensors' bytes, and the size without the id."""
        message = ModelInferResponse(model_name=response.model, model_version=response.version)
        specs = zip(response.outputs, response.datatypes, shapes, strict=True)
        for name, datatype, shape in specs:
            message.outputs.add(name=name, datatype=datatype, shape=shape)
        fixed = message.SerializeToString()
        tags = [TAG_RAW_OUTPUT + varint(size) for size in sizes]
        head = (fixed, tags, len(fixed) + sum(map(len, tags)) + sum(sizes))
        if "BYTES" not in response.datatypes:  # their size varies
            if len(self._heads) >= _KEPT:
                self._heads.clear()
            self._heads[key] = head
        return head


def streamed_error(request_id: str, status: str, text: str) -> bytes:
    """A serialised ModelStreamInferResponse: which request of a stream failed, and why.

    The protocol has no place for the status; it goes by name into a parameter, ``status``.
    """
    answer = ModelInferResponse(id=request_id)
    answer.parameters["status"].string_param = status
    return ModelStreamInferResponse(error_message=text, infer_response=answer).SerializeToString()


def packed(strings: np.ndarray) -> np.ndarray:
    """A BYTES tensor in raw form: every element behind its length in four little-endian bytes."""
    data = b"".join(
        part for text in strings.flat for part in (len(text).to_bytes(4, "little"), text)
    )
    return np.frombuffer(data, np.uint8)


def _joined(parts: list[bytes | memoryview], size: int) -> bytes:
    data = b"".join(parts)
    if len(data) != size:
        raise ValueError(f"an answer of {len(data)} bytes declares {size}")
    return data
