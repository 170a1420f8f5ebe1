"""What MXNet's library says about the operators behind its generated functions."""

from __future__ import annotations

import ctypes
import functools
import re
from dataclasses import dataclass

import mxnet as mx
from mxnet.base import _LIB, check_call

VERSION = tuple(int(part) for part in re.findall(r"\d+", mx.__version__)[:3])
"""MXNet's own, three numbers."""

_Text = ctypes.c_char_p
_Texts = ctypes.POINTER(ctypes.c_char_p)


@dataclass(frozen=True)
class Operator:
    """Its name, and the attribute that counts its inputs where any number may be given."""

    name: str
    counts: str


@functools.lru_cache(maxsize=None)
def operator(handle: int) -> Operator:
    """The operator of a handle that a generated function calls."""
    name, description, count_key, returns = _Text(), _Text(), _Text(), _Text()
    count = ctypes.c_uint()
    names, types, descriptions = _Texts(), _Texts(), _Texts()
    check_call(
        _LIB.MXSymbolGetAtomicSymbolInfo(
            ctypes.c_void_p(handle),
            ctypes.byref(name),
            ctypes.byref(description),
            ctypes.byref(count),
            ctypes.byref(names),
            ctypes.byref(types),
            ctypes.byref(descriptions),
            ctypes.byref(count_key),
            ctypes.byref(returns),
        )
    )
    return Operator(_decoded(name), _decoded(count_key))


def _decoded(text: ctypes.c_char_p) -> str:
    return (text.value or b"").decode()
