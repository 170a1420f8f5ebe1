"""Attribute text is read as MXNet 1.9 reads it."""

from __future__ import annotations

import contextlib
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonserve.loader.attributes import (
    BadAttribute,
    Dims,
    DimsList,
    Floats,
    OptDims,
    read_attribute,
)

INT64 = st.integers(-(2**63), 2**63 - 1)

GOOD = [
    ("True", bool, True), ("true", bool, True), ("TRUE", bool, True), ("1", bool, True),
    ("False", bool, False), ("0", bool, False), ("None", bool | None, None),
    (" 2", int, 2), ("+2", int, 2), ("-2", int, -2), ("None", int | None, None),
    ("0.001", float, 0.001), ("1E-3", float, 0.001), ("0.001f", float, 0.001), ("3", float, 3.0),
    ("-inf", float, -math.inf), ("None", float | None, None), ("1.", float, 1.0),
    ("None", Literal["NCHW"] | None, None), ("NCHW", Literal["NCHW"] | None, "NCHW"),
    ("valid", Literal["valid", "full"], "valid"), ("any text", str, "any text"),
    ("None", str | None, None),
    ("(2, 2)", Dims, (2, 2)), ("(2,2)", Dims, (2, 2)), ("[2, 2]", Dims, (2, 2)),
    ("(2L, 2L)", Dims, (2, 2)), (" ( 2 , 2 ) ", Dims, (2, 2)), ("(2,2,)", Dims, (2, 2)),
    ("(2,)", Dims, (2,)), ("()", Dims, ()), ("[]", Dims, ()), ("2", Dims, (2,)),
    ("None", Dims, ()), ("None", Dims | None, None), ("()", Dims | None, ()),
    ("(None, 1)", OptDims, (None, 1)), ("[None, 0, 1]", OptDims, (None, 0, 1)),
    ("(0.5, 1)", Floats, (0.5, 1.0)), ("0.1", Floats, (0.1,)),
    ("((0, 0), (1, 1))", DimsList, ((0, 0), (1, 1))), ("((0,0),)", DimsList, ((0, 0),)),
    ("-1", int | Dims | None, -1), ("(0, 1)", int | Dims | None, (0, 1)),
]  # fmt: skip
BAD = [
    ("yes", bool), ("T", bool), ("", bool), ("None", bool), ("2", bool),
    ("2.0", int), ("2L", int), ("0x2", int), ("", int), ("None", int), ("9" * 5000, int),
    ("1_000", int), ("99999999999999999999", int), ("٣", int),
    ("", float), ("abc", float), ("1_0.5", float), ("0x1p3", float),
    ("nchw", Literal["NCHW"]), ("", Literal["NCHW"]),
    ("2,2", Dims), ("(2 2)", Dims), ("(2.0,2)", Dims), ("{2,2}", Dims), ("1L", Dims), ("(", Dims),
    ("(2,2", Dims), ("(2,2]", Dims), ("(,)", Dims), ("(1,,2)", Dims), ("", Dims), (")(", Dims),
    ("(None, 1)", Dims), ("((1, 1))", Dims), ("[" * 10_000, DimsList),
    ("(a, 1.0)", Floats),
]  # fmt: skip


@pytest.mark.parametrize(("text", "annotation", "value"), GOOD)
def test_text_is_read(text: str, annotation: object, value: object) -> None:
    read = read_attribute("x", text, annotation)

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("text", "annotation"), BAD)
def test_other_text_is_refused(text: str, annotation: object) -> None:
    with pytest.raises(BadAttribute) as caught:
        read_attribute("x", text, annotation)

    assert len(str(caught.value)) < 200


def test_refusal_names_attribute_text_and_choices() -> None:
    with pytest.raises(BadAttribute) as caught:
        read_attribute("layout", "NHWC", Literal["NCW", "NCHW"] | None)

    assert str(caught.value) == "layout='NHWC': not one of 'NCW', 'NCHW' or 'None'"


def test_not_a_number_is_a_number() -> None:
    value = read_attribute("x", "nan", float)

    assert isinstance(value, float)
    assert math.isnan(value)


def test_unknown_annotation_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError):
        read_attribute("x", "1", dict[str, int])


@given(st.lists(INT64), st.booleans())
def test_whatever_python_writes_for_ints_is_read(values: list[int], in_list: bool) -> None:
    text = str(values if in_list else tuple(values))

    assert read_attribute("x", text, Dims) == tuple(values)


@given(st.lists(st.none() | INT64))
def test_whatever_python_writes_for_slices_is_read(values: list[int | None]) -> None:
    assert read_attribute("x", str(tuple(values)), OptDims) == tuple(values)


@given(st.lists(st.floats(allow_nan=False)))
def test_whatever_python_writes_for_floats_is_read(values: list[float]) -> None:
    assert read_attribute("x", str(tuple(values)), Floats) == tuple(values)


@given(st.lists(st.lists(INT64).map(tuple)))
def test_whatever_python_writes_for_tuples_of_tuples_is_read(values: list[tuple[int]]) -> None:
    assert read_attribute("x", str(tuple(values)), DimsList) == tuple(values)


@given(st.text(), st.sampled_from([annotation for _, annotation in BAD]))
def test_any_text_is_read_or_refused(text: str, annotation: object) -> None:
    with contextlib.suppress(BadAttribute):
        read_attribute("x", text, annotation)
