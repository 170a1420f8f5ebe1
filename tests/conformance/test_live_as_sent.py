"""Requests that a graph takes in other shapes than its signature states, compared with MXNet."""

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
