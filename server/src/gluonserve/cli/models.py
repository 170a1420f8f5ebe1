"""`gluonserve models`: the models of a running server."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gluonserve.cli import rendering
from gluonserve.cli.texts import address_option
from gluonserve.rpc.caller import Caller

if TYPE_CHECKING:
    from gluonserve.dataplane import IndexEntry


@click.group(name="models")
def command() -> None:
    """Show a server's models."""


@command.command(name="list")
@address_option
@rendering.json_option
def list_models(address: str, *, as_json: bool) -> None:
    """List every version of every model with its state, and why it is in it."""
    found = asyncio.run(_index(address))
    if as_json:
        rendering.print_json([asdict(one) for one in found])
    else:
        rows = [(one.name, one.version, one.state, one.reason) for one in found]
        columns = ["model", "version", "state", "reason"]
        rendering.console().print(rendering.table("", columns, rows))


async def _index(address: str) -> list[IndexEntry]:
    async with Caller(address, timeout_s=10) as caller:
        return await caller.index()
