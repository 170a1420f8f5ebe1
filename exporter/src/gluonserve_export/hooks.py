"""The places in MXNet that a recording listens at, put back when it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import mxnet as mx
from mxnet import gluon
from mxnet.ndarray import register

if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Tuple

    Listener = Callable[..., Any]

_VIEWS = {"reshape", "__getitem__", "detach", "as_np_ndarray", "as_nd_ndarray"}
_READS = {"asnumpy", "__bool__", "__nonzero__", "to_dlpack_for_read", "to_dlpack_for_write"}
_WRITES = {"_sync_copyfrom"}

METHODS = _VIEWS | _READS | _WRITES


@contextlib.contextmanager
def listening(
    *, invoke: Listener, call: Listener, methods: Callable[[str, Listener], Listener]
) -> Iterator[None]:
    """Until the end, let these run in place of MXNet's functions.

    ``invoke`` and ``call`` get the original function and its arguments; ``methods`` makes, from the
    name of an array's method and the original, what runs instead. In MXNet 1.5 to 1.9 all generated
    functions of ``nd`` and ``np`` call ``mxnet.ndarray.register._imperative_invoke``; versions
    differ in its last arguments only. Views and reads go around it.
    """
    with contextlib.ExitStack() as undo:
        original = register._imperative_invoke
        _put(undo, register, "_imperative_invoke", _with(invoke, original))
        _put(undo, gluon.Block, "__call__", _with(call, gluon.Block.__call__))
        for owner in _kinds_of_arrays():
            for name in sorted(METHODS & vars(owner).keys()):
                _put(undo, owner, name, methods(name, getattr(owner, name)))
        for owner, name, new in _generated_instead():
            _put(undo, owner, name, new)
        yield


def _generated_instead() -> List[Tuple[Any, str, Listener]]:
    """Since 1.7 two functions of the NumPy interface go another way; the usual one is left."""
    try:
        from mxnet.ndarray.numpy import _api_internal, _internal  # noqa: PLC0415 - since 1.7
    except ImportError:
        return []

    def zeros(shape: Any, dtype: Any, ctx: Any) -> Any:
        return _internal.zeros(shape=shape, dtype=dtype or "float32", ctx=ctx)

    def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
        if isinstance(axes, int):
            return _internal.tensordot_int_axes(a, b, axes)
        left, right = ((one,) if isinstance(one, int) else tuple(one) for one in axes)
        return _internal.tensordot(a, b, left, right)

    ways: List[Tuple[str, Listener]] = [("zeros", zeros), ("tensordot", tensordot)]
    return [(_api_internal, name, new) for name, new in ways if hasattr(_api_internal, name)]


def _kinds_of_arrays() -> Tuple[Any, ...]:
    """The classes of both interfaces; of the NumPy interface, reshape() calls an operator."""
    numpy = getattr(getattr(mx, "np", None), "ndarray", None)
    return (mx.nd.NDArray,) if numpy is None else (mx.nd.NDArray, numpy)


def _with(listener: Listener, original: Listener) -> Listener:
    def run(*args: Any, **kwargs: Any) -> Any:
        return listener(original, *args, **kwargs)

    return run


def _put(undo: contextlib.ExitStack, owner: Any, name: str, new: Any) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, new)
