"""What the first readers of an input tell: which shapes and types of it make no difference."""

from __future__ import annotations

import numpy as np
import pytest
from tests.networks import Network

from gluonserve.errors import InvalidRequest
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.loader.reading import flattened, types_alike
from gluonserve.loader.symbol import read_symbol
from gluonserve.tensors import DType
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


def _accepted(net: Network, **hints: InputHint) -> tuple[DType, ...]:
    params = {"w": WEIGHT}
    return import_model(net.to_bytes(), params, inputs=hints).signature.inputs[0].accept


class TestTypesAlike:
    def test_what_is_cast_to_floats_may_be_bytes(self) -> None:
        net = Network()
        moved = net.add("transpose", net.variable("data"), axes=(0, 3, 1, 2))
        net.add("Cast", moved, dtype="float32")
        signature = import_model(net.to_bytes()).signature
        pixels = np.full((1, 2, 2, 3), 255, np.uint8)

        _, fed = InputCheck("", signature)({"data": pixels})

        assert signature.inputs[0].dtype is DType.FP32
        assert DType.UINT8 in signature.inputs[0].accept
        assert fed["data"].dtype == np.float32
        np.testing.assert_array_equal(fed["data"], pixels)

    def test_token_ids_may_be_whole_numbers_and_are_converted_exactly_or_refused(self) -> None:
        net = Network()
        net.add("Embedding", net.variable("data"), net.variable("w"), input_dim=3, output_dim=8)
        signature = import_model(net.to_bytes(), {"w": WEIGHT}).signature
        check = InputCheck("", signature)

        assert {DType.INT32, DType.INT64} <= {*signature.inputs[0].accept}
        assert check({"data": np.ones((2, 4), np.int64)})[0] == 2
        with pytest.raises(InvalidRequest, match="not every INT64 value has an exact FP32"):
            check({"data": np.full((2, 4), 2**24 + 1)})

    def test_a_cast_to_fewer_whole_numbers_would_wrap(self) -> None:
        net = Network()
        net.add("Cast", net.variable("data"), dtype="int32")

        assert _accepted(net) == (DType.UINT8, DType.INT8, DType.INT32)

    @pytest.mark.parametrize("op", ["_image_resize", "relu", "_mul_scalar", "sum"])
    def test_what_computes_in_the_type_that_comes_tells_types_apart(self, op: str) -> None:
        net = Network()
        computed = net.add(op, net.variable("data"), **({"scalar": 2} if "scalar" in op else {}))
        net.add("Cast", computed, dtype="float32")

        assert types_alike(read_symbol(net.to_bytes())) == {}

    def test_every_reader_has_to_cast(self) -> None:
        net = Network()
        data = net.variable("data")
        cast = net.add("Cast", data, dtype="float32")

        assert types_alike(read_symbol(net.to_bytes(cast, data))) == {}

    def test_settings_come_first(self) -> None:
        net = Network()
        net.add("Cast", net.variable("data"), dtype="float32")

        assert _accepted(net, data=InputHint(dtype=DType.UINT8)) == ()
        assert _accepted(net, data=InputHint(accept=(DType.BOOL,))) == (DType.BOOL,)


class TestTypesThatAreToldApart:
    def test_bytes_that_are_resized_are_rounded_and_a_note_says_so(self) -> None:
        net = Network()
        resized = net.add("_image_resize", net.variable("data"), size=(8, 8))
        net.add("_image_to_tensor", resized)

        (note,) = (n for n in import_model(net.to_bytes()).notes if "UINT8" in n)

        assert note.startswith("'data' is taken for FP32; ")
        assert "_image_resize rounds" in note

    def test_nothing_is_said_of_a_type_that_is_stated(self) -> None:
        net = Network()
        net.add("_image_resize", net.variable("data"), size=(8, 8))
        stated = {"data": InputHint(dtype=DType.UINT8)}

        assert not [n for n in import_model(net.to_bytes(), inputs=stated).notes if "UINT8" in n]
