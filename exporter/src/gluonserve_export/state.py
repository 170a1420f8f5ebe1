"""Running a network without changing it: what its Blocks and Parameters hold is put back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import mxnet as mx
from mxnet import gluon

from gluonserve_export.networks import blocks, parameters

if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Tuple

    Restore = Callable[[], None]


@contextlib.contextmanager
def preserved(net: gluon.Block) -> Iterator[None]:
    """Inside, the network runs imperatively, in inference mode; afterwards it is as it was.

    Attributes, children, parameters (initialisation that was put off included), caches and whether
    it is hybridized are put back. Arrays are not copied: nothing here writes into one.
    """
    things: List[Any] = [block for _, block in blocks(net).values()]
    things += [block._scope for block in things]
    things += [block.params for block in things if isinstance(block, gluon.Block)]
    things += [parameter for parameter, _ in parameters(net).values()]
    restores = [_snapshot(thing) for thing in things]
    for thing in things:
        if isinstance(thing, gluon.HybridBlock):
            vars(thing)["_active"] = False
    try:
        with mx.autograd.pause(train_mode=False), mx.name.NameManager():
            yield
    finally:
        for restore in restores:
            restore()


@contextlib.contextmanager
def imperative(block: gluon.Block) -> Iterator[None]:
    """Inside, this Block and what it holds run imperatively."""
    active = [one for _, one in blocks(block).values() if getattr(one, "_active", False)]
    for one in active:
        vars(one)["_active"] = False
    try:
        yield
    finally:
        for one in active:
            vars(one)["_active"] = True


def _snapshot(thing: Any) -> Restore:
    before: Dict[str, Any] = dict(vars(thing))
    contents: List[Tuple[Any, Any]] = [
        (value, value.copy())
        for value in before.values()
        if isinstance(value, (list, dict, set)) and value is not before
    ]

    def restore() -> None:
        vars(thing).clear()
        vars(thing).update(before)
        for value, content in contents:
            value.clear()
            value.extend(content) if isinstance(value, list) else value.update(content)

    return restore
