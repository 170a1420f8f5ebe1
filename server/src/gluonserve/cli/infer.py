"""`gluonserve infer`: files through a model, on a server or in this process."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from gluonserve.answers import is_classification, top
from gluonserve.cli import rendering
from gluonserve.cli.numbers import Finite
from gluonserve.cli.texts import NAME, address_option
from gluonserve.errors import GluonserveError
from gluonserve.pictures import (
    SUFFIXES,
    Pixels,
    detections,
    draw_detections,
    is_detection_output,
)
from gluonserve.running import run_here, run_on_server
from gluonserve.sources import single_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gluonserve.running import Answered

_WRITTEN = (".npz", ".json", *sorted(SUFFIXES))


@click.command(name="infer")
@click.argument("arguments", metavar="[NAME] FILE...", nargs=-1, required=True)
@address_option
@click.option(
    "--model",
    "path",
    type=click.Path(exists=True, path_type=Path),
    help="Run this model (a -symbol.json file or a directory) here instead; then there is no NAME.",
)
@click.option(
    "--top",
    "best",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Classes to show per row.",
)
@click.option(
    "--threshold",
    type=Finite(),
    default=0.5,
    show_default=True,
    help="Least score of a detection.",
)
@click.option(
    "--pixels",
    type=click.Choice([one.value for one in Pixels]),
    help="Values of pixels; by default what the input's type and layout suggest.",
)
@click.option(
    "--labels",
    "labels_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One class label per line.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the outputs (.npz, .json), or the first picture with its detections (.png, .jpg).",
)
@rendering.json_option
def command(
    arguments: tuple[str, ...],
    *,
    address: str,
    path: Path | None,
    best: int,
    threshold: float,
    pixels: str | None,
    labels_file: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Run FILEs (npy, npz, json, PNG, JPEG) through the model NAME of a server.

    Classes are shown with labels and probabilities, detections as boxes, other outputs as a
    summary; --json shows every value.
    """
    name, files = _split(arguments, with_name=path is None)
    if output is not None and output.suffix.lower() not in _WRITTEN:
        raise click.UsageError(f"{output}: expected a name in {', '.join(_WRITTEN)}")
    labels = _labels(labels_file) if labels_file is not None else {}
    chosen = Pixels(pixels) if pixels else None
    if path is None:
        answered = run_on_server(address, name, files, chosen, best)
    else:
        answered = run_here(single_source(path), files, chosen)
    answered.labels.update(labels)
    if output is not None:
        try:
            _write(answered, files, output, threshold, best)
        except OSError as error:
            raise GluonserveError(f"{output}: cannot be written: {error.strerror}") from error
    if as_json:
        rendering.print_json(_plain(answered, best))
    else:
        _print(answered, files, best, threshold)


def _split(arguments: Sequence[str], *, with_name: bool) -> tuple[str, list[Path]]:
    files = [Path(one) for one in arguments[1 if with_name else 0 :]]
    if not files:
        raise click.UsageError("expected a model's name and one or more files")
    for file in files:
        if not file.is_file():
            raise click.UsageError(f"{file}: {'not a file' if file.exists() else 'no such file'}")
    return NAME.convert(arguments[0], None, None) if with_name else "", files


def _labels(file: Path) -> dict[int, str]:
    try:
        return dict(enumerate(file.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file}: cannot be read: {error}") from error


def _print(answered: Answered, files: Sequence[Path], best: int, threshold: float) -> None:
    out = rendering.console()
    pictures = [file.name for file in files if file.suffix.lower() in SUFFIXES]
    for name, output in answered.outputs.items():
        if is_detection_output(output):
            rows: Iterable[Sequence[object]] = _boxes(output, answered, pictures, threshold)
            columns = ["row", "class", "score>", "left>", "top>", "right>", "bottom>"]
        elif is_classification(output):
            rows = _classes(output, answered, pictures, best)
            columns = ["row", "class", "probability>", "score>"]
        else:
            columns, rows = ["shape", "type", "least>", "mean>", "greatest>"], [_summary(output)]
        out.print(rendering.table(name, columns, rows))


def _classes(
    output: np.ndarray, answered: Answered, pictures: Sequence[str], best: int
) -> Iterable[Sequence[object]]:
    for row, ranked in enumerate(top(output, answered.labels, best)):
        for one in ranked:
            yield _row_name(row, pictures), one.label, f"{one.probability:.2%}", f"{one.score:.4g}"


def _boxes(
    output: np.ndarray, answered: Answered, pictures: Sequence[str], threshold: float
) -> Iterable[Sequence[object]]:
    for row, found in enumerate(output):
        for one in detections(found, threshold):
            label = answered.labels.get(one.label, str(one.label))
            corners = (f"{corner:.3f}" for corner in one.corners)
            yield _row_name(row, pictures), label, f"{one.score:.3f}", *corners


def _summary(output: np.ndarray) -> tuple[str, ...]:
    if not output.size:
        return rendering.shape(output.shape), str(output.dtype), "", "", ""
    figures = (float(output.min()), float(output.mean()), float(output.max()))
    return rendering.shape(output.shape), str(output.dtype), *(f"{one:.5g}" for one in figures)


def _row_name(row: int, pictures: Sequence[str]) -> str:
    return pictures[row] if row < len(pictures) else str(row)


def _write(
    answered: Answered, files: Sequence[Path], target: Path, threshold: float, best: int
) -> None:
    if target.suffix.lower() == ".npz":
        np.savez(target, allow_pickle=False, **answered.outputs)
    elif target.suffix.lower() == ".json":
        target.write_text(rendering.json_text(_plain(answered, best)), encoding="utf-8")
    else:
        picture = next((file for file in files if file.suffix.lower() in SUFFIXES), None)
        boxes = next((one for one in answered.outputs.values() if is_detection_output(one)), None)
        if picture is None or boxes is None:
            what = "detections" if boxes is None else "picture among the files"
            raise click.UsageError(f"{target}: nothing to draw: there is no {what}")
        draw_detections(picture, detections(boxes[0], threshold), answered.labels, target)


def _plain(answered: Answered, best: int) -> dict[str, Any]:
    classes = {
        name: [[asdict(one) for one in row] for row in top(output, answered.labels, best)]
        for name, output in answered.outputs.items()
        if is_classification(output)
    }
    outputs = {name: output.tolist() for name, output in answered.outputs.items()}
    return {"outputs": outputs, "classes": classes}
