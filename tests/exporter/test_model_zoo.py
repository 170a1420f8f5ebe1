"""Every network of MXNet's model zoo: exported here, served over gRPC by another process.

The server is the one of the users' environment, which has no MXNet.
"""

from __future__ import annotations

import inspect
import re
import shutil
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon.model_zoo import vision

from gluonserve_export import diagnose, export_model

pytestmark = pytest.mark.mxnet
PROGRAM = Path(__file__).resolve().parents[2] / ".venv/bin/gluonserve"
NAMES = re.findall(r"'([\w.]+)': \w+", inspect.getsource(vision.get_model))
QUICK = {"resnet18_v1", "squeezenet1.1", "mobilenetv2_0.25"}
WHOLE = ("vgg", "alex", "dense", "squeeze")  # they pool down what is left of 224 pixels


def _side(name):
    return 299 if name.startswith("inception") else 224 if name.startswith(WHOLE) else 64


def _marked(name):
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


def _network(name):
    mx.random.seed(0)
    side = _side(name)
    net = vision.get_model(name, classes=10)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, side, side)))
    return net


@pytest.fixture
def serve():
    """Starts servers, which answer over gRPC; ends them, and removes what they served."""
    client = pytest.importorskip("gluonserve_client")
    served = pytest.importorskip("served")
    if not PROGRAM.exists():
        pytest.skip(f"there is no {PROGRAM}")
    servers = {}

    def start(path):
        servers[path] = served.Served(path, program=PROGRAM)
        return client.Client(servers[path].address)

    yield start
    for path, server in servers.items():
        server.kill()
        shutil.rmtree(str(path))  # all of them are gigabytes


def assert_near(answer, expected):
    assert answer.shape == expected.shape
    assert np.linalg.norm(answer - expected) <= 1e-5 * np.linalg.norm(expected)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [_marked(name) for name in NAMES])
def test_zoo_network_is_served_as_it_answers(name, tmp_path, serve):
    net, side = _network(name), _side(name)
    sample = mx.nd.random.uniform(shape=(1, 3, side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = export_model(net, tmp_path / name, sample)
    others = [mx.nd.random.uniform(-1, 2, shape=(rows, 3, side, side)) for rows in (3, 2)]

    with serve(tmp_path) as client:
        answers = [client.infer(name, {"data": x.asnumpy()}) for x in [sample, *others]]

    with np.load(str(made.folder / "samples.npz")) as record:
        assert_near(next(iter(answers[0].values())), record[f"out:{made.outputs[0].name}"])
    for answer, x in zip(answers, [sample, *others]):
        assert list(answer) == [made.outputs[0].name]
        assert_near(answer[made.outputs[0].name], net(x).asnumpy())
    assert made.findings == ()


def test_all_of_the_zoo_is_here():
    assert len(NAMES) == len(set(NAMES)) == 34


@pytest.mark.parametrize("name", sorted(QUICK))
def test_nothing_is_found_in_zoo_network(name):
    net, side = _network(name), _side(name)

    assert diagnose(net, mx.nd.random.uniform(shape=(1, 3, side, side))).codes == ()
