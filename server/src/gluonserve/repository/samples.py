"""Recorded samples: inputs with the answers that MXNet gave, and how well an engine repeats them.

``samples.npz`` holds an array ``in:<input>`` for each input and ``out:<output>`` for each output
that is to be compared.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.errors import InvalidModel, InvalidRequest
from gluonserve.tensors import DType
from gluonserve.validation import InputCheck

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gluonserve.executors.protocol import Executor

_IN, _OUT = "in:", "out:"
_UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, slots=True)
class Samples:
    """What was recorded, by names without the marks."""

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class OutputError:
    """How far one output is from the recorded one.

    ``relative`` is the L2 norm of the difference over that of the recorded values; infinite where
    shapes or NaNs differ. ``largest`` is the largest difference of one element.
    """

    output: str
    relative: float
    largest: float
    note: str = ""


def read_samples(file: Path) -> Samples:
    """What a samples file holds.

    Raises:
        InvalidModel: it is no such file.
    """
    try:
        with file.open("rb") as stream:  # numpy takes whatever is no archive for a pickle
            if not zipfile.is_zipfile(stream):
                raise InvalidModel(f"{file}: not a file of recorded samples: no npz archive")
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise InvalidModel(f"{file}: not a file of recorded samples: {error}") from error
    _check_recorded(file, arrays)
    return Samples(
        {name[len(_IN) :]: array for name, array in arrays.items() if name.startswith(_IN)},
        {name[len(_OUT) :]: array for name, array in arrays.items() if name.startswith(_OUT)},
    )


def _check_recorded(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse names without a mark, and values that no tensor can hold."""
    stray = [name for name in arrays if not name.startswith((_IN, _OUT))]
    if stray or not arrays:
        raise InvalidModel(
            f"{file}: holds {', '.join(stray) or 'nothing'}; expected in:<input> and out:<output>"
        )
    known = {kind.numpy for kind in DType}
    for name, array in arrays.items():
        if array.dtype.newbyteorder("<") not in known:
            raise InvalidModel(f"{file}: {name} holds {array.dtype}, expected numbers")


def prepared(executor: Executor, samples: Samples) -> dict[str, np.ndarray]:
    """The recorded inputs as the engine takes them, left-out optional ones as zeros.

    Raises:
        InvalidModel: they are not inputs of this model.
    """
    signature = executor.signature
    dtypes = {spec.name: spec.dtype.numpy for spec in signature.inputs}
    inputs = {
        name: array.astype(dtypes[name]) if name in dtypes else array
        for name, array in samples.inputs.items()
    }
    try:
        _, feeds = InputCheck("", signature)(inputs)
    except InvalidRequest as error:
        raise InvalidModel(f"recorded samples do not fit the model: {error}") from error
    return dict(feeds)


def replay(
    executor: Executor, samples: Samples, renamed: Mapping[str, str] | None = None
) -> list[OutputError]:
    """Run the recorded inputs and compare every recorded output.

    ``renamed`` gives, by an output's own name, the one that settings gave it; samples may use
    either.

    Raises:
        InvalidModel: the samples name inputs or outputs that the model has not.
        ExecutionFailed: the engine failed on them.
    """
    outputs = run(executor, prepared(executor, samples))
    errors = []
    for name, recorded in samples.outputs.items():
        current = name if name in outputs else (renamed or {}).get(name, name)
        if current not in outputs:
            raise InvalidModel(
                f"recorded samples have output {name!r}; the model gives {', '.join(outputs)}"
            )
        errors.append(compare(current, outputs[current], recorded))
    return errors


def run(executor: Executor, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run one batch directly, beside any batcher.

    Raises:
        ExecutionFailed: the engine failed.
    """
    lease = executor.lease({name: array.shape for name, array in feeds.items()})
    try:
        for name, array in feeds.items():
            np.copyto(lease.inputs[name], array)
        executor.run(lease)
        return {name: array.copy() for name, array in lease.outputs.items()}
    finally:
        lease.release()


def compare(name: str, actual: np.ndarray, recorded: np.ndarray) -> OutputError:
    """How far an output is from the recorded one; equal NaN and infinities are no difference."""
    if actual.shape != recorded.shape:
        note = f"shape {list(actual.shape)} instead of {list(recorded.shape)}"
        return OutputError(name, np.inf, np.inf, note)
    left, right = actual.astype(np.float64), recorded.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return OutputError(name, 0.0, 0.0)
    finite = np.isfinite(left) & np.isfinite(right)
    if not (same | finite).all():
        return OutputError(name, np.inf, np.inf, "NaN or infinity where the other is finite")
    difference = np.where(finite, left, 0.0) - np.where(finite, right, 0.0)
    size = np.linalg.norm(np.where(finite, right, 0.0))
    relative = np.linalg.norm(difference) / size if size else np.inf
    return OutputError(name, float(relative), float(np.abs(difference).max()))
