"""Trains a Gluon network that tells digits apart, and says how often it is right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from digits import Digits, jitter

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 64


def train(
    net: gluon.HybridBlock,
    digits: Digits,
    *,
    as_input: Callable[[np.ndarray], np.ndarray],
    epochs: int,
    learning_rate: float = 2e-3,
) -> None:
    """Adam on jittered digits; the learning rate falls along a cosine to nothing."""
    random = np.random.default_rng(0)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"wd": 1e-4})
    criterion = gluon.loss.SoftmaxCrossEntropyLoss()
    started = time.perf_counter()
    for epoch in range(epochs):
        trainer.set_learning_rate(learning_rate * (1 + np.cos(np.pi * epoch / epochs)) / 2)
        order = random.permutation(len(digits))
        total = 0.0
        for begin in range(0, len(digits) - BATCH + 1, BATCH):
            rows = order[begin : begin + BATCH]
            data = as_input(jitter(digits.pictures[rows], random))
            with autograd.record():
                loss = criterion(
                    net(mx.nd.array(data, dtype=data.dtype)), mx.nd.array(digits.labels[rows])
                )
            loss.backward()
            trainer.step(BATCH)
            total += loss.sum().asscalar()
        seconds = time.perf_counter() - started
        print(
            f"epoch {epoch + 1}/{epochs}: loss {total / len(digits):.4f}, {seconds:.0f} s",
            flush=True,
        )


def share_right(
    net: gluon.HybridBlock, digits: Digits, *, as_input: Callable[[np.ndarray], np.ndarray]
) -> float:
    """How much of ``digits`` the network names rightly, 0 to 1."""
    data = as_input(digits.pictures)
    scores = net(mx.nd.array(data, dtype=data.dtype)).asnumpy()
    return float((scores.argmax(axis=1) == digits.labels).mean())
