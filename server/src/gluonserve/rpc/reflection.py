"""Server reflection: tools such as grpcurl learn every service here from the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from gluonserve.rpc._proto import grpc_service_pb2, model_config_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

V1ALPHA, V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"


def reflection_handlers() -> Mapping[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    """Service name to method handlers, for both versions of reflection (they differ in name only).

    The inference messages live in a private pool, health and reflection in the default one; what is
    described is a pool of its own with the files of all.
    """
    files = [_file(module) for module in (model_config_pb2, grpc_service_pb2, health_pb2)]
    files += [_file(reflection_pb2), _renamed(_file(reflection_pb2))]
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    services = [f"{file.package}.{service.name}" for file in files for service in file.service]
    servicer = aio.ReflectionServicer(services, pool)
    call = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {
        f"{version}.ServerReflection": {"ServerReflectionInfo": call} for version in (V1ALPHA, V1)
    }


def _file(module: object) -> FileDescriptorProto:
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)  # type: ignore[attr-defined]


def _renamed(file: FileDescriptorProto) -> FileDescriptorProto:
    """The first stable version of the reflection service: v1alpha under another package name."""
    file.name, file.package = "grpc/reflection/v1/reflection.proto", V1
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(V1ALPHA, V1)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(V1ALPHA, V1)
            method.output_type = method.output_type.replace(V1ALPHA, V1)
    return file
