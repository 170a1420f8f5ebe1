"""``export_model``: files answer as the network does, and the network stays as it was."""

from __future__ import annotations

import inspect
import json
import re
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
import odd_networks as odd
import pytest
from mxnet import gluon, nd
from mxnet.gluon import nn
from mxnet.gluon.data.vision import transforms
from toy_ssd_tutorial import ToySSD

from gluonserve_export import ExportError, ExportRefused, NotProven, export_model

pytestmark = pytest.mark.mxnet


@pytest.fixture(autouse=True)
def quiet():
    mx.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ready(net, *inputs):
    net.initialize(mx.init.Uniform(0.5))
    net(*inputs)
    return net


def arrays(nested):
    if isinstance(nested, dict):
        nested = list(nested.values())
    if isinstance(nested, (list, tuple)):
        return [array for one in nested for array in arrays(one)]
    return [nested.asnumpy()]


def written(folder, inputs):
    """What the files answer in MXNet."""
    symbol = mx.sym.load(str(Path(str(folder)) / "model-symbol.json"))
    file = Path(str(folder)) / "model-0000.params"
    held = {name.split(":", 1)[1]: array for name, array in dict(mx.nd.load(str(file))).items()}
    arguments = {name: inputs.get(name, held.get(name)) for name in symbol.list_arguments()}
    states = {name: held[name] for name in symbol.list_auxiliary_states()}
    bound = symbol.bind(mx.cpu(), arguments, grad_req="null", aux_states=states)
    return [output.asnumpy() for output in bound.forward(is_train=False)]


def assert_same(answers, expected, tolerance=1e-5):
    assert len(answers) == len(expected)
    for answer, wanted in zip(answers, expected):
        np.testing.assert_allclose(answer, wanted, rtol=tolerance, atol=tolerance)


def served(folder):
    """The model behind the server's own library, where that is installed."""
    gluonserve = pytest.importorskip("gluonserve")
    return gluonserve.load(str(folder))


NETWORKS = {
    "fine": (odd.Fine, (3, 4), (5, 4)),
    "plain": (odd.Plain, (3, 4), (5, 4)),
    "sequential": (odd.nested_sequential, (3, 4), (5, 4)),
    "hidden_blocks": (odd.InList, (3, 4), (5, 4)),
    "overridden": (odd.Overridden, (3, 4), (5, 4)),
    "hybrid_shape": (odd.UsesShape, (3, 4), (5, 4)),
    "hybrid_row": (odd.DeepDefect, (3, 4), (5, 4)),
    "hybrid_nd": (odd.AddsConstant, (3, 4), (5, 4)),
    "hybrid_in_place": (odd.AddsInPlace, (3, 4), (5, 4)),
    "hybrid_part": (odd.AssignsPart, (3, 4), (5, 4)),
    "hybrid_columns": (odd.IndexesColumns, (3, 4), (5, 4)),
    "reads_parameter": (odd.ReadsParameter, (3, 4), (5, 4)),
    "in_place": (odd.InPlace, (3, 4), (5, 4)),
    "flattens_by_hand": (odd.FlattensByHand, (2, 3, 5, 4), (6, 3, 5, 4)),
    "loop": (odd.FineLoop, (3, 2, 4), (3, 6, 4)),  # axis 0 is time
    "mixed_rows": (odd.MixesRows, (3, 4), (5, 4)),
    "shared": (odd.Shared, (3, 4), (5, 4)),
    "elsewhere": (odd.CallsElsewhere, (3, 4), (5, 4)),
    "in_object": (odd.InObject, (3, 4), (5, 4)),
    "lambda": (odd.with_lambda, (3, 4), (5, 4)),
    "picks": (odd.PicksByArrays, (3, 4), (5, 4)),
    "assigns": (odd.AssignsParts, (3, 4), (5, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_files_answer_as_the_network_for_another_number_of_rows(name, tmp_path):
    make, shape, other = NETWORKS[name]
    net = ready(make(), odd.rows(*shape))

    made = export_model(net, tmp_path / "model", odd.rows(*shape))

    x = mx.nd.random.uniform(-1, 1, shape=other)
    assert_same(written(made.folder, {"data": x}), arrays(net(x)))


@pytest.mark.parametrize("name", NETWORKS)
def test_server_answers_as_the_network(name, tmp_path):
    make, shape, other = NETWORKS[name]
    net = ready(make(), odd.rows(*shape))
    made = export_model(net, tmp_path / "model", odd.rows(*shape))

    with served(tmp_path / "model") as model:
        x = mx.nd.random.uniform(-1, 1, shape=other)
        answers = list(model(data=x.asnumpy()).values())

    assert_same(answers, arrays(net(x)))
    assert len(made.outputs) == len(answers)


@pytest.mark.parametrize("side", [64, 96])
def test_tutorial_toy_ssd_is_traced_and_served_unchanged(side, tmp_path):
    x = mx.nd.random.uniform(shape=(2, 3, 64, 64))
    net = ToySSD(2)
    net.initialize(mx.init.Xavier())
    net(x)
    names = ["anchors", "classes", "boxes"]

    export_model(net, tmp_path / "ssd", x, output_names=names, free_axes={"data": {2, 3}})

    y = mx.nd.random.uniform(shape=(3, 3, side, side))
    with served(tmp_path / "ssd") as model:
        answers = model(data=y.asnumpy())
    assert list(answers) == names
    assert_same(answers.values(), arrays(net(y)))


def test_hybridized_children_are_traced_too(tmp_path):
    net = ready(odd.InSequential(), odd.rows(3, 4))
    net.hybridize()
    expected = arrays(net(odd.rows(3, 4)))

    made = export_model(net, tmp_path / "model", odd.rows(3, 4))

    assert_same(written(made.folder, {"data": odd.rows(3, 4)}), expected)


def test_network_stays_as_it_was(tmp_path):
    net = ready(odd.Fine(), odd.rows(3, 4))
    net.hybridize()
    net(odd.rows(3, 4))
    before = dict(vars(net))
    names = list(net.collect_params())
    values = [one.data().asnumpy().copy() for one in net.collect_params().values()]

    export_model(net, tmp_path / "model", odd.rows(3, 4))

    assert dict(vars(net)) == before
    assert list(net.collect_params()) == names
    for one, value in zip(net.collect_params().values(), values):
        assert (one.data().asnumpy() == value).all()


def test_sample_inputs_stay_as_they_were(tmp_path):
    class WritesInput(gluon.Block):
        def forward(self, x):
            x += 1
            return x * 2

    x = odd.rows(3, 4)
    before = x.asnumpy().copy()

    made = export_model(WritesInput(), tmp_path / "model", x)

    assert (x.asnumpy() == before).all()
    assert_same(written(made.folder, {"data": x}), [(before + 1) * 2])


def test_tutorial_toy_ssd_without_shapes_is_traced_too(tmp_path):
    text = Path(inspect.getfile(ToySSD)).read_text().replace("x.shape[2], x.shape[3]", "4, 4")
    assert ".shape[" not in text
    module = {"__name__": "toy_ssd_without_shapes"}
    exec(text, module)
    x = mx.nd.random.uniform(shape=(2, 3, 64, 64))
    net = module["ToySSD"](2)
    net.initialize(mx.init.Xavier())
    net(x)

    export_model(net, tmp_path / "ssd", x)

    y = mx.nd.random.uniform(shape=(3, 3, 64, 64))
    with served(tmp_path / "ssd") as model:
        assert_same(model(data=y.asnumpy()).values(), arrays(net(y)))


def test_settings_say_names_types_shapes_and_axes(tmp_path):
    x = mx.nd.random.uniform(shape=(2, 3, 64, 64))
    net = ready(ToySSD(2), x)

    export_model(
        *(net, tmp_path / "ssd", x),
        description='finds "toys"',
        labels=["bird", "fish"],
        output_names=["anchors", "classes", "boxes"],
    )

    text = (tmp_path / "ssd/1/model.toml").read_text()
    assert 'description = "finds \\"toys\\""' in text
    assert 'name = "data"\ndatatype = "FP32"\nshape = [-1, 3, 64, 64]\nbatch_axis = 0' in text
    assert 'index = 0\nname = "anchors"\npath = "[0]"\nbatch_axis = "none"' in text
    assert 'index = 2\nname = "boxes"\npath = "[2]"\nbatch_axis = 0' in text
    assert (tmp_path / "ssd/1/labels.txt").read_text() == "bird\nfish\n"


def test_settings_are_valid_for_the_server(tmp_path):
    config = pytest.importorskip("gluonserve.config")
    export_model(*(odd.Nested(), tmp_path / "m"), [odd.rows(3, 4), odd.rows(3, 4)], odd.rows(3, 4))

    settings = config.read_model_settings(tmp_path / "m/1/model.toml")

    assert [one.name for one in settings.inputs] == ["data0", "data1", "data2"]
    paths = [one.path for one in settings.outputs]
    assert paths == ['["sum"]', '["rest"][0]', '["rest"][1][0]']


def test_nested_inputs_and_outputs_are_flattened(tmp_path):
    inputs = [odd.rows(3, 4), odd.rows(3, 4) * 2, odd.rows(3, 4) + 1]
    made = export_model(
        *(odd.Nested(), tmp_path / "m", inputs[:2], inputs[2]), input_names=["a", "b", "scale"]
    )

    answers = written(made.folder, dict(zip(["a", "b", "scale"], inputs)))

    assert_same(answers, arrays(odd.Nested()(inputs[:2], inputs[2])))


def test_elsewhere_hybridized_blocks_stay_hybridized(tmp_path):
    net = ready(odd.CallsElsewhere(), odd.rows(3, 4))

    export_model(net, tmp_path / "m", odd.rows(3, 4))

    assert odd.ELSEWHERE._active


def test_input_that_changes_nothing_is_left_out(tmp_path):
    made = export_model(odd.IgnoresInput(), tmp_path / "m", odd.rows(3, 1), odd.rows(3, 4))

    assert [one.code for one in made.findings] == ["unused-input"]
    assert [one.name for one in made.inputs] == ["data1"]
    with served(tmp_path / "m") as model:
        x = mx.nd.random.uniform(-1, 1, shape=(5, 4))
        assert_same(model(data1=x.asnumpy()).values(), [np.maximum(x.asnumpy(), 0)])


def test_shape_of_the_answer_may_depend_on_values(tmp_path):
    net = ready(odd.Masks(), odd.rows(3, 4))

    made = export_model(net, tmp_path / "m", odd.rows(3, 4))

    x = mx.nd.array([[1, 1, 1, 1], [-1, -1, -1, -1], [2, 2, 2, 2], [-3, 0, 0, 0]])
    assert [one.code for one in made.findings] == ["mixed-rows"]
    with served(tmp_path / "m") as model:
        assert_same(model(data=x.asnumpy()).values(), [x.asnumpy()[[0, 2]]])


class TakesSampleOnly(gluon.Block):
    """As if the graph held what the sample's values made."""

    def forward(self, x):
        return nd.broadcast_add(x, mx.nd.CachedOp(mx.sym.max(mx.sym.var("x")))(x))


@pytest.mark.parametrize("fill", [0.0, 1.0, 0.5])
def test_sample_of_one_value_is_no_proof(fill, tmp_path):
    """Zeros to say a shape: what is drawn to compare must be other values."""
    with pytest.raises(ExportRefused) as refused:
        export_model(TakesSampleOnly(), tmp_path / "m", mx.nd.full((2, 4), fill))

    assert [one.code for one in refused.value.findings] == ["not-proven"]


def test_files_that_answer_otherwise_are_not_left_behind(tmp_path, monkeypatch):
    """A disk, or MXNet, that gives back other parameters than it was given."""
    net = ready(odd.Fine(), odd.rows(3, 4))
    save = mx.nd.save
    monkeypatch.setattr(
        mx.nd, "save", lambda file, data: save(file, {k: one * 1.01 for k, one in data.items()})
    )

    with pytest.raises(NotProven, match="otherwise: values differ"):
        export_model(net, tmp_path / "m", odd.rows(3, 4))

    assert list((tmp_path / "m").iterdir()) == []


def test_samples_hold_the_networks_own_answers(tmp_path):
    net = ready(odd.Plain(), odd.rows(3, 4))

    made = export_model(net, tmp_path / "m", odd.rows(3, 4), output_names=["scores"])

    with np.load(str(made.folder / "samples.npz")) as record:
        assert sorted(record.files) == ["in:data", "out:scores"]
        assert_same([record["out:scores"]], arrays(net(odd.rows(3, 4))))


class WithStates(gluon.Block):
    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.layer = cell

    def forward(self, x, states=None):
        if states is None:
            return self.layer(x)
        return self.layer(x, states)


@pytest.mark.parametrize("layer", [gluon.rnn.LSTM, gluon.rnn.GRU, gluon.rnn.RNN])
@pytest.mark.parametrize("plain", [False, True])
def test_recurrent_layers_make_their_own_begin_states(layer, plain, tmp_path):
    net = layer(5, num_layers=2, bidirectional=True, input_size=4)
    net = ready(WithStates(net) if plain else net, odd.rows(3, 2, 4))

    made = export_model(net, tmp_path / "m", odd.rows(3, 2, 4), batch_axes=[1])

    x = mx.nd.random.uniform(shape=(3, 7, 4))
    assert_same(written(made.folder, {"data": x}), arrays(net(x)))
    with served(tmp_path / "m") as model:
        assert_same(model(data=x.asnumpy()).values(), arrays(net(x)))


def test_recurrent_layer_with_given_states_finds_the_axis_of_rows(tmp_path):
    net = gluon.rnn.LSTM(5, input_size=4)
    states = [mx.nd.ones((1, 2, 5)), mx.nd.zeros((1, 2, 5))]
    ready(net, odd.rows(3, 2, 4), states)

    made = export_model(net, tmp_path / "m", odd.rows(3, 2, 4), states)

    assert [one.batch_axis for one in made.inputs] == [1, 1, 1]
    assert [one.path for one in made.outputs] == ["[0]", "[1][0]", "[1][1]"]
    assert [one.batch_axis for one in made.outputs] == [1, 1, 1]


def test_preprocessing_stands_in_the_graph(tmp_path):
    net = ready(odd.fine_sequential(), mx.nd.ones((1, 3, 8, 8)))
    before = transforms.Compose(
        [
            transforms.CenterCrop(8),
            transforms.ToTensor(),
            transforms.Normalize(0.5, (0.1, 0.2, 0.3)),
        ]
    )
    pictures = mx.nd.array(np.random.RandomState(0).randint(0, 255, (2, 12, 10, 3)), dtype="uint8")

    made = export_model(net, tmp_path / "m", pictures, preprocessing=before)

    prepared = nd.stack(*[before(picture) for picture in pictures], axis=0)
    assert made.inputs[0].sample.dtype == np.uint8
    assert_same(written(made.folder, {"data": pictures}), arrays(net(prepared)))
    with served(tmp_path / "m") as model:
        assert_same(model(data=pictures.asnumpy()).values(), arrays(net(prepared)), 1e-4)


class Affine(gluon.HybridBlock):
    """MXNet has no half precision products on CPUs; it has sums."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1, 4))

    def hybrid_forward(self, F, x, scale):  # noqa: N803 - Gluon's name
        return F.tanh(F.broadcast_mul(x, scale))


def test_half_precision_network_keeps_its_types(tmp_path):
    net = Affine()
    net.initialize()
    net.cast("float16")
    x = odd.rows(2, 4).astype("float16")

    made = export_model(net, tmp_path / "m", x)

    assert made.outputs[0].sample.dtype == np.float16
    assert 'datatype = "FP16"' in (made.folder / "model.toml").read_text()
    assert_same(written(made.folder, {"data": x}), arrays(net(x)), 1e-3)
    with served(tmp_path / "m") as model:
        assert_same(model(data=x.asnumpy()).values(), arrays(net(x)), 1e-2)


def test_mixed_precision_network_keeps_its_casts(tmp_path):
    amp = pytest.importorskip("mxnet.contrib.amp")
    net = nn.HybridSequential()
    net.add(nn.Dense(4, in_units=4), nn.HybridLambda("relu"), nn.Dense(2, in_units=4))
    net.initialize()
    net.hybridize()
    x = mx.nd.random.uniform(shape=(2, 4))
    net(x)
    if not hasattr(amp, "convert_hybrid_block"):
        pytest.skip("this MXNet converts no HybridBlocks")
    half = {"target_dtype_ops": ["relu"], "fp32_ops": ["FullyConnected"]}
    mixed = amp.convert_hybrid_block(net, ctx=mx.cpu(), **half)
    try:
        mixed(x).wait_to_read()
    except mx.MXNetError:
        pytest.skip("this MXNet cannot run it on a CPU")

    made = export_model(mixed, tmp_path / "m", x)

    nodes = json.loads((made.folder / "model-symbol.json").read_text())["nodes"]
    casts = [node["attrs"]["dtype"] for node in nodes if node["op"] == "amp_cast"]
    assert sorted(set(casts)) == ["float16", "float32"]
    assert_same(written(made.folder, {"data": x}), arrays(mixed(x)), 1e-2)
    with served(tmp_path / "m") as model:
        assert_same(model(data=x.asnumpy()).values(), arrays(mixed(x)), 1e-2)


def test_import_of_an_export_is_exported_again(tmp_path):
    net = ready(odd.Fine(), odd.rows(3, 4))
    net.hybridize()
    net(odd.rows(3, 4))
    net.export(str(tmp_path / "net"))
    again = gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )

    made = export_model(again, tmp_path / "m", odd.rows(3, 4))

    assert_same(written(made.folder, {"data": odd.rows(3, 4)}), arrays(net(odd.rows(3, 4))))


def test_hybrid_network_of_the_numpy_interface_is_exported(tmp_path):
    if not hasattr(mx.util, "set_np"):
        pytest.skip("this MXNet has no NumPy interface")
    with mx.util.np_shape(True), mx.util.np_array(True):
        net = nn.HybridSequential()
        net.add(nn.Dense(4), nn.HybridLambda(lambda F, x: F.np.tanh(x)))  # noqa: N803
        x = mx.np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
        net = ready(net, x)
        export_model(net, tmp_path / "m", x)
        expected = arrays(net(x))

    with served(tmp_path / "m") as model:
        assert_same(model(data=x.asnumpy()).values(), expected)


class Numpy(gluon.Block):
    """A plain Block of the NumPy interface, with numbers taken from shapes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.dense = nn.Dense(6, flatten=False)

    def forward(self, x):
        y = self.dense(x) + mx.np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        pairs = y.reshape((x.shape[0], 2, -1)).transpose(0, 2, 1).reshape(x.shape[0], -1)
        rest = mx.np.concatenate([pairs[:, 1:3], pairs[:, -1:], y[:, [0, 2]]], axis=1)
        products = mx.np.tensordot(rest, mx.np.ones((5, 2)), axes=1)
        return {
            "last": y[:, -1],
            "sums": products + mx.np.zeros((x.shape[0], 2)),
            "one": x[..., None],
        }


def test_plain_network_of_the_numpy_interface_is_traced(tmp_path):
    if not hasattr(mx.util, "set_np"):
        pytest.skip("this MXNet has no NumPy interface")
    with mx.util.np_shape(True), mx.util.np_array(True):
        x = mx.np.array([[0.1, -0.2, 0.3], [1.0, 2.0, -3.0]])
        net = ready(Numpy(), x)
        made = export_model(net, tmp_path / "m", x)
        y = mx.np.array([[0.1 * at, 0.2, -0.3 * at] for at in range(5)])
        expected = arrays(net(y))

    assert made.inputs[0].shape == [-1, 3]
    assert made.findings == ()
    with served(tmp_path / "m") as model:
        assert_same(model(data=y.asnumpy()).values(), expected)


class NumpyBranch(gluon.Block):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class NumpyFloat(gluon.Block):
    def forward(self, x):
        return x * float(x.sum())


@pytest.mark.parametrize(
    ("make", "code"), [(NumpyBranch, "value-branch"), (NumpyFloat, "value-read")]
)
def test_values_read_by_the_numpy_interface_are_refused(make, code, tmp_path):
    if not hasattr(mx.util, "set_np"):
        pytest.skip("this MXNet has no NumPy interface")
    refusing = pytest.raises(ExportRefused, match=re.escape("x.sum()"))
    with mx.util.np_shape(True), mx.util.np_array(True), refusing as refused:
        export_model(make(), tmp_path / "m", mx.np.ones((2, 3)))

    assert [one.code for one in refused.value.findings] == [code]


REFUSED = {
    "tree": (odd.StructureByValue, ((3, 4), (1,)), "value-branch", "if children.max() > 0:"),
    "value": (odd.CountsByValue, ((3, 4),), "value-read", "asscalar"),
    "state": (odd.KeepsState, ((3, 4),), "state-written", "count += 1"),
    "view": (odd.WritesView, ((3, 4),), "view-written", "first[:] = 0"),
    "random": (odd.Random, ((3, 4),), "random", "nd.random.normal"),
    "counter": (odd.CountsCalls, ((3, 4),), "random", "self.calls"),
    "unseen": (odd.Unseen, ((3, 4),), "not-proven", "other values of the sample's shapes"),
    "constant": (odd.AllUnseen, ((3, 4),), "constant", "the same for all inputs"),
    "custom": (odd.Custom, ((3, 4),), "custom-operator", "gluonserve_doubling"),
    "text": (odd.AnswersText, ((3, 4),), "not-arrays", "str"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_graph_can_hold_is_refused_with_its_line(name, tmp_path):
    make, shapes, code, line = REFUSED[name]
    inputs = [odd.rows(*shape) for shape in shapes]
    net = ready(make(), *inputs)

    with pytest.raises(ExportRefused, match=re.escape(line)) as refused:
        export_model(net, tmp_path / "m", *inputs)

    assert [one.code for one in refused.value.findings] == [code]
    assert not (tmp_path / "m").exists() or not list((tmp_path / "m").iterdir())


def test_tree_lstm_is_advised_to_loop_in_the_graph(tmp_path):
    inputs = [odd.rows(3, 4), mx.nd.array([2.0])]
    net = ready(odd.StructureByValue(), *inputs)

    with pytest.raises(ExportRefused) as refused:
        export_model(net, tmp_path / "m", *inputs)

    for advice in ("odd_networks.py", "F.contrib.foreach", "while_loop", "cond"):
        assert advice in str(refused.value)


def test_parameters_without_values_are_refused(tmp_path):
    net = nn.Dense(3)
    net.initialize()

    with pytest.raises(ExportRefused, match="Run the network once"):
        export_model(net, tmp_path / "m", odd.rows(3, 4))


def test_number_from_a_shape_is_a_fixed_dimension(tmp_path):
    made = export_model(odd.CountsRows(), tmp_path / "m", odd.rows(3, 4))

    assert [one.code for one in made.findings] == ["fixed-dimension"]
    assert "x.shape[0]" in made.findings[0].where.code
    text = (made.folder / "model.toml").read_text()
    assert 'shape = [3, 4]\nbatch_axis = "none"' in text
    with served(tmp_path / "m") as model:
        x = mx.nd.random.uniform(shape=(3, 4))
        assert_same(model(data=x.asnumpy()).values(), arrays(odd.CountsRows()(x)))


def test_existing_version_is_kept_unless_overwritten(tmp_path):
    net = ready(odd.Fine(), odd.rows(3, 4))
    export_model(net, tmp_path / "m", odd.rows(3, 4))

    with pytest.raises(ExportError, match="exists"):
        export_model(net, tmp_path / "m", odd.rows(3, 4))
    export_model(net, tmp_path / "m", odd.rows(3, 4), overwrite=True)
    export_model(net, tmp_path / "m", odd.rows(3, 4), version=2)

    assert sorted(one.name for one in (tmp_path / "m").iterdir()) == ["1", "2"]


WRONG = {
    "axes": ({"batch_axes": [0, 0]}, "1 inputs need as many batch_axes"),
    "axis": ({"batch_axes": [2]}, "data has axes 0 to 1"),
    "last axis": ({"batch_axes": [-1]}, "data has axes 0 to 1"),
    "word": ({"batch_axes": ["rows"]}, "not 'rows'"),
    "free": ({"free_axes": {"data": {5}}}, "data has axes 0 to 1"),
    "free name": ({"free_axes": {"x": {1}}}, "no input is called 'x'"),
    "names": ({"input_names": ["a", "b"]}, "1 inputs need as many different names"),
    "outputs": ({"output_names": ["a", "b"]}, "1 outputs need as many different names"),
    "version": ({"version": 0}, "positive whole numbers, not 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_argument_is_an_error_that_names_it(case, tmp_path):
    arguments, message = WRONG[case]

    with pytest.raises(ValueError, match=re.escape(message)):
        export_model(odd.MixesRows(), tmp_path / "m", odd.rows(3, 4), **arguments)

    assert not (tmp_path / "m").exists()


def test_export_uses_up_no_random_numbers_of_the_callers(tmp_path):
    before = np.random.get_state()[1].copy()

    export_model(odd.Nested(), tmp_path / "m", [odd.rows(2, 4), odd.rows(2, 4)], odd.rows(2, 4))

    assert (np.random.get_state()[1] == before).all()
