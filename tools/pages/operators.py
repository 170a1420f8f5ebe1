"""Which operators there are: docs/operators.md, and the table in the README."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.table import Lowering, Refusal
from gluonserve.loader.schema import operators
from pages.markdown import NOTE, ROOT, cell, paragraph

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIGURES = "tests/data/conformance.json"
DEVIATIONS = "tests/data/deviations.toml"


def operators_page() -> str:
    """Which operators are lowered, how their recorded cases went, and what is peculiar."""
    entries = sorted(TABLE.entries(), key=lambda entry: entry.name.lower())
    lowered = [entry for entry in entries if isinstance(entry, Lowering)]
    refused = [entry for entry in entries if isinstance(entry, Refusal)]
    figures = json.loads((ROOT / FIGURES).read_text(encoding="utf-8"))
    recorded: Mapping[str, Any] = figures["operators"]
    unknown = sorted(
        recorded.keys() - {entry.name for entry in entries} - {"graphs"}, key=str.lower
    )
    lines = [
        "# Operators",
        "",
        NOTE,
        "",
        paragraph(
            f"""{len(lowered)} of MXNet 1.9.1's operators are lowered, under every name that MXNet
            has for them. A network with any other is refused with the list of all of them, unless
            it asks for MXNet itself (`executor = "mxnet"`); `gluonserve inspect` says what stands
            in the way, node by node."""
        ),
        "",
        paragraph(
            """The figures are cases recorded from MXNet's own tests (`make conformance`): how many
            agree, of how many, with the engine that `auto` takes and with ONNX Runtime alone, and
            the worst error among those that agree, in units of what is allowed."""
        ),
        "",
        *_totals(figures["totals"]),
        "",
        "| operator | also called | auto | by | ONNX Runtime | worst | notes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_operator_row(entry, recorded.get(entry.name, {})) for entry in lowered),
    ]
    if refused:
        lines += ["", "## Not lowered on purpose", "", "| operator | cases | why |"]
        lines += ["| --- | --- | --- |"]
        for entry in refused:
            count = _recorded(recorded.get(entry.name, {}))
            lines.append(f"| `{entry.name}` | {count} | {cell(entry.reason)} |")
    if unknown:
        lines += ["", "## Not known", "", "Recorded operators that have no lowering yet:", ""]
        lines += [
            paragraph(", ".join(f"`{name}` ({_recorded(recorded[name])})" for name in unknown))
        ]
    return "\n".join([*lines, *_deviations()]) + "\n"


def _totals(totals: Mapping[str, Any]) -> Iterator[str]:
    yield "| choice of executor | recorded | agree | share |"
    yield "| --- | --- | --- | --- |"
    for mode, parts in totals.items():
        for part, row in parts.items():
            share = row["agreed"] / row["recorded"]
            yield f"| {mode}, {part} | {row['recorded']} | {row['agreed']} | {share:.2%} |"


def _recorded(modes: Mapping[str, Any]) -> str:
    return str(next((row["recorded"] for row in modes.values()), ""))


def _deviations() -> list[str]:
    """Every recorded case that does not agree, grouped by reason."""
    found = tomllib.loads((ROOT / DEVIATIONS).read_text(encoding="utf-8")).get("deviation", [])
    if not found:
        return []
    lines = [
        "",
        "## Cases that do not agree",
        "",
        f"From `{DEVIATIONS}`, which tests hold to be exact.",
        "",
        "| operator | cases | executor | outcome | reason |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in found:
        numbers, executors = ", ".join(map(str, one["cases"])), ", ".join(one["executors"])
        reason = cell(one["reason"])
        lines.append(
            f"| `{one['operator']}` | {numbers} | {executors} | {one['outcome']} | {reason} |"
        )
    return lines


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


def _operator_row(entry: Lowering, modes: Mapping[str, Any]) -> str:
    schema = operators().get(entry.name)
    aliases = ", ".join(f"`{alias}`" for alias in schema.aliases) if schema else ""
    notes = entry.notes.split("\n\n")[0]
    auto, alone = (modes.get(mode, {}) for mode in ("auto", "onnxruntime"))
    engines = ", ".join(auto.get("engines", {}))
    worst = max((row["worst"] for row in modes.values()), default=None)
    shown = "" if worst is None else f"{worst:.2g}"
    cells = [aliases, _share(auto), engines, _share(alone), shown, cell(notes)]
    return f"| `{entry.name}` | {' | '.join(cells)} |"


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['agreed']} / {row['recorded']}" if row else ""
