"""The operator table is complete and without contradictions."""

from __future__ import annotations

from collections import Counter

from gluonserve.loader.schema import AttributeSchema, canonical, operators


def test_no_name_stands_for_two_operators() -> None:
    names = Counter(
        name for schema in operators().values() for name in (schema.name, *schema.aliases)
    )

    assert [name for name, count in names.items() if count > 1] == []


def test_every_name_leads_to_its_operator() -> None:
    for name, schema in operators().items():
        assert canonical(name) == name
        assert {canonical(alias) for alias in schema.aliases} <= {name}


def test_inputs_attributes_and_defaults_are_told() -> None:
    convolution = operators()["Convolution"]

    assert convolution.inputs == ("data", "weight", "bias")
    assert convolution.attributes["kernel"] == AttributeSchema("Shape(tuple)", None)
    assert convolution.attributes["stride"] == AttributeSchema("Shape(tuple)", "[]")
    assert operators()["Concat"].variadic == "num_args"
    assert convolution.variadic is None
