"""The group of commands: each is imported only when it is called, and errors become one line.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 (serve) could not start.
"""

from __future__ import annotations

import errno
import importlib
import io
import sys
from typing import TYPE_CHECKING, Any

import click

from gluonserve import logs
from gluonserve.errors import GluonserveError, InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "serve": "Serve a model, or a repository of models.",
    "inspect": "Show what a model takes, gives and needs, and what would stop it from loading.",
    "convert": "Write an exported network as one ONNX file.",
    "verify": "Compare an engine's answers with MXNet's.",
    "infer": "Run files through a model, on a server or here.",
    "bench": "Put load on a server's model and show latencies.",
    "models": "Show a server's models.",
    "health": "Ask a server whether it is ready.",
}


class Commands(click.Group):
    """Commands by name, with their one-line descriptions; modules are imported on demand."""

    def __init__(self, *, commands: Mapping[str, str], **settings: Any) -> None:
        super().__init__(context_settings={"help_option_names": ["-h", "--help"]}, **settings)
        self._summaries = commands
        self.params.append(_version_option())

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order of use."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported from the module of its name."""
        if cmd_name not in self._summaries:
            return None
        command: click.Command = importlib.import_module(f"gluonserve.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the command line, help included; an output that takes nothing is told in one line."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a character that it has not is no failure
                stream.reconfigure(errors="replace")
        try:
            return super().main(*args, **settings)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            click.echo(f"error: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what gluonserve refuses is one line on standard error, no trace."""
        logs.configure("warning")
        try:
            return super().invoke(ctx)
        except GluonserveError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2 if isinstance(error, InvalidConfig) else 1)


def _version_option() -> click.Option:
    def show(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001
        if value:
            from importlib.metadata import version  # noqa: PLC0415 - slow, and seldom asked for

            click.echo(f"gluonserve {version('gluonserve')}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Print the version and leave.",
    )
