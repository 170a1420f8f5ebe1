"""How public networks load and answer: docs/networks.md."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pages.markdown import NOTE, ROOT, cell, paragraph

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ZOO = "tests/data/zoo.json"
DEVIATIONS = "tests/data/zoo_deviations.toml"


def networks_page() -> str:
    """How the networks of the public zoos load and answer, engine by engine."""
    found = json.loads((ROOT / ZOO).read_text(encoding="utf-8"))
    lines = [
        "# Networks",
        "",
        NOTE,
        "",
        paragraph(
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
        paragraph(
            """Import is from files to ONNX: seconds as they went by on a machine that had other
            work too, and seconds of a processor; its memory and the whole peak, engine and run
            included, are beyond what the process had before."""
        ),
        *_earlier(found),
        "",
        *_zoo_totals(found),
        "",
        _ZOO_HEADINGS,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_network_row(one) for one in found),
        "",
        "## What does not agree",
        "",
        *_deviations(found),
        *_zoo_matched(found),
        *_zoo_nodes(found),
    ]
    return "\n".join(lines) + "\n"


def _zoo_matched(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("## Detection by detection", "")
    yield paragraph(
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
    yield paragraph(
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
            differs = cell("; ".join(nodes["differing"]))
            yield f"| `{one['network']}` | {' | '.join(cells)} | {differs} |"


def _earlier(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows that the last run did not come to."""
    old = sum("import_s" in one and "import_cpu_s" not in one for one in found)
    if old:
        yield ""
        yield f"{old} of {len(found)} rows, without seconds of a processor, are of an earlier run."


def _deviations(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"Reasons are from `{DEVIATIONS}`, which `make zoo` holds to be exact."
    yield ""
    listed = tomllib.loads((ROOT / DEVIATIONS).read_text(encoding="utf-8"))
    for one in found:
        if one["counts"] and one["outcome"] != "agree":
            why = listed.get(one["network"], {}).get("why", "")
            told = f" Because {cell(why)}." if why else ""
            yield f"* `{one['network']}` ({one['mode']}): {cell(one['detail'])}.{told}"
    yield ""


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
