"""`gluonserve verify`: an engine's answers against MXNet's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gluonserve.cli import rendering
from gluonserve.cli.numbers import POSITIVE
from gluonserve.verification import mxnet_installed, verify_all

if TYPE_CHECKING:
    from gluonserve.tracing import Parting
    from gluonserve.verification import Comparison


@click.command(name="verify")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@rendering.engine_options
@click.option(
    "--live/--no-live", default=None, help="Compare with live MXNet; where installed, by default."
)
@click.option(
    "--tolerance", type=POSITIVE, help="Largest relative L2 error, instead of the models' own."
)
@click.option(
    "--trace",
    "tracing",
    is_flag=True,
    help="Where an output differs from live MXNet's, find the first node at which they part.",
)
@rendering.json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    path: Path,
    *,
    live: bool | None,
    tolerance: float | None,
    tracing: bool,
    as_json: bool,
    **engine: Any,
) -> None:
    """Compare the models in PATH with recorded samples, and with live MXNet where it is there.

    Exit code 1 says that an output differs by more than the tolerance.
    """
    if tracing and not mxnet_installed():
        raise click.UsageError("--trace compares with live MXNet, which is not installed here")
    asked = mxnet_installed() if live is None else live or tracing
    compared = verify_all(path, live=asked, tolerance=tolerance, tracing=tracing, **engine)
    found = list(rendering.with_status(compared, "comparing"))
    if as_json:
        rendering.print_json([one.as_json() for one in found])
    else:
        columns = [
            "model",
            "version",
            "engine",
            "against",
            "output",
            "relative L2>",
            "largest>",
            "tolerance>",
            "",
        ]
        rendering.console().print(rendering.table("", columns, map(_row, found)))
        for parting in (one.parting for one in found):
            if parting is not None:
                _print(parting)
    ctx.exit(0 if all(one.passed for one in found) else 1)


def _row(one: Comparison) -> list[str]:
    if not one.compared:
        return [one.model, str(one.version), *[""] * 6, f"FAILED: {one.note}"]
    allowed = "shown only" if one.tolerance is None else f"{one.tolerance:.0e}"
    verdict = ("ok" if one.passed else "DIFFERS") + (f": {one.note}" if one.note else "")
    figures = [f"{one.relative:.2e}", f"{one.largest:.2e}", allowed]
    return [one.model, str(one.version), one.engine, one.against, one.output, *figures, verdict]


def _print(parting: Parting) -> None:
    """Both sides of the first node at which they part."""
    out = rendering.console()
    attributes = ", ".join(f"{key}={text}" for key, text in parting.attributes.items())
    out.print(
        rendering.plain(
            f"\n{parting.engine} and MXNet part at {parting.node!r}, output {parting.output}"
            f" ({parting.operator}{': ' + attributes if attributes else ''})"
        )
    )
    index = ", ".join(map(str, parting.index))
    facts = [
        ("reads, and agrees on", "; ".join(parting.inputs)),
        ("relative L2", f"{parting.relative:.2e}"),
        ("largest", f"{parting.largest:.2e} at [{index}]"),
        *([("note", parting.note)] if parting.note else []),
        (parting.engine, _side(parting.our_shape, parting.ours)),
        ("mxnet", _side(parting.mxnets_shape, parting.mxnets)),
    ]
    out.print(rendering.table("", ["", ""], facts, headless=True))


def _side(shape: tuple[int, ...], values: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:.7g}" for value in values)
    return f"{rendering.shape(shape)}: {shown} ..."
