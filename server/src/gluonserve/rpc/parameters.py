"""The parameters of requests and tensors: which are obeyed, which refused, which passed on."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from gluonserve.errors import InvalidRequest, UnsupportedFeature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gluonserve.rpc._proto.grpc_service_pb2 import InferParameter, ModelInferRequest

    RequestedOutput = ModelInferRequest.InferRequestedOutputTensor

_FINAL_MARK = "triton_enable_empty_final_response"
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_RESERVED = "triton_"
_SHARED_MEMORY = "shared_memory_"
_MICROSECOND = 1e-6


class Parameters(NamedTuple):
    """What a request's parameters ask for. ``timeout_s`` is 0 for none."""

    priority: int
    timeout_s: float
    final_mark: bool
    others: Mapping[str, bool | int | float | str]


class RequestedOutputs(NamedTuple):
    """Which outputs are wanted (empty: all), and of which ones only the top classes."""

    names: tuple[str, ...]
    classification: Mapping[str, int]


def read_parameters(parameters: Mapping[str, InferParameter]) -> Parameters:
    """What is asked for; parameters that mean nothing here are passed on as they are.

    Raises:
        InvalidRequest: a parameter of the wrong type or range, or with a reserved name.
        UnsupportedFeature: parameters of a sequence; models here keep no state between requests.
    """
    priority, timeout_us, final_mark = 0, 0, False
    others: dict[str, bool | int | float | str] = {}
    for name, parameter in parameters.items():
        if name == _FINAL_MARK:
            final_mark = parameter.bool_param
        elif name == "priority":
            priority = _whole_number(name, parameter)
        elif name == "timeout":
            timeout_us = _whole_number(name, parameter)
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
    return Parameters(priority, timeout_us * _MICROSECOND, final_mark, MappingProxyType(others))


def read_outputs(outputs: Iterable[RequestedOutput]) -> RequestedOutputs:
    """Which outputs are wanted, in the order of the request.

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
        place = f"output {output.name!r}: "
        refuse_shared_memory(place, output.parameters)
        if "classification" in output.parameters:
            parameter = output.parameters["classification"]
            classes[output.name] = _whole_number("classification", parameter, place, at_least=1)
    return RequestedOutputs(tuple(names), MappingProxyType(classes))


def refuse_shared_memory(place: str, parameters: Mapping[str, InferParameter]) -> None:
    """Raise UnsupportedFeature where a tensor's data is said to lie in shared memory."""
    for name in parameters:
        if name.startswith(_SHARED_MEMORY):
            raise UnsupportedFeature(
                f"{place}parameter {name!r}: shared memory is not supported; "
                "send the data in the message"
            )


def _whole_number(
    name: str, parameter: InferParameter, place: str = "", *, at_least: int = 0
) -> int:
    """An integer in either of the two fields that clients use for one."""
    choice = parameter.WhichOneof("parameter_choice")
    value: object = None if choice is None else getattr(parameter, choice)
    if isinstance(value, int) and choice != "bool_param" and value >= at_least:
        return value
    raise InvalidRequest(
        f"{place}parameter {name!r}: expected a whole number from {at_least}, got {value!r}"
    )


def _value(name: str, parameter: InferParameter) -> bool | int | float | str:
    choice = parameter.WhichOneof("parameter_choice")
    if choice is None:
        raise InvalidRequest(f"parameter {name!r}: expected a value, got nothing")
    value: bool | int | float | str = getattr(parameter, choice)
    return value
