"""Imports small networks: what is learned of inputs, what is proven of outputs, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.networks import Network

from gluonserve.errors import InvalidConfig, InvalidModel, UnsupportedModel
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

CONV = np.ones((4, 3, 3, 3), np.float32)
DENSE = np.ones((5, 4), np.float32)


def _conv_net() -> tuple[bytes, dict[str, np.ndarray]]:
    net = Network()
    data = net.variable("data")
    conv = net.add(
        "Convolution", data, net.variable("w"), kernel=(3, 3), num_filter=4, no_bias=True
    )
    pooled = net.add("Pooling", conv, global_pool=True, pool_type="avg", kernel=(1, 1))
    net.add("FullyConnected", pooled, net.variable("v"), num_hidden=5, no_bias=True, name="dense")
    return net.to_bytes(), {"w": CONV, "v": DENSE}


def test_channels_come_from_the_weights_and_the_rest_stays_free() -> None:
    network = import_model(*_conv_net())

    (data,), (answer,) = network.signature.inputs, network.signature.outputs
    assert (data.name, data.dtype, data.shape, data.batch_axis) == (
        "data", DType.FP32, (-1, 3, -1, -1), 0,
    )  # fmt: skip
    assert (answer.name, answer.shape, answer.batch_axis) == ("dense_output", (-1, 5), 0)
    assert network.signature.batchable


def _rows_to_rows(*, flatten: bool) -> tuple[bytes, dict[str, np.ndarray]]:
    net = Network()
    net.add(
        "FullyConnected", net.variable("data"), net.variable("v"), num_hidden=5, no_bias=True,
        flatten=flatten,
    )  # fmt: skip
    return net.to_bytes(), {"v": DENSE}


def test_a_guessed_rank_is_told() -> None:
    (note,) = import_model(*_rows_to_rows(flatten=False)).notes

    assert note.startswith("'data' is taken for an array of rank 3; ")
    assert "state its shape in model.toml" in note


def test_a_rank_that_is_told_or_stated_is_no_guess() -> None:
    stated = {"data": InputHint(shape=(-1, 7, 4))}

    assert not import_model(*_rows_to_rows(flatten=True)).notes
    assert not import_model(*_rows_to_rows(flatten=False), inputs=stated).notes
    assert not import_model(*_conv_net()).notes


def test_channels_are_learned_through_operators_in_between() -> None:
    net = Network()
    turned = net.add("transpose", net.variable("data"), axes=(0, 3, 1, 2))
    scaled = net.add("_mul_scalar", turned, scalar=2)
    net.add("Convolution", scaled, net.variable("w"), kernel=(3, 3), num_filter=4, no_bias=True)

    network = import_model(net.to_bytes(), {"w": CONV})

    assert network.signature.inputs[0].shape == (-1, -1, -1, 3)


def test_inputs_have_as_many_rows_only_where_that_makes_batches_or_settings_say_so() -> None:
    net = Network()
    net.add("Concat", net.variable("a"), net.variable("b"), dim=0, num_args=2)
    stated = {name: InputHint(shape=(-1, 3)) for name in "ab"}

    apart = import_model(net.to_bytes(), inputs=stated).signature
    alike = import_model(net.to_bytes(), inputs=stated, alike=True).signature

    assert [spec.batch_axis for spec in apart.inputs] == [0, None]
    assert [spec.batch_axis for spec in alike.inputs] == [0, 0]
    assert apart.why == alike.why  # as nobody hears of the second attempt
    assert not apart.batchable


def test_rows_of_one_input_are_batched_where_those_of_all_are_not() -> None:
    """Distances from points to a list of places, which all points of a batch share."""
    net = Network()
    points = net.add("expand_dims", net.variable("points"), axis=1)
    net.add("broadcast_sub", points, net.add("expand_dims", net.variable("places"), axis=0))
    stated = {name: InputHint(shape=(-1, 3)) for name in ("points", "places")}

    signature = import_model(net.to_bytes(), inputs=stated).signature

    assert signature.batchable
    assert [spec.batch_axis for spec in signature.inputs] == [0, None]
    assert [spec.batch_axis for spec in signature.outputs] == [0]


def test_a_grid_of_places_has_x_and_y() -> None:
    net = Network()
    grid = net.add("GridGenerator", net.variable("shifts"), transform_type="warp")
    net.add("BilinearSampler", net.variable("data"), grid)

    network = import_model(net.to_bytes())

    shapes = {spec.name: spec.shape for spec in network.signature.inputs}
    assert shapes == {"data": (-1, -1, -1, -1), "shifts": (-1, 2, -1, -1)}
    assert network.signature.batchable


def test_inputs_that_are_added_learn_from_each_other() -> None:
    net = Network()
    first = net.add("FullyConnected", net.variable("a"), net.variable("v"), num_hidden=5,
                    no_bias=True)  # fmt: skip
    net.add("elemwise_add", first, net.variable("b"))

    network = import_model(net.to_bytes(), {"v": DENSE})

    assert [spec.shape for spec in network.signature.inputs] == [(-1, 4), (-1, 5)]
    assert [spec.batch_axis for spec in network.signature.inputs] == [0, 0]


def test_an_unknown_begin_state_takes_the_size_of_what_it_meets() -> None:
    net = Network()
    state = net.add("_zeros", shape=(0, 4))
    net.add("elemwise_add", state, net.variable("data"))

    network = import_model(net.to_bytes())

    assert network.signature.inputs[0].shape == (-1, 4)
    assert network.signature.outputs[0].batch_axis == 0


def test_labels_of_loss_heads_disappear_with_what_computes_them() -> None:
    net = Network()
    data = net.variable("data")
    label = net.add("_mul_scalar", net.variable("label"), scalar=2)
    net.add("SoftmaxOutput", data, label)

    network = import_model(net.to_bytes(), inputs={"data": InputHint(shape=(-1, 3))})

    assert [spec.name for spec in network.signature.inputs] == ["data"]


def test_a_reshape_that_folds_the_batch_makes_the_network_unbatchable() -> None:
    net = Network()
    net.add("Reshape", net.variable("data"), shape=(-1, 2), name="folded")

    network = import_model(net.to_bytes(), inputs={"data": InputHint(shape=(-1, 3, 4))})

    assert not network.signature.batchable
    assert "folded_output" in network.signature.why
    assert network.output_dims["folded_output"][0] == network.input_dims["data"][0] * 6


def test_a_softmax_over_the_rows_makes_the_network_unbatchable() -> None:
    net = Network()
    net.add("softmax", net.variable("data"), axis=0)

    network = import_model(net.to_bytes(), inputs={"data": InputHint(shape=(-1, 3))})

    assert not network.signature.batchable


def test_what_meets_every_row_of_another_input_has_no_rows_of_its_own() -> None:
    net = Network()
    net.add("dot", net.variable("users"), net.variable("goods"), transpose_b=True)
    free = InputHint(shape=(-1, -1))

    network = import_model(net.to_bytes(), inputs={"users": free, "goods": free})

    assert [spec.batch_axis for spec in network.signature.inputs] == [0, None]
    assert network.signature.batchable


def test_regions_beside_pictures_have_rows_of_their_own() -> None:
    net = Network()
    pictures, regions = net.variable("pictures"), net.variable("regions")
    net.add("ROIPooling", pictures, regions, pooled_size=(2, 2), spatial_scale=0.5)

    network = import_model(net.to_bytes(), inputs={"regions": InputHint(shape=(-1, 5))})

    assert [spec.batch_axis for spec in network.signature.inputs] == [None, 0]


def test_an_output_that_reads_only_shapes_is_shared_by_all_callers() -> None:
    net = Network()
    data = net.variable("data")
    rows = net.add("_mul_scalar", data, scalar=2)
    columns = net.add("_contrib_arange_like", data, axis=1)

    network = import_model(net.to_bytes(rows, columns), inputs={"data": InputHint(shape=(-1, -1))})

    assert [spec.batch_axis for spec in network.signature.outputs] == [0, None]
    assert network.signature.batchable


@pytest.mark.parametrize(
    ("metadata", "params", "samples", "wanted"),
    [
        ({}, {"w": CONV}, {}, DType.FP32),
        ({}, {"w": CONV.astype(np.float16)}, {}, DType.FP16),
        ({"__dtype__": "3"}, {"w": CONV}, {}, DType.UINT8),
        ({"__dtype__": "3"}, {"w": CONV}, {"data": np.ones((1, 3, 4, 4), np.float64)}, DType.FP64),
    ],
    ids=["default", "from-weights", "from-metadata", "from-samples"],
)
def test_an_inputs_type_comes_from_the_best_source(
    metadata: Mapping[str, str],
    params: Mapping[str, np.ndarray],
    samples: Mapping[str, np.ndarray],
    wanted: DType,
) -> None:
    net = Network()
    net.add("Convolution", net.variable("data", **metadata), net.variable("w"), kernel=(3, 3),
            num_filter=4, no_bias=True)  # fmt: skip

    assert import_model(net.to_bytes(), params, samples=samples).signature.inputs[0].dtype is wanted


def test_missing_parameters_are_listed() -> None:
    net = Network()
    data = net.variable("data")
    net.add("Convolution", data, net.variable("conv0_weight"), net.variable("conv0_bias"),
            kernel=(3, 3), num_filter=4, name="conv0")  # fmt: skip

    with pytest.raises(InvalidModel, match=r"2 parameters .* conv0_weight, conv0_bias"):
        import_model(net.to_bytes(), {})


def test_a_dimension_that_an_operator_needs_is_asked_for_or_taken_from_samples() -> None:
    net = Network()
    net.add("_slice_assign_scalar", net.variable("data"), scalar=1, begin=(0, 0), end=(1, 1))
    symbol, samples = net.to_bytes(), {"data": np.zeros((2, 7), np.float32)}

    with pytest.raises(InvalidConfig, match="dimension 0 of 'data'"):
        import_model(symbol, inputs={"data": InputHint(shape=(-1, -1))})
    assert import_model(symbol, samples=samples).signature.inputs[0].shape == (2, 7)


def test_a_stated_shape_that_does_not_fit_the_weights_is_a_mistake_in_the_settings() -> None:
    symbol, params = _conv_net()

    with pytest.raises(InvalidConfig, match=r"data = \[-1, 1, 8, 8\].*Convolution"):
        import_model(symbol, params, inputs={"data": InputHint(shape=(-1, 1, 8, 8))})


def test_parameters_that_do_not_fit_each_other_name_node_and_shapes() -> None:
    symbol, params = _conv_net()

    with pytest.raises(InvalidModel, match=r"dense \(FullyConnected\).*7"):
        import_model(symbol, {**params, "v": np.ones((5, 7), np.float32)})


def test_an_input_that_the_network_has_not_is_a_mistake_in_the_settings() -> None:
    symbol, params = _conv_net()

    with pytest.raises(InvalidConfig, match=r"no input is called 'date'.*: data"):
        import_model(symbol, params, inputs={"date": InputHint()})


def test_a_refusal_lists_everything_and_names_the_way_out() -> None:
    net = Network()
    first = net.add("NotThere", net.variable("data"))
    net.add("Pooling", first, kernel=(2, 2), pool_type="median", name="pool0")

    with pytest.raises(UnsupportedModel) as refusal:
        import_model(net.to_bytes())

    for part in ("NotThere (1 node)", "pool0: pool_type='median'", 'executor = "mxnet"'):
        assert part in str(refusal.value)


def test_stored_arrays_that_nothing_uses_are_noted() -> None:
    symbol, params = _conv_net()

    network = import_model(symbol, {**params, "left_over": DENSE})

    assert any("left_over" in note for note in network.facts().notes)
    assert network.facts().operators["Convolution"] == 1


def test_a_batch_axis_in_the_settings_is_honoured() -> None:
    net = Network()
    net.add("_mul_scalar", net.variable("data"), scalar=2)
    symbol = net.to_bytes()

    inner = import_model(symbol, inputs={"data": InputHint(shape=(-1, -1), batch_axis=1)})
    none = import_model(symbol, inputs={"data": InputHint(shape=(-1, -1), batch_axis="none")})

    assert inner.signature.outputs[0].batch_axis == 1
    assert not none.signature.batchable


@pytest.mark.parametrize("axis", [2, 7])
def test_a_batch_axis_that_an_input_does_not_have_is_refused(axis: int) -> None:
    net = Network()
    net.add("_mul_scalar", net.variable("data"), scalar=2)

    with pytest.raises(InvalidConfig, match=f"'data': batch_axis {axis} is none of its 2 axes"):
        import_model(net.to_bytes(), inputs={"data": InputHint(shape=(-1, 3), batch_axis=axis)})


def test_a_batch_axis_of_fixed_size_is_told() -> None:
    net = Network()
    net.add("_mul_scalar", net.variable("data"), scalar=2)

    network = import_model(net.to_bytes(), inputs={"data": InputHint(shape=(-1, 3), batch_axis=1)})

    assert not network.signature.batchable
    assert network.signature.why.startswith("batch_axis 1 of 'data' has the fixed size 3; ")


def test_settings_of_a_parameter_are_refused() -> None:
    net = Network()
    net.add("broadcast_add", net.variable("data"), net.variable("shift"))
    hints = {"data": InputHint(shape=(-1, 3)), "shift": InputHint(shape=(3,))}

    with pytest.raises(InvalidConfig, match=r"'shift': no input but a parameter.* are: data"):
        import_model(net.to_bytes(), {"shift": np.zeros(3, np.float32)}, inputs=hints)


def test_guessed_ranks_beside_no_parameters_say_what_may_lack() -> None:
    net = Network()
    net.add("broadcast_add", net.variable("data"), net.variable("shift"))

    notes = import_model(net.to_bytes()).notes

    assert len(notes) == 2
    assert all(note.endswith("its file is missing or named otherwise") for note in notes)
