"""An empty grpc.aio + uvloop server: decodes inference requests and answers one prepared message.

It is the yardstick of the served benchmarks: what is left of its rate when gluonserve answers is
what gluonserve's own work costs. Run as `python -m benchmarks.empty_server ANSWER`, where ANSWER is
a file with a serialised ModelInferResponse; prints the port that it listens on.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import uvloop

from gluonserve.rpc._proto import grpc_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE = "inference.GRPCInferenceService"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def handlers(answer: pb.ModelInferResponse) -> grpc.GenericRpcHandler:
    """The two inference calls; each message is decoded, and an answer encoded, as a server must."""
    streamed = pb.ModelStreamInferResponse(infer_response=answer)

    async def infer(_request: pb.ModelInferRequest, _context: object) -> pb.ModelInferResponse:
        return answer

    async def stream(
        requests: AsyncIterator[pb.ModelInferRequest], _context: object
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        async for _request in requests:
            yield streamed

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(
                infer,
                request_deserializer=pb.ModelInferRequest.FromString,
                response_serializer=pb.ModelInferResponse.SerializeToString,
            ),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
                stream,
                request_deserializer=pb.ModelInferRequest.FromString,
                response_serializer=pb.ModelStreamInferResponse.SerializeToString,
            ),
        },
    )


async def serve(answer: pb.ModelInferResponse) -> None:
    """Listen on a free port, print it, and answer until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((handlers(answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on {port}", flush=True)
    await stopped.wait()
    await server.stop(grace=1)


if __name__ == "__main__":
    uvloop.run(serve(pb.ModelInferResponse.FromString(Path(sys.argv[1]).read_bytes())))
