"""Prints the reference pages of docs/ from what the server itself is made of, or checks them.

Run by ``make docs`` and, with ``--check``, by ``make check``.
"""

from __future__ import annotations

import argparse
import json
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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FIGURES = "tests/data/conformance.json"
ZOO = "tests/data/zoo.json"
ZOO_NODES = "tests/data/zoo_nodes.json"
DEVIATIONS = "tests/data/deviations.toml"
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
        _paragraph(
            f"""{len(lowered)} of MXNet 1.9.1's operators are lowered, under every name that MXNet
            has for them. A network with any other is refused with the list of all of them, unless
            it asks for MXNet itself (`executor = "mxnet"`); `gluonserve inspect` says what stands
            in the way, node by node."""
        ),
        "",
        _paragraph(
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
            lines.append(f"| `{entry.name}` | {count} | {_cell(entry.reason)} |")
    if unknown:
        lines += ["", "## Not known", "", "Recorded operators that have no lowering yet:", ""]
        lines += [
            _paragraph(", ".join(f"`{name}` ({_recorded(recorded[name])})" for name in unknown))
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
        reason = _cell(one["reason"])
        lines.append(
            f"| `{one['operator']}` | {numbers} | {executors} | {one['outcome']} | {reason} |"
        )
    return lines


def networks_page() -> str:
    """How the networks of the public zoos load and answer, engine by engine."""
    found = json.loads((ROOT / ZOO).read_text(encoding="utf-8"))
    lines = [
        "# Networks",
        "",
        NOTE,
        "",
        _paragraph(
            """Public networks with random weights (`make zoo`), compared with the answers that
            MXNet 1.9.1 recorded: each output's relative L2 error, of which 1e-4 is allowed, or 3
            times the network's noise where that is larger, up to 1e-2; float16 and mixed precision
            1e-2. Noise is MXNet's own change when every weight moves by 1e-6; more of it than 1e-2
            says nothing of the answers: then at least 99 % of a detector's detections have one of
            the same class, score and box on the other side, masks compared with the boxes they
            belong to, and of another network every single node agrees, fed what MXNet fed it. MXNet
            is no oracle where it does not re-import its own export with the same answers; those
            networks are not counted."""
        ),
        "",
        _paragraph(
            """Import is from files to ONNX: seconds as they went by on a machine that had other
            work too, and seconds of a processor; its memory and the whole peak, engine and run
            included, are beyond what the process had before."""
        ),
        "",
        *_zoo_totals(found),
        "",
        _ZOO_HEADINGS,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_network_row(one) for one in found),
        "",
        "## What does not agree",
        "",
        *(
            f"* `{one['network']}` ({one['mode']}): {one['outcome']}: {_cell(one['detail'])}"
            for one in found
            if one["counts"] and one["outcome"] != "agree"
        ),
        "",
        *_zoo_matched(found),
        *_zoo_nodes(found),
    ]
    return "\n".join(lines) + "\n"


def _zoo_matched(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("## Detection by detection", "")
    yield _paragraph(
        """Detectors with more noise than 1e-2, whose answers differ by more than is allowed from
        end to end. MXNet's executor reuses memory, and its ROIAlign leaves unwritten what belongs
        to no picture; where its nodes, run one by one, answer otherwise than it recorded (the last
        column says how far), they are what the detections are compared with."""
    )
    yield ""
    yield "| network | choice | detections matched | masks | MXNet's record against its nodes |"
    yield "| --- | --- | --- | --- | --- |"
    for one in found:
        if "matched" in one:
            masks = ", ".join(f"{error:.1e}" for error in one.get("paired", ()))
            cells = [one["mode"], f"{one['matched']:.2%}", masks, one.get("contradicted", "")]
            yield f"| `{one['network']}` | {' | '.join(cells)} |"
    yield ""


def _zoo_nodes(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("## Node by node", "")
    yield _paragraph(
        """Other networks with more noise than 1e-2 that differ by more than is allowed from end to
        end: each node a network of its own, fed what MXNet fed it, at its operator's tolerance (of
        quantised integers one step). The worst error is in units of that."""
    )
    yield ""
    yield "| network | choice | nodes | agree | worst error | what differs |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in found:
        if "nodes" in one:
            nodes = one["nodes"]
            cells = [one["mode"], str(nodes["nodes"]), str(nodes["agreed"]), str(nodes["worst"])]
            differs = _cell("; ".join(nodes["differing"]))
            yield f"| `{one['network']}` | {' | '.join(cells)} | {differs} |"


def _zoo_totals(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| choice of executor | networks counted | load | agree |"
    yield "| --- | --- | --- | --- |"
    for mode in dict.fromkeys(one["mode"] for one in found):
        counted = [one for one in found if one["mode"] == mode and one["counts"]]
        loaded = sum(one["outcome"] in ("agree", "differ") for one in counted)
        agreed = sum(one["outcome"] == "agree" for one in counted)
        yield f"| {mode} | {len(counted)} | {loaded} | {agreed} |"


_ZOO_HEADINGS = (
    "| network | choice | engine | outcome | worst error | MB | import s | busy s | MB | peak MB |"
)
_ZOO_FIGURES = ("param_mb", "import_s", "import_cpu_s", "import_mb", "peak_mb")


def _network_row(one: Mapping[str, Any]) -> str:
    worst = max(one.get("errors", []), default=None)
    outcome = one["outcome"] if one["counts"] else f"({one['outcome']})"
    figures = [one.get(key, "") for key in _ZOO_FIGURES]
    shown = "" if worst is None else f"{worst:.1e}"
    cells = [one["mode"], one["engine"], outcome, shown, *map(str, figures)]
    return f"| `{one['network']}` | {' | '.join(cells)} |"


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
    cells = [aliases, _share(auto), engines, _share(alone), shown, _cell(notes)]
    return f"| `{entry.name}` | {' | '.join(cells)} |"


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['agreed']} / {row['recorded']}" if row else ""


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
    "docs/networks.md": networks_page,
    "docs/metrics.md": metrics_page,
    "docs/configuration.md": configuration_page,
    "README.md": readme_page,
}

if __name__ == "__main__":
    sys.exit(main())
