"""How weights reach an engine: by reference into the mapped parameter file, never through ONNX."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np
import onnx

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gluonserve.loader.importing import Lowered


class _Borrowed:
    """Another array's memory under a writable flag: engines take only such arrays, to read them."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array  # keeps the mapping alive
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }


def borrowed(array: np.ndarray) -> np.ndarray:
    """The same memory as an array that bindings accept; a copy only where it is misaligned."""
    if not (array.flags.aligned and array.flags.c_contiguous):
        return np.array(array, order="C")
    return array if array.flags.writeable or not array.size else np.asarray(_Borrowed(array))


def weights_as_inputs(lowered: Lowered) -> onnx.ModelProto:
    """The structure with every weight as a graph input, for engines that replace inputs."""
    model = _without_weights(lowered)
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, _onnx_type(array), array.shape)
        for name, array in lowered.weights.items()
    )
    return model


def weights_declared_external(lowered: Lowered) -> onnx.ModelProto:
    """The structure with every weight as external data, which the session's options then supply."""
    model = _without_weights(lowered)
    for name, array in lowered.weights.items():
        tensor = model.graph.initializer.add(
            name=name, data_type=_onnx_type(array), dims=array.shape
        )
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="params")
        tensor.external_data.add(key="offset", value="0")
        tensor.external_data.add(key="length", value=str(array.nbytes))
    return model


def let_pages_go(weights: Iterable[np.ndarray]) -> None:
    """Tell the system that the mapped files behind these arrays need not stay in memory.

    An engine has its own packed copy by now; what it reads again comes back from the file.
    """
    if not hasattr(mmap, "MADV_DONTNEED"):  # Windows: pages go when memory is short
        return
    mappings = {id(found): found for array in weights if (found := _mapping_of(array)) is not None}
    for mapping in mappings.values():
        if not mapping.closed:
            mapping.madvise(mmap.MADV_DONTNEED)


def _mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """The read-only mapping that an array is a view of, however deep."""
    owner: object = array
    while owner is not None:
        if isinstance(owner, mmap.mmap):
            return owner if memoryview(owner).readonly else None
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return None


def _without_weights(lowered: Lowered) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(lowered.model)
    initializers = [t for t in model.graph.initializer if t.name not in lowered.weights]
    inputs = [entry for entry in model.graph.input if entry.name not in lowered.weights]
    del model.graph.initializer[:], model.graph.input[:]
    model.graph.initializer.extend(initializers)
    model.graph.input.extend(inputs)
    return model


def _onnx_type(array: np.ndarray) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
