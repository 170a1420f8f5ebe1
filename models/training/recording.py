"""Writes a trained network into the model repository, as anybody's is exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import mxnet as mx

from gluonserve_export import export_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from mxnet.gluon import HybridBlock

MODELS = Path(__file__).resolve().parent.parent
DIGITS = tuple("0123456789")


def export(
    net: HybridBlock, name: str, rows: np.ndarray, *, outputs: Sequence[str], description: str
) -> None:
    """Export ``net`` as version 1 of ``name``, with its answers to ``rows`` recorded."""
    made = export_model(
        *(net, MODELS / name, mx.nd.array(rows, dtype=rows.dtype)),
        overwrite=True,
        description=description,
        labels=DIGITS,
        output_names=outputs,
    )
    for file in sorted(made.folder.iterdir()):
        print(f"{file.relative_to(MODELS)}: {file.stat().st_size:,} bytes")


def record_figures(name: str, **figures: float | str) -> None:
    """Keep what the training run measured beside the model, as ``training.json``."""
    text = json.dumps({"mxnet": mx.__version__, **figures}, indent=2)
    (MODELS / name / "training.json").write_text(text + "\n")
    print(text)
