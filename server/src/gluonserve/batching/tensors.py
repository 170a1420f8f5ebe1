"""Where rows lie in tensors: measuring requests, stacking them into a batch, splitting answers.

Everything works on any batch axis. Tensors without one are the same for a whole batch: such inputs
must agree among the requests of a batch, such outputs are given whole to each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gluonserve.errors import ExecutionFailed, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from gluonserve.tensors import Signature

_SMALL_BYTES = 4096  # shared inputs up to this size are compared by value, larger ones by identity


class Measure(NamedTuple):
    """What the queue needs to know of a request's tensors."""

    rows: int
    nbytes: int
    company: Hashable | None
    """Equal for requests that may be stacked; None where there is nothing to stack along."""


class RowLayout:
    """The batch axes of one signature, prepared for the hot path."""

    def __init__(self, signature: Signature) -> None:
        self._inputs = tuple((s.name, s.dtype.numpy, s.batch_axis) for s in signature.inputs)
        self._outputs = tuple((s.name, s.batch_axis) for s in signature.outputs)
        self._proven = signature.batchable

    def measure(self, inputs: Mapping[str, np.ndarray]) -> Measure:
        """Rows, bytes and company of one request.

        Raises:
            InvalidRequest: these arrays could not be stacked with any others.
        """
        if len(inputs) != len(self._inputs):
            raise self._wrong_names(inputs)
        rows, nbytes = -1, 0
        company: list[Hashable] = []
        for name, dtype, axis in self._inputs:
            array = inputs.get(name)
            if not isinstance(array, np.ndarray):
                raise self._wrong_names(inputs)
            if array.dtype != dtype:
                raise InvalidRequest(f"input {name!r} is {array.dtype}, expected {dtype}")
            nbytes += array.nbytes
            if axis is None:
                company.append(_identity(array))
                continue
            shape = array.shape
            if axis >= len(shape):
                raise InvalidRequest(f"input {name!r} of shape {shape} has no batch axis {axis}")
            if rows != shape[axis]:
                if rows >= 0:
                    raise InvalidRequest(f"input {name!r} has {shape[axis]} rows, others {rows}")
                rows = shape[axis]
            company.append(shape[:axis] + shape[axis + 1 :])
        if rows <= 0:
            return Measure(1 if rows < 0 else 0, nbytes, None)
        return Measure(rows, nbytes, tuple(company))

    def _wrong_names(self, inputs: Mapping[str, np.ndarray]) -> InvalidRequest:
        expected = ", ".join(repr(name) for name, _, _ in self._inputs)
        kinds = ", ".join(f"{name!r}: {type(value).__name__}" for name, value in inputs.items())
        return InvalidRequest(
            f"expected one array for each of {expected}; got {kinds or 'nothing'}"
        )

    def shapes(
        self, requests: Sequence[Mapping[str, np.ndarray]], rows: int
    ) -> dict[str, tuple[int, ...]]:
        """The input shapes of a batch of so many rows."""
        first = requests[0]
        shapes = {}
        for name, _, axis in self._inputs:
            shape = first[name].shape
            if axis is not None and rows != shape[axis]:
                shape = (*shape[:axis], rows, *shape[axis + 1 :])
            shapes[name] = shape
        return shapes

    def stack(
        self,
        requests: Sequence[Mapping[str, np.ndarray]],
        rows: int,
        into: Mapping[str, np.ndarray],
    ) -> None:
        """Copy the requests' rows one after another into the batch; repeat the last to fill it.

        Padding repeats a real row, because zeros need not be values that the network can take.
        """
        for name, _, axis in self._inputs:
            target = into[name]
            if axis is None or (len(requests) == 1 and target.shape == requests[0][name].shape):
                np.copyto(target, requests[0][name])
                continue
            arrays = [inputs[name] for inputs in requests]
            if rows < target.shape[axis]:
                target[_rows(axis, rows, None)] = arrays[-1][_rows(axis, -1, None)]
                target = target[_rows(axis, 0, rows)]
            np.concatenate(arrays, axis=axis, out=target)

    def detach(
        self, outputs: Mapping[str, np.ndarray], rows: int, padded: int
    ) -> dict[str, np.ndarray]:
        """Copies of a batch's outputs, without padding, that outlive the lease.

        One copy per output and batch; the callers' rows are views into it. What several callers
        share is made read-only.

        Raises:
            ExecutionFailed: an output is missing, or has another number of rows than the batch.
        """
        detached = {}
        for name, axis in self._outputs:
            if name not in outputs:
                raise ExecutionFailed(f"the engine gave no output {name!r}")
            array = outputs[name]
            if axis is None:
                detached[name] = shared = array.copy()
                shared.flags.writeable = False
                continue
            if self._proven and (array.ndim <= axis or array.shape[axis] != padded):
                got = array.shape[axis] if array.ndim > axis else "no"
                raise ExecutionFailed(f"output {name!r} has {got} rows for a batch of {padded}")
            detached[name] = (array[_rows(axis, 0, rows)] if rows < padded else array).copy()
        return detached

    def split(
        self, outputs: Mapping[str, np.ndarray], start: int, stop: int
    ) -> dict[str, np.ndarray]:
        """One request's rows of every output, as views."""
        return {
            name: (
                outputs[name][start:stop]
                if axis == 0
                else outputs[name]
                if axis is None
                else outputs[name][_rows(axis, start, stop)]
            )
            for name, axis in self._outputs
        }


def rows_of(signature: Signature, inputs: Mapping[str, np.ndarray]) -> int:
    """How many rows a request has; 1 where no input has a batch axis.

    Raises:
        InvalidRequest: the inputs do not agree, or are not the signature's.
    """
    return RowLayout(signature).measure(inputs).rows


def take_rows(array: np.ndarray, axis: int | None, rows: Sequence[int]) -> np.ndarray:
    """These rows of an array, in this order; an array without a batch axis whole."""
    return array if axis is None else np.take(array, rows, axis=axis)


def _rows(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))


def _identity(array: np.ndarray) -> Hashable:
    """Equal for shared inputs of the same value; large ones only if they are the same array."""
    if array.nbytes <= _SMALL_BYTES:
        return array.shape, array.tobytes()
    return id(array)
