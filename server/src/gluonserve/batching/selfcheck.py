"""Whether rows may share a batch: the same rows one by one and in company, compared.

Shape inference proves where rows lie, not that they leave each other alone. A softmax over axis 0,
a reduction over everything or a reshape that folds the batch keeps every shape and mixes the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gluonserve.batching.tensors import RowLayout, take_rows
from gluonserve.errors import ExecutionFailed, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gluonserve.executors.protocol import Executor
    from gluonserve.tensors import Signature, TensorSpec

TOLERANCE = 1e-4
FREE_SIZES = (16, 64, 224, 4)
"""What free dimensions are tried with where nothing says what fits."""
_ROWS = 5
_MOST_ROWS = 8
_TINY = 1e-6
_MOST_BYTES = 2**31
"""The most that is generated: no request can carry more, and a stated shape may be a mistake."""

Tensors: TypeAlias = "dict[str, np.ndarray]"
Shapes: TypeAlias = "Mapping[str, Sequence[int]]"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether batching is safe; if not, which output moved by how much, or what was in the way.

    ``checked`` is false where nothing could be compared; such a network is served unbatched.
    ``error`` is the largest relative L2 error of any row, infinite where NaN or shapes differ.
    """

    safe: bool
    checked: bool
    why: str = ""
    output: str | None = None
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Below:
    """The valid values of an input: whole numbers from ``least`` to just below ``limit``."""

    limit: int
    least: int = 0


def check_batching(
    executor: Executor,
    samples: Mapping[str, np.ndarray] | None = None,
    *,
    valid: Mapping[str, Below] | None = None,
    sizes: Sequence[int | Shapes] = FREE_SIZES,
    tolerance: float = TOLERANCE,
) -> Verdict:
    """Judge with the recorded rows if there are two distinct ones, else with generated ones.

    Never raises for what the engine does; a check that cannot be made is a verdict too.
    """
    signature = executor.signature
    if samples is not None:
        few = _first_rows(signature, samples)
        if _distinct(signature, few):
            return batching_is_safe(executor, few, tolerance=tolerance)
    verdict = Verdict(safe=False, checked=False, why="could not be checked: no inputs can be made")
    for free in sizes if _has_free_dims(signature) else sizes[:1]:
        try:
            rows = generate_rows(signature, valid=valid, free=free)
        except ExecutionFailed as error:
            verdict = Verdict(safe=False, checked=False, why=f"could not be checked: {error}")
            continue
        verdict = batching_is_safe(executor, rows, tolerance=tolerance)
        if verdict.checked:
            break
    return verdict


def batching_is_safe(
    executor: Executor, rows: Mapping[str, np.ndarray], *, tolerance: float = TOLERANCE
) -> Verdict:
    """Run rows one by one and then together, in two shuffled orders and sizes, and compare.

    ``rows`` holds every input with several distinct rows; inputs without a batch axis whole.
    """
    signature = executor.signature
    obstacle = _obstacle(signature, rows)
    if obstacle:
        return Verdict(safe=False, checked=False, why=f"could not be checked: {obstacle}")
    count = RowLayout(signature).measure(rows).rows
    try:
        alone = [_run(executor, rows, [row]) for row in range(count)]
    except Exception as error:  # noqa: BLE001 - an engine may raise anything; it becomes the verdict
        why = f"could not be checked: one row alone fails: {error}"
        return Verdict(safe=False, checked=False, why=why)
    order = [int(row) for row in np.random.default_rng(0).permutation(count)]
    worst = Verdict(safe=True, checked=True)
    for company in (order, order[::-1][: max(2, count - 1)]):
        try:
            together = _run(executor, rows, company)
        except Exception as error:  # noqa: BLE001 - as above
            why = f"{len(company)} rows together fail where each alone succeeds: {error}"
            return Verdict(safe=False, checked=True, why=why)
        verdict = _compare(signature, alone, together, company, tolerance)
        if not verdict.safe:
            return verdict
        worst = max(worst, verdict, key=lambda one: one.error)
    return worst


def generate_rows(
    signature: Signature,
    count: int = _ROWS,
    *,
    valid: Mapping[str, Below] | None = None,
    free: int | Shapes = FREE_SIZES[0],
    seed: int = 0,
) -> Tensors:
    """Distinct rows for every input: normal floats, whole numbers inside the valid range.

    A range in ``valid`` holds for float inputs too, whose values may be token ids. Bytes without a
    range are pixels; other integers without one are 0 or 1. Rows differ in scale as well, so that a
    mean or a maximum over the batch shows. ``free`` is the size of all free dimensions, or holds
    the shapes of the inputs by name.

    Raises:
        ExecutionFailed: an input would take more than 2 GiB.
    """
    random = np.random.default_rng(seed)
    ranges = valid or {}
    shapes = {spec.name: _filled(spec, count, free) for spec in signature.inputs}
    for spec in signature.inputs:
        size = math.prod(shapes[spec.name]) * spec.dtype.numpy.itemsize
        if size > _MOST_BYTES:
            raise ExecutionFailed(
                f"input {spec.name!r} of shape {shapes[spec.name]} takes {size / 2**30:.3g} GiB; "
                "at most 2 GiB are generated"
            )
    return {
        spec.name: _values(random, spec, shapes[spec.name], ranges.get(spec.name))
        for spec in signature.inputs
    }


def _filled(spec: TensorSpec, count: int, free: int | Shapes) -> list[int]:
    given = (free,) * len(spec.shape) if isinstance(free, int) else free[spec.name]
    shape = [own if own >= 0 else size for own, size in zip(spec.shape, given, strict=True)]
    if spec.batch_axis is not None:
        shape[spec.batch_axis] = count
    return shape


def _values(
    random: np.random.Generator, spec: TensorSpec, shape: list[int], valid: Below | None
) -> np.ndarray:
    dtype = spec.dtype.numpy
    if valid is not None:
        return random.integers(valid.least, max(valid.limit, valid.least + 1), shape).astype(dtype)
    if dtype.kind != "f":
        return random.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)
    values = random.standard_normal(shape)
    if spec.batch_axis is not None:
        count = shape[spec.batch_axis]
        scales = [count if axis == spec.batch_axis else 1 for axis in range(len(shape))]
        values *= np.linspace(0.5, 2.0, count).reshape(scales)
    return values.astype(dtype)


def _first_rows(signature: Signature, samples: Mapping[str, np.ndarray]) -> Tensors:
    few = dict(samples)
    for spec in signature.inputs:
        array, axis = samples.get(spec.name), spec.batch_axis
        if axis is not None and array is not None and array.ndim > axis:
            few[spec.name] = take_rows(array, axis, range(min(_MOST_ROWS, array.shape[axis])))
    return few


def _has_free_dims(signature: Signature) -> bool:
    return any(
        size < 0 and axis != spec.batch_axis
        for spec in signature.inputs
        for axis, size in enumerate(spec.shape)
    )


def _obstacle(signature: Signature, rows: Mapping[str, np.ndarray]) -> str:
    """What makes a comparison of these rows impossible, or nothing."""
    if all(spec.batch_axis is None for spec in signature.inputs):
        return "no input has a batch axis"
    try:
        count = RowLayout(signature).measure(rows).rows
    except InvalidRequest as error:
        return str(error)
    if count < 2:
        return f"it takes two rows, there are {count}"
    return "" if _distinct(signature, rows) else "the rows are all alike"


def _distinct(signature: Signature, rows: Mapping[str, np.ndarray]) -> bool:
    for spec in signature.inputs:
        axis, array = spec.batch_axis, rows.get(spec.name)
        if axis is None or array is None or array.ndim <= axis or array.shape[axis] < 2:
            continue
        if (array != take_rows(array, axis, [0])).any():
            return True
    return False


def _run(executor: Executor, rows: Mapping[str, np.ndarray], which: Sequence[int]) -> Tensors:
    feeds = {
        spec.name: take_rows(rows[spec.name], spec.batch_axis, which)
        for spec in executor.signature.inputs
    }
    lease = executor.lease({name: array.shape for name, array in feeds.items()})
    try:
        for name, array in feeds.items():
            np.copyto(lease.inputs[name], array)
        executor.run(lease)
        return {spec.name: lease.outputs[spec.name].copy() for spec in executor.signature.outputs}
    finally:
        lease.release()


def _compare(
    signature: Signature,
    alone: Sequence[Tensors],
    together: Tensors,
    company: Sequence[int],
    tolerance: float,
) -> Verdict:
    """The largest difference of any row of any output from what it is alone."""
    worst = Verdict(safe=True, checked=True)
    for spec in signature.outputs:
        array, axis = together[spec.name], spec.batch_axis
        if axis is not None and (array.ndim <= axis or array.shape[axis] != len(company)):
            got = array.shape[axis] if array.ndim > axis else "no"
            why = f"output {spec.name!r} has {got} rows for a batch of {len(company)}"
            return Verdict(safe=False, checked=True, why=why, output=spec.name, error=np.inf)
        for place, row in enumerate(company):
            error = _error(take_rows(array, axis, [place]), alone[row][spec.name])
            if error > worst.error or worst.output is None:
                safe = error <= tolerance
                why = "" if safe else _mixing(spec, error, tolerance)
                worst = Verdict(safe, checked=True, why=why, output=spec.name, error=error)
    return worst


def _mixing(spec: TensorSpec, error: float, tolerance: float) -> str:
    depends = (
        "is shared by all rows but depends on them" if spec.batch_axis is None else "mixes rows"
    )
    return f"output {spec.name!r} {depends}: relative error {error:.2g}, tolerance {tolerance:.2g}"


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2 error; equal NaN and equal infinities are no difference."""
    if actual.shape != expected.shape:
        return float("inf")
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, left - right)
    if not np.isfinite(difference).all():
        return float("inf")
    magnitude = np.linalg.norm(np.where(np.isfinite(right), right, 0.0))
    return float(np.linalg.norm(difference) / (magnitude + _TINY * np.sqrt(right.size)))
