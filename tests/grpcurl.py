"""Does what grpcurl does with the options that clients/README.md shows: knows no proto file,
finds services by reflection, takes requests as JSON and prints answers as JSON.
"""

from __future__ import annotations

import argparse

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-max-time", type=float)
    parser.add_argument("-d", dest="data", default="{}")
    parser.add_argument("address")
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args()
    with grpc.insecure_channel(asked.address) as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(known)
        match asked.words:
            case ["list"]:
                print(*known.get_services(), sep="\n")
            case ["describe", name]:
                print(*(method.name for method in pool.FindServiceByName(name).methods), sep="\n")
            case [path]:
                print(_called(channel, pool, path, asked.data, asked.max_time))


def _called(
    channel: grpc.Channel, pool: DescriptorPool, path: str, data: str, timeout: float | None
) -> str:
    service, _, name = path.partition("/")
    method = pool.FindServiceByName(service).FindMethodByName(name)
    request, answer = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
    call = channel.unary_unary(
        f"/{path}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )
    return json_format.MessageToJson(call(json_format.Parse(data, request()), timeout=timeout))


if __name__ == "__main__":
    main()
