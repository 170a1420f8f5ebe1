"""Makes models/resnet_digits: residual blocks, some with a downsample branch and some without.

Run in the environment that has MXNet: ``python models/training/resnet_digits.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from classifier import share_right, train
from digits import split_digits
from recording import export, record_figures

if TYPE_CHECKING:
    from types import ModuleType

    from mxnet import nd, sym

NAME = "resnet_digits"
DESCRIPTION = (
    "Residual network: which handwritten digit a 28x28 grey picture (0 to 1, white on black) shows"
)
STAGES = ((16, 1, 2), (32, 2, 2), (64, 2, 2))  # channels, stride, blocks


class BasicBlockV1(HybridBlock):
    """Two 3x3 convolutions and a way around them, as in He et al. 2015.

    Where the block changes the size or the channels, the way around is a 1x1 convolution.
    """

    def __init__(self, channels: int, stride: int, *, downsample: bool, **kwargs: str) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            self.body.add(
                _conv3x3(channels, stride),
                nn.BatchNorm(),
                nn.Activation("relu"),
                _conv3x3(channels, 1),
                nn.BatchNorm(),
            )
            self.downsample = None
            if downsample:
                self.downsample = nn.HybridSequential(prefix="")
                self.downsample.add(
                    nn.Conv2D(channels, kernel_size=1, strides=stride, use_bias=False),
                    nn.BatchNorm(),
                )

    def hybrid_forward(self, F: ModuleType, x: nd.NDArray | sym.Symbol) -> nd.NDArray | sym.Symbol:  # noqa: N803 - Gluon's name
        """``relu(body(x) + x)``, with ``downsample(x)`` for ``x`` where there is one."""
        around = x if self.downsample is None else self.downsample(x)
        return F.Activation(self.body(x) + around, act_type="relu")


def _conv3x3(channels: int, stride: int) -> nn.Conv2D:
    return nn.Conv2D(channels, kernel_size=3, strides=stride, padding=1, use_bias=False)


def resnet() -> nn.HybridSequential:
    """Three stages of residual blocks over 28x28 grey pictures."""
    net = nn.HybridSequential(prefix="resnet_")
    with net.name_scope():
        net.add(_conv3x3(STAGES[0][0], 1), nn.BatchNorm(), nn.Activation("relu"))
        before = STAGES[0][0]
        for channels, stride, blocks in STAGES:
            net.add(BasicBlockV1(channels, stride, downsample=channels != before or stride != 1))
            for _ in range(blocks - 1):
                net.add(BasicBlockV1(channels, 1, downsample=False))
            before = channels
        net.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    return net


def as_input(pictures: np.ndarray) -> np.ndarray:
    """Pictures as the network takes them: ``(N, 1, 28, 28)`` float32 in 0..1."""
    return (pictures[:, np.newaxis] / 255).astype(np.float32)


def main() -> None:
    """Train, measure on digits held out of training, export."""
    mx.random.seed(0)
    learn, held = split_digits()
    net = resnet()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    train(net, learn, as_input=as_input, epochs=10, learning_rate=4e-3)
    right = share_right(net, held, as_input=as_input)
    first_of_each = [int(np.flatnonzero(held.labels == digit)[0]) for digit in range(10)]
    rows = as_input(held.pictures[first_of_each])
    export(net, NAME, rows, outputs=["digits"], description=DESCRIPTION)
    record_figures(NAME, learned_from=len(learn), held_out=len(held), held_out_right=right)


if __name__ == "__main__":
    main()
