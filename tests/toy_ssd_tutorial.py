"""The ToySSD of the Gluon tutorial: a plain Block, Sequential containers, a forward outside of it.

Kept as tutorials have it: nothing here is written for exporting.
"""

from __future__ import annotations

from mxnet import gluon, nd
from mxnet.contrib.ndarray import MultiBoxPrior
from mxnet.gluon import nn


def class_predictor(num_anchors, num_classes):
    return nn.Conv2D(num_anchors * (num_classes + 1), 3, padding=1)


def box_predictor(num_anchors):
    return nn.Conv2D(num_anchors * 4, 3, padding=1)


def down_sample(num_filters):
    out = nn.HybridSequential()
    for _ in range(2):
        out.add(nn.Conv2D(num_filters, 3, strides=1, padding=1))
        out.add(nn.BatchNorm(in_channels=num_filters))
        out.add(nn.Activation("relu"))
    out.add(nn.MaxPool2D(2))
    return out


def flatten_prediction(pred):
    return nd.flatten(nd.transpose(pred, axes=(0, 2, 3, 1)))


def concat_predictions(preds):
    return nd.concat(*preds, dim=1)


def body():
    out = nn.HybridSequential()
    for nfilters in [16, 32, 64]:
        out.add(down_sample(nfilters))
    return out


def toy_ssd_model(num_anchors, num_classes):
    downsamples = nn.Sequential()
    class_preds = nn.Sequential()
    box_preds = nn.Sequential()
    downsamples.add(down_sample(128))
    downsamples.add(down_sample(128))
    downsamples.add(down_sample(128))
    for _ in range(5):
        class_preds.add(class_predictor(num_anchors, num_classes))
        box_preds.add(box_predictor(num_anchors))
    model = nn.Sequential()
    model.add(body(), downsamples, class_preds, box_preds)
    return model


def toy_ssd_forward(x, model, sizes, ratios):
    body, downsamples, class_preds, box_preds = model
    anchors, class_outs, box_outs = [], [], []
    x = body(x)
    for i in range(5):
        anchors.append(MultiBoxPrior(x, sizes=sizes[i], ratios=ratios[i]))
        class_outs.append(flatten_prediction(class_preds[i](x)))
        box_outs.append(flatten_prediction(box_preds[i](x)))
        if i < 3:
            x = downsamples[i](x)
        elif i == 3:
            x = nd.Pooling(x, global_pool=True, pool_type="max", kernel=(x.shape[2], x.shape[3]))
    return anchors, class_outs, box_outs


class ToySSD(gluon.Block):
    def __init__(self, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.anchor_sizes = [
            [0.2, 0.272],
            [0.37, 0.447],
            [0.54, 0.619],
            [0.71, 0.79],
            [0.88, 0.961],
        ]
        self.anchor_ratios = [[1, 2, 0.5]] * 5
        self.num_classes = num_classes
        with self.name_scope():
            self.model = toy_ssd_model(4, num_classes)

    def forward(self, x):
        anchors, class_preds, box_preds = toy_ssd_forward(
            x, self.model, self.anchor_sizes, self.anchor_ratios
        )
        anchors = concat_predictions(anchors)
        class_preds = concat_predictions(class_preds)
        box_preds = concat_predictions(box_preds)
        class_preds = nd.reshape(class_preds, shape=(0, -1, self.num_classes + 1))
        return anchors, class_preds, box_preds
