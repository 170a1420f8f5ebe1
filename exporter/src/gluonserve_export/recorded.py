"""What a recorded run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from gluonserve_export.findings import Finding
    from gluonserve_export.graphs import Graph, Ref
    from gluonserve_export.sources import Where


class Stopped(Exception):
    """The run did what no graph can hold."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(str(finding))


@dataclass(frozen=True)
class Step:
    """One recorded operator call: where it stood, and the shapes that it was given."""

    op: str
    path: str
    where: Optional[Where]
    shapes: Tuple[Tuple[int, ...], ...]


@dataclass
class Recorded:
    """A run: the graph beside it, recorded calls by node, constants, outputs, what was met."""

    graph: Graph
    steps: Dict[int, Step]
    constants: Dict[str, Any]
    heads: List[Ref]
    outputs: Any
    findings: List[Finding]
