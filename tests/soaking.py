"""One client process of the soak: good requests among bad ones, every end of them checked.

`python -m tests.soaking ADDRESS SAMPLES REQUESTS SEED` prints, as JSON, how often each kind of
request ended with which status, and whatever ended wrong. The server has the model `lenet_digits`
and one that cannot be loaded, `broken`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import numpy as np

from gluonserve_client._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

MODEL = "lenet_digits"
SERVICE = "/inference.GRPCInferenceService/"
IN_FLIGHT = 32
STREAMS, STREAM_WINDOW = 4, 16
STREAMED = 0.2
"""How much of it goes through streams."""
PATIENCE_S = 60.0
OK, INVALID = "OK", "INVALID_ARGUMENT"
Request = pb.ModelInferRequest


@dataclass(frozen=True)
class Samples:
    """Pictures, and MXNet's answers to them."""

    pictures: np.ndarray
    answers: np.ndarray

    @classmethod
    def of(cls, file: str) -> Samples:
        """What is recorded beside the model."""
        with np.load(file) as archive:
            names = {name.split(":")[0]: name for name in archive.files}
            return cls(archive[names["in"]], archive[names["out"]])


@dataclass
class Attempt:
    """One request, how it may end, and the rows of the right answer."""

    kind: str
    data: bytes
    ends: tuple[str, ...] = (OK,)
    rows: Sequence[int] = ()
    timeout: float | None = PATIENCE_S
    cancel_after: float | None = None


def request(samples: Samples, rows: Sequence[int], **fields: str) -> Request:
    """A good one, for these of the recorded pictures."""
    pictures = samples.pictures[list(rows)]
    message = Request(**{"model_name": MODEL, "id": str(len(rows)), **fields})
    message.inputs.add(name="data", datatype="UINT8", shape=pictures.shape)
    message.raw_input_contents.append(pictures.tobytes())
    return message


def good(samples: Samples, dice: random.Random) -> Attempt:
    """An ordinary request, in one of the ways to write it."""
    rows = [dice.randrange(len(samples.pictures)) for _ in range(dice.choice((1, 1, 1, 2, 5, 40)))]
    message = request(samples, rows, model_version=dice.choice(("", "1")))
    way = dice.choice(("raw", "raw", "typed", "chosen"))
    if way == "typed":
        del message.raw_input_contents[:]
        pixels = samples.pictures[rows].ravel().tolist()
        message.inputs[0].contents.uint_contents.extend(pixels)
    elif way == "chosen":
        message.outputs.add(name="digits")
        message.parameters["timeout"].int64_param = 50_000_000
    return Attempt(f"good {way}", message.SerializeToString(), rows=rows)


def cancelled(samples: Samples, dice: random.Random) -> Attempt:
    """Its caller leaves, before the answer or after."""
    rows = [dice.randrange(len(samples.pictures))]
    data = request(samples, rows).SerializeToString()
    patience = dice.choice((0.0, 0.0005, 0.002, 0.01))
    return Attempt("cancelled", data, (OK, "CANCELLED"), rows, cancel_after=patience)


def short(samples: Samples, dice: random.Random) -> Attempt:
    """Its deadline may pass on the way, in the queue, in the engine, or not at all."""
    rows = [dice.randrange(len(samples.pictures))]
    message, left = request(samples, rows), dice.choice((0.0005, 0.001, 0.003, 0.01, 0.03))
    timeout: float | None = left
    if dice.random() < 0.5:
        message.parameters["timeout"].int64_param = round(left * 1e6)
        timeout = PATIENCE_S
    data = message.SerializeToString()
    return Attempt("short deadline", data, (OK, "DEADLINE_EXCEEDED"), rows, timeout)


def expired(samples: Samples, dice: random.Random) -> Attempt:
    """Its deadline has passed before it is sent."""
    rows = [dice.randrange(len(samples.pictures))]
    data = request(samples, rows).SerializeToString()
    return Attempt("expired", data, ("DEADLINE_EXCEEDED",), timeout=0.0)


def _wrong_name(message: Request) -> None:
    message.inputs[0].name = "picture"


def _wrong_datatype(message: Request) -> None:
    message.inputs[0].datatype = "INT8"


def _strings(message: Request) -> None:
    message.inputs[0].datatype = "BYTES"


def _no_datatype(message: Request) -> None:
    message.inputs[0].datatype = "UINT9"


def _wrong_shape(message: Request) -> None:
    message.inputs[0].shape[:] = [message.inputs[0].shape[0], 1, 28, 28]


def _wrong_rank(message: Request) -> None:
    message.inputs[0].shape[:] = [message.inputs[0].shape[0], 784]


def _negative(message: Request) -> None:
    message.inputs[0].shape[0] = -1


def _huge(message: Request) -> None:
    message.inputs[0].shape[0] = 2**62


def _too_few_bytes(message: Request) -> None:
    message.raw_input_contents[0] = message.raw_input_contents[0][:-1]


def _too_many_bytes(message: Request) -> None:
    message.raw_input_contents[0] += b"\0"


def _both_contents(message: Request) -> None:
    message.inputs[0].contents.uint_contents.append(1)


def _too_few_elements(message: Request) -> None:
    del message.raw_input_contents[:]
    message.inputs[0].contents.uint_contents.extend([1, 2, 3])


def _element_too_large(message: Request) -> None:
    size = len(message.raw_input_contents[0])
    del message.raw_input_contents[:]
    message.inputs[0].contents.uint_contents.extend([256] * size)


def _no_input(message: Request) -> None:
    del message.inputs[:], message.raw_input_contents[:]


def _one_more_input(message: Request) -> None:
    message.inputs.add(name="more", datatype="FP32", shape=[1])
    message.raw_input_contents.append(b"\0\0\0\0")


def _twice(message: Request) -> None:
    message.inputs.append(message.inputs[0])
    message.raw_input_contents.append(message.raw_input_contents[0])


def _stray_bytes(message: Request) -> None:
    message.raw_input_contents.append(b"stray")


def _unknown_output(message: Request) -> None:
    message.outputs.add(name="letters")


def _output_twice(message: Request) -> None:
    message.outputs.add(name="digits")
    message.outputs.add(name="digits")


def _bad_top(message: Request) -> None:
    message.outputs.add(name="digits").parameters["classification"].int64_param = 0


def _bad_priority(message: Request) -> None:
    message.parameters["priority"].string_param = "high"


def _reserved(message: Request) -> None:
    message.parameters["triton_something"].bool_param = True


def _version_no_number(message: Request) -> None:
    message.model_version = "latest"


def _unknown_model(message: Request) -> None:
    message.model_name = "lenet_letters"


def _unknown_version(message: Request) -> None:
    message.model_version = "7"


def _not_ready(message: Request) -> None:
    message.model_name = "broken"


def _sequence(message: Request) -> None:
    message.parameters["sequence_id"].int64_param = 3


def _shared_memory(message: Request) -> None:
    message.inputs[0].parameters["shared_memory_region"].string_param = "region"


MISTAKES: dict[Callable[[Request], None], str] = {
    _wrong_name: INVALID,
    _wrong_datatype: INVALID,
    _strings: INVALID,
    _no_datatype: INVALID,
    _wrong_shape: INVALID,
    _wrong_rank: INVALID,
    _negative: INVALID,
    _huge: INVALID,
    _too_few_bytes: INVALID,
    _too_many_bytes: INVALID,
    _both_contents: INVALID,
    _too_few_elements: INVALID,
    _element_too_large: INVALID,
    _no_input: INVALID,
    _one_more_input: INVALID,
    _twice: INVALID,
    _stray_bytes: INVALID,
    _unknown_output: INVALID,
    _output_twice: INVALID,
    _bad_top: INVALID,
    _bad_priority: INVALID,
    _reserved: INVALID,
    _version_no_number: INVALID,
    _unknown_model: "NOT_FOUND",
    _unknown_version: "NOT_FOUND",
    _not_ready: "UNAVAILABLE",
    _sequence: "UNIMPLEMENTED",
    _shared_memory: "UNIMPLEMENTED",
}


def mistaken(samples: Samples, dice: random.Random) -> Attempt:
    """A request with one thing wrong in it."""
    mistake = dice.choice(list(MISTAKES))
    message = request(samples, [dice.randrange(len(samples.pictures))])
    mistake(message)
    kind = mistake.__name__.strip("_").replace("_", " ")
    return Attempt(kind, message.SerializeToString(), (MISTAKES[mistake],))


def no_message(samples: Samples, dice: random.Random) -> Attempt:
    """Bytes that are no request at all."""
    data = request(samples, [0]).SerializeToString()[: dice.randrange(20, 700)]
    return Attempt("no message", data, (INVALID,))


def attempts(samples: Samples, count: int, dice: random.Random) -> Iterator[Attempt]:
    """Half of them good, the rest every way to go wrong."""
    kinds = [good] * 10 + [cancelled] * 3 + [short] * 3 + [expired] + [mistaken] * 3 + [no_message]
    for _ in range(count):
        yield dice.choice(kinds)(samples, dice)


class Soak:
    """Sends attempts and keeps the tally."""

    def __init__(self, samples: Samples, channel: grpc.aio.Channel) -> None:
        self._samples = samples
        self._unary = channel.unary_unary(SERVICE + "ModelInfer")
        self._stream = channel.stream_stream(SERVICE + "ModelStreamInfer")
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def calls(self, queue: Iterator[Attempt]) -> None:
        """One after another, each as a call of its own."""
        for attempt in queue:
            call = self._unary(attempt.data, timeout=attempt.timeout)
            if attempt.cancel_after is not None:
                asyncio.get_running_loop().call_later(attempt.cancel_after, call.cancel)
            try:
                answer = pb.ModelInferResponse.FromString(await call)
            except grpc.aio.AioRpcError as error:
                self._ended(attempt, error.code().name, error.details() or "")
            except asyncio.CancelledError:
                if not call.cancelled():
                    raise
                self._ended(attempt, "CANCELLED", "")
            else:
                self._ended(attempt, OK, "", answer)

    async def stream(self, queue: Sequence[Attempt]) -> None:
        """All through one stream, whose answers must come in order."""
        room = asyncio.Semaphore(STREAM_WINDOW)

        async def data() -> AsyncIterator[bytes]:
            for attempt in queue:
                await room.acquire()
                yield attempt.data

        call = self._stream(data(), timeout=PATIENCE_S)
        for attempt in queue:
            answer = pb.ModelStreamInferResponse.FromString(await call.read())
            room.release()
            response = answer.infer_response
            failed = bool(answer.error_message)
            status = response.parameters["status"].string_param if failed else OK
            self._ended(attempt, status, answer.error_message, None if failed else response)
        if await call.read() is not grpc.aio.EOF or await call.code() is not grpc.StatusCode.OK:
            self.wrong.append(f"a stream did not end well: {call}")

    def _ended(
        self,
        attempt: Attempt,
        status: str,
        text: str,
        answer: pb.ModelInferResponse | None = None,
    ) -> None:
        self.ends[f"{attempt.kind}: {status}"] += 1
        if status not in attempt.ends:
            self.wrong.append(f"{attempt.kind} ended with {status}: {text}")
        elif status in (INVALID, "NOT_FOUND", "UNAVAILABLE") and len(text) < 10:
            self.wrong.append(f"{attempt.kind}: {status} says only {text!r}")
        elif answer is not None:
            found = np.frombuffer(answer.raw_output_contents[0], np.float32)
            right = self._samples.answers[list(attempt.rows)]
            same = found.size == right.size
            if not same or not np.allclose(found.reshape(right.shape), right, atol=1e-3):
                self.wrong.append(f"{attempt.kind}: the answer is not that of its pictures")


async def soak(address: str, samples: Samples, count: int, seed: int) -> Soak:
    """So many requests: most as calls, the rest through streams."""
    dice = random.Random(seed)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        found, streamed = Soak(samples, channel), round(count * STREAMED)
        unary = attempts(samples, count - streamed, dice)
        plain = [
            one
            for one in attempts(samples, 4 * streamed, random.Random(-seed))
            if one.cancel_after is None and one.timeout == PATIENCE_S
        ][:streamed]
        await asyncio.gather(
            *(found.calls(unary) for _ in range(IN_FLIGHT)),
            *(found.stream(plain[part::STREAMS]) for part in range(STREAMS)),
        )
    return found


def main() -> None:
    """Soak the server of the command line."""
    address, file, count, seed = sys.argv[1:]
    found = asyncio.run(soak(address, Samples.of(file), int(count), int(seed)))
    print(json.dumps({"ends": found.ends, "wrong": found.wrong[:20]}))


if __name__ == "__main__":
    main()
