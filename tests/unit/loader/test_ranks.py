"""Ranks of inputs: what operators tell, the bodies of loops, branches and fused ones included."""

from __future__ import annotations

import pytest

from gluonserve.loader.graph import Graph, Node, Ref, Variable
from gluonserve.loader.ranks import input_ranks, relative_ranks

DENSE = {"num_hidden": "4", "no_bias": "True", "flatten": "False"}


def body(*names: str) -> Graph:
    """Variables, the first of which meets a weight and the second of which is added."""
    nodes = [Variable(name) for name in names]
    at = len(nodes)
    add = Node("elemwise_add", "add", {}, (Ref(0), Ref(1)))
    conv = Node("Convolution", "conv", {"kernel": "(3, 3)", "num_filter": "4"}, (Ref(at), Ref(2)))
    return Graph((*nodes, add, conv), (Ref(at + 1),))


def test_a_step_of_a_loop_has_an_axis_less_than_its_data() -> None:
    places = {"in_data_locs": "[0]", "in_state_locs": "[1]", "remain_locs": "[2]"}
    loop = Node("_foreach", "loop", places, (Ref(0), Ref(1), Ref(2)), (body("x", "s", "w"),))
    graph = Graph((Variable("data"), Variable("state"), Variable("weight"), loop), (Ref(3),))

    assert input_ranks(graph, {"weight": (4, 3, 3, 3)}) == {"data": 5, "state": 4, "weight": 4}


@pytest.mark.parametrize(
    ("op", "attributes", "subgraphs"),
    [
        ("_while_loop", {"cond_input_locs": "[0]", "func_input_locs": "[1, 0, 2]"}, 2),
        (
            "_cond",
            {
                "cond_input_locs": "[0]",
                "then_input_locs": "[1, 0, 2]",
                "else_input_locs": "[0, 1, 2]",
            },
            3,
        ),
    ],
    ids=["while", "branch"],
)
def test_places_bind_inputs_to_variables(
    op: str, attributes: dict[str, str], subgraphs: int
) -> None:
    test = Graph((Variable("c"),), (Ref(0),))
    bodies = (test, *[body("x", "s", "w") for _ in range(subgraphs - 1)])
    node = Node(op, "node", attributes, (Ref(0), Ref(1), Ref(2)), bodies)
    graph = Graph((Variable("a"), Variable("b"), Variable("weight"), node), (Ref(3),))

    assert input_ranks(graph, {"weight": (4, 3, 3, 3)}) == {"a": 4, "b": 4, "weight": 4}


@pytest.mark.parametrize("op", ["_sg_mkldnn_conv", "_contrib_quantized_conv"])
def test_quantised_pictures_have_the_rank_of_their_convolution(op: str) -> None:
    window = {"kernel": "(3, 3)", "num_filter": "4"}
    inner = Graph(
        (Variable("x"), Variable("w"), Node("Convolution", "conv", window, (Ref(0), Ref(1)))),
        (Ref(2),),
    )
    fused = op == "_sg_mkldnn_conv"
    nodes = (
        Variable("data"),
        Variable("weight"),
        Node("_contrib_quantize_v2", "quantize", {"out_type": "auto"}, (Ref(0),)),
        Node(op, "node", {} if fused else window, (Ref(2), Ref(1)), (inner,) if fused else ()),
    )

    assert input_ranks(Graph(nodes, (Ref(3),)), {"weight": (4, 3, 3, 3)})["data"] == 4


def test_places_that_no_input_has_are_passed_over() -> None:
    places = {"in_data_locs": "[7]", "in_state_locs": "[1", "remain_locs": "(0)"}
    loop = Node("_foreach", "loop", places, (Ref(0),), (body("x", "s", "w"),))

    assert input_ranks(Graph((Variable("data"), loop), (Ref(1),)), {}) == {}


def test_lengths_for_a_softmax_lack_its_axis() -> None:
    attributes = {"axis": "1", "use_length": "True"}
    node = Node("softmax", "softmax", attributes, (Ref(0), Ref(1)))
    graph = Graph((Variable("a"), Variable("lengths"), node), (Ref(2),))

    assert input_ranks(graph, {"a": (2, 5, 1)}) == {"a": 3, "lengths": 2}


def test_ranks_are_compared_along_what_ties_them() -> None:
    scores = Node("softmax", "scores", {}, (Ref(0),))
    picked = Node("pick", "picked", {}, (Ref(2), Ref(1)))
    graph = Graph((Variable("data"), Variable("label"), scores, picked), (Ref(3),))

    assert relative_ranks(graph, {}, ["data", "label"]) == {
        ("data", "data"): 0, ("data", "label"): -1, ("label", "data"): 1, ("label", "label"): 0,
    }  # fmt: skip
