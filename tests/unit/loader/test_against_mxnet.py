"""What the loader reads in a file is what MXNet 1.9.1 itself reads in it."""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gluonserve.loader.outputs import output_names
from gluonserve.loader.params import read_params
from gluonserve.loader.roles import auxiliaries
from gluonserve.loader.schema import operators
from gluonserve.loader.symbol import read_symbol

mx = pytest.importorskip("mxnet")
pytestmark = pytest.mark.mxnet

FORMATS = Path(__file__).parents[2] / "data/formats"
GUESSES = {"Shape": "(2, 2)", "tuple": "(1,)", "boolean": "0"}
CRASHES = ("_contrib_dgl_", "reset_arrays", "_Native", "_NDArray", "_CachedOp", "_Custom", "_Cross")
VARIANTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("BatchNorm", {"output_mean_var": "1"}),
    ("LayerNorm", {"output_mean_var": "1"}),
    ("GroupNorm", {"output_mean_var": "1"}),
    ("InstanceNorm", {}),
    ("LeakyReLU", {"act_type": "rrelu"}),
    ("LeakyReLU", {"act_type": "prelu"}),
    ("Pooling", {"pool_type": "max", "kernel": "(2, 2)"}),
    ("Pooling", {"pool_type": "avg", "kernel": "(2, 2)"}),
    ("Pooling", {"pool_type": "max", "global_pool": "True"}),
    ("ROIPooling", {"spatial_scale": "0.5"}),
    ("RNN", {"mode": "lstm", "state_outputs": "True"}),
    ("RNN", {"mode": "gru", "state_outputs": "True"}),
    ("RNN", {"mode": "lstm"}),
    ("SliceChannel", {"num_outputs": "1"}),
    ("SliceChannel", {"num_outputs": "3"}),
    ("_contrib_DeformablePSROIPooling", {"spatial_scale": "0.5"}),
    ("_contrib_MultiProposal", {"output_score": "True"}),
    ("_contrib_Proposal", {"output_score": "True"}),
    ("_contrib_ROIAlign", {"spatial_scale": "0.5"}),
    ("_np_atleast_1d", {"num_args": "1"}),
    ("_npi_average", {"returned": "True"}),
    ("_npi_hsplit", {"indices": "(0, 2, 3)", "sections": "0"}),
    ("_npi_hsplit", {"sections": "3"}),
    ("_npi_unique", {"return_index": "True", "return_counts": "True"}),
    ("_npi_unique", {}),
    ("_sample_multinomial", {"get_prob": "True"}),
    ("_split_v2", {"indices": "(0, 2)", "sections": "0"}),
    ("_split_v2", {"indices": "(0,)", "sections": "0"}),
    ("_split_v2", {"sections": "1"}),
    ("_split_v2", {"sections": "3"}),
    ("amp_multicast", {"num_outputs": "1"}),
    ("topk", {"ret_typ": "both"}),
    ("topk", {"ret_typ": "mask"}),
)


def agrees(symbol: Any) -> None:
    """The loader's lists are MXNet's, but for the numbers of repeated outputs."""
    graph = read_symbol(symbol.tojson().encode())

    assert [one.name for one in graph.variables()] == list(dict.fromkeys(symbol.list_inputs()))
    assert list(auxiliaries(graph)) == symbol.list_auxiliary_states()
    listed = symbol.list_outputs()
    assert list(output_names(graph)) == [
        name if (before := listed[:at].count(name)) == 0 else f"{name}_{before}"
        for at, name in enumerate(listed)
    ]


def apply(op: str, attributes: dict[str, str]) -> Any:
    """The operator on variables that MXNet makes for it."""
    from mxnet.base import (  # noqa: PLC0415
        _LIB,
        OpHandle,
        SymbolHandle,
        c_handle_array,
        c_str,
        c_str_array,
        check_call,
    )

    schema, handle, symbol = operators()[op], OpHandle(), SymbolHandle()
    required = {name: guess(kind.type) for name, kind in schema.attributes.items()
                if kind.default is None and kind.type != "ptr"}  # fmt: skip
    attributes = required | ({schema.variadic: "2"} if schema.variadic else {}) | attributes
    check_call(_LIB.NNGetOpHandle(c_str(op), ctypes.byref(handle)))
    keys, texts = c_str_array(list(attributes)), c_str_array(list(attributes.values()))
    check_call(
        _LIB.MXSymbolCreateAtomicSymbol(handle, len(attributes), keys, texts, ctypes.byref(symbol))
    )
    check_call(_LIB.MXSymbolCompose(symbol, c_str("n"), 0, None, c_handle_array([])))
    return mx.sym.Symbol(symbol)


def guess(kind: str) -> str:
    if kind.startswith("{"):
        return re.findall(r"'([^']*)'", kind)[0]
    return next((text for start, text in GUESSES.items() if kind.startswith(start)), "2")


def test_lists_of_every_operator_agree() -> None:
    agreed = 0
    for op in operators():
        if op.startswith(("_backward", *CRASHES)) or "update" in op:
            continue
        try:
            symbol = apply(op, {})
            symbol.tojson()
        except Exception:  # noqa: BLE001  MXNet's own refusal of the guessed attributes
            continue
        agrees(symbol)
        agreed += 1

    assert agreed > 500


@pytest.mark.parametrize(("op", "attributes"), VARIANTS)
def test_lists_agree_where_attributes_decide(op: str, attributes: dict[str, str]) -> None:
    agrees(apply(op, attributes))


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v2_0_25", "resnet18_v2"])
def test_networks_of_the_zoo_agree(name: str, tmp_path: Path) -> None:
    net = getattr(mx.gluon.model_zoo.vision, name)()
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    net.export(str(tmp_path / name))

    agrees(mx.sym.load(str(tmp_path / f"{name}-symbol.json")))
    arrays_agree(tmp_path / f"{name}-0000.params")


def arrays_agree(path: Path) -> None:
    expected = {name.split(":", 1)[-1]: array for name, array in mx.nd.load(str(path)).items()}
    with read_params(path) as params:
        assert set(params) == set(expected)
        for name, array in params.items():
            np.testing.assert_array_equal(array, expected[name].asnumpy())
            assert (array.dtype, array.shape) == (expected[name].dtype, expected[name].shape)


@pytest.mark.parametrize("storage", ["row_sparse", "csr"])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sparse_arrays_agree(storage: str, share: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    arrays = {
        f"arg:{number}": mx.nd.array(rng.normal(size=shape) * (rng.random(shape) < share)).tostype(
            storage
        )
        for number, shape in enumerate([(1, 1), (5, 3), (40, 7)])
    }
    mx.nd.waitall()
    mx.nd.save(str(tmp_path / "net-0000.params"), arrays)

    arrays_agree(tmp_path / "net-0000.params")


def test_what_our_writer_writes_mxnet_reads(tmp_path: Path) -> None:
    from params_writer import dense, params_file, row_sparse  # noqa: PLC0415

    data = np.arange(6, dtype="f4").reshape(2, 3)
    records = [dense(data, 0), dense(data, 1), dense(data, 2), row_sparse((4, 3), [1, 3], data)]
    path = tmp_path / "net-0000.params"
    path.write_bytes(params_file(records, ["arg:a", "arg:b", "arg:c", "aux:d"]))

    arrays_agree(path)


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


def test_file_of_0_8_is_upgraded_alike() -> None:
    old = json.dumps(OLD)

    ours = read_symbol(old.encode())
    theirs = read_symbol(mx.sym.load_json(old).tojson().encode())

    assert [one.name for one in ours.nodes] == [one.name for one in theirs.nodes]
    ours_ops, theirs_ops = list(ours.operators()), list(theirs.operators())
    assert [one.op for one in ours_ops] == [one.op for one in theirs_ops]
    assert [one.inputs for one in ours_ops] == [one.inputs for one in theirs_ops]
    assert [dict(one.attributes) for one in ours_ops] == [
        dict(one.attributes) for one in theirs_ops
    ]
    assert [dict(one.metadata) for one in ours_ops] == [dict(one.metadata) for one in theirs_ops]
    metadata = [one.metadata.get("__lr_mult__") for one in ours.variables()]
    assert metadata == [one.metadata.get("__lr_mult__") for one in theirs.variables()]
