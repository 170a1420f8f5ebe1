"""What MXNet's library says about the operators behind its generated functions."""

from __future__ import annotations

import ctypes
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, check_call

if TYPE_CHECKING:
    from typing import Any, Dict, Sequence, Tuple

VERSION = tuple(int(part) for part in re.findall(r"\d+", mx.__version__)[:3])
"""MXNet's own, three numbers."""

OF_SHAPES = {"shape_array", "size_array", "zeros_like", "ones_like", "_contrib_MultiBoxPrior"}
"""Operators whose answers depend on shapes only."""

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


def without_writing(
    op: str, attributes: Dict[str, str], arrays: Sequence[Any], outputs: Sequence[Any]
) -> Tuple[str, Dict[str, str]]:
    """The operator that computes what this one writes: copies become values."""
    if op != "_copyto":
        return op, attributes
    if arrays[0].dtype == outputs[0].dtype:
        return "_copy", {}
    return "Cast", {"dtype": np.dtype(outputs[0].dtype).name}


def _decoded(text: ctypes.c_char_p) -> str:
    return (text.value or b"").decode()
