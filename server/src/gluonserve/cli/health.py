"""`gluonserve health`: for health checks of containers, and for people."""

from __future__ import annotations

import click

from gluonserve.cli.numbers import SECONDS
from gluonserve.cli.texts import ADDRESS, NAME
from gluonserve.config import read_server_settings
from gluonserve.probing import ready, ready_over_grpc


@click.command(name="health")
@click.option(
    "--address", type=ADDRESS, help="gRPC of the server; that of the settings by default."
)
@click.option("--model", type=NAME, default="", help="Ask about one model (needs --address).")
@click.option(
    "--timeout",
    "timeout_s",
    type=SECONDS,
    default=3.0,
    show_default=True,
    help="Seconds to wait.",
)
def command(address: str | None, model: str, timeout_s: float) -> None:
    """Ask a server whether it is ready: exit code 0 if so, 1 if not."""
    if model and address is None:
        raise click.UsageError("--model needs --address: only gRPC tells of one model")
    if address is None:
        where = ready(read_server_settings({}), timeout_s=timeout_s)
    else:
        where = ready_over_grpc(address, model=model, timeout_s=timeout_s)
    click.echo(f"{where} is ready")
