"""Requests in other shapes and types than a signature states, compared with live MXNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from replay import ENGINES, compare, prepared

from gluonserve.loader.importing import import_model
from gluonserve.validation import InputCheck

if TYPE_CHECKING:
    import mxnet as mx

pytestmark = pytest.mark.mxnet

WEIGHT = np.random.default_rng(0).normal(size=(3, 24)).astype(np.float32)
PICTURES = np.random.default_rng(1).normal(size=(2, 2, 3, 4)).astype(np.float32)


def check(symbol: mx.sym.Symbol, sent: np.ndarray, **stored: np.ndarray) -> None:
    """Both engines answer to what is sent as MXNet does, which gets it as it is."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    arrays = {"data": sent, **stored}
    bound = symbol.bind(
        mx.cpu(), {name: mx.nd.array(value, dtype=value.dtype) for name, value in arrays.items()}
    )
    wanted = tuple(output.asnumpy() for output in bound.forward(is_train=False))
    network = import_model(symbol.tojson().encode(), stored)
    _, fed = InputCheck("", network.signature)({"data": sent})
    for engine in ENGINES:
        _, difference = compare(prepared(network, engine)(fed), wanted)
        assert not difference, f"{engine}: {difference}"


@pytest.mark.parametrize("first", ["dense", "Flatten", "scaled"])
@pytest.mark.parametrize("shape", [(2, 24), (2, 4, 6), (2, 2, 3, 4)], ids=str)
def test_rows_of_any_shape_before_a_layer_that_flattens_them(
    first: str, shape: tuple[int, ...]
) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = mx.sym.var("data")
    read = {"dense": data, "Flatten": mx.sym.Flatten(data), "scaled": data / 4}[first]
    dense = mx.sym.FullyConnected(read, mx.sym.var("w"), no_bias=True, num_hidden=3)

    check(dense, PICTURES.reshape(shape), w=WEIGHT)


@pytest.mark.parametrize("codes", [(0, -1), (-1, 24), (-1, 2, 3, 4), (2, 4, 6)], ids=str)
def test_rows_of_any_shape_before_a_reshape(codes: tuple[int, ...]) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    check(mx.sym.var("data").reshape(shape=codes) * 2, PICTURES)


@pytest.mark.parametrize("sent", [np.uint8, np.int8, np.int32, np.int64, np.float16])
def test_types_that_are_cast_first(sent: type) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data = mx.sym.var("data").transpose((0, 3, 1, 2))

    check(data.astype("float32") / 255, (PICTURES * 40).astype(sent))


@pytest.mark.parametrize("sent", [np.uint8, np.float32])
def test_pictures_that_become_tensors_first(sent: type) -> None:
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    tensors = mx.sym.image.to_tensor(mx.sym.var("data"))

    check(tensors, np.abs(PICTURES[0] * 40).astype(sent))


@pytest.mark.parametrize("sent", [np.uint8, np.int8, np.int32, np.int64, np.float16])
@pytest.mark.parametrize("op", ["Embedding", "take", "one_hot"])
def test_numbers_of_rows_in_any_type(op: str, sent: type) -> None:
    """Also those that no row has: MXNet takes the nearest."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed

    data, weight = mx.sym.var("data"), mx.sym.var("w")
    ids = np.array([[0, 2, 1], [9, 2, 0]]).astype(sent)
    if op == "one_hot":
        check(mx.sym.one_hot(data, depth=4), ids)
    elif op == "take":
        check(mx.sym.take(weight, data), ids, w=WEIGHT)
    else:
        check(mx.sym.Embedding(data, weight, input_dim=3, output_dim=24), ids, w=WEIGHT)
