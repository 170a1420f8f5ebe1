"""An exported network as one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig
from gluonserve.loader.params import Params
from gluonserve.repository.opening import import_source
from gluonserve.repository.samples import read_samples

if TYPE_CHECKING:
    from pathlib import Path

    from gluonserve.repository.layout import ModelSource


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written."""

    path: Path
    nodes: int
    opset: int
    bytes: int


def convert(source: ModelSource, target: Path) -> Converted:
    """Write the network as plain ONNX, weights included (beside the file from 2 GiB on).

    Raises:
        GluonserveError: it cannot be imported, or the file cannot be written.
    """
    samples = read_samples(source.samples) if source.samples is not None else None
    imported = import_source(source, samples)
    try:
        lowered = imported.lower()
        lowered.save(target)
    except OSError as error:
        raise InvalidConfig(f"{target}: cannot be written: {error}") from error
    finally:
        if isinstance(imported.params, Params):
            imported.params.close()
    opset = next(one.version for one in lowered.model.opset_import if not one.domain)
    size = sum(file.stat().st_size for file in (target, beside(target)) if file.exists())
    return Converted(target, len(lowered.model.graph.node), opset, size)


def beside(target: Path) -> Path:
    """Where weights go that one ONNX file cannot hold."""
    return target.with_name(target.name + ".data")
