"""The parameters of requests and tensors: which are obeyed, which refused, which passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.errors import InvalidRequest, UnsupportedFeature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gluonserve.dataplane import InferRequest
    from gluonserve.rpc._proto.grpc_service_pb2 import InferParameter, ModelInferRequest

    RequestedOutput = ModelInferRequest.InferRequestedOutputTensor

FINAL_RESPONSE_WANTED = "triton_enable_empty_final_response"
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_RESERVED = "triton_"
_SHARED_MEMORY = "shared_memory_"
_MICROSECOND = 1e-6


def read_parameters(
    parameters: Mapping[str, InferParameter], request: InferRequest, now: float
) -> None:
    """Put a request's parameters where they belong; unknown ones are passed on as they are.

    ``timeout`` is in microseconds from ``now`` (the event loop's time) and can only shorten the
    deadline of the call.

    Raises:
        InvalidRequest: a parameter of the wrong type or range, or with a reserved name.
        UnsupportedFeature: parameters of a sequence; models here keep no state between requests.
    """
    others: dict[str, bool | int | float | str] = {}
    for name, parameter in parameters.items():
        if name == FINAL_RESPONSE_WANTED:
            continue
        if name == "priority":
            request.priority = _whole_number(name, parameter)
        elif name == "timeout":
            microseconds = _whole_number(name, parameter)
            if microseconds:
                until = now + microseconds * _MICROSECOND
                request.deadline = (
                    until if request.deadline is None else min(request.deadline, until)
                )
        elif name in _SEQUENCE:
            raise UnsupportedFeature(
                f"parameter {name!r}: sequences are not supported; "
                "recurrent state is an explicit input and output of the model"
            )
        elif name.startswith(_RESERVED):
            raise InvalidRequest(
                f"parameter {name!r}: names that begin with {_RESERVED!r} are reserved"
            )
        else:
            others[name] = _value(name, parameter)
    if others:
        request.parameters = others


def read_outputs(outputs: Iterable[RequestedOutput], request: InferRequest) -> None:
    """Put the requested outputs, and how many classes of which, into ``request``.

    Raises:
        InvalidRequest: an output given twice, or a ``classification`` that is no positive number.
        UnsupportedFeature: an output is to be put into shared memory.
    """
    names: list[str] = []
    classes: dict[str, int] = {}
    for output in outputs:
        if output.name in names:
            raise InvalidRequest(f"output {output.name!r} is requested more than once")
        names.append(output.name)
        if not output.parameters:
            continue
        refuse_shared_memory(f"output {output.name!r}", output.parameters)
        if "classification" in output.parameters:
            name = f"classification' of output '{output.name}"
            classes[output.name] = _whole_number(name, output.parameters["classification"])
            if not classes[output.name]:
                raise InvalidRequest(f"parameter '{name}': expected 1 or more, got 0")
    request.outputs = tuple(names)
    if classes:
        request.classification = classes


def refuse_shared_memory(tensor: str, parameters: Mapping[str, InferParameter]) -> None:
    """Raise UnsupportedFeature where a tensor's data is said to lie in shared memory."""
    for name in parameters:
        if name.startswith(_SHARED_MEMORY):
            raise UnsupportedFeature(
                f"{tensor}: parameter {name!r}: shared memory is not supported; "
                "send the data in the message"
            )


def _whole_number(name: str, parameter: InferParameter) -> int:
    choice = parameter.WhichOneof("parameter_choice")
    if choice == "uint64_param":
        return parameter.uint64_param
    if choice == "int64_param" and parameter.int64_param >= 0:
        return parameter.int64_param
    got = "nothing" if choice is None else repr(getattr(parameter, choice))
    raise InvalidRequest(f"parameter '{name}': expected a whole number of 0 or more, got {got}")


def _value(name: str, parameter: InferParameter) -> bool | int | float | str:
    choice = parameter.WhichOneof("parameter_choice")
    if choice is None:
        raise InvalidRequest(f"parameter {name!r}: expected a value, got nothing")
    value: bool | int | float | str = getattr(parameter, choice)
    return value
