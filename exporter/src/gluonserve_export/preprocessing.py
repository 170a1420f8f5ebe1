"""Preprocessing put in front of a network, inside its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mxnet import gluon
from mxnet.gluon.data.vision import transforms

if TYPE_CHECKING:
    from typing import Any


class Preprocessed(gluon.Block):  # type: ignore[misc]  # MXNet has no types
    """A network behind transforms that take whole batches, ``(N, H, W, C)`` where pictures come in.

    It has no prefix of its own, so that all names stay the network's.
    """

    def __init__(self, before: gluon.Block, net: gluon.Block) -> None:
        super().__init__(prefix="")
        self.before = before
        self.net = net
        self._steps = list(_steps(before))

    def forward(self, first: Any, *others: Any) -> Any:
        """The network's answer to the transformed first input."""
        for step in self._steps:
            first = step(first)
        return self.net(first, *others)


def _steps(block: gluon.Block) -> Any:
    """The transforms one by one, plain ones that work on single pictures as ones for batches."""
    if type(block) in (transforms.Compose, gluon.nn.Sequential, gluon.nn.HybridSequential):
        for child in block._children.values():
            yield from _steps(child)
    elif type(block) is transforms.CenterCrop:
        yield _CenterCrop(*block._args)
    else:
        yield block


class _CenterCrop(gluon.Block):  # type: ignore[misc]  # MXNet has no types
    """The middle of ``(N, H, W, C)``, enlarged where it is smaller, as ``image.center_crop``."""

    def __init__(self, size: Any, interpolation: int) -> None:
        super().__init__(prefix="")
        self._width, self._height = size
        self._interpolation = interpolation

    def forward(self, pictures: Any) -> Any:
        height, width = pictures.shape[1:3]
        scale = min(1.0, width / self._width, height / self._height)
        wide, high = int(self._width * scale), int(self._height * scale)
        left, top = (width - wide) // 2, (height - high) // 2
        middle = pictures[:, top : top + high, left : left + wide]
        if scale == 1:
            return middle
        return transforms.Resize((self._width, self._height), interpolation=self._interpolation)(
            middle
        )
