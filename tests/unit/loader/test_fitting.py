"""Sizes of pictures that networks of one size take, told by their weights."""

from __future__ import annotations

import numpy as np
from tests.networks import Network

from gluonserve.loader.fitting import fitting_sizes
from gluonserve.loader.importing import import_model
from gluonserve.loader.lowering.dims import Dim, free

USUAL = (16, 64, 4)
H, W = free("h"), free("w")


def test_what_demands_nothing_is_tried_with_the_usual_sizes() -> None:
    assert fitting_sizes((), USUAL) == USUAL


def test_a_usual_size_that_fits_comes_first() -> None:
    assert fitting_sizes([((H // 32) * (W // 32), 4)], USUAL) == (64, 16, 4)


def test_where_no_usual_size_fits_the_first_of_each_range_that_does_is_tried() -> None:
    flattened = 8 * ((H + 7) // 8 - 6) * ((W + 7) // 8 - 6)

    assert fitting_sizes([(flattened, 8)], USUAL) == (33, 49, *USUAL)


def test_all_demands_count_and_rows_are_one() -> None:
    demands = [(H * W * free("batch"), 36), (H // (W - 6), 1)]

    assert fitting_sizes(demands, USUAL) == USUAL
    assert fitting_sizes(demands[:1], USUAL) == (6, *USUAL)


def test_a_flattened_picture_tells_its_size_through_the_weights() -> None:
    net = Network()
    conv = net.add("Convolution", net.variable("data"), net.variable("w"), net.variable("b"),
        kernel=(5, 5), num_filter=4)  # fmt: skip
    pooled = net.add("Pooling", conv, kernel=(2, 2), stride=(2, 2), pool_type="max")
    flat = net.add("Flatten", pooled)
    net.add("FullyConnected", flat, net.variable("v"), num_hidden=3, no_bias=True)
    params = {
        "w": np.zeros((4, 1, 5, 5), np.float32),
        "b": np.zeros(4, np.float32),
        "v": np.zeros((3, 4 * 12 * 12), np.float32),
    }

    network = import_model(net.to_bytes(), params)

    assert fitting_sizes(network.demands, USUAL)[0] == 28


class TestDimensionsApart:
    """No size does for all free dimensions, but each group of tied ones has a size that does."""

    def test_channels_that_meet_their_stored_means_are_as_many(self) -> None:
        net = Network()
        less = net.add("broadcast_sub", net.variable("data"), net.variable("mean"))
        net.add("Convolution", less, net.variable("w"), kernel=(3, 3), num_filter=2, no_bias=True)
        params = {"mean": np.ones((1, 3, 1, 1), np.float32), "w": np.ones((2, 3, 3, 3), np.float32)}

        network = import_model(net.to_bytes(), params)

        sizes = fitting_sizes(network.demands, USUAL, network.broadcasts, network.input_dims)
        assert sizes[0] == {"data": (1, 3, 16, 16)}
        assert network.signature.inputs[0].shape == (-1, -1, -1, -1)  # one channel would do as well

    def test_oblong_pictures_that_are_flattened(self) -> None:
        def pooled(size: Dim) -> Dim:
            return (size - 4) // 8

        shape = (free("batch"), 3, H, W)

        sizes = fitting_sizes([(8 * pooled(H) * pooled(W), 8 * 18)], USUAL, shapes={"data": shape})

        assert sizes[:2] == ({"data": (1, 3, 28, 52)}, {"data": (1, 3, 52, 28)})
        assert sizes[-3:] == USUAL

    def test_no_dimension_comes_to_less_than_nothing(self) -> None:
        shapes = {"x": (free("batch"), H), "rest": (free("batch"), 10 - H), "y": (W, 1)}

        sizes = fitting_sizes([(W, 3)], USUAL, shapes=shapes)

        shown = [one for one in sizes if not isinstance(one, int)]
        assert all(size > 0 for one in shown for shape in one.values() for size in shape)
        assert sizes[-3:] == USUAL

    def test_a_dimension_that_broadcasts_to_two_sizes_is_one(self) -> None:
        shapes = {"x": (free("batch"), H, W)}

        sizes = fitting_sizes((), USUAL, [(H, 3), (H, 5)], shapes)

        assert sizes == ({"x": (1, 1, 16)}, *USUAL)

    def test_rows_that_meet_a_size_leave_the_others_as_they_are(self) -> None:
        assert fitting_sizes((), USUAL, [(free("batch"), 8)], {"x": (free("batch"), H)}) == USUAL
        assert fitting_sizes([(free("batch"), 8)], USUAL, (), {"x": (free("batch"), H)}) == USUAL
