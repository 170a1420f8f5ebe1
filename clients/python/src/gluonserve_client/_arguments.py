"""Arguments of calls as a message can hold them; what it cannot is told by its place and value."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import AsyncIterable, Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, TypeVar

import grpc
import numpy as np

from gluonserve_client.errors import InvalidRequest

if TYPE_CHECKING:
    from gluonserve_client._proto import grpc_service_pb2 as pb

T = TypeVar("T")

_LARGEST = 2**63 - 1
_LARGEST_PORT = 2**16 - 1
_OTHER_PROTOCOLS = ("http://", "https://", "grpc://", "grpcs://", "tcp://")


def text(place: str, value: object) -> str:
    """A text that can be sent.

    Raises:
        InvalidRequest: it is no text, or one that UTF-8 has not; names ``place``, as all here.
    """
    if not isinstance(value, str):
        raise _wrong(place, "text", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(place, "text that can be sent as UTF-8", value) from error
    return value


def version_text(value: object) -> str:
    """A version as it is sent; none is empty."""
    if isinstance(value, str):
        return text("version", value)
    try:
        if not isinstance(value, bool):
            return str(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        pass
    raise _wrong("version", 'a number, or "" for the latest', value)


def names(place: str, value: object) -> list[str] | None:
    """A list of names, or none."""
    if value is None:
        return None
    if isinstance(value, str | bytes):
        raise InvalidRequest(f"{place}: expected a list of names, got the text {value!r}")
    if not isinstance(value, Iterable):
        raise _wrong(place, "a list of names", value)
    return [text(f"{place}[{at}]", one) for at, one in enumerate(value)]


def table(place: str, value: Mapping[str, T] | None, wanted: str) -> Mapping[str, T]:
    """Values by their names; none is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(place, wanted, value)
    for name in value:
        text(f"name in {place}", name)
    return value


def whole(place: str, value: object, at_least: int) -> int:
    """A whole number in a range that a message can hold."""
    try:
        number = -1 if isinstance(value, bool | np.bool_) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if not at_least <= number <= _LARGEST:
        raise _wrong(place, f"a whole number from {at_least} to 2**63 - 1", value)
    return number


def seconds(value: object) -> float:
    """A timeout."""
    if not isinstance(value, Real) or math.isnan(value):
        raise _wrong("timeout", "seconds", value)
    return float(value)


def address(value: object) -> str:
    """Where a server listens, as gRPC reads it."""
    wanted = "HOST:PORT, as in localhost:8001"
    if not isinstance(value, str) or not value or value.startswith(_OTHER_PROTOCOLS):
        raise _wrong("target", wanted, value)
    port = value.rpartition(":")[2]
    if port.isdecimal() and int(port) > _LARGEST_PORT:  # gRPC would take another one
        raise _wrong("target", f"a port up to {_LARGEST_PORT}", value)
    return text("target", value)


def secured(value: object) -> grpc.ChannelCredentials:
    """What secures a channel."""
    if not isinstance(value, grpc.ChannelCredentials):
        raise _wrong("credentials", "grpc.ChannelCredentials", value)
    return value


def check_batches(value: object) -> None:
    """Refuse what does not give the inputs of many requests, one after the other."""
    if isinstance(value, Mapping) or not isinstance(value, Iterable | AsyncIterable):
        raise _wrong("batches", "the inputs of many requests, one after the other", value)


def put(place: str, parameter: pb.InferParameter, value: object) -> None:
    """Set a parameter to a value of its own kind."""
    try:
        if isinstance(value, bool | np.bool_):
            parameter.bool_param = bool(value)
        elif isinstance(value, str):
            parameter.string_param = value
        elif isinstance(value, int | np.integer):
            parameter.int64_param = int(value)
        elif isinstance(value, Real):
            parameter.double_param = float(value)
        else:
            raise _wrong(place, "true or false, a number or text", value)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"{place}: cannot be sent: {error}") from error


def _wrong(place: str, wanted: str, value: object) -> InvalidRequest:
    return InvalidRequest(f"{place}: expected {wanted}, got {reprlib.repr(value)}")
