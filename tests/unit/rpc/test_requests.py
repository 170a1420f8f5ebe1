"""Requests are read the same whether their form is known or not, and mistakes are named."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonserve.errors import GluonserveError, InvalidRequest, UnsupportedFeature
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc.codec import RequestReader
from gluonserve.tensors import DType

NOW = 100.0
FIELDS = {
    DType.BOOL: "bool_contents",
    DType.INT8: "int_contents",
    DType.INT16: "int_contents",
    DType.INT32: "int_contents",
    DType.INT64: "int64_contents",
    DType.UINT8: "uint_contents",
    DType.UINT16: "uint_contents",
    DType.UINT32: "uint_contents",
    DType.UINT64: "uint64_contents",
    DType.FP32: "fp32_contents",
    DType.FP64: "fp64_contents",
}


def reader() -> RequestReader:
    return RequestReader(lambda: NOW)


def message(*arrays: np.ndarray, **fields: object) -> pb.ModelInferRequest:
    """A raw request with inputs x0, x1, ..."""
    request = pb.ModelInferRequest(model_name="m", **fields)
    for index, array in enumerate(arrays):
        datatype = DType.of(array.dtype).value
        request.inputs.add(name=f"x{index}", datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


def read(request: pb.ModelInferRequest, deadline: float | None = None):
    return reader().read(request.SerializeToString(), 0, deadline)[0]


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: dtype.value)
def test_raw_tensor_of_every_type_is_read(dtype: DType) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)

    got = read(message(x)).inputs["x0"]

    assert got.dtype == dtype.numpy
    np.testing.assert_array_equal(got, x)


@pytest.mark.parametrize("dtype", list(FIELDS), ids=lambda dtype: dtype.value)
def test_typed_tensor_of_every_type_is_read(dtype: DType) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    request = pb.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype=dtype.value, shape=x.shape)
    getattr(tensor.contents, FIELDS[dtype]).extend(x.ravel().tolist())

    got = read(request).inputs["x"]

    assert got.dtype == dtype.numpy
    np.testing.assert_array_equal(got, x)


def test_every_type_but_fp16_has_a_typed_form() -> None:
    assert set(DType) - set(FIELDS) == {DType.FP16}


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,) * 10], ids=str)
def test_shapes_without_elements_or_dimensions_are_read(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    known = reader()

    for _ in range(2):
        request, _ = known.read(message(x).SerializeToString(), 0, None)
        assert request.inputs["x0"].shape == shape


arrays = st.lists(
    st.builds(
        lambda dtype, shape, seed: (
            np.random.default_rng(seed).integers(0, 2, shape).astype(dtype.numpy)
        ),
        st.sampled_from(list(DType)),
        st.lists(st.integers(0, 4), max_size=4).map(tuple),
        st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=3,
)


@given(arrays, st.lists(st.text(max_size=200), min_size=2, max_size=4), st.text(max_size=5))
@settings(deadline=None, max_examples=150)
def test_requests_of_a_known_form_are_read_like_new_ones(
    tensors: list[np.ndarray], ids: list[str], version: str
) -> None:
    known = reader()
    for number, request_id in enumerate(ids):
        request = message(*tensors, id=request_id, model_version=version)
        request.parameters["priority"].int64_param = 2
        request.outputs.add(name="y")

        got, final = known.read(request.SerializeToString(), number, 5.0)

        assert (got.model, got.version, got.id) == ("m", version, request_id)
        assert (got.outputs, got.priority, got.deadline, final) == (("y",), 2, 5.0, False)
        assert list(got.inputs) == [f"x{index}" for index in range(len(tensors))]
        for array, expected in zip(got.inputs.values(), tensors, strict=True):
            assert array.dtype == expected.dtype
            assert array.flags.aligned
            np.testing.assert_array_equal(array, expected)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=300)
def test_mutated_messages_are_read_the_same_with_and_without_known_forms(seed: int) -> None:
    """The short way must not take what the thorough way refuses, nor read anything else."""
    chance = random.Random(seed)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    known = reader()
    good = [
        message(x, id="seven").SerializeToString(),
        message(x, x[:1], model_version="1").SerializeToString(),
    ]
    for data in good:
        known.read(data, 0, None)
    data = bytearray(chance.choice(good))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        kind = chance.choice(["flip", "drop", "insert", "cut"])
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "drop":
            del data[at : at + chance.randint(1, 4)]
        elif kind == "insert":
            data[at:at] = chance.randbytes(chance.randint(1, 4))
        else:
            del data[at:]

    assert outcome(known, bytes(data)) == outcome(reader(), bytes(data))


def outcome(of: RequestReader, data: bytes) -> object:
    try:
        request, final = of.read(data, 0, None)
    except GluonserveError as error:
        return type(error), str(error)
    tensors = [(n, a.dtype, a.shape, a.tobytes()) for n, a in request.inputs.items()]
    return request.model, request.version, request.id, tensors, request.outputs, final


def with_input(**fields: object) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m")
    raw = fields.pop("raw", None)
    contents = fields.pop("contents", None)
    whole = fields.pop("whole", ())
    tensor = request.inputs.add(**{"name": "x", "datatype": "FP32", "shape": [2], **fields})
    if contents is not None:
        tensor.contents.fp32_contents.extend(contents)
        tensor.contents.int_contents.extend(whole)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def small_ints(datatype: str, value: int) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[1])
    field = "uint_contents" if datatype.startswith("U") else "int_contents"
    getattr(tensor.contents, field).append(value)
    return request


def twice() -> pb.ModelInferRequest:
    request = message(np.zeros(1, np.float32), np.zeros(1, np.float32))
    request.inputs[1].name = "x0"
    return request


def with_parameter(name: str, **value: object) -> pb.ModelInferRequest:
    request = message(np.zeros(1, np.float32))
    for field, content in value.items():
        setattr(request.parameters[name], field, content)
    if not value:
        request.parameters[name].SetInParent()
    return request


def with_output(name: str = "y", times: int = 1, **parameters: object) -> pb.ModelInferRequest:
    request = message(np.zeros(1, np.float32))
    for _ in range(times):
        output = request.outputs.add(name=name)
        for key, value in parameters.items():
            setattr(
                output.parameters[key],
                "int64_param" if isinstance(value, int) else "string_param",
                value,
            )
    return request


def in_shared_memory() -> pb.ModelInferRequest:
    request = with_input()
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    return request


def half_in_shared_memory() -> pb.ModelInferRequest:
    request = message(np.zeros(1, np.float32))
    request.inputs.add(name="y").parameters["shared_memory_region"].string_param = "r"
    return request


MISTAKES = {
    "too_few_bytes": (with_input(raw=b"1234"), r"'x'.*expected 8 \(FP32 of shape \[2\]\), got 4"),
    "too_many_bytes": (with_input(raw=b"1" * 12), "'x'.*expected 8.*got 12"),
    "both_forms": (with_input(raw=b"1" * 8, contents=[1, 2]), "'x'.*contents and in raw"),
    "two_typed_fields": (
        with_input(contents=[1, 2], whole=[3]),
        "'x': FP32 goes into fp32_contents, got int_contents too",
    ),
    "no_data": (with_input(), "'x': expected 2 elements in fp32_contents.*got 0"),
    "too_few_elements": (with_input(contents=[1]), "'x': expected 2 elements.*got 1"),
    "negative_size": (with_input(shape=[-1], raw=b"1234"), r"'x'.*negative.*\[-1\]"),
    "negative_size_typed": (with_input(shape=[-2], contents=[1]), "'x'.*negative"),
    "two_negative_sizes": (with_input(shape=[-1, -2], raw=b"1" * 8), "'x'.*negative"),
    "overflow": (with_input(shape=[2**62, 2**62], raw=b"1234"), "'x'.*got 4"),
    "overflow_to_zero": (with_input(shape=[0, 2**62, 2**62], raw=b""), r"'x': shape \[0, "),
    "too_many_dimensions": (with_input(shape=[1] * 65, raw=b"1234"), "'x': shape.*dimension"),
    "unknown_type": (with_input(datatype="FP8", raw=b"12"), "'x': expected a datatype of .* 'FP8'"),
    "bf16": (with_input(datatype="BF16", raw=b"1234"), "'x': expected a datatype of .* 'BF16'"),
    "strings": (with_input(datatype="BYTES", raw=b"1234"), "'x': BYTES, but no model"),
    "fp16_typed": (with_input(datatype="FP16", contents=[1, 2]), "'x': FP16 goes into raw"),
    "int8_too_large": (small_ints("INT8", 128), "'x': elements of int_contents exceed INT8"),
    "uint16_too_large": (small_ints("UINT16", 65536), "'x': elements of uint_contents exceed"),
    "too_few_entries": (pb.ModelInferRequest(inputs=[{"name": "a", "datatype": "FP32"},
                        {"name": "b", "datatype": "FP32"}], raw_input_contents=[b"1234"]),
                        "expected 2 entries.*got 1"),
    "too_many_entries": (pb.ModelInferRequest(raw_input_contents=[b""]), "expected 0 entries"),
    "same_input_twice": (twice(), "inputs given more than once: 'x0'"),
    "same_output_twice": (with_output(times=2), "output 'y' is requested more than once"),
    "negative_priority": (with_parameter("priority", int64_param=-1), "'priority'.*got -1"),
    "priority_as_text": (with_parameter("priority", string_param="1"), "'priority'.*got '1'"),
    "boolean_timeout": (with_parameter("timeout", bool_param=True), "'timeout'.*got True"),
    "empty_parameter": (with_parameter("color"), "'color'.*got nothing"),
    "reserved_parameter": (with_parameter("triton_x", int64_param=1), "'triton_x'.*reserved"),
    "no_classes": (with_output(classification=0), "'y'.*'classification'.*from 1, got 0"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "text"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_refused_and_named(request_: pb.ModelInferRequest, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        read(request_)


UNSUPPORTED = {
    "sequence": (with_parameter("sequence_id", int64_param=7), "sequences are not supported"),
    "sequence_start": (with_parameter("sequence_start", bool_param=True), "sequences"),
    "input_in_shared_memory": (in_shared_memory(), "input 'x'.*shared memory"),
    "one_of_two_in_shared_memory": (half_in_shared_memory(), "input 'y'.*shared memory"),
    "output_in_shared_memory": (with_output(shared_memory_region="r"), "output 'y'.*shared memory"),
}


@pytest.mark.parametrize(("request_", "text"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_is_not_implemented_is_said_to_be(request_: pb.ModelInferRequest, text: str) -> None:
    with pytest.raises(UnsupportedFeature, match=text):
        read(request_)


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="not a ModelInferRequest"):
        reader().read(b"\xff\xff", 0, None)


@pytest.mark.parametrize(
    ("timeout_us", "call", "expected"),
    [(0, None, None), (0, 150.0, 150.0), (2_000_000, None, 102.0), (2_000_000, 101.0, 101.0)],
)
def test_earlier_of_timeout_and_deadline_counts(
    timeout_us: int, call: float | None, expected: float | None
) -> None:
    request = with_parameter("timeout", int64_param=timeout_us)

    assert read(request, call).deadline == expected


def test_parameters_find_their_places() -> None:
    request = message(np.zeros(1, np.float32))
    request.parameters["priority"].uint64_param = 4
    request.parameters["tag"].string_param = "blue"
    request.parameters["p"].double_param = 0.5
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.inputs[0].parameters["binary_data_size"].int64_param = 4
    request.outputs.add(name="y").parameters["classification"].int64_param = 3
    request.outputs.add(name="z").parameters["binary_data"].bool_param = True

    got, final = reader().read(request.SerializeToString(), 0, None)

    assert got.priority == 4
    assert got.parameters == {"tag": "blue", "p": 0.5}
    assert (got.outputs, got.classification) == (("y", "z"), {"y": 3})
    assert final


def test_forms_of_many_shapes_and_models_are_kept_within_bounds() -> None:
    known = reader()

    for rows in range(200):
        got, _ = known.read(message(np.zeros((rows, 1), np.int8)).SerializeToString(), 0, None)
        assert got.inputs["x0"].shape == (rows, 1)
    for number in range(3000):
        request = message(np.zeros(1, np.int8))
        request.model_name = f"model {number}"
        assert known.read(request.SerializeToString(), 0, None)[0].model == f"model {number}"
