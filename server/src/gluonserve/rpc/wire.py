"""Just enough of protobuf's wire format to see where the tensors of a message lie."""

from __future__ import annotations

from typing import NamedTuple

TAG_ID = b"\x1a"
"""Field 3, length-delimited: ``id`` of inference requests and responses."""
TAG_RAW_INPUT = b"\x3a"
"""Field 7, length-delimited: an entry of ``raw_input_contents``."""
TAG_RAW_OUTPUT = b"\x32"
"""Field 6, length-delimited: an entry of ``raw_output_contents``."""
TAG_STREAMED = b"\x12"
"""Field 2, length-delimited: ``infer_response`` of a stream's answer."""

_LENGTH_DELIMITED = 2
_MORE = 0x80
_SHORT = tuple(bytes((number,)) for number in range(_MORE))


class Layout(NamedTuple):
    """The bytes of a request that are not its id and not a tensor's data.

    ``start`` is all before the id. ``headers`` are the bytes before each tensor's data; the first
    also holds whatever lies between the id and the tensors.
    """

    start: bytes
    headers: list[bytes]


def layout(data: bytes) -> Layout | None:
    """How a serialised ModelInferRequest is laid out.

    None where it is not as serialisers write it: model and version, id, the rest, tensors at the
    end, and nothing else.
    """
    start: bytes | None = None
    headers: list[bytes] = []
    at = since = 0
    while at < len(data):
        tag = data[at : at + 1]
        length, body = _read_varint(data, at + 1)
        after = body + length
        if data[at] & 7 != _LENGTH_DELIMITED or data[at] >= _MORE or after > len(data):
            return None
        if start is None and tag >= TAG_ID:
            start = data[:at]
            since = after if tag == TAG_ID else at
        elif tag <= TAG_ID and start is not None:
            return None
        if tag == TAG_RAW_INPUT:
            headers.append(data[since:body])
            since = after
        at = after
    if start is None or not headers or since != len(data):
        return None
    return Layout(start, headers)


def varint(number: int) -> bytes:
    """A length as it stands on the wire: seven bits a byte, the lowest first."""
    if number < _MORE:
        return _SHORT[number]
    digits = bytearray()
    while number >= _MORE:
        digits.append(number & 0x7F | _MORE)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where it ends."""
    number = 0
    for place, digit in enumerate(data[at : at + 10]):
        number |= (digit & 0x7F) << 7 * place
        if digit < _MORE:
            return number, at + place + 1
    return len(data), at  # none: longer than all there is
