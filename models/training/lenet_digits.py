"""Makes models/lenet_digits: LeNet on handwritten digits, pictures in, scores out.

Run in the environment that has MXNet: ``python models/training/lenet_digits.py``.
"""

from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet.gluon import nn
from mxnet.gluon.data.vision import transforms

from classifier import share_right, train
from digits import split_digits
from recording import export, record_figures

NAME = "lenet_digits"
DESCRIPTION = "LeNet: which handwritten digit a 28x28 grey picture shows (white on black)"


def lenet() -> nn.HybridSequential:
    """The network of the Gluon tutorials, with its preprocessing as the first layer."""
    net = nn.HybridSequential(prefix="lenet_")
    with net.name_scope():
        net.add(
            transforms.ToTensor(),
            nn.Conv2D(channels=20, kernel_size=5, activation="relu"),
            nn.MaxPool2D(pool_size=2, strides=2),
            nn.Conv2D(channels=50, kernel_size=5, activation="relu"),
            nn.MaxPool2D(pool_size=2, strides=2),
            nn.Flatten(),
            nn.Dense(512, activation="relu"),
            nn.Dense(10),
        )
    return net


def as_input(pictures: np.ndarray) -> np.ndarray:
    """Pictures as the network takes them: ``(N, 28, 28, 1)`` uint8."""
    return pictures[..., np.newaxis]


def main() -> None:
    """Train, measure on digits held out of training, export."""
    mx.random.seed(0)
    learn, held = split_digits()
    net = lenet()
    net.initialize(mx.init.Xavier())
    net.hybridize()
    train(net, learn, as_input=as_input, epochs=12)
    right = share_right(net, held, as_input=as_input)
    first_of_each = [int(np.flatnonzero(held.labels == digit)[0]) for digit in range(10)]
    rows = as_input(held.pictures[first_of_each])
    export(net, NAME, rows, outputs=["digits"], description=DESCRIPTION)
    record_figures(NAME, learned_from=len(learn), held_out=len(held), held_out_right=right)


if __name__ == "__main__":
    main()
