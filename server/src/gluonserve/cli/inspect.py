"""`gluonserve inspect`: what a model is, and what would stop it from loading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gluonserve.cli import rendering
from gluonserve.inspection import inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gluonserve.inspection import Report
    from gluonserve.tensors import TensorSpec


@click.command(name="inspect")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--model-name", help="Name for PATH where it is one model.")
@rendering.json_option
@click.pass_context
def command(ctx: click.Context, path: Path, model_name: str | None, *, as_json: bool) -> None:
    """Show inputs, outputs, operators, parameters, engine and batch axes of the models in PATH.

    PATH is a -symbol.json file, a model's directory or a repository. Each model is loaded as a
    server would load it; exit code 1 says that some would not load, and the report says why.
    """
    reports = list(rendering.with_status(inspect(path, model_name), "inspecting"))
    if as_json:
        rendering.print_json([report.as_json() for report in reports])
    else:
        for report in reports:
            _print(report)
    ctx.exit(1 if any(report.problems for report in reports) else 0)


def _print(report: Report) -> None:
    out = rendering.console()
    out.rule(rendering.plain(f"{report.name} version {report.version or '?'}"), align="left")
    out.print(rendering.table("", ["", ""], _facts(report), headless=True))
    if report.inputs or report.outputs:
        columns = ["tensor", "name", "type", "shape", "batch axis", "also takes"]
        rows = [*_tensors("input", report.inputs), *_tensors("output", report.outputs)]
        out.print(rendering.table("", columns, rows))
    if report.obstacles:
        rows = [
            (one.operator, one.reason, ", ".join(one.nodes), one.remedy) for one in report.obstacles
        ]
        out.print(rendering.table("in the way", ["operator", "why", "nodes", "what to do"], rows))
    titled = (
        ("rewritten", report.rewrites),
        ("note", report.notes),
        ("[red]problem[/]", report.problems),
    )
    for title, lines in titled:
        for line in lines:
            out.print(f"{title}: ", rendering.plain(line), sep="")
    out.print()


def _facts(report: Report) -> Iterable[tuple[str, str]]:
    for kind, file in report.files.items():
        yield kind, file or "none"
    if report.executor:
        engine = report.executor
        yield (
            "executor",
            " ".join(
                engine[key]
                for key in ("executor", "version", "device", "precision")
                if key in engine
            ),
        )
        yield "why", engine.get("why", "")
        yield "batching", report.batching
    if report.parameters:
        yield "parameters", f"{report.parameters:,} ({rendering.size(report.parameter_bytes)})"
    if report.operators:
        counted = ", ".join(f"{name} {count}" for name, count in report.operators.items())
        yield f"operators ({sum(report.operators.values())})", counted


def _tensors(kind: str, specs: Sequence[TensorSpec]) -> Iterable[tuple[str, ...]]:
    for spec in specs:
        yield (
            kind,
            spec.name + (" (optional)" if spec.optional else ""),
            spec.dtype.value,
            rendering.shape(spec.shape),
            "none" if spec.batch_axis is None else str(spec.batch_axis),
            ", ".join(dtype.value for dtype in spec.accept),
        )
