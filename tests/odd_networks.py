"""Small networks that are broken or odd in one way each, and some in which nothing is wrong.

They import nothing of the server, and run on every MXNet that the exporter supports.
"""

from __future__ import annotations

import collections

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn


def rows(*shape):
    return mx.nd.array(mx.nd.arange(int(_size(shape))).asnumpy().reshape(shape) % 7 / 7 - 0.3)


def _size(shape):
    size = 1
    for dim in shape:
        size *= dim
    return size


class Fine(gluon.HybridBlock):
    """A residual block, as it should be."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential()
            self.body.add(nn.Dense(4, activation="relu"), nn.Dense(4))

    def hybrid_forward(self, F, x):
        return F.relu(self.body(x) + x)


class FineLoop(gluon.HybridBlock):
    """A running sum along time, with the loop inside the graph."""

    def hybrid_forward(self, F, x):
        zeros = F.squeeze(F.zeros_like(F.slice_axis(x, axis=0, begin=0, end=1)), axis=0)
        outputs, _ = F.contrib.foreach(lambda row, sums: (row + sums, row + sums), x, zeros)
        return outputs


class FineIndexed(gluon.HybridBlock):
    """Blocks in a list that are registered too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.first = nn.Dense(4)
            self.second = nn.Dense(4)
        self.both = [self.first, self.second]

    def hybrid_forward(self, F, x):
        for block in self.both:
            x = F.relu(block(x))
        return x


class FineOutputs(gluon.HybridBlock):
    """Nested outputs."""

    def hybrid_forward(self, F, x):
        return F.relu(x), [F.tanh(x), F.sigmoid(x)]


def fine_sequential():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(), nn.MaxPool2D(), nn.Flatten(), nn.Dense(3))
    return net


def fine_recurrent():
    return gluon.rnn.LSTM(5)


class Plain(gluon.Block):
    """A Block that could be hybrid."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.dense = nn.Dense(3)

    def forward(self, x):
        return nd.softmax(self.dense(x))


class InSequential(gluon.Block):
    """A Sequential that could be hybrid, in a plain Block."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.layers = nn.Sequential()
            self.layers.add(nn.Dense(3), nn.Dense(2))

    def forward(self, x):
        return self.layers(x)


def sequential():
    net = nn.Sequential()
    net.add(nn.Dense(4), nn.Dense(2))
    return net


def sequential_of_plain():
    net = nn.Sequential()
    net.add(nn.Dense(4), Plain())
    return net


def nested_sequential():
    inner = nn.Sequential()
    inner.add(nn.Dense(3))
    net = nn.Sequential()
    net.add(inner, nn.Dense(2))
    return net


class HybridWithPlainChild(gluon.HybridBlock):
    """MXNet refuses to build it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = nn.Sequential()


class InList(gluon.HybridBlock):
    """Blocks in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = nn.Dense(4)
        self.blocks = [nn.Dense(4, in_units=4), nn.Dense(2, in_units=4)]
        for block in self.blocks:
            block.initialize()

    def hybrid_forward(self, F, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


class InDictionary(gluon.HybridBlock):
    """Blocks in a dictionary of tuples."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.heads = {"a": (nn.Dense(2, in_units=4),), "b": (nn.Dense(3, in_units=4),)}
        for (block,) in self.heads.values():
            block.initialize()

    def hybrid_forward(self, F, x):
        return self.heads["a"][0](x), self.heads["b"][0](x)


class Holder(gluon.HybridBlock):
    """A child that hides Blocks, one level down."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = InList()

    def hybrid_forward(self, F, x):
        return self.inner(x)


class Clash(gluon.HybridBlock):
    """Two layers with one prefix."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one = nn.Dense(4, in_units=4, prefix="same_")
        self.two = nn.Dense(4, in_units=4, prefix="same_")
        self.one.initialize()
        self.two.initialize()

    def hybrid_forward(self, F, x):
        return self.two(self.one(x))


class Overridden(gluon.HybridBlock):
    """forward() where hybrid_forward() was meant."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.dense = nn.Dense(3)

    def forward(self, x):
        return nd.relu(self.dense(x))


class UsesShape(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.reshape(x, shape=(x.shape[0], -1))


class UsesType(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.cast(x * 2, dtype=x.dtype)


class ReadsParameter(gluon.HybridBlock):
    """Reads a value, of a parameter only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1,), init="ones")

    def hybrid_forward(self, F, x, scale):
        return x * float(scale.asnumpy()[0]) + scale.reshape((1, 1))


class BranchesOnParameter(gluon.HybridBlock):
    """Decides on a value, of a parameter only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1,), init="ones")

    def hybrid_forward(self, F, x, scale):
        if scale > 0:
            return F.broadcast_mul(x, scale.reshape((1, 1)))
        return x


class ReadsValue(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return x / x.sum().asscalar()


class Branches(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        if x.sum() > 0:
            return x * 2
        return x


class UsesNd(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return nd.relu(x) + 1


class AddsConstant(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return x + nd.array([[1.0, 2.0, 3.0, 4.0]])


class AddsInPlace(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        y = F.relu(x)
        y += 1
        return y


class AssignsPart(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        y = F.relu(x)
        y[:, 0:2] = 0
        return y


class IndexesRow(gluon.HybridBlock):
    """x[0] is the first row of an array, and the first output of a Symbol."""

    def hybrid_forward(self, F, x):
        y = F.relu(x)
        return y[0] + 1


class IndexesColumns(gluon.HybridBlock):
    """What a Symbol answers with a TypeError."""

    def hybrid_forward(self, F, x):
        y = F.relu(x)
        return y[:, 1:3]


class DeepDefect(gluon.HybridBlock):
    """The defect is in the child of a child."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.outer = nn.HybridSequential()
            self.outer.add(nn.Dense(4), UsesShape())

    def hybrid_forward(self, F, x):
        return F.relu(self.outer(x))


class TwoDefects(gluon.HybridBlock):
    """One in a child, and one of its own behind it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.child = UsesShape()

    def hybrid_forward(self, F, x):
        y = self.child(x)
        y += 1
        return y


class Unused(gluon.HybridBlock):
    """A head for training only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.main = nn.Dense(3)
            self.auxiliary = nn.Dense(2, in_units=4)

    def hybrid_forward(self, F, x):
        return self.main(x)


class Shared(gluon.HybridBlock):
    """Two layers with one weight."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.one = nn.Dense(4, in_units=4)
            self.two = nn.Dense(4, in_units=4, params=self.one.params)

    def hybrid_forward(self, F, x):
        return self.two(F.relu(self.one(x)))


class Doubling(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], in_data[0] * 2)


@mx.operator.register("gluonserve_doubling")
class DoublingProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):
        return Doubling()


class Custom(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.Custom(x, op_type="gluonserve_doubling")


class Unsupported(gluon.HybridBlock):
    """An operator that reads JPEG files' bytes or draws is no part of a served network."""

    def hybrid_forward(self, F, x):
        return F.image.random_brightness(x, 1.0, 1.0)


class StructureByValue(gluon.Block):
    """In the style of a Tree LSTM: how deep it goes depends on the data."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.cell = nn.Dense(4)

    def forward(self, x, children):
        if children.max() > 0:  # the line to be named
            return self.cell(x) + self.forward(x, children - 1)
        return self.cell(x)


class CountsByValue(gluon.Block):
    def forward(self, x):
        steps = int(x.max().asscalar() * 3)
        for _ in range(steps + 1):
            x = x * 2
        return x


class KeepsState(gluon.Block):
    """Counts its calls in a parameter."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.count = self.params.get("count", shape=(1,), init="zeros", grad_req="null")

    def forward(self, x):
        count = self.count.data()
        count += 1
        return nd.broadcast_add(x, count.reshape((1, 1)))


class WritesView(gluon.Block):
    def forward(self, x):
        y = x * 2
        first = y[0]
        first[:] = 0
        return y


class ScalesByShape(gluon.Block):
    """A number from a shape, where no operator takes it from its input."""

    def forward(self, x):
        return x / x.shape[1] ** 0.5


class MixesRows(gluon.HybridBlock):
    """Softmax over the rows."""

    def hybrid_forward(self, F, x):
        return F.softmax(x, axis=0)


class CountsRows(gluon.Block):
    """The mean over rows, by hand."""

    def forward(self, x):
        return nd.sum(x, axis=1) / x.shape[0]


class Random(gluon.Block):
    def forward(self, x):
        return x + nd.random.normal(shape=(1, 1))


class Raises(gluon.Block):
    def forward(self, x):
        return nd.dot(x, x)


class AnswersText(gluon.Block):
    def forward(self, x):
        return {"answer": x * 2, "unit": "metres"}


class FlattensByHand(gluon.Block):
    """Numbers from shapes that the exporter knows how to free."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv = nn.Conv2D(2, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        state = nd.zeros((y.shape[0], 2))
        flat = y.reshape((y.shape[0], y.shape[1], y.shape[2] * y.shape[3]))
        return flat[:, :, : flat.shape[2] - 1].mean(axis=2) + state


class InPlace(gluon.Block):
    """Writes into arrays of its own, and takes rows and columns."""

    def forward(self, x):
        y = x * 2
        y += 1
        y[:, 1:3] = 0
        y[:, 0] = 5
        parts = [y[:, at] * (at + 1) for at in range(4)]
        return nd.stack(*parts, axis=1), y[:, -1], y[:, ::2], x.expand_dims(0)[0]


class Nested(gluon.Block):
    """Several inputs in a list, several outputs in a dictionary."""

    def forward(self, pair, scale):
        first, second = pair
        return {"sum": first + second, "rest": [first * scale, (second - 1,)]}


class CountsCalls(gluon.HybridBlock):
    """A number that is another one at every call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def hybrid_forward(self, F, x):
        self.calls += 1
        return F.relu(x) * self.calls


class Unseen(gluon.Block):
    """Computes by a way that goes around the functions of nd."""

    def forward(self, x):
        doubled = mx.nd.CachedOp(mx.sym.var("x") * 2)
        return doubled(x) + x


class AllUnseen(gluon.Block):
    """Nothing that it answers comes from functions of nd."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1, 4), init="ones")

    def forward(self, x):
        return self.scale.data() * 2


class IgnoresInput(gluon.HybridBlock):
    """One of its inputs changes nothing."""

    def hybrid_forward(self, F, mask, x):
        return F.relu(x)


ELSEWHERE = nn.Dense(4, in_units=4)


class CallsElsewhere(gluon.Block):
    """Calls a Block that it does not hold, and which is hybridized."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        ELSEWHERE.initialize(force_reinit=True)
        ELSEWHERE.hybridize()

    def forward(self, x):
        return ELSEWHERE(x) * 2


class Layers:
    """An object of the user's own that is no Block."""

    def __init__(self):
        self.first = nn.Dense(4, in_units=4)
        self.others = collections.deque([nn.Dense(4, in_units=4)])
        for block in (self.first, *self.others):
            block.initialize()


class InObject(gluon.HybridBlock):
    """Blocks in an object, and in a deque in that."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layers = Layers()

    def hybrid_forward(self, F, x):
        return self.layers.others[0](self.layers.first(x))


class PicksByArrays(gluon.Block):
    """Indexing by lists and arrays of numbers."""

    def forward(self, x):
        return x[:, [0, 2]], x[:, [3, 1]], x[:, nd.array([3, 0])], x[:, 1:][:, [[0, 1], [2, 0]]]


class AssignsParts(gluon.Block):
    """Arrays put into parts of others, and broadcasts to shapes taken from the input."""

    def forward(self, x):
        y = nd.zeros((x.shape[0], 8))
        y[:, :4] = x
        y[:, 5:] = x[:, :3]
        means = x.mean(axis=1, keepdims=True)
        return y + means.broadcast_to((x.shape[0], 8))


class LoopsOverRows(gluon.Block):
    """As many steps as there are rows."""

    def forward(self, x):
        return nd.stack(*[row * 2 for row in x], axis=0)


class Masks(gluon.HybridBlock):
    """The shape of its answer depends on values, and its graph does not."""

    def hybrid_forward(self, F, x):
        return F.contrib.boolean_mask(x, F.sum(x, axis=1) > 0)


class ReadsRow(gluon.HybridBlock):
    """What a Symbol answers with an IndexError."""

    def hybrid_forward(self, F, x):
        y = F.relu(x)
        return y[1:3]


def with_lambda():
    net = nn.Sequential()
    net.add(nn.Dense(4), nn.Lambda(lambda x: nd.relu(x) * 2))
    return net


def with_concurrent():
    net = gluon.contrib.nn.Concurrent(axis=1)
    net.add(nn.Dense(3), nn.Dense(2))
    return net
