"""The places in MXNet that a recording listens at, put back when it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import mxnet as mx
from mxnet import gluon
from mxnet.ndarray import register

if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    Listener = Callable[..., Any]

_VIEWS = ("reshape", "__getitem__", "detach")
_READS = ("asnumpy", "__bool__", "__nonzero__", "to_dlpack_for_read", "to_dlpack_for_write")
_WRITES = ("_sync_copyfrom",)

METHODS = _VIEWS + _READS + _WRITES


@contextlib.contextmanager
def listening(
    *, invoke: Listener, call: Listener, methods: Callable[[str, Listener], Listener]
) -> Iterator[None]:
    """Until the end, let these run in place of MXNet's functions.

    ``invoke`` and ``call`` get the original function and its arguments; ``methods`` makes, from the
    name of an array's method and the original, what runs instead. In MXNet 1.5 to 1.9 all generated
    functions of ``nd`` call ``mxnet.ndarray.register._imperative_invoke``; versions differ in its
    last arguments only. Views and reads go around it.
    """
    with contextlib.ExitStack() as undo:
        original = register._imperative_invoke
        _put(undo, register, "_imperative_invoke", _with(invoke, original))
        _put(undo, gluon.Block, "__call__", _with(call, gluon.Block.__call__))
        for name in METHODS:
            if hasattr(mx.nd.NDArray, name):
                method = methods(name, getattr(mx.nd.NDArray, name))
                _put(undo, mx.nd.NDArray, name, method)
        yield


def _with(listener: Listener, original: Listener) -> Listener:
    def run(*args: Any, **kwargs: Any) -> Any:
        return listener(original, *args, **kwargs)

    return run


def _put(undo: contextlib.ExitStack, owner: Any, name: str, new: Any) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, new)
