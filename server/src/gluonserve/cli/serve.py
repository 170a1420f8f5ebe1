"""`gluonserve serve`: a model or a repository, until a signal ends it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gluonserve.config import PREFIX, ServerSettings, read_server_settings
from gluonserve.errors import GluonserveError

if TYPE_CHECKING:
    from collections.abc import Callable

COULD_NOT_START = 3
_IDLE_S = 0.2  # what a thread without work takes to end
_PATH = "model_repository"


def setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """One flag per server setting, in their order; the setting's own text is the help."""
    for name, field in reversed(ServerSettings.model_fields.items()):
        if name == _PATH:
            continue
        flag = "--" + name.replace("_", "-")
        text = " ".join((field.description or "").split())
        text += f"  [{PREFIX}{name.upper()}; default: {_shown(field.default)}]"
        if isinstance(field.default, bool):
            flag = f"{flag}/--no-{flag[2:]}"
            command = click.option(flag, name, default=None, help=text)(command)
        else:
            metavar = "NUMBER|off" if name.endswith("_port") else name.rpartition("_")[2].upper()
            command = click.option(flag, name, default=None, metavar=metavar, help=text)(command)
    return command


def _shown(default: object) -> str:
    return "none" if default is None else str(default)


@click.command(name="serve")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File of these settings.  [{PREFIX}CONFIG; default: gluonserve.toml if there]",
)
@setting_options
@click.pass_context
def command(ctx: click.Context, /, path: Path | None, config: Path | None, **flags: Any) -> None:
    """Serve PATH: a repository of models, one model's directory, or a -symbol.json file.

    PATH is `models` unless it is given here, in a variable or in the file. Flag beats variable
    beats file beats default. SIGTERM, SIGHUP and Ctrl-C finish what is under way;
    a second Ctrl-C, or a second of the others seconds later, stops at once.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    settings = read_server_settings(given | ({_PATH: path} if path else {}), file=config)
    from gluonserve import logs, serving  # noqa: PLC0415 - slow to import; usage errors are quick

    logs.configure(settings.log_level, settings.log_format)
    try:
        serving.run(settings, announce=click.echo)
    except GluonserveError as error:
        click.echo(f"error: could not start: {error}", err=True)
        ctx.exit(COULD_NOT_START)
    _leave_what_still_runs()


def _leave_what_still_runs() -> None:
    """End at once where an engine is still busy: Python would wait for its thread."""
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        thread.join(_IDLE_S)
        if thread.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
