"""Results as a page: tables in Markdown and one plot, made from the JSON files that are there."""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Figures = dict[str, Any]

PAGE, PLOT = "README.md", "engines.svg"


def write(results: Path) -> Path:
    """Write the page, and the plot if the engines were measured; the page's path."""
    parts = {file.stem: json.loads(file.read_text()) for file in sorted(results.glob("*.json"))}
    text = ["# Results", ""]
    for name, section in SECTIONS.items():
        if name in parts:
            text += [*section(parts[name]["figures"]), "", _conditions(parts[name]), ""]
    if "engines" in parts:
        _plot(parts["engines"]["figures"], results / PLOT)
    page = results / PAGE
    page.write_text("\n".join(text).rstrip() + "\n")
    return page


def _conditions(part: Figures) -> str:
    one = part.get("conditions")
    if one is None:
        return ""
    versions = ", ".join(f"{name} {what}" for name, what in one["packages"].items() if what)
    machine = one["machine"]
    return (
        f"*{one['date']}, {machine['cores']} cores of {machine['processor']},"
        f" Python {one['python']}, {versions}; medians of {one['rounds']} interleaved rounds of"
        f" {one['slice_seconds']:g} s; load before: {one['load_average_before']:.1f};"
        f" repeat with `{one['command']}`.*"
    )


def _engines(figures: Figures) -> list[str]:
    def row(cell: Figures) -> list[str]:
        rates = cell["rows_per_second"]
        best, theirs = cell["best_executor"], cell["best_mxnet"]
        return [
            f"{cell['network']}, batch {cell['batch']}",
            *(f"{rates[label]:,.1f}" for label in ("openvino", "onnxruntime")),
            f"{rates[theirs]:,.1f} ({theirs})",
            f"**{cell['ratio']:.2f}**",
            f"{cell['relative_l2_error'][best]:.1e}",
        ]

    return [
        "## Executors against MXNet's best mode, fp32",
        "",
        *_table(
            ["rows per second", "OpenVINO", "ONNX Runtime", "MXNet's best", "ratio", "L2 error"],
            map(row, figures["cells"]),
        ),
        "",
        (
            f"Geometric mean of the ratios: **{figures['geometric_mean']:.2f}**;"
            f" lowest: {figures['lowest']:.2f}."
        ),
        "",
        f"![rows per second by engine]({PLOT})",
    ]


def _served_resnet(figures: Figures) -> list[str]:
    rows = [
        [f"bare, {name}", f"{rate:.1f}", "", ""]
        for name, rate in figures["bare_rows_per_second"].items()
    ]
    rows += [
        [
            f"through gRPC, 4 in flight, {name}",
            f"{rate:.1f}",
            f"**{figures['ratios'][name]:.3f}**",
            f"{figures['generator'][name]['share_of_the_machine']:.1%}",
        ]
        for name, rate in figures["served_rows_per_second"].items()
    ]
    return [
        "## ResNet-50 through gRPC against the bare executor",
        "",
        *_table(["", "rows per second", "ratio to the best bare rate", "generator"], rows),
        "",
        "Instances share the cores. The generator's column is its part of the same cores.",
    ]


def _served_lenet(figures: Figures) -> list[str]:
    def row(item: tuple[str, Figures]) -> list[str]:
        name, one = item
        rates, p99 = one["requests_per_second"], one["call_p99_ms"]["gluonserve"]
        return [
            name,
            f"{rates['gluonserve']:,.0f}",
            f"{rates['empty server']:,.0f}",
            f"**{one['ratio']:.2f}**",
            f"{p99:.1f} ms",
            f"{one['generator']['gluonserve']['share_of_one_core']:.0%}",
        ]

    heads = ["LeNet", "gluonserve", "empty server", "ratio", "p99 per call", "generator"]
    return [
        "## LeNet, requests of one row, beside an empty grpc.aio + uvloop server",
        "",
        *_table(heads, map(row, figures.items())),
        "",
        (
            "Rates are requests per second; a call of the streams row is a stream of many requests;"
            " the generator's column is its share of one core."
        ),
    ]


def _empty_model(figures: Figures) -> list[str]:
    rows = [
        [name, f"{one['cpu_us']:.0f}", f"{one['latency_us']:.0f}"] for name, one in figures.items()
    ]
    heads = ["microseconds per request", "processor time under load", "latency of a lone request"]
    return ["## A model that does nothing", "", *_table(heads, rows)]


def _memory(figures: Figures) -> list[str]:
    def row(item: tuple[str, Figures]) -> list[str]:
        name, one = item
        return [
            name,
            *(
                f"{size / 2**20:.0f}"
                for size in (
                    one["parameter_bytes"],
                    max(one["import_peak_bytes"], one["compile_peak_bytes"]),
                    one["compiled_bytes"],
                    one["served_ready"]["resident_bytes"],
                    one["served_after_load"]["peak_bytes"],
                )
            ),
            f"{one['peak_over_parameters']:.2f}",
        ]

    heads = [
        "MiB",
        "parameters",
        "import peak",
        "compiled",
        "server, ready",
        "server, peak",
        "import peak / parameters",
    ]
    return ["## Memory", "", *_table(heads, map(row, figures.items()))]


def _image(figures: Figures) -> list[str]:
    rows = [[name.replace("_", " "), str(value)] for name, value in figures.items()]
    return ["## The container image", "", *_table(["", ""], rows)]


def _rewrites(figures: Figures) -> list[str]:
    rows = [
        [
            name,
            f"{one['as_exported_ms']:.3f}",
            f"{one['rewritten_ms']:.3f}",
            f"**{one['gain']:.1f}**",
        ]
        for name, one in figures.items()
    ]
    heads = ["milliseconds per call, one thread", "step by step", "as one layer", "gain"]
    return ["## Unrolled recurrent cells", "", *_table(heads, rows)]


def _zoo(figures: Figures) -> list[str]:
    def row(cell: Figures) -> list[str]:
        times = cell["ms_per_call"]
        ours, theirs = (
            min(times, key=lambda label: times[label] if label.startswith("ours") is side else inf)
            for side in (True, False)
        )
        return [
            cell["network"],
            f"{times[ours]:.2f} ({ours.removeprefix('ours, ')})",
            f"{times[theirs]:.2f} ({theirs})",
            f"**{cell['ratio']:.2f}**",
        ]

    cells = [cell for cell in figures["cells"] if "ratio" in cell]
    left = [cell["network"] for cell in figures["cells"] if "ratio" not in cell]
    which = (
        f"every {figures['every']}th of the networks" if figures["every"] > 1 else "all networks"
    )
    why = [
        f"* Where the time of {cell['network']} goes: "
        + ", ".join(f"{kind} {spent:.1f} ms" for kind, spent in cell["profile"])
        + "."
        for cell in cells
        if "profile" in cell
    ]
    return [
        "## The zoo: the executor of `auto` against MXNet's best mode, fp32",
        "",
        (
            f"Over {which} of `make zoo` that MXNet imports again ({len(cells)}): geometric mean"
            f" **{figures['geometric_mean']:.2f}**; slower than MXNet:"
            f" {', '.join(figures['slower']) or 'none'}; not measured: {', '.join(left) or 'none'}."
        ),
        "",
        *_table(
            ["milliseconds per call", "gluonserve", "MXNet's best", "ratio"],
            map(row, sorted(cells, key=lambda cell: cell["ratio"])),
        ),
        "",
        *why,
    ]


SECTIONS: dict[str, Callable[[Figures], list[str]]] = {
    "engines": _engines,
    "served_resnet": _served_resnet,
    "served_lenet": _served_lenet,
    "empty_model": _empty_model,
    "memory": _memory,
    "rewrites": _rewrites,
    "zoo": _zoo,
    "image": _image,
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _plot(figures: Figures, target: Path) -> None:
    cells = figures["cells"]
    figure, axes = plt.subplots(1, len(cells), figsize=(2.6 * len(cells), 3.6))
    for axis, cell in zip(axes, cells, strict=True):
        rates = cell["rows_per_second"]
        colours = [
            "#2a7f62" if label in ("openvino", "onnxruntime") else "#b0b0b0" for label in rates
        ]
        axis.bar(range(len(rates)), list(rates.values()), color=colours)
        axis.set_xticks(range(len(rates)), list(rates), rotation=60, ha="right", fontsize=7)
        axis.set_title(f"{cell['network']}\nbatch {cell['batch']}", fontsize=8)
        axis.tick_params(axis="y", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("rows per second", fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
