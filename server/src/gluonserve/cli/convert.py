"""`gluonserve convert`: an exported network as ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from gluonserve.cli import rendering
from gluonserve.conversion import convert
from gluonserve.sources import single_source


@click.command(name="convert")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The ONNX file to write.",
)
@rendering.source_options
def command(path: Path, output: Path, name: str | None, version: int | None) -> None:
    """Write the network in PATH (a -symbol.json file or a model's directory) as an ONNX file."""
    source = single_source(path, name, version, remedy="--name says which")
    with rendering.progress_console().status(f"converting {source.name} ..."):
        done = convert(source, output)
    click.echo(f"{done.path}: {done.nodes} nodes, opset {done.opset}, {rendering.size(done.bytes)}")
