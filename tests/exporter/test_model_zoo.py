"""Every network of MXNet's model zoo: exported, loaded by the server, the same outputs."""

from __future__ import annotations

import inspect
import re
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon.model_zoo import vision

from gluonserve_export import diagnose, export_model

pytestmark = pytest.mark.mxnet
NAMES = re.findall(r"'([\w.]+)': \w+", inspect.getsource(vision.get_model))
QUICK = {"resnet18_v1", "squeezenet1.1", "mobilenetv2_0.25"}
WHOLE = ("vgg", "alex", "dense", "squeeze")  # they pool down what is left of 224 pixels


def _side(name):
    return 299 if name.startswith("inception") else 224 if name.startswith(WHOLE) else 64


def _marked(name):
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("name", [_marked(name) for name in NAMES])
def test_zoo_network_is_served_as_it_answers(name, tmp_path):
    gluonserve = pytest.importorskip("gluonserve")
    mx.random.seed(0)
    side = _side(name)
    net = vision.get_model(name, classes=10)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, side, side)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = export_model(net, tmp_path / "m", mx.nd.random.uniform(shape=(1, 3, side, side)))

    x = mx.nd.random.uniform(shape=(3, 3, side, side))
    with gluonserve.load(str(tmp_path / "m")) as model:
        (answer,) = model(data=x.asnumpy()).values()
    expected = net(x).asnumpy()
    assert np.linalg.norm(answer - expected) <= 1e-5 * np.linalg.norm(expected)
    assert made.findings == ()


@pytest.mark.parametrize("name", sorted(QUICK))
def test_nothing_is_found_in_zoo_network(name):
    net = vision.get_model(name, classes=10)
    net.initialize(mx.init.Xavier())
    x = mx.nd.random.uniform(shape=(1, 3, _side(name), _side(name)))
    net(x)

    assert diagnose(net, x).codes == ()
