"""Exports networks of MXNet's model zoo with random weights and compares both engines with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.replay import ENGINES, run

from gluonserve.loader.importing import import_model

if TYPE_CHECKING:
    from pathlib import Path

mxnet = pytest.importorskip("mxnet")
pytestmark = pytest.mark.mxnet

SMALL = ("resnet18_v1", "resnet18_v2", "mobilenet0.25", "mobilenetv2_0.25", "squeezenet1.1")
LARGE = (
    "resnet34_v1", "resnet50_v1", "resnet101_v1", "resnet152_v1", "resnet34_v2", "resnet50_v2",
    "resnet101_v2", "resnet152_v2", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn",
    "vgg16_bn", "vgg19_bn", "alexnet", "densenet121", "densenet161", "densenet169", "densenet201",
    "squeezenet1.0", "inceptionv3", "mobilenet1.0", "mobilenet0.75", "mobilenet0.5",
    "mobilenetv2_1.0", "mobilenetv2_0.75", "mobilenetv2_0.5",
)  # fmt: skip
_FULL_SIZE = ("vgg", "alexnet", "densenet", "squeezenet")
"""Networks whose last layers fix the size of the picture."""


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_answers_as_mxnet(name: str, tmp_path: Path) -> None:
    _compare(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_network_answers_as_mxnet(name: str, tmp_path: Path) -> None:
    _compare(name, tmp_path)


def _compare(name: str, folder: Path) -> None:
    """Batches of one and of three, by relative L2 error."""
    size = 299 if name == "inceptionv3" else 224 if name.startswith(_FULL_SIZE) else 64
    pictures = np.random.default_rng(1).random((3, 3, size, size), np.float32)
    wanted = _export(name, pictures, folder)

    network = import_model(folder / "net-symbol.json", folder / "net-0000.params")

    assert network.signature.batchable
    assert [spec.batch_axis for spec in network.signature.outputs] == [0]
    for engine in ENGINES:
        for rows in (1, 3):
            (answer,) = run(network, engine, {"data": pictures[:rows]})
            error = np.linalg.norm(answer - wanted[:rows]) / np.linalg.norm(wanted[:rows])
            assert error < 1e-4, f"{engine}, {rows} rows"


def _export(name: str, pictures: np.ndarray, folder: Path) -> np.ndarray:
    from mxnet.gluon.model_zoo import vision  # noqa: PLC0415 - only where there is mxnet

    mxnet.random.seed(1)
    net = vision.get_model(name)
    net.initialize(mxnet.init.Xavier())
    net.hybridize()
    wanted = net(mxnet.nd.array(pictures)).asnumpy()
    net.export(str(folder / "net"))
    return wanted
