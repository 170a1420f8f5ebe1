"""Writes a trained network into the model repository, with recorded inputs and MXNet's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

if TYPE_CHECKING:
    from mxnet.gluon import HybridBlock

MODELS = Path(__file__).resolve().parent.parent


def export(net: HybridBlock, name: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Export ``net`` as version 1 of ``name`` and record its answers to ``rows``.

    The answers come from the files just written, loaded afresh, so that they belong to what is
    served and not to what was trained.
    """
    folder = MODELS / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    net.hybridize(active=False)
    net.hybridize()
    net(mx.nd.array(rows, dtype=rows.dtype))
    net.export(str(folder / "model"))
    outputs = _answers(folder, rows)
    record = {"in:data": rows} | {f"out:{output}": array for output, array in outputs.items()}
    np.savez_compressed(folder / "samples.npz", **record)
    _print_sizes(folder)
    return outputs


def _answers(folder: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    symbol = mx.sym.load(str(folder / "model-symbol.json"))
    net = mx.gluon.SymbolBlock(symbol, [mx.sym.var("data")])
    net.load_parameters(
        str(folder / "model-0000.params"), cast_dtype=True, dtype_source="saved", ctx=mx.cpu()
    )
    answers = net(mx.nd.array(rows, dtype=rows.dtype))
    answers = answers if isinstance(answers, list) else [answers]
    return {
        name: answer.asnumpy() for name, answer in zip(symbol.list_outputs(), answers, strict=True)
    }


def record_figures(name: str, **figures: float | str) -> None:
    """Keep what the training run measured beside the model, as ``training.json``."""
    text = json.dumps({"mxnet": mx.__version__, **figures}, indent=2)
    (MODELS / name / "training.json").write_text(text + "\n")
    print(text)


def _print_sizes(folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        print(f"{file.relative_to(MODELS)}: {file.stat().st_size:,} bytes")
