"""The wire contract is the protocol's, and lives beside other copies of it in one process."""

from __future__ import annotations

import pickle

import pytest
import tritonclient.grpc
from tritonclient.grpc import model_config_pb2 as triton_config_pb
from tritonclient.grpc import service_pb2 as triton_pb

import gluonserve_client._proto.grpc_service_pb2 as client_pb
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc._proto import model_config_pb2 as config_pb

OURS_ONLY = {"ModelMetadataResponse.properties"}  # the standard has it, Triton's copy does not


def messages(file, prefix: str = "") -> dict[str, object]:
    found = {}
    for message in file.message_types_by_name.values() if not prefix else file.nested_types:
        name = f"{prefix}{message.name}"
        found[name] = message
        found |= messages(message, f"{name}.")
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(pb, triton_pb), (config_pb, triton_config_pb)],
    ids=["service", "model_config"],
)
def test_every_field_has_the_protocols_number_and_type(ours, theirs) -> None:
    known = messages(theirs.DESCRIPTOR)
    for name, message in messages(ours.DESCRIPTOR).items():
        if name == "ModelMetadataResponse.PropertiesEntry":
            continue
        fields = {field.name: field for field in known[name].fields}
        for field in message.fields:
            if f"{name}.{field.name}" in OURS_ONLY:
                continue
            their = fields[field.name]
            assert field.number == their.number, f"{name}.{field.name}"
            assert field.type == their.type, f"{name}.{field.name}"
            assert field.is_repeated == their.is_repeated, f"{name}.{field.name}"


def test_service_has_the_protocols_methods() -> None:
    ours = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    theirs = triton_pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]

    assert ours.full_name == theirs.full_name == "inference.GRPCInferenceService"
    assert {(m.name, m.input_type.name, m.output_type.name) for m in ours.methods} == {
        (m.name, m.input_type.name, m.output_type.name) for m in theirs.methods
    }


def test_enumerations_have_the_protocols_numbers() -> None:
    for name, enum in config_pb.DESCRIPTOR.enum_types_by_name.items():
        theirs = triton_config_pb.DESCRIPTOR.enum_types_by_name[name]
        assert {v.name: v.number for v in enum.values}.items() <= {
            v.name: v.number for v in theirs.values
        }.items()


def test_server_client_and_tritonclient_live_in_one_process() -> None:
    kinds = {pb.ModelInferRequest, client_pb.ModelInferRequest, triton_pb.ModelInferRequest}

    assert len(kinds) == 3
    assert tritonclient.grpc.InferenceServerClient is not None
    data = triton_pb.ModelInferRequest(model_name="m").SerializeToString()
    assert pb.ModelInferRequest.FromString(data).model_name == "m"


def test_messages_pickle() -> None:
    request = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"12"])
    config = pb.ModelConfigResponse()
    config.config.dynamic_batching.max_queue_delay_microseconds = 3

    assert pickle.loads(pickle.dumps(request)) == request
    assert pickle.loads(pickle.dumps(config)) == config
