"""Tensor data of a request as arrays: raw bytes without a copy, typed elements one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidRequest
from gluonserve.rpc.parameters import refuse_shared_memory
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gluonserve.rpc._proto.grpc_service_pb2 import ModelInferRequest

    InputTensor = ModelInferRequest.InferInputTensor

_RAW: Mapping[str, tuple[np.dtype, int]] = {
    dtype.value: (dtype.numpy, dtype.itemsize) for dtype in DType
}
_FIELDS: Mapping[str, tuple[str, np.dtype]] = {
    "BOOL": ("bool_contents", np.dtype("?")),
    "INT8": ("int_contents", np.dtype("i4")),
    "INT16": ("int_contents", np.dtype("i4")),
    "INT32": ("int_contents", np.dtype("i4")),
    "INT64": ("int64_contents", np.dtype("i8")),
    "UINT8": ("uint_contents", np.dtype("u4")),
    "UINT16": ("uint_contents", np.dtype("u4")),
    "UINT32": ("uint_contents", np.dtype("u4")),
    "UINT64": ("uint64_contents", np.dtype("u8")),
    "FP32": ("fp32_contents", np.dtype("f4")),
    "FP64": ("fp64_contents", np.dtype("f8")),
}


def input_arrays(message: ModelInferRequest) -> dict[str, np.ndarray]:
    """Every input by name. Raw tensors are read-only views of the message.

    Raises:
        InvalidRequest: data that does not fit its declaration; names input, expected and got.
        UnsupportedFeature: an input lies in shared memory.
    """
    tensors, raw = message.inputs, message.raw_input_contents
    if raw:
        if len(raw) != len(tensors):
            raise _wrong_count(tensors, len(raw))
        arrays = {
            tensor.name: _raw(tensor, data) for tensor, data in zip(tensors, raw, strict=True)
        }
    else:
        arrays = {tensor.name: _typed(tensor) for tensor in tensors}
    if len(arrays) != len(tensors):
        names = [tensor.name for tensor in tensors]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidRequest(f"inputs given more than once: {', '.join(map(repr, twice))}")
    return arrays


def _raw(tensor: InputTensor, data: bytes) -> np.ndarray:
    known = _RAW.get(tensor.datatype)
    if known is None or tensor.parameters or tensor.HasField("contents"):
        known = _known(tensor)
        _refuse_both(tensor)
    shape = tuple(tensor.shape)
    dtype, expected = known
    for size in shape:
        if size < 0:
            raise _negative(tensor)
        expected *= size
    if len(data) != expected:
        raise InvalidRequest(
            f"input {tensor.name!r}: byte size mismatch: expected {expected} "
            f"({tensor.datatype} of shape {list(shape)}), got {len(data)}"
        )
    return _shaped(tensor, shape, dtype, data)


def _typed(tensor: InputTensor) -> np.ndarray:
    dtype, _ = _known(tensor)
    shape, expected = tuple(tensor.shape), 1
    for size in shape:
        if size < 0:
            raise _negative(tensor)
        expected *= size
    if tensor.datatype not in _FIELDS:
        raise InvalidRequest(
            f"input {tensor.name!r}: {tensor.datatype} goes into raw_input_contents only"
        )
    field, wide = _FIELDS[tensor.datatype]
    elements: Sequence[float] = getattr(tensor.contents, field)
    if len(elements) != expected:
        raise InvalidRequest(
            f"input {tensor.name!r}: expected {expected} elements in {field} ({tensor.datatype} of "
            f"shape {list(shape)}) or their bytes in raw_input_contents, got {len(elements)}"
        )
    stray = [known.name for known, _ in tensor.contents.ListFields() if known.name != field]
    if stray:
        raise InvalidRequest(
            f"input {tensor.name!r}: {tensor.datatype} goes into {field}, "
            f"got {', '.join(stray)} too"
        )
    values = np.fromiter(elements, wide, expected)
    narrow = values.astype(dtype, copy=False)
    if narrow is not values and not np.array_equal(narrow, values):
        raise InvalidRequest(f"input {tensor.name!r}: elements of {field} exceed {tensor.datatype}")
    return _shaped(tensor, shape, dtype, narrow.data)


def _known(tensor: InputTensor) -> tuple[np.dtype, int]:
    """The dtype and element size of a tensor that this protocol front can read at all."""
    refuse_shared_memory(f"input {tensor.name!r}: ", tensor.parameters)
    known = _RAW.get(tensor.datatype)
    if known is not None:
        return known
    if tensor.datatype == "BYTES":
        raise InvalidRequest(f"input {tensor.name!r}: BYTES, but no model here takes strings")
    raise InvalidRequest(
        f"input {tensor.name!r}: expected a datatype of {', '.join(_RAW)}, got {tensor.datatype!r}"
    )


def _shaped(
    tensor: InputTensor, shape: tuple[int, ...], dtype: np.dtype, data: bytes | memoryview
) -> np.ndarray:
    try:
        return np.ndarray(shape, dtype, data)
    except ValueError as error:  # more dimensions, or larger ones, than an array can have
        raise InvalidRequest(f"input {tensor.name!r}: shape {list(shape)}: {error}") from error


def _refuse_both(tensor: InputTensor) -> None:
    if tensor.HasField("contents") and tensor.contents.ByteSize():
        raise InvalidRequest(
            f"input {tensor.name!r}: data in contents and in raw_input_contents; "
            "expected one of the two, the same for every input"
        )


def _negative(tensor: InputTensor) -> InvalidRequest:
    return InvalidRequest(
        f"input {tensor.name!r}: expected a shape without negative sizes, got {list(tensor.shape)}"
    )


def _wrong_count(tensors: Sequence[InputTensor], entries: int) -> Exception:
    for tensor in tensors:
        _known(tensor)
    for tensor in tensors:
        _refuse_both(tensor)
    return InvalidRequest(
        f"expected {len(tensors)} entries in raw_input_contents (one for each input), got {entries}"
    )
