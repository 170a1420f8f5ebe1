"""Variables are told apart, and outputs are named, as MXNet does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gluonserve.loader.graph import Graph, Node, Ref, Variable
from gluonserve.loader.outputs import output_names
from gluonserve.loader.params import read_params
from gluonserve.loader.roles import Roles, auxiliaries, roles
from gluonserve.loader.symbol import read_symbol

FORMATS = Path(__file__).parents[2] / "data/formats"
NETWORKS = ("cnn", "loops", "mlp", "numpy", "rnn")


def one_node(op: str, *heads: int, inputs: tuple[str, ...] = ("x",), **attributes: str) -> Graph:
    variables = tuple(Variable(name) for name in inputs)
    node = Node(op, "n", attributes, tuple(Ref(at) for at in range(len(inputs))))
    return Graph((*variables, node), tuple(Ref(len(inputs), index) for index in heads))


@pytest.mark.parametrize("network", NETWORKS)
def test_recorded_lists_are_reproduced(network: str) -> None:
    facts = json.loads((FORMATS / f"{network}-facts.json").read_text())
    graph = read_symbol(FORMATS / f"{network}-symbol.json")

    assert auxiliaries(graph) == tuple(facts["auxiliary"])
    assert output_names(graph) == tuple(
        name if (before := facts["outputs"][:at].count(name)) == 0 else f"{name}_{before}"
        for at, name in enumerate(facts["outputs"])
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_everything_stored_is_bound_and_the_rest_are_inputs(network: str) -> None:
    facts = json.loads((FORMATS / f"{network}-facts.json").read_text())
    graph = read_symbol(FORMATS / f"{network}-symbol.json")

    with read_params(FORMATS / f"{network}-0000.params") as params:
        told = roles(graph, params)

        assert set(told.parameters) | set(told.auxiliaries) == set(params)
        assert set(told.inputs) == set(facts["inputs"]) - set(params)
    assert told.inputs == tuple(sorted(told.inputs))
    assert told.missing == told.labels == ()


@pytest.mark.parametrize("network", NETWORKS)
def test_parameters_without_arrays_are_missing_and_not_inputs(network: str) -> None:
    graph = read_symbol(FORMATS / f"{network}-symbol.json")

    told = roles(graph, ())

    assert all(name.startswith("data") for name in told.inputs)
    assert set(told.missing) | set(told.inputs) == {one.name for one in graph.variables()}


def test_labels_of_losses_are_no_inputs() -> None:
    told = roles(one_node("SoftmaxOutput", 0, inputs=("data", "n_label")), ())

    assert told == Roles(("data",), ("n_label",), (), (), ())


def test_label_that_something_else_reads_is_an_input() -> None:
    graph = one_node("SoftmaxOutput", 0, inputs=("data", "label"))
    graph = Graph(graph.nodes, (*graph.heads, Ref(1)))

    assert roles(graph, ()).inputs == ("data", "label")


def test_weight_that_mxnet_made_is_missing_where_no_array_is_stored() -> None:
    told = roles(one_node("FullyConnected", 0, inputs=("data", "n_weight", "n_bias")), ["n_bias"])

    assert told == Roles(("data",), (), ("n_bias",), (), ("n_weight",))


def test_numbered_inputs_come_in_the_order_of_the_call() -> None:
    names = tuple(f"data{number}" for number in (10, 2, 0, 1))

    assert roles(one_node("add_n", 0, inputs=names), ()).inputs == (
        "data0", "data1", "data2", "data10",
    )  # fmt: skip


def test_other_inputs_keep_the_order_of_mxnet() -> None:
    names = ("data1", "mask", "data0")

    assert roles(one_node("add_n", 0, inputs=names), ()).inputs == names


def test_names_given_twice_are_numbered() -> None:
    assert output_names(one_node("relu", 0, 0, 0)) == ("n_output", "n_output_1", "n_output_2")


def test_numbered_name_avoids_names_that_exist() -> None:
    graph = one_node("relu", 0, 0)
    graph = Graph((*graph.nodes, Variable("n_output_1")), (*graph.heads, Ref(2)))

    assert output_names(graph) == ("n_output", "n_output_2", "n_output_1")


def test_unreadable_attributes_do_not_stop_naming() -> None:
    assert output_names(one_node("_split_v2", 0, sections="many")) == ("n_output",)


def test_states_inside_fused_operators_are_auxiliary() -> None:
    names = ("x", "gamma", "beta", "mean", "var")
    fused = one_node("BatchNorm", 0, inputs=names)
    node = Node("_sg_mkldnn_conv", "n", {}, tuple(Ref(at) for at in range(5)), (fused,))
    graph = Graph((*(Variable(f"outer_{name}") for name in names), node), (Ref(5),))

    assert auxiliaries(graph) == ("outer_mean", "outer_var")
