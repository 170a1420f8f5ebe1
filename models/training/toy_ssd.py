"""Makes models/toy_ssd and models/toy_ssd_detect: the tutorial's detector, on drawn scenes.

Run in the environment that has MXNet: ``python models/training/toy_ssd.py``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import HybridBlock, nn

from detecting import share_found
from digits import Digits, small_digits, split_digits
from recording import export, record_figures
from scenes import Scenes, draw_scenes

if TYPE_CHECKING:
    from types import ModuleType

PICTURE = "a 128x128 colour picture (0 to 1)"
DESCRIPTIONS = {
    "toy_ssd": f"ToySSD: anchors, class scores and box offsets for digits in {PICTURE}",
    "toy_ssd_detect": f"ToySSD with detection: digits in {PICTURE}, as class, score, left, top, "
    "right, bottom",
}
CLASSES = 10
SIZES = ((0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961))
RATIOS = (1, 2, 0.5)
ANCHORS_PER_PLACE = 2 + len(RATIOS) - 1
EPOCHS, SCENES_PER_EPOCH, BATCH = 30, 1024, 32


def _down_sampler(channels: int) -> nn.HybridSequential:
    """Half the height and width: two rounds of 3x3 convolution, then pooling."""
    block = nn.HybridSequential()
    for _ in range(2):
        block.add(
            nn.Conv2D(channels, kernel_size=3, padding=1),
            nn.BatchNorm(in_channels=channels),
            nn.Activation("relu"),
        )
    block.add(nn.MaxPool2D(2))
    return block


class ToySSD(HybridBlock):
    """Single-shot detector with five scales: anchors, class predictions and box predictions.

    The anchors are the same for every picture of a batch, so they come once: ``(1, A, 4)``.
    """

    def __init__(self, **kwargs: str) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential()
            self.body.add(*(_down_sampler(channels) for channels in (16, 32, 64)))
            self.downsamplers = nn.HybridSequential()
            self.downsamplers.add(*(_down_sampler(64) for _ in range(3)))
            self.class_predictors = nn.HybridSequential()
            self.box_predictors = nn.HybridSequential()
            for _ in SIZES:
                scores = ANCHORS_PER_PLACE * (CLASSES + 1)
                self.class_predictors.add(nn.Conv2D(scores, kernel_size=3, padding=1))
                self.box_predictors.add(nn.Conv2D(ANCHORS_PER_PLACE * 4, kernel_size=3, padding=1))

    def hybrid_forward(self, F: ModuleType, x: Any) -> tuple[Any, Any, Any]:  # noqa: N803 - Gluon's name
        """Anchors ``(1, A, 4)``, class scores ``(N, A, 11)`` and box offsets ``(N, 4 A)``."""
        anchors, classes, boxes = [], [], []
        x = self.body(x)
        for scale, sizes in enumerate(SIZES):
            if scale in (1, 2, 3):
                x = self.downsamplers[scale - 1](x)
            elif scale == 4:
                x = F.Pooling(x, global_pool=True, pool_type="max", kernel=(4, 4))
            anchors.append(F.contrib.MultiBoxPrior(x, sizes=sizes, ratios=RATIOS))
            classes.append(_by_place(F, self.class_predictors[scale](x)))
            boxes.append(_by_place(F, self.box_predictors[scale](x)))
        scores = F.concat(*classes, dim=1)
        return (
            F.concat(*anchors, dim=1, name="anchors"),
            F.reshape(scores, shape=(0, -1, CLASSES + 1), name="classes"),
            F.concat(*boxes, dim=1, name="boxes"),
        )


class ToySSDDetect(HybridBlock):
    """A ToySSD that picks its detections itself: rows of class, score and corners, -1 unused."""

    def __init__(self, ssd: ToySSD, **kwargs: str) -> None:
        super().__init__(**kwargs)
        self.ssd = ssd

    def hybrid_forward(self, F: ModuleType, x: Any) -> Any:  # noqa: N803 - Gluon's name
        """Detections ``(N, A, 6)``, the surest first."""
        anchors, scores, boxes = self.ssd(x)
        probabilities = F.transpose(F.softmax(scores, axis=-1), axes=(0, 2, 1))
        return F.contrib.MultiBoxDetection(
            probabilities, boxes, anchors, threshold=0.05, nms_threshold=0.45, force_suppress=True,
            nms_topk=200, name="detections",
        )  # fmt: skip


def _by_place(F: ModuleType, predictions: Any) -> Any:  # noqa: N803 - Gluon's name
    return F.flatten(F.transpose(predictions, axes=(0, 2, 3, 1)))


def as_input(pictures: np.ndarray) -> np.ndarray:
    """Pictures as the network takes them: ``(N, 3, SIDE, SIDE)`` float32 in 0..1."""
    return np.ascontiguousarray(np.moveaxis(pictures, -1, 1) / 255, dtype=np.float32)


def train(net: ToySSD, digits: Digits) -> None:
    """Adam on scenes drawn afresh every epoch; the learning rate falls along a cosine."""
    random = np.random.default_rng(0)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"wd": 1e-5})
    started = time.perf_counter()
    for epoch in range(EPOCHS):
        trainer.set_learning_rate(4e-3 * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2 + 1e-5)
        scenes = draw_scenes(SCENES_PER_EPOCH, digits, random)
        total = 0.0
        for begin in range(0, len(scenes), BATCH):
            pictures = mx.nd.array(as_input(scenes.pictures[begin : begin + BATCH]))
            boxes = mx.nd.array(scenes.boxes[begin : begin + BATCH])
            with autograd.record():
                loss = _loss(*net(pictures), boxes)
            loss.backward()
            trainer.step(1)
            total += loss.asscalar()
        seconds = time.perf_counter() - started
        print(
            f"epoch {epoch + 1}/{EPOCHS}: loss {total * BATCH / len(scenes):.3f}, {seconds:.0f} s",
            flush=True,
        )


def _loss(anchors: Any, scores: Any, offsets: Any, boxes: Any) -> Any:
    """Cross entropy over matched anchors and three background ones for each, plus box error."""
    with autograd.pause():
        goals, matched, classes = mx.nd.contrib.MultiBoxTarget(
            anchors, boxes, scores.transpose((0, 2, 1)),
            overlap_threshold=0.5, ignore_label=-1, negative_mining_ratio=3,
            negative_mining_thresh=0.5, minimum_negative_samples=8,
        )  # fmt: skip
        used = classes >= 0
        matches = (classes > 0).sum() + 1
    surprise = -mx.nd.pick(mx.nd.log_softmax(scores), mx.nd.maximum(classes, 0), axis=-1)
    of_boxes = mx.nd.smooth_l1((offsets - goals) * matched, scalar=1)
    return (mx.nd.sum(surprise * used) + mx.nd.sum(of_boxes)) / matches


def main() -> None:
    """Train, measure on scenes of digits held out of training, export twice."""
    mx.random.seed(0)
    learn, held = _split_small()
    net = ToySSD(prefix="toyssd_")
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    train(net, learn)
    detector = ToySSDDetect(net, prefix="toyssddetect_")
    unseen = draw_scenes(400, held, np.random.default_rng(7))
    detections = _detect(detector, unseen)
    figures = share_found(detections, unseen.boxes)
    rows = as_input(unseen.pictures[:4])
    for made, name, outputs in (
        (net, "toy_ssd", ["anchors", "classes", "boxes"]),
        (detector, "toy_ssd_detect", ["detections"]),
    ):
        export(made, name, rows, outputs=outputs, description=DESCRIPTIONS[name])
    for name in ("toy_ssd", "toy_ssd_detect"):
        record_figures(name, unseen_scenes=len(unseen), **figures)


def _split_small() -> tuple[Digits, Digits]:
    """The 8x8 digits, parted as the classifiers part them."""
    return split_digits(side=small_digits().pictures.shape[1])


def _detect(detector: ToySSDDetect, scenes: Scenes) -> np.ndarray:
    parts = [
        detector(mx.nd.array(as_input(scenes.pictures[begin : begin + BATCH]))).asnumpy()
        for begin in range(0, len(scenes), BATCH)
    ]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
