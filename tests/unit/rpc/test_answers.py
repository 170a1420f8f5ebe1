"""Answers are the protocol's messages, whoever reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonserve.inference import InferResponse
from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc.codec import AnswerWriter, streamed_error
from gluonserve.tensors import DType


def response(*outputs: np.ndarray, request_id: str = "") -> InferResponse:
    names = {f"y{index}": array for index, array in enumerate(outputs)}
    datatypes = ["BYTES" if a.dtype == object else DType.of(a.dtype).value for a in outputs]
    return InferResponse("m", "3", request_id, names, tuple(datatypes))


def expected(answer: InferResponse) -> pb.ModelInferResponse:
    message = pb.ModelInferResponse(model_name="m", model_version="3", id=answer.id)
    for (name, array), datatype in zip(answer.outputs.items(), answer.datatypes, strict=True):
        message.outputs.add(name=name, datatype=datatype, shape=array.shape)
        message.raw_output_contents.append(array.tobytes())
    return message


@given(
    st.lists(
        st.builds(
            lambda dtype, shape: np.ones(shape, dtype.numpy),
            st.sampled_from(list(DType)),
            st.lists(st.integers(0, 5), max_size=3).map(tuple),
        ),
        max_size=3,
    ),
    st.text(max_size=300),
)
@settings(deadline=None, max_examples=150)
def test_answers_say_the_same_as_the_message_would(arrays: list[np.ndarray], name: str) -> None:
    writer, answer = AnswerWriter(), response(*arrays, request_id=name)

    for _ in range(2):
        assert pb.ModelInferResponse.FromString(writer.unary(answer)) == expected(answer)
        streamed = pb.ModelStreamInferResponse.FromString(writer.streamed(answer))
        assert streamed == pb.ModelStreamInferResponse(infer_response=expected(answer))


def test_last_answer_is_marked_where_that_is_wanted() -> None:
    answer = response(np.ones(2, np.float32), request_id="7")

    message = pb.ModelStreamInferResponse.FromString(AnswerWriter().final(answer)).infer_response

    assert message.parameters.pop("triton_final_response").bool_param
    assert message == expected(answer)


def test_kept_heads_do_not_mix_answers_up() -> None:
    writer = AnswerWriter()
    answers = [
        response(np.ones((rows, 2), dtype))
        for rows in (1, 2)
        for dtype in (np.float32, np.int32, np.float64)
    ]

    for answer in answers * 2:
        assert pb.ModelInferResponse.FromString(writer.unary(answer)) == expected(answer)


@pytest.mark.parametrize(
    "array",
    [np.arange(12.0).reshape(3, 4).T, np.arange(12.0)[::2], np.float32(3) * np.ones(())],
    ids=["transposed", "strided", "no_dimensions"],
)
def test_array_is_written_row_by_row_however_it_lies(array: np.ndarray) -> None:
    answer = response(array)

    message = pb.ModelInferResponse.FromString(AnswerWriter().unary(answer))

    assert message.raw_output_contents[0] == array.tobytes()


def test_strings_stand_behind_their_lengths() -> None:
    writer = AnswerWriter()
    for texts in ([b"0.9:1:cat", b""], [b"x" * 300, b"y"]):
        strings = np.array([texts], dtype=object)

        message = pb.ModelInferResponse.FromString(writer.unary(response(strings)))

        assert message.outputs[0].datatype == "BYTES"
        assert list(message.outputs[0].shape) == [1, 2]
        packed = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        assert message.raw_output_contents[0] == packed


def test_array_that_is_not_what_it_declares_is_not_sent() -> None:
    writer, right = AnswerWriter(), response(np.ones(4, np.float32))
    wrong = InferResponse("m", "3", "", {"y0": np.ones(4, np.float64)}, right.datatypes)
    writer.unary(right)

    with pytest.raises(ValueError, match="declares"):
        writer.unary(wrong)


def test_error_of_a_stream_names_the_request_and_the_status() -> None:
    message = pb.ModelStreamInferResponse.FromString(streamed_error("7", "NOT_FOUND", "no model"))

    assert message.error_message == "no model"
    assert message.infer_response.id == "7"
    assert message.infer_response.parameters["status"].string_param == "NOT_FOUND"
