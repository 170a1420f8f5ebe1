"""Ranks that no operator tells are found by trying, marked as guesses, asked for if none fits."""

from __future__ import annotations

import numpy as np
import pytest
from tests.networks import Network

from gluonserve.errors import InvalidConfig, InvalidRequest, UnsupportedModel
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.validation import InputCheck

COLUMNS = np.ones((5, 4), np.float32)


def ranks(net: Network, params: dict[str, np.ndarray] | None = None, **hints) -> dict[str, int]:
    network = import_model(net.to_bytes(), params or {}, inputs=hints)
    return {spec.name: len(spec.shape) for spec in network.signature.inputs}


def test_the_smallest_rank_from_two_on_that_fits() -> None:
    net = Network()
    net.add("slice_axis", net.variable("data"), axis=3, begin=0, end=1)

    assert ranks(net) == {"data": 4}


def test_what_no_operator_limits_is_a_matrix() -> None:
    net = Network()
    net.add("relu", net.variable("data"))

    assert ranks(net) == {"data": 2}


def test_ranks_that_depend_on_each_other() -> None:
    net = Network()
    product = net.add("_npi_matmul", net.variable("data"), net.variable("other"))
    net.add("transpose", product, axes=(2, 0, 1))

    assert ranks(net) == {"data": 3, "other": 2}


def test_ranks_at_which_rows_stay_rows_come_first() -> None:
    """Rank 2 is likelier and fits, but mixes rows."""
    net = Network()
    net.add("reverse", net.variable("data"), axis=-2)

    assert ranks(net) == {"data": 3}


def test_a_dense_layer_that_suggests_a_rank_that_does_not_fit() -> None:
    net = Network()
    dense = net.add("FullyConnected", net.variable("data"), net.variable("w"),
                    num_hidden=6, no_bias=True, flatten=False)  # fmt: skip
    net.add("Reshape", dense, shape=(0, 0, 2, -1))

    assert ranks(net, {"w": np.zeros((6, 4), np.float32)}) == {"data": 3}


def test_a_dense_layer_that_flattens_is_taken_to_read_a_matrix_unless_another_does_not() -> None:
    net = Network()
    data = net.variable("data")
    net.add("FullyConnected", data, net.variable("v"), num_hidden=5, no_bias=True)
    flat = net.add("FullyConnected", data, net.variable("w"), num_hidden=5, no_bias=True,
                   flatten=False)  # fmt: skip
    symbol = net.to_bytes([2, 0, 0], flat)

    network = import_model(symbol, {"v": np.ones((5, 12)), "w": COLUMNS})

    assert network.signature.inputs[0].shape == (-1, 3, 4)


def test_labels_have_an_axis_less_than_what_they_pick_from() -> None:
    net = Network()
    dense = net.add("FullyConnected", net.variable("data"), net.variable("w"),
                    num_hidden=5, no_bias=True)  # fmt: skip
    net.add("pick", dense, net.variable("label"))

    assert ranks(net, {"w": COLUMNS}) == {"data": 2, "label": 1}


def test_labels_of_what_has_no_rank_either_have_an_axis_less() -> None:
    net = Network()
    scores = net.add("log_softmax", net.variable("data"), axis=-1)
    net.add("pick", scores, net.variable("label"), axis=-1)

    assert ranks(net) == {"data": 2, "label": 1}


def test_labels_that_are_reshaped_like_their_predictions_have_as_many_axes() -> None:
    net = Network()
    data = net.variable("data")
    same = net.add("reshape_like", net.variable("label"), data)
    net.add("mean", net.add("elemwise_sub", data, same), axis=0, exclude=True)

    assert ranks(net) == {"data": 2, "label": 2}


def test_a_rank_that_needs_an_axis_of_size_1_comes_behind_one_that_does_without() -> None:
    net = Network()
    dense = net.add("FullyConnected", net.variable("data"), net.variable("w"),
                    num_hidden=1, no_bias=True)  # fmt: skip
    net.add("elemwise_sub", dense, net.add("Reshape", net.variable("label"), shape=(-1, 1)))

    assert ranks(net, {"w": COLUMNS[:1]}) == {"data": 2, "label": 1}


def test_a_rank_that_makes_rows_a_multiple_of_others_comes_behind_one_that_does_not() -> None:
    """A mask of rank 2 would fit, were it for as many queries as there are heads."""
    net = Network()
    heads = net.add("expand_dims", net.variable("mask"), axis=1)
    heads = net.add("broadcast_axis", heads, axis=1, size=3)
    heads = net.add("Reshape", heads, shape=(-1, 0, 0), reverse=True)
    dense = net.add("FullyConnected", net.variable("data"), net.variable("w"),
                    num_hidden=3, no_bias=True, flatten=False)  # fmt: skip
    scores = net.add("Reshape", net.add("transpose", dense, axes=(0, 2, 1)), shape=(-3, 0))
    scores = net.add("broadcast_mul", heads, net.add("expand_dims", scores, axis=2))
    net.add("Reshape", scores, shape=(-4, -1, 3, 0, 0))

    assert ranks(net, {"w": COLUMNS[:3]}) == {"mask": 3, "data": 3}


def test_what_meets_a_stored_constant_has_as_many_axes() -> None:
    net = Network()
    scaled = net.add("broadcast_mul", net.variable("data"), net.variable("scale"))
    net.add("max", scaled, axis=1)

    assert ranks(net, {"scale": np.ones((1, 3, 1, 1), np.float32)}) == {"data": 4}


def test_a_stored_vector_tells_nothing() -> None:
    net = Network()
    net.add("broadcast_mul", net.variable("data"), net.variable("scale"))

    assert ranks(net, {"scale": np.ones(3, np.float32)}) == {"data": 2}


def test_rows_on_another_axis_need_that_axis() -> None:
    net = Network()
    net.add("relu", net.variable("data"))

    assert ranks(net, data=InputHint(batch_axis=3)) == {"data": 4}


def test_a_guess_is_told_to_whom_it_keeps_out() -> None:
    net = Network()
    net.add("relu", net.variable("data"))
    network = import_model(net.to_bytes())

    (note,) = network.notes
    assert note.startswith("'data' is taken for an array of rank 2; nothing in the network says so")
    with pytest.raises(InvalidRequest, match=r"got \[2, 3, 4\]; nothing .* is a guess: state its"):
        InputCheck("relu", network.signature)({"data": np.ones((2, 3, 4), np.float32)})


def test_where_none_fits_the_likeliest_is_explained() -> None:
    net = Network()
    net.add("slice_axis", net.variable("data"), axis=7, begin=0, end=1)

    with pytest.raises(InvalidConfig, match=r"no rank fits; with 'data' of rank 2: .*axis 7.*set"):
        ranks(net)


def test_what_has_no_lowering_at_any_rank_is_left_to_mxnet() -> None:
    net = Network()
    net.add("_contrib_quantized_act", net.variable("data"), *map(net.variable, ("low", "high")),
            act_type="tanh")  # fmt: skip

    with pytest.raises(UnsupportedModel, match="act_type='tanh'"):
        ranks(net)


def test_many_inputs_of_unknown_rank_are_asked_for() -> None:
    net = Network()
    net.add("add_n", *(net.variable(f"data{place}") for place in range(7)))

    with pytest.raises(InvalidConfig, match="'data6' is not known: set shape"):
        ranks(net)


def test_half_a_dozen_inputs_are_tried_the_likeliest_first() -> None:
    """As of a language model and its states, which are added to each other."""
    net = Network()
    total = net.add("add_n", *(net.variable(f"data{place}") for place in range(6)))
    net.add("slice_axis", total, axis=3, begin=0, end=1)

    assert ranks(net) == {f"data{place}": 4 for place in range(6)}
