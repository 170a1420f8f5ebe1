"""Arrays to requests and responses to arrays: what both clients share."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gluonserve_client._arguments import names, put, table, text, version_text, whole
from gluonserve_client._proto import grpc_service_pb2 as pb
from gluonserve_client.errors import InvalidRequest, error_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from gluonserve_client._answers import ModelMetadata
    from gluonserve_client.errors import GluonserveError

    Arrays: TypeAlias = dict[str, np.ndarray]
    Inputs: TypeAlias = Mapping[str, ArrayLike]
    Parameters: TypeAlias = Mapping[str, bool | int | float | str]

DTYPES: Mapping[str, np.dtype] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_DATATYPES: Mapping[np.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH_BYTES = 4
# what NumPy, and what another library's array, raises where there is no array to be had
_NO_ARRAY = (TypeError, ValueError, OverflowError, RuntimeError, AttributeError)


def typed(inputs: Inputs, metadata: ModelMetadata | None) -> Arrays:
    """Every input as an array; what is not one yet gets the data type that the model declares.

    Raises:
        InvalidRequest: a value is no array of numbers; names the input.
    """
    tensors = metadata.inputs if metadata is not None else ()
    declared = {tensor.name: tensor.dtype for tensor in tensors}
    return {name: _as_array(name, value, declared.get(name)) for name, value in inputs.items()}


def untyped(inputs: Inputs) -> bool:
    """Whether some input is a list or a number, whose data type only the model's metadata tells.

    Raises:
        InvalidRequest: there are no inputs by name.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidRequest(
            f"inputs: expected arrays by the names of the inputs, got {type(inputs).__name__}"
        )
    for name in inputs:
        text("name in inputs", name)
    return not all(isinstance(value, np.ndarray) for value in inputs.values())


def infer_request(
    model: str,
    inputs: Arrays,
    outputs: Iterable[str] | None = None,
    *,
    version: str | int = "",
    request_id: str = "",
    priority: int = 0,
    classes: Mapping[str, int] | None = None,
    parameters: Parameters | None = None,
) -> pb.ModelInferRequest:
    """The message that asks ``model`` about ``inputs``.

    Raises:
        InvalidRequest: an argument that no message can hold; says which.
    """
    wanted = names("outputs", outputs) or []
    classes = table("classes", classes, "numbers of classes by the names of outputs")
    request = pb.ModelInferRequest(
        model_name=text("model", model),
        model_version=version_text(version),
        id=text("request_id", request_id),
    )
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype=_datatype(name, array), shape=array.shape)
        request.raw_input_contents.append(_little_endian(array).tobytes())
    for name in [*wanted, *(name for name in classes if name not in wanted)]:
        output = request.outputs.add(name=name)
        if name in classes:
            count = whole(f"classes[{name!r}]", classes[name], at_least=1)
            output.parameters["classification"].int64_param = count
    if urgency := whole("priority", priority, at_least=0):
        request.parameters["priority"].int64_param = urgency
    for name, value in table("parameters", parameters, "values by their names").items():
        put(f"parameters[{name!r}]", request.parameters[name], value)
    return request


def arrays(response: pb.ModelInferResponse) -> Arrays:
    """The outputs by name; read-only views of the message, but BYTES, which are Python objects."""
    return {
        tensor.name: _array(tensor.datatype, tuple(tensor.shape), data)
        for tensor, data in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def outcome(answer: pb.ModelStreamInferResponse) -> Arrays | GluonserveError:
    """The outputs of one answer of a stream, or why this request has none."""
    if answer.error_message:
        status = answer.infer_response.parameters["status"].string_param
        return error_named(status, answer.error_message)
    return arrays(answer.infer_response)


def _as_array(name: str, value: ArrayLike, dtype: np.dtype | None) -> np.ndarray:
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise InvalidRequest(f"input {name!r}: masked values cannot be sent; fill them first")
        return value
    try:
        given = _numbers(value)
        if dtype is None:
            return given
        with np.errstate(all="ignore"):
            array = given.astype(dtype)
    except _NO_ARRAY as error:
        raise InvalidRequest(f"input {name!r}: not an array of numbers: {error}") from error
    beyond = np.isfinite(given) & ~np.isfinite(array) if dtype.kind == "f" else array != given
    if beyond.any():
        raise InvalidRequest(
            f"input {name!r}: {given[beyond].flat[0]} is no {_DATATYPES[dtype]}; "
            "convert it before sending"
        )
    return array


def _numbers(value: ArrayLike) -> np.ndarray:
    """Lists, numbers, and other libraries' arrays; text that looks like numbers is none."""
    given = np.asarray(value)
    if given.dtype.kind in "biuf":
        return given
    stray = [one for one in given.flat if not isinstance(one, Real | Decimal)]
    if stray:
        raise TypeError(f"got {reprlib.repr(stray[0])}")
    return given.astype(np.float64)


def _datatype(name: str, array: np.ndarray) -> str:
    datatype = _DATATYPES.get(array.dtype.newbyteorder("="))
    if datatype is None:
        raise InvalidRequest(
            f"input {name!r}: expected an array of {', '.join(DTYPES)}, got {array.dtype}"
        )
    return datatype


def _little_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _array(datatype: str, shape: tuple[int, ...], data: bytes) -> np.ndarray:
    if datatype == "BYTES":
        return _strings(data).reshape(shape)
    return np.ndarray(shape, DTYPES[datatype], data)


def _strings(data: bytes) -> np.ndarray:
    strings, at = [], 0
    while at < len(data):
        first = at + _LENGTH_BYTES
        at = first + int.from_bytes(data[at:first], "little")
        strings.append(data[first:at])
    return np.array(strings, dtype=object)
