"""The table of lowerings: registration, and problems told before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from tests.networks import Network

from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import Lowering, OpTable
from gluonserve.loader.schema import operators
from gluonserve.loader.symbol import read_symbol

if TYPE_CHECKING:
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

_OTHERWISE = frozenset({"_linspace"})
"""Operators that take other attributes than MXNet's own table says."""


def _table() -> OpTable:
    ops = OpTable()

    @ops.lowers("Pooling", ignoring=("cudnn_off",), without=("label",))
    def pooling(
        op: Emit, data: Value, label: Value | None = None, *, kernel: tuple[int, ...],
        layout: Literal["NCHW"] | None = None,
    ) -> Value:  # fmt: skip
        return data

    ops.refuses("Custom", reason="it runs Python code of its own")
    return ops


def test_a_second_lowering_of_a_name_is_an_error() -> None:
    ops = _table()

    with pytest.raises(ValueError, match="Pooling has a lowering already"):
        OpTable(ops, _table())


def test_every_problem_of_a_graph_is_told_at_once() -> None:
    net = Network()
    data = net.variable("data")
    net.add("Pooling", data, name="pool0", layout="NHWC", colour="red", cudnn_off="True")
    net.add("Custom", data, name="custom0")
    net.add("Unheard", data, name="one")
    head = net.add("Unheard", [1, 0, 0], name="two")
    graph = read_symbol(net.to_bytes(head, [1, 0, 0], [2, 0, 0], [3, 0, 0]))

    problems = _table().problems(graph.operators())

    assert problems == [
        "1 operator has no lowering: Unheard (2 nodes)",
        "Custom (1 node): it runs Python code of its own",
        "pool0: layout='NHWC': not one of 'NCHW' or 'None'",
        "pool0: colour='red': not an attribute that Pooling has",
        "pool0: kernel: missing; a tuple of integers such as '(2, 2)'",
    ]


def test_an_operator_without_parameters_takes_any_as_in_mxnet() -> None:
    net = Network()
    net.add("relu", net.variable("data"), foo="1")

    assert TABLE.problems(read_symbol(net.to_bytes()).operators()) == []


@pytest.mark.parametrize(
    "lowering",
    [entry for entry in TABLE.entries() if isinstance(entry, Lowering)],
    ids=lambda lowering: lowering.name,
)
def test_a_lowering_has_the_parameters_of_mxnets_schema(lowering: Lowering) -> None:
    """Every attribute is read or ignored, and optional where MXNet has a default."""
    schema = operators()[lowering.name]
    if lowering.name not in _OTHERWISE:
        required = {name for name, one in lowering.attributes.items() if one.required}
        taken = lowering.attributes.keys() | lowering.ignoring | {schema.variadic}

        assert schema.attributes.keys() <= taken
        assert required <= {n for n, one in schema.attributes.items() if one.default is None}
    assert lowering.notes, "the docstring says what is peculiar about the mapping"
