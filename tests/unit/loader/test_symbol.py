"""symbol.json files of every MXNet are read into one kind of graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gluonserve.errors import InvalidModel
from gluonserve.loader.graph import Graph, Node, Ref, Variable
from gluonserve.loader.symbol import read_symbol

FORMATS = Path(__file__).parents[2] / "data/formats"
NETWORKS = ("cnn", "loops", "mlp", "numpy", "rnn")


def variable(name: str, **attrs: str) -> dict[str, Any]:
    return {"op": "null", "name": name, "inputs": [], "attrs": attrs}


def node(op: str, name: str, *inputs: int, **attrs: str) -> dict[str, Any]:
    return {"op": op, "name": name, "inputs": [[at, 0, 0] for at in inputs], "attrs": attrs}


def symbol(*nodes: dict[str, Any], version: int | None = 10901, **more: Any) -> bytes:
    graph: dict[str, Any] = {"nodes": list(nodes), "heads": [[len(nodes) - 1, 0, 0]], **more}
    if version is not None:
        graph["attrs"] = {"mxnet_version": ["int", version], **graph.get("attrs", {})}
    return json.dumps(graph).encode()


def read(*nodes: dict[str, Any], **more: Any) -> Graph:
    return read_symbol(symbol(*nodes, **more))


@pytest.mark.parametrize("network", NETWORKS)
def test_variables_come_in_the_order_of_mxnet(network: str) -> None:
    facts = json.loads((FORMATS / f"{network}-facts.json").read_text())

    graph = read_symbol(FORMATS / f"{network}-symbol.json")

    assert [one.name for one in graph.variables()] == facts["inputs"]
    assert graph.mxnet_version == 10901
    assert graph.np_shape == (network == "numpy")


def test_attributes_and_metadata_are_told_apart() -> None:
    graph = read(
        variable("x", __shape__="(2,)", num_hidden="10"),
        node("FullyConnected", "fc", 0, num_hidden="3", __ctx_group__="a"),
    )

    assert graph.nodes == (
        Variable("x", {"__shape__": "(2,)"}),
        Node("FullyConnected", "fc", {"num_hidden": "3"}, (Ref(0),), (), {"__ctx_group__": "a"}),
    )
    assert graph.heads == (Ref(1),)


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        ("identity", "_copy"), ("_Plus", "elemwise_add"), ("Softmax", "SoftmaxOutput"),
        ("ElementWiseSum", "add_n"), ("max_axis", "max"), ("crop", "slice"), ("concat", "Concat"),
        ("_npi_sum", "_np_sum"), ("_npx_foreach", "_foreach"),
        ("_sg_onednn_conv", "_sg_mkldnn_conv"),
        ("no_such_operator", "no_such_operator"), ("Convolution", "Convolution"),
    ],
)  # fmt: skip
def test_aliases_become_canonical_names(alias: str, canonical: str) -> None:
    graph = read(variable("x"), node(alias, "y", 0))

    assert [one.op for one in graph.operators()] == [canonical]


def test_forward_references_are_put_in_order() -> None:
    graph = read(
        node("_copy", "last", 1), node("_copy", "middle", 2), variable("x"), heads=[[0, 0, 0]]
    )

    assert [one.name for one in graph.nodes] == ["x", "middle", "last"]
    assert graph.heads == (Ref(2),)


def test_what_no_head_needs_is_left_out() -> None:
    graph = read(variable("x"), variable("unused"), node("_copy", "y", 0))

    assert [one.name for one in graph.nodes] == ["x", "y"]


def test_heads_may_repeat_be_variables_and_name_further_outputs() -> None:
    graph = read(variable("x"), node("SliceChannel", "y", 0), heads=[[1, 1, 0], [0, 0], [1, 1]])

    assert graph.heads == (Ref(1, 1), Ref(0), Ref(1, 1))


def test_variables_of_one_name_are_one() -> None:
    graph = read(variable("x"), variable("x"), node("elemwise_add", "y", 0, 1))

    assert [one.name for one in graph.nodes] == ["x", "y"]
    assert graph.nodes[1] == Node("elemwise_add", "y", {}, (Ref(0), Ref(0)))


def test_subgraphs_are_read_and_inherit_the_era() -> None:
    graph = read_symbol(FORMATS / "loops-symbol.json")

    loops = {one.op: len(one.subgraphs) for one in graph.operators() if one.subgraphs}

    assert loops == {"_foreach": 1, "_while_loop": 2, "_cond": 3}
    assert "FullyConnected" in [one.op for one in graph.operators()]
    for one in graph.operators():
        assert {inner.mxnet_version for inner in one.subgraphs} <= {10901}


def test_very_long_chains_are_read() -> None:
    chain = [variable("x"), *(node("_copy", f"n{at}", at) for at in range(20_000))]

    assert len(read(*chain).nodes) == 20_001


def test_raw_control_characters_are_read() -> None:
    content = symbol(variable("x"), node("_copy", "a\\u0007ü", 0)).replace(b"\\\\u0007", b"\x07")

    assert read_symbol(content).nodes[1].name == "a\x07ü"


def test_unknown_keys_and_stale_counts_are_ignored() -> None:
    graph = read(variable("x"), node_row_ptr=[0, 99], unknown={"a": [1]})

    assert graph.heads == (Ref(0),)


OLD = {
    "nodes": [
        {"op": "null", "param": {}, "name": "data", "inputs": [], "backward_source_id": -1},
        {"op": "null", "param": {}, "name": "w", "inputs": [], "backward_source_id": -1},
        {
            "op": "FullyConnected", "param": {"no_bias": "True", "num_hidden": "10"}, "name": "fc",
            "inputs": [[0, 0], [1, 0]], "backward_source_id": -1,
            "attr": {"ctx_group": "stage1", "lr_mult": "0.2", "weight_lr_mult": "1.2"},
        },
        {"op": "null", "param": {}, "name": "bn_gamma", "inputs": [], "backward_source_id": -1},
        {"op": "null", "param": {}, "name": "bn_beta", "inputs": [], "backward_source_id": -1},
        {
            "op": "BatchNorm", "param": {"eps": "0.001"}, "name": "bn",
            "inputs": [[2, 0], [3, 0], [4, 0]], "backward_source_id": -1,
        },
        {
            "op": "argmax", "param": {"axis": "-1"}, "name": "best", "inputs": [[5, 0]],
            "backward_source_id": -1,
        },
    ],
    "arg_nodes": [0, 1, 3, 4],
    "heads": [[6, 0]],
}  # fmt: skip


def test_file_of_0_8_is_upgraded() -> None:
    graph = read_symbol(json.dumps(OLD).encode())

    assert graph.mxnet_version == 800
    assert [one.name for one in graph.nodes] == [
        "data", "w", "fc", "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var", "bn", "best",
    ]  # fmt: skip
    assert graph.nodes[1] == Variable("w", {"__lr_mult__": "1.2"})
    assert graph.nodes[2] == Node(
        "FullyConnected", "fc", {"no_bias": "True", "num_hidden": "10"}, (Ref(0), Ref(1)), (),
        {"__ctx_group__": "stage1", "__lr_mult__": "0.2"},
    )  # fmt: skip
    assert graph.nodes[8] == Node("argmax", "best", {}, (Ref(7),))


def test_hidden_key_of_no_variable_stays() -> None:
    graph = read(variable("x"), node("FullyConnected", "fc", 0, bias_wd_mult="2"), version=905)

    assert graph.nodes[1] == Node("FullyConnected", "fc", {"bias_wd_mult": "2"}, (Ref(0),))


@pytest.mark.parametrize(("version", "attributes"), [(904, {}), (905, {"axis": "-1"})])
def test_last_axis_of_argmax_means_all_before_0_9_5(version: int, attributes: dict) -> None:
    graph = read(variable("x"), node("argmax", "y", 0, axis="-1"), version=version)

    assert graph.nodes[1] == Node("argmax", "y", attributes, (Ref(0),))


def test_attributes_are_merged_in_the_order_of_mxnet() -> None:
    merged = variable("x") | {"op": "Reshape", "inputs": [[0, 0]], "name": "y"}
    merged |= {"attrs": {"a": "1"}, "attr": {"a": "2", "b": "2"}, "param": {"b": "3", "c": "3"}}

    graph = read(variable("x"), merged)

    assert graph.nodes[1] == Node("Reshape", "y", {"a": "1", "b": "2", "c": "3"}, (Ref(0),))


CYCLE = (node("_copy", "a", 1), node("_copy", "b", 0))
DEEP = b'{"nodes": ' + b"[" * 100_000
BROKEN = {
    "empty": (b"", "expected JSON"),
    "not UTF-8": (b'{"nodes\xff', "byte 7: expected UTF-8"),
    "not JSON": (b'{"nodes": [,]}', "line 1 column 12: expected JSON"),
    "not a number": (b'{"nodes": NaN}', "NaN is not JSON"),
    "too long a number": (b'{"nodes": ' + b"9" * 5000 + b"}", "expected JSON with sensible"),
    "too deep": (DEEP, "deeply nested"),
    "a list": (b"[]", "expected an object, got a list of 0"),
    "no nodes": (b'{"heads": []}', "expected a key 'nodes'"),
    "no heads": (symbol(variable("x"), heads=[]), "heads: expected at least one output"),
    "head beyond": (symbol(variable("x"), heads=[[1, 0, 0]]), "heads: node of an entry: .* 0 to 0"),
    "cycle": (symbol(*CYCLE), r"node 0: 'a' \('_copy'\): expected a graph without cycles"),
    "input of itself": (symbol(node("_copy", "a", 0)), "expected a graph without cycles"),
    "input beyond": (symbol(node("_copy", "a", 7)), "node 0: 'a' .* 0 to 0, got 7"),
    "variable's output 1": (symbol(variable("x"), heads=[[0, 1]]), "output 0 of variable 'x'"),
    "variable with inputs": (symbol(variable("x"), node("null", "y", 0)), "without inputs"),
    "number for attribute": (
        symbol(variable("x", __shape__=3)),  # type: ignore[arg-type]
        "node 0: 'x' .*: '__shape__': expected text, got 3",
    ),
    "true for index": (symbol(variable("x"), heads=[[False, 0]]), "got False"),
    "backward node": (
        symbol(variable("x") | {"backward_source_id": 0}),
        "expected a forward node",
    ),
    "operator among variables": (
        symbol(variable("x"), node("_copy", "y", 0), arg_nodes=[0, 1]),
        "arg_nodes: expected variables, and 'y' is none",
    ),
    "version in text": (
        symbol(variable("x"), version=None, attrs={"mxnet_version": "1.9"}),
        "mxnet_version: expected",
    ),
    "broken subgraph": (
        symbol(node("_cond", "c") | {"subgraphs": [{"nodes": [{}]}]}),
        r"node 0: 'c' \('_cond'\): subgraph 0: node 0: expected a key 'op'",
    ),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_by_name_and_place(content: bytes, message: str) -> None:
    with pytest.raises(InvalidModel, match=rf"^net-symbol\.json: .*{message}"):
        read_symbol(content, name="net-symbol.json")


def test_subgraphs_are_not_followed_for_ever() -> None:
    graph: dict[str, Any] = {"nodes": [variable("x")], "heads": [[0, 0]]}
    for _ in range(17):
        graph = {"nodes": [node("_cond", "c") | {"subgraphs": [graph]}], "heads": [[0, 0]]}

    with pytest.raises(InvalidModel, match="at most 16 levels of subgraphs"):
        read_symbol(json.dumps(graph).encode())


def test_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net-symbol.json"
    path.write_bytes(symbol(variable("x")))

    with pytest.raises(InvalidModel, match=r"net-symbol\.json: expected at most 20 bytes"):
        read_symbol(path, max_bytes=20)


def test_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"missing\.json: cannot be read"):
        read_symbol(tmp_path / "missing.json")
