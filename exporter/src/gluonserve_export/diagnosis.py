"""Explains, for a network of any kind, what stands between it and being served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mxnet import gluon

from gluonserve_export import networks
from gluonserve_export.arrays import arrays_of, is_array, regroup, waited
from gluonserve_export.findings import Finding
from gluonserve_export.hybridizing import both_ways
from gluonserve_export.operators import unsupported
from gluonserve_export.recorded import Stopped
from gluonserve_export.sources import failing, said
from gluonserve_export.state import preserved
from gluonserve_export.structure import examine
from gluonserve_export.tracing import trace
from gluonserve_export.trees import drawing

if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

    from gluonserve_export.rows import Axis
    from gluonserve_export.tracing import Traced


REFUSED_CHILD = "Children of HybridBlock"
"""How MXNet begins when it refuses a child."""
_EMPTY = ("deferred", "uninitialised")


@dataclass(frozen=True)
class Diagnosis:
    """What was found; printed, it is the tree of the network with the findings in it."""

    findings: Tuple[Finding, ...]
    text: str

    @property
    def exportable(self) -> bool:
        """Whether nothing found stops ``export_model``."""
        return not any(finding.stops for finding in self.findings)

    @property
    def codes(self) -> Tuple[str, ...]:
        """The findings' codes, in order."""
        return tuple(finding.code for finding in self.findings)

    def __str__(self) -> str:
        return self.text


def diagnose(
    net: Union[gluon.Block, Callable[[], gluon.Block]],
    *sample_inputs: Any,
    batch_axes: Optional[Sequence[Axis]] = None,
) -> Diagnosis:
    """What ``net`` (or the network that it makes, where it is a function) lacks for being served.

    Without sample inputs nothing is run, and only what the tree and the parameters show is found.
    The network is left as it was.
    """
    if not isinstance(net, gluon.Block):
        made = _made(net)
        if isinstance(made, Finding):
            return Diagnosis((made,), f"{getattr(net, '__name__', net)}()\n  ! {made}")
        net = made
    findings = examine(net)
    if sample_inputs and not any(one.code == "name-clash" for one in findings):
        findings += _running(net, sample_inputs, findings, batch_axes)
        idle = {(one.path, name) for one in findings if one.code == "unused" for name in one.names}
        findings = [
            one
            for one in findings
            if one.code not in _EMPTY or {(one.path, name) for name in one.names} - idle
        ]
    order = {path: at for at, (path, _) in enumerate(networks.blocks(net).values())}
    findings.sort(key=lambda finding: order.get(finding.path, -1))
    return Diagnosis(tuple(findings), drawing(net, findings))


def _made(make: Callable[[], gluon.Block]) -> Union[gluon.Block, Finding]:
    try:
        return make()
    except ValueError as error:
        if REFUSED_CHILD not in str(error):
            raise
        where = failing(error)
        return Finding("plain-child-of-hybrid", "", "MXNet refused to build the network", where)


def _running(
    net: gluon.Block,
    inputs: Sequence[Any],
    known: Sequence[Finding],
    batch_axes: Optional[Sequence[Axis]],
) -> List[Finding]:
    """What running shows; of findings at the same line, the one that weighs more."""
    with preserved(net):
        try:
            waited(net(*copies(inputs)))
        except Exception as error:
            if any(finding.code == "uninitialised" for finding in known):
                return []
            text = said(error)
            name = type(error).__name__
            what = text if text.startswith(name) else f"{name}: {text}"
            return [Finding("forward-fails", "", what, failing(error))]
        hybrid = both_ways(net, copies(inputs))
        try:
            names = [f"data{at}" for at, _ in enumerate(arrays_of(list(inputs)))]
            traced = trace(net, copies(inputs), names, batch_axes=batch_axes)
        except Stopped as stopped:
            one = stopped.finding
            if one.code == "random":  # no two answers are alike, on symbols or not
                hybrid = [other for other in hybrid if other.code != "hybrid-differs"]
            others = [other for other in hybrid if other.where != one.where or one.where is None]
            return [*others, one]
        return [*hybrid, *of_trace(net, traced)]


def copies(inputs: Sequence[Any]) -> List[Any]:
    """The inputs in memory of their own, for a forward may write into them."""
    arrays = [one.copy() if is_array(one) else one for one in arrays_of(list(inputs))]
    return list(regroup(list(inputs), arrays))


def of_trace(net: gluon.Block, traced: Traced) -> List[Finding]:
    """What a finished trace shows: fixed dimensions, unused parameters, operators."""
    recorded = traced.recorded
    steps = {}
    if recorded is not None:
        steps = {recorded.graph.nodes[at]["name"]: one.path for at, one in recorded.steps.items()}
    met = [] if recorded is None else recorded.findings
    return [*met, *traced.findings, *_unused(net, traced), *unsupported(net, traced.symbol, steps)]


def _unused(net: gluon.Block, traced: Traced) -> List[Finding]:
    used = set(traced.symbol.list_inputs())
    by_path: Dict[str, List[str]] = {}
    for parameter, paths in networks.parameters(net).values():
        if parameter.name not in used:
            by_path.setdefault(paths[0], []).append(parameter.name)
    return [
        Finding("unused", path, ", ".join(names), names=frozenset(names))
        for path, names in by_path.items()
    ]
