"""`gluonserve bench`: load on a server's model, and what its latencies were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gluonserve.benching import LoadPlan, bench
from gluonserve.cli import rendering
from gluonserve.cli.numbers import SECONDS, SECONDS_OR_NONE, Finite
from gluonserve.cli.texts import NAME, address_option
from gluonserve.loadgen import bar

if TYPE_CHECKING:
    from gluonserve.loadgen import LoadReport

# far beyond what a process in Python can do
_FASTEST, _MOST_IN_FLIGHT = 100_000, 10_000


@click.command(name="bench")
@click.argument("name", type=NAME)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@address_option
@click.option(
    "--in-flight",
    type=click.IntRange(1, _MOST_IN_FLIGHT),
    default=8,
    show_default=True,
    help="Closed loop: so many requests are always under way.",
)
@click.option(
    "--rate",
    type=Finite(0, _FASTEST, min_open=True),
    help="Open loop: so many requests per second, whatever the answers do.",
)
@click.option(
    "--rows",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Rows per request, where no FILE gives them.",
)
@click.option("--seconds", type=SECONDS, default=10.0, show_default=True, help="How long.")
@click.option(
    "--warmup", type=SECONDS_OR_NONE, default=1.0, show_default=True, help="Seconds before that."
)
@rendering.json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str,
    *,
    files: tuple[Path, ...],
    address: str,
    in_flight: int,
    rate: float | None,
    rows: int,
    seconds: float,
    warmup: float,
    as_json: bool,
) -> None:
    """Put load on the model NAME of a server, with the inputs in FILES or made-up ones.

    The load comes from this process, which uses processor time of its own; for the server's limits
    take a generator in C (see benchmarks/). Exit code 1 says that requests failed.
    """
    plan = LoadPlan(seconds, warmup, in_flight, rate, rows)
    with rendering.progress_console().status(f"{name}: {seconds + warmup:g} s of load ..."):
        report = bench(address, name, files, plan)
    if as_json:
        rendering.print_json(report.as_json())
    else:
        _print(report)
    ctx.exit(1 if report.failures else 0)


def _print(report: LoadReport) -> None:
    out = rendering.console()
    rate = (
        f"{report.rate:,.1f} requests, {report.rate * report.rows_per_request:,.1f} rows per second"
    )
    out.print(f"{report.mode}: {rate} over {report.seconds:.1f} s")
    percentiles = report.percentiles_ms().items()
    cells = [[name for name, _ in percentiles], [f"{value:.2f}" for _, value in percentiles]]
    out.print(rendering.table("latency, ms", [f"{name}>" for name in cells[0]], cells[1:]))
    bins = report.bins()
    largest = max((one.count for one in bins), default=0)
    rows = [
        (f"{one.low_ms:.2f}", f"{one.high_ms:.2f}", one.count, bar(one.count, largest))
        for one in bins
    ]
    out.print(rendering.table("", ["from ms>", "to ms>", "requests>", ""], rows))
    for text, count in report.failures.items():
        out.print(f"{count} failed: ", rendering.plain(text), sep="")
