"""What the first readers of an input tell: which shapes and types of it make no difference."""

from __future__ import annotations

import numpy as np
import pytest
from tests.networks import Network

from gluonserve.errors import InvalidRequest
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.loader.reading import flattened
from gluonserve.loader.symbol import read_symbol
from gluonserve.validation import InputCheck

WEIGHT = np.ones((3, 8), np.float32)
PICTURES = np.arange(16, dtype=np.float32).reshape(2, 1, 2, 4)


def _dense(net: Network, read: list[int], **attributes: object) -> list[int]:
    weight = net.variable("w")
    return net.add("FullyConnected", read, weight, num_hidden=3, no_bias=True, **attributes)


def _flat(net: Network, *heads: list[int]) -> frozenset[str]:
    return flattened(read_symbol(net.to_bytes(*heads)))


class TestFlattenedInputs:
    def test_a_dense_layer_takes_rows_of_any_shape(self) -> None:
        net = Network()
        _dense(net, net.variable("data"))
        signature = import_model(net.to_bytes(), {"w": WEIGHT}).signature

        rows, fed = InputCheck("", signature)({"data": PICTURES})

        assert signature.inputs[0].shape == (-1, 8)
        assert rows == 2
        np.testing.assert_array_equal(fed["data"], PICTURES.reshape(2, 8))

    def test_rows_of_another_size_are_refused_as_they_came(self) -> None:
        net = Network()
        _dense(net, net.variable("data"))
        check = InputCheck("", import_model(net.to_bytes(), {"w": WEIGHT}).signature)

        with pytest.raises(InvalidRequest, match=r"expected \[-1, 8\], got \[2, 2, 2, 4\]"):
            check({"data": np.ones((2, 2, 2, 4), np.float32)})
        with pytest.raises(InvalidRequest, match=r"expected \[-1, 8\], got \[8\]"):
            check({"data": np.ones(8, np.float32)})

    def test_operators_on_single_elements_may_come_first(self) -> None:
        net = Network()
        scaled = net.add("_div_scalar", net.variable("data"), scalar=255)
        net.add("Flatten", net.add("Cast", scaled, dtype="float32"))

        assert _flat(net) == {"data"}

    @pytest.mark.parametrize(
        ("attributes", "flattens"),
        [
            ({"shape": (-1, 8)}, True),
            ({"shape": (0, -1)}, True),
            ({"shape": (-1, 1, 2, 4)}, True),
            ({"shape": (0, -1), "reverse": True}, False),
            ({"shape": (0, 0, -1)}, False),
            ({"shape": (-3, -2)}, False),
        ],
        ids=str,
    )
    def test_a_reshape_flattens_if_it_keeps_no_axis_but_the_rows(
        self, attributes: dict[str, object], flattens: bool
    ) -> None:
        net = Network()
        net.add("Reshape", net.variable("data"), **attributes)

        assert _flat(net) == ({"data"} if flattens else set())

    def test_every_reader_has_to_flatten(self) -> None:
        net = Network()
        data = net.variable("data")
        dense = _dense(net, data)
        softened = net.add("softmax", data)

        assert _flat(net, dense, softened) == set()
        assert _flat(net, dense, data) == set()

    def test_a_dense_layer_that_keeps_axes_does_not_flatten_nor_do_weights_count(self) -> None:
        net = Network()
        _dense(net, net.variable("data"), flatten=False)

        assert _flat(net) == set()

    def test_a_stated_shape_holds(self) -> None:
        net = Network()
        _dense(net, net.variable("data"))
        stated = {"data": InputHint(shape=(-1, 1, 2, 4))}

        signature = import_model(net.to_bytes(), {"w": WEIGHT}, inputs=stated).signature

        assert not signature.inputs[0].flattened

    def test_a_matrix_that_is_flattened_first_is_no_guess(self) -> None:
        net = Network()
        net.add("Flatten", net.variable("data"))
        network = import_model(net.to_bytes())

        rows, fed = InputCheck("", network.signature)({"data": PICTURES})

        assert (rows, fed["data"].shape) == (2, (2, 8))
        assert network.notes == ()
