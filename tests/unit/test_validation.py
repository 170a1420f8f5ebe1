"""Whether a request's tensors fit a model, and what is said where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from gluonserve.errors import InvalidRequest
from gluonserve.tensors import DType, Signature, TensorSpec
from gluonserve.validation import InputCheck, Selection

IMAGE = TensorSpec("image", DType.FP32, (-1, 3, -1, -1), accept=(DType.INT64, DType.FP64))
FLAG = TensorSpec("flag", DType.UINT8, (-1,), accept=(DType.INT64, DType.BOOL))
STATE = TensorSpec("state", DType.FP32, (2, -1, 4), batch_axis=1, optional=True)
FREE_STATE = TensorSpec("state", DType.FP32, (-1, -1), optional=True)
ANCHOR = TensorSpec("anchor", DType.FP32, (1, 4), batch_axis=None)
OUT = TensorSpec("scores", DType.FP32, (-1, 10))
BOXES = TensorSpec("boxes", DType.FP32, (1, 5, 4), batch_axis=None)


def images(rows: int = 2, **kwargs) -> np.ndarray:
    return np.zeros((rows, 3, 8, 8), kwargs.get("dtype", np.float32))


def checked(*specs: TensorSpec, **inputs: np.ndarray):
    return InputCheck("net", Signature(specs, (OUT,)))(inputs)


class TestFittingInputs:
    def test_are_taken_as_they_are(self) -> None:
        given = {"image": images()}

        rows, feeds = InputCheck("net", Signature((IMAGE,), (OUT,)))(given)

        assert rows == 2
        assert feeds is given

    def test_rows_count_on_the_batch_axis(self) -> None:
        rows, _ = checked(STATE, state=np.zeros((2, 7, 4), np.float32))

        assert rows == 7

    def test_without_a_batch_axis_make_one_row(self) -> None:
        rows, _ = checked(ANCHOR, anchor=np.zeros((1, 4), np.float32))

        assert rows == 1

    def test_any_byte_but_0_is_true(self) -> None:
        flags = np.frombuffer(b"\0\1\2\xff", np.bool_).reshape(1, 4)

        _, feeds = checked(TensorSpec("flags", DType.BOOL, (-1, 4)), flags=flags)

        assert feeds["flags"].view(np.uint8).tolist() == [[0, 1, 1, 1]]

    def test_of_no_rows_are_taken(self) -> None:
        rows, _ = checked(IMAGE, image=images(0))

        assert rows == 0

    def test_left_out_optional_ones_are_zeros_of_as_many_rows(self) -> None:
        rows, feeds = checked(IMAGE, STATE, image=images(3))

        assert rows == 3
        assert feeds["state"].shape == (2, 3, 4)
        assert feeds["state"].dtype == np.float32
        assert not feeds["state"].any()


class TestUnfittingInputs:
    @pytest.mark.parametrize(
        ("inputs", "told"),
        [
            ({}, r"missing input 'image' of model 'net'; it takes 'image', got none"),
            ({"imago": images()}, r"missing input 'image' .*it takes 'image', got 'imago'"),
            ({"image": images(), "x": images()}, r"unexpected input 'x' .*it takes 'image'"),
            (
                {"image": np.zeros((2, 3, 8), np.float32)},
                r"shape for input 'image' .*expected \[-1, 3, -1, -1\], got \[2, 3, 8\]",
            ),
            (
                {"image": np.zeros((2, 1, 8, 8), np.float32)},
                r"expected \[-1, 3, -1, -1\], got \[2, 1, 8, 8\]",
            ),
            (
                {"image": images(dtype=np.float16)},
                r"datatype for input 'image' .*expected FP32 or INT64 or FP64, got FP16",
            ),
        ],
        ids=["missing", "misspelt", "unexpected", "rank", "dimension", "datatype"],
    )
    def test_are_refused_with_what_was_expected(self, inputs, told) -> None:
        with pytest.raises(InvalidRequest, match=told):
            checked(IMAGE, **inputs)

    def test_must_agree_in_rows(self) -> None:
        with pytest.raises(InvalidRequest, match=r"'image' has 2 \(axis 0\), 'flag' has 3"):
            checked(IMAGE, FLAG, image=images(2), flag=np.zeros(3, np.uint8))

    def test_of_unknown_shape_cannot_be_left_out(self) -> None:
        with pytest.raises(InvalidRequest, match=r"'state' .* cannot be left out"):
            checked(IMAGE, FREE_STATE, image=images())


class TestAcceptedTypes:
    @pytest.mark.parametrize(
        "values",
        [
            np.array([0, 255], np.int64),
            np.array([True, False]),
        ],
        ids=["int64", "bool"],
    )
    def test_are_converted_exactly(self, values) -> None:
        _, feeds = checked(FLAG, flag=values)

        assert feeds["flag"].dtype == np.uint8
        assert (feeds["flag"] == values).all()

    @pytest.mark.parametrize("value", [-1, 256, 2**40], ids=str)
    def test_are_refused_where_they_do_not_fit(self, value) -> None:
        with pytest.raises(InvalidRequest, match="not every INT64 value has an exact UINT8"):
            checked(FLAG, flag=np.array([1, value], np.int64))

    @pytest.mark.parametrize(
        ("value", "dtype", "exact"),
        [
            (2**24, np.int64, True),
            (2**24 + 1, np.int64, False),
            (2**63 - 1, np.int64, False),
            (-(2**63), np.int64, True),
            (0.5, np.float64, True),
            (0.1, np.float64, False),
            (np.nan, np.float64, True),
            (np.inf, np.float64, True),
            (1e300, np.float64, False),
        ],
    )
    def test_floats_are_exact_or_refused(self, value, dtype, exact) -> None:
        image = np.full((1, 3, 1, 1), value, dtype)

        if exact:
            _, feeds = checked(IMAGE, image=image)
            np.testing.assert_array_equal(feeds["image"], image)
        else:
            with pytest.raises(InvalidRequest, match="has an exact FP32"):
                checked(IMAGE, image=image)


class TestSelection:
    signature = Signature((IMAGE,), (OUT, BOXES))
    outputs = {"scores": np.eye(2, 10, dtype=np.float32), "boxes": np.ones((1, 5, 4), np.float32)}  # noqa: RUF012

    def test_keeps_the_models_order(self) -> None:
        chosen = Selection.of("net", self.signature, ("boxes", "scores"), {})

        outputs, datatypes = chosen.apply(self.outputs)

        assert list(outputs) == ["scores", "boxes"]
        assert datatypes == ("FP32", "FP32")

    def test_leaves_out_what_was_not_asked_for(self) -> None:
        chosen = Selection.of("net", self.signature, ("boxes",), {})

        assert list(chosen.apply(self.outputs)[0]) == ["boxes"]

    def test_classifies_what_is_asked_so(self) -> None:
        chosen = Selection.of("net", self.signature, (), {"scores": 1}, ("a", "b"))

        outputs, datatypes = chosen.apply(self.outputs)

        assert outputs["scores"].tolist() == [[b"1.000000:0:a"], [b"1.000000:1:b"]]
        assert datatypes == ("BYTES", "FP32")

    @pytest.mark.parametrize(
        ("names", "classification", "told"),
        [
            (
                ("score",),
                {},
                "unexpected output 'score' of model 'net'; it gives 'scores', 'boxes'",
            ),
            ((), {"x": 1}, "unexpected output 'x'"),
            (("x",), {"x": 1}, "unexpected output 'x' of model"),
            ((), {"scores": 0}, "k is 0, must be >= 1"),
        ],
        ids=["name", "classified name", "named and classified", "k"],
    )
    def test_refuses_what_is_not_there(self, names, classification, told) -> None:
        with pytest.raises(InvalidRequest) as caught:
            Selection.of("net", self.signature, names, classification)

        assert told in str(caught.value)
