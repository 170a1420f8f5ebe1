"""Every setting: docs/configuration.md."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gluonserve.config import PREFIX, ModelSettings, ServerSettings, Settings, table_of
from gluonserve.tensors import DType
from pages.markdown import NOTE, cell, paragraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def configuration_page() -> str:
    """Every setting of server and models."""
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        "## Server",
        "",
        paragraph(
            f"""Flag, else `{PREFIX}*` variable, else `gluonserve.toml` (or the file that
            `{PREFIX}CONFIG` names), else default. The flag of `grpc_port` is `--grpc-port`, its
            variable `{PREFIX}GRPC_PORT`."""
        ),
        "",
        *_settings_table(ServerSettings),
        "",
        "## Models: `model.toml`",
        "",
        paragraph(
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
        meaning = cell(field.description or "")
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
