"""Arrays in nested results: taking them apart, drawing others like them, comparing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

from gluonserve_export.errors import ExportError

if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Tuple

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_LOOSE = {"float16": (1e-2, 1e-2)}
_TIGHT = (1e-4, 1e-5)


def known_dtype(name: str) -> np.dtype:
    """The data type of this name.

    Raises:
        ExportError: there is none that models are served with.
    """
    if name not in DATATYPES:
        raise ExportError(f"{name!r} is no data type; there are {', '.join(DATATYPES)}")
    return np.dtype(name)


def leaves(nested: Any, path: str = "") -> List[Tuple[str, Any]]:
    """Every leaf of lists, tuples and dictionaries with its path, ``[0]["boxes"]``."""
    if isinstance(nested, (list, tuple)):
        inner = [(f"{path}[{at}]", value) for at, value in enumerate(nested)]
    elif isinstance(nested, dict):
        inner = [(f'{path}["{key}"]', value) for key, value in nested.items()]
    else:
        return [(path, nested)]
    return [leaf for where, value in inner for leaf in leaves(value, where)]


def arrays_of(nested: Any) -> List[Any]:
    """Its leaves that are something, in order."""
    return [leaf for _, leaf in leaves(nested) if leaf is not None]


def waited(nested: Any) -> Any:
    """The same, its arrays computed: what fails there fails here, and not somewhere later."""
    for array in arrays_of(nested):
        if is_array(array):
            array.wait_to_read()
    return nested


def regroup(nested: Any, replacements: Sequence[Any]) -> Any:
    """The same nesting around other leaves; None stays."""
    left = list(replacements)

    def place(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return [place(one) for one in part]
        if isinstance(part, dict):
            return {key: place(one) for key, one in part.items()}
        return None if part is None else left.pop(0)

    return place(nested)


def is_array(value: Any) -> bool:
    """Whether it is MXNet's array, of either interface."""
    return isinstance(value, mx.nd.NDArray)


def is_numpy_interface(value: Any) -> bool:
    """Whether it is an array of MXNet's NumPy interface."""
    return is_array(value) and type(value) is not mx.nd.NDArray and hasattr(value, "as_nd_ndarray")


def like(array: Any, values: np.ndarray) -> Any:
    """``values`` as an array of the kind, type and place of ``array``."""
    made = mx.nd.array(values, dtype=array.dtype, ctx=array.context)
    return made.as_np_ndarray() if is_numpy_interface(array) else made


def drawn(values: np.ndarray, shape: Sequence[int], random: np.random.RandomState) -> np.ndarray:
    """Fresh values of the range and kind that ``values`` has: whole numbers stay whole."""
    if values.dtype == np.bool_:
        return random.rand(*shape) < 0.5
    if values.size == 0:
        return np.zeros(shape, values.dtype)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 1.0
    whole = values.dtype.kind in "iu" or bool((values == np.round(values)).all())
    if low == high and values.dtype.kind == "f":  # zeros or ones to say a shape; as indices alike
        whole, high = False, low + 1
    if low == high and values.dtype == np.uint8:
        low, high = 0, 255
    if whole:
        return random.randint(int(low), int(high) + 1, size=tuple(shape)).astype(values.dtype)
    return random.uniform(low, high, size=tuple(shape)).astype(values.dtype)


def difference(actual: np.ndarray, expected: np.ndarray) -> Optional[str]:
    """How ``actual`` is not ``expected``, in words; None where it is."""
    if actual.shape != expected.shape:
        return f"shape {list(actual.shape)} instead of {list(expected.shape)}"
    if actual.dtype != expected.dtype:
        return f"{actual.dtype} instead of {expected.dtype}"
    if actual.size == 0:
        return None
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    relative, absolute = _LOOSE.get(expected.dtype.name, _TIGHT)
    finite = np.abs(right[np.isfinite(right)])
    scale = max(1.0, float(finite.max()) if finite.size else 1.0)
    if np.allclose(left, right, rtol=relative, atol=absolute * scale, equal_nan=True):
        return None
    with np.errstate(invalid="ignore"):
        worst = np.nanmax(np.abs(left - right))
    return f"values differ by up to {worst:.3g}"
