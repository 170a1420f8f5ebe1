"""The command line: parse, call one library function, render."""

from __future__ import annotations

from gluonserve.cli.group import COMMANDS, Commands

__all__ = ["main"]

main = Commands(
    name="gluonserve",
    commands=COMMANDS,
    help="Serves exported MXNet Gluon networks, without MXNet: batched, measured, over gRPC.",
)
