"""Batches of no rows, which MXNet answers and some engines refuse: answered without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gluonserve.executors.protocol import Executor
    from gluonserve.tensors import Signature, TensorSpec


class EmptyLease:
    """A lease on no rows; its outputs have the right shapes, and none of the engine's memory."""

    def __init__(self, signature: Signature, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._signature = signature
        self._shapes = shapes
        self.inputs: Mapping[str, np.ndarray] = {
            spec.name: np.zeros(shapes[spec.name], spec.dtype.numpy) for spec in signature.inputs
        }
        self.outputs: Mapping[str, np.ndarray] = {}

    def answer(self, executor: Executor) -> None:
        """Fill ``outputs``: from the signature if it tells all, else from one row of zeros."""
        specs = self._signature.outputs
        if all(_declared(spec) is not None for spec in specs):
            self.outputs = {s.name: np.empty(_declared(s) or (), s.dtype.numpy) for s in specs}
            return
        lease = executor.lease(_with_one_row(self._signature, self._shapes))
        try:
            for name, array in lease.inputs.items():
                array[...] = self.inputs[name] if self.inputs[name].size else 0
            executor.run(lease)
            self.outputs = {s.name: _no_rows(s, lease.outputs[s.name]) for s in specs}
        finally:
            lease.release()

    def release(self) -> None:
        """Nothing is held."""


def _declared(spec: TensorSpec) -> tuple[int, ...] | None:
    """The shape of this output for no rows, where its declaration leaves only the rows open."""
    if spec.batch_axis is None:
        return None
    shape = [0 if axis == spec.batch_axis else size for axis, size in enumerate(spec.shape)]
    return None if -1 in shape else tuple(shape)


def _with_one_row(
    signature: Signature, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    return {
        spec.name: tuple(
            1 if axis == spec.batch_axis else size for axis, size in enumerate(shapes[spec.name])
        )
        for spec in signature.inputs
    }


def _no_rows(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    """None of the rows of an output that has rows; all of one that has not."""
    if spec.batch_axis is None:
        return array.copy()
    return np.take(array, [], axis=spec.batch_axis)
