"""Frames between a front process and the server process arrive as they were sent."""

from __future__ import annotations

import asyncio

import pytest

from gluonserve.rpc.frames import Frame, FrameWire, Kind

SENT = [
    Frame(Kind.INFER, 1, 7, 0.5, 123, b"a request"),
    Frame(Kind.CANCEL, 0, 2**63, 0.0, 0, b""),
    Frame(Kind.ANSWER, 0, 8, 1e9, -1, bytes(range(256)) * 20),
    Frame(Kind.ANSWER, 0, 9, 0.0, 0, bytes(range(251)) * 3000),  # larger than any buffer
    Frame(Kind.REFRESH, 0, 0, 0.0, 0, b""),
]


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def writelines(self, parts: list[bytes]) -> None:
        self.written.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True


class End:
    """One end of a connection and all that it has received."""

    def __init__(self) -> None:
        self.received: list[Frame] = []
        self.losses = 0
        self.wire = FrameWire(self.received.append, self._lost)

    def _lost(self) -> None:
        self.losses += 1


async def sent() -> bytes:
    end, pipe = End(), Pipe()
    end.wire.connection_made(pipe)
    for kind, code, ident, left, arrived_ns, data in SENT:
        end.wire.send(Kind(kind), ident, data, code=code, left=left, arrived_ns=arrived_ns)
    assert not pipe.written
    await asyncio.sleep(0)
    (data,) = pipe.written  # one write for all that was sent in one round
    return data


@pytest.mark.parametrize(
    "size", [7, 29, 30, 31, 1000, 70_000, 10**7], ids=lambda size: f"by_{size}"
)
async def test_frames_arrive_whole_and_in_order_however_they_are_cut(size: int) -> None:
    data, end = await sent(), End()

    while data:
        room = end.wire.get_buffer(-1)
        part, data = data[: min(size, len(room))], data[min(size, len(room)) :]
        room[: len(part)] = part
        end.wire.buffer_updated(len(part))

    assert end.received == SENT


async def test_closing_sends_what_waits_and_then_nothing() -> None:
    end, pipe = End(), Pipe()
    end.wire.connection_made(pipe)
    end.wire.send(Kind.BOUND)

    end.wire.close()
    end.wire.connection_lost(None)
    end.wire.send(Kind.BOUND)
    await asyncio.sleep(0)

    assert len(pipe.written) == 1
    assert pipe.closed
    assert end.losses == 1
