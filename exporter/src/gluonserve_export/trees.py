"""Draws a network as a tree with the findings at the children they belong to."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mxnet import gluon

from gluonserve_export import networks

if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Sequence

    from gluonserve_export.findings import Finding

_WIDTH = 96


def drawing(net: gluon.Block, findings: Sequence[Finding]) -> str:
    """The tree; parts without findings are summed up in one line."""
    by_path: Dict[str, List[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    lines: List[str] = []
    quiet = 0
    for path, block in networks.blocks(net).values():
        depth = len(_parts(path))
        if path and not any(_inside(other, path) for other in by_path):
            quiet += 1
            continue
        name = _parts(path)[-1] + ": " if path else ""
        kind = "hybrid" if isinstance(block, gluon.HybridBlock) else "plain"
        lines.append("  " * depth + f"{name}{type(block).__name__} ({kind})")
        for finding in by_path.get(path, ()):
            lines += _shown(finding, "  " * depth)
    if quiet:
        lines.append(f"{quiet} more {'Block' if quiet == 1 else 'Blocks'} without findings")
    stopping = sum(finding.stops for finding in findings)
    lines.append(_verdict(len(findings), stopping))
    return "\n".join(lines)


def _parts(path: str) -> List[str]:
    return path.split(".") if path else []


def _inside(other: str, path: str) -> bool:
    return other == path or other.startswith((path + ".", path + "["))


def _shown(finding: Finding, indent: str) -> Iterator[str]:
    mark = "!" if finding.stops else "*"
    yield f"{indent}  {mark} {finding.code}: {finding.what}"
    if finding.where is not None:
        yield f"{indent}    at {finding.where}"
    for text in (finding.meaning, f"Fix: {finding.fix}"):
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent=indent + "    ", subsequent_indent=indent + "    "
        )


def _verdict(count: int, stopping: int) -> str:
    if not count:
        return "Nothing found: it hybridizes, exports and serves as it is."
    found = f"{count} {'finding' if count == 1 else 'findings'}"
    if stopping:
        return f"{found}; {stopping} (marked !) must be changed before export_model can export it."
    return f"{found}; export_model exports it as it is."
