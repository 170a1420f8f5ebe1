"""How results look: tables on a terminal, JSON for programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gluonserve.config import NO_TENSORRT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Item = TypeVar("Item")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Flags that choose one model where a path holds several."""
    for option in (
        click.option("--version", type=int, help="Which version; the latest by default."),
        click.option("--name", help="Which model, where PATH holds several."),
    ):
        command = option(command)
    return command


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Flags that override a model's settings of its engine."""
    engines = _Engine(["auto", "openvino", "onnxruntime", "mxnet"])
    precisions = click.Choice(["fp32", "bf16", "fp16", "int8"])
    for option in (
        click.option("--precision", type=precisions, help="Instead of the model's setting."),
        click.option("--device", help="cpu or cuda:N, instead of the model's setting."),
        click.option("--executor", type=engines, help="Instead of the model's setting."),
    ):
        command = option(command)
    return command


class _Engine(click.Choice[str]):
    """An executor's name; those that ask for TensorRT learn where it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "tensorrt":
            self.fail(NO_TENSORRT, param, ctx)
        return super().convert(value, param, ctx)


def console() -> Console:
    """Standard output; wide enough for tables where it is not a terminal."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=120)


def progress_console() -> Console:
    """Standard error, where progress belongs."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """The value in JSON, which has no NaN and infinities: they are text, as in protobuf's JSON."""
    return json.dumps(_strict(value), indent=indent, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def plain(text: str) -> Text:
    """Text in which brackets are brackets, and no mark-up."""
    return Text(text)


def with_status(items: Iterable[Item], what: str) -> Iterator[Item]:
    """The items, with a spinner on standard error while each is being made."""
    with progress_console().status(f"{what} ...") as status:
        for count, item in enumerate(items, start=1):
            status.update(f"{what} ... {count} done")
            yield item


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    headless: bool = False,
) -> Table:
    """A plain table; columns whose name ends in ``>`` are numbers, set to the right."""
    drawn = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_header=not headless,
    )
    for column in columns:
        right = column.endswith(">")
        drawn.add_column(column.rstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    return drawn


def shape(dims: Sequence[int]) -> str:
    """A shape as people write it, with ? for free dimensions."""
    return "(" + ", ".join("?" if dim == -1 else str(dim) for dim in dims) + ")"


def size(count: int) -> str:
    """Bytes in the unit that fits."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
