"""Prints the reference pages of docs/ from what the server itself is made of, or checks them.

Run by ``make docs`` and, with ``--check``, by ``make check``.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gluonserve.config import PREFIX, ModelSettings, ServerSettings, Settings, table_of
from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import Lowering, Refusal
from gluonserve.loader.schema import operators
from gluonserve.metrics import DEFINITIONS
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- Written by tools/make_docs.py; run `make docs` after a change. -->"


def main() -> int:
    """Write the pages, or with ``--check`` say which of them are not current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check = parser.parse_args().check
    pages = {ROOT / name: page() for name, page in PAGES.items()}
    stale = [path for path, text in pages.items() if not _is_current(path, text)]
    for path in stale:
        if check:
            print(f"not current: {path.relative_to(ROOT)} (run: make docs)", file=sys.stderr)
        else:
            path.write_text(pages[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def operators_page() -> str:
    """Which operators are lowered, and what is peculiar about each."""
    entries = sorted(TABLE.entries(), key=lambda entry: entry.name.lower())
    lowered = [entry for entry in entries if isinstance(entry, Lowering)]
    refused = [entry for entry in entries if isinstance(entry, Refusal)]
    lines = [
        "# Operators",
        "",
        NOTE,
        "",
        _paragraph(
            f"""{len(lowered)} of MXNet 1.9.1's operators are lowered, under every name that MXNet
            has for them. A network with any other is refused with the list of all of them;
            `gluonserve inspect` says what a network needs."""
        ),
        "",
        "| operator | also called | notes |",
        "| --- | --- | --- |",
        *(_operator_row(entry) for entry in lowered),
    ]
    if refused:
        lines += ["", "## Not lowered on purpose", "", "| operator | why |", "| --- | --- |"]
        lines += [f"| `{entry.name}` | {_cell(entry.reason)} |" for entry in refused]
    return "\n".join(lines) + "\n"


def readme_page() -> str:
    """The README with its table of operators filled in."""
    begin, end = (
        "<!-- begin operators: written by tools/make_docs.py -->\n",
        "<!-- end operators -->",
    )
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{_families()}{end}{after}"


def _families() -> str:
    names: dict[str, list[str]] = {}
    for entry in TABLE.entries():
        if isinstance(entry, Lowering):
            family = entry.function.__module__.rpartition(".")[2]
            names.setdefault(family, []).append(f"`{entry.name}`")
    rows = [
        f"| {family} | {', '.join(sorted(members, key=str.lower))} |"
        for family, members in sorted(names.items())
    ]
    return "\n".join(["", "| family | operators |", "| --- | --- |", *rows, "", ""])


def _operator_row(entry: Lowering) -> str:
    schema = operators().get(entry.name)
    aliases = ", ".join(f"`{alias}`" for alias in schema.aliases) if schema else ""
    notes = entry.notes.split("\n\n")[0]
    return f"| `{entry.name}` | {aliases} | {_cell(notes)} |"


def metrics_page() -> str:
    """Every metric with its labels."""
    lines = [
        "# Metrics",
        "",
        NOTE,
        "",
        _paragraph(
            """On `:8002/metrics` for Prometheus. Names and labels are API. Every metric has the
            labels `model` and `version`, and those of the third column. Times are in seconds."""
        ),
        "",
        "| metric | kind | further labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for definition in DEFINITIONS:
        labels = ", ".join(f"`{label}`" for label in definition.labels)
        lines.append(
            f"| `{definition.name}` | {definition.kind} | {labels} | {_cell(definition.help)} |"
        )
    return "\n".join(lines) + "\n" + QUERIES


QUERIES = """
## Useful queries

Requests per second, by outcome:

    sum by (model, outcome) (rate(gluonserve_requests_total[1m]))

Rows per second (throughput):

    sum by (model) (rate(gluonserve_rows_total[1m]))

99th percentile of latency:

    histogram_quantile(0.99, sum by (model, le) (rate(gluonserve_request_seconds_bucket[1m])))

Mean batch size, in rows:

    sum by (model) (rate(gluonserve_batch_rows_sum[1m]))
      / sum by (model) (rate(gluonserve_batch_rows_count[1m]))
"""


def configuration_page() -> str:
    """Every setting of server and models."""
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        "## Server",
        "",
        _paragraph(
            f"""Flag, else `{PREFIX}*` variable, else `gluonserve.toml` (or the file that
            `{PREFIX}CONFIG` names), else default. The flag of `grpc_port` is `--grpc-port`, its
            variable `{PREFIX}GRPC_PORT`."""
        ),
        "",
        *_settings_table(ServerSettings),
        "",
        "## Models: `model.toml`",
        "",
        _paragraph(
            """Beside a model's versions, or in a version's folder, where it overrides the model's
            file key by key. All keys are optional, unknown keys are errors, and all errors are
            reported at once."""
        ),
        "",
        *_settings_table(ModelSettings),
    ]
    for heading, table in _tables(ModelSettings):
        lines += ["", f"### `{heading}`", ""]
        if table.__doc__:
            lines += [table.__doc__, ""]
        lines += _settings_table(table)
    return "\n".join(lines) + "\n"


def _settings_table(settings: type[Settings]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in settings.model_fields.items():
        if table_of(field.annotation):
            continue
        default = "" if field.is_required() else _shown(field.default)
        meaning = _cell(field.description or "")
        yield f"| `{name}` | {_kind(field.annotation)} | {default} | {meaning} |"


def _tables(settings: type[Settings]) -> Iterator[tuple[str, type[Settings]]]:
    for name, field in settings.model_fields.items():
        table = table_of(field.annotation)
        if table is not None:
            many = typing.get_origin(field.annotation) is tuple
            yield (f"[[{name}]]" if many else f"[{name}]"), table


def _shown(default: object) -> str:
    if default in (None, (), ""):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`{list(default)}`"
    return f"`{default}`"


def _kind(annotation: Any) -> str:
    """What may be written for a setting of this type, in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        kinds = dict.fromkeys(_kind(one) for one in arguments if one is not type(None))
        return " or ".join(kinds)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}s"
    return WORDS.get(annotation, "")


WORDS: Mapping[Any, str] = {
    bool: "true, false",
    int: "number",
    float: "number",
    str: "text",
    Path: "path",
    DType: "data type",
}


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), width=100)


def _cell(text: str) -> str:
    """Text as one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/operators.md": operators_page,
    "docs/metrics.md": metrics_page,
    "docs/configuration.md": configuration_page,
    "README.md": readme_page,
}

if __name__ == "__main__":
    sys.exit(main())
