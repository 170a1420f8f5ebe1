"""One run of a model over files, on a server or in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gluonserve.answers import is_classification
from gluonserve.errors import InvalidRequest
from gluonserve.feeding import read_inputs
from gluonserve.repository.opening import open_source
from gluonserve.repository.samples import read_samples, run
from gluonserve.rpc.caller import Caller
from gluonserve.validation import InputCheck

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from gluonserve.pictures import Pixels
    from gluonserve.repository.layout import ModelSource


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's outputs in its order, and the labels of its classes as far as they are known."""

    outputs: dict[str, np.ndarray]
    labels: dict[int, str] = field(default_factory=dict)


def run_here(source: ModelSource, files: Sequence[Path], pixels: Pixels | None = None) -> Answered:
    """Load the model, run the files, close it.

    Raises:
        GluonserveError: the model does not load, or the files do not fit it.
    """
    samples = read_samples(source.samples) if source.samples is not None else None
    opened = open_source(source, samples)
    try:
        signature = opened.executor.signature
        inputs = read_inputs(files, signature.inputs, pixels)
        _, feeds = InputCheck(source.name, signature)(inputs)
        return Answered(run(opened.executor, feeds), dict(enumerate(source.labels)))
    finally:
        opened.close()


def run_on_server(
    address: str, model: str, files: Sequence[Path], pixels: Pixels | None = None, best: int = 5
) -> Answered:
    """Send the files to a server; labels are asked for the ``best`` classes.

    Raises:
        GluonserveError: the server refuses, or the files do not fit the model.
    """
    return asyncio.run(_on_server(address, model, files, pixels, best))


async def _on_server(
    address: str, model: str, files: Sequence[Path], pixels: Pixels | None, best: int
) -> Answered:
    async with Caller(address) as caller:
        signature = await caller.signature(model)
        inputs = read_inputs(files, signature.inputs, pixels)
        if not inputs:
            raise InvalidRequest(f"{model}: no input was given")
        outputs = await caller.infer(model, inputs)
        scores = next((name for name, one in outputs.items() if is_classification(one)), None)
        labels = await caller.labels(model, inputs, scores, best) if scores else {}
        return Answered(outputs, labels)
