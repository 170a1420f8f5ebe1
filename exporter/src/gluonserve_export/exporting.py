"""Writes a network as a model that the server loads, and proves that it answers the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gluonserve_export import files, networks
from gluonserve_export.arrays import arrays_of, is_array, waited
from gluonserve_export.diagnosis import copies, of_trace
from gluonserve_export.errors import ExportRefused
from gluonserve_export.findings import Finding
from gluonserve_export.preprocessing import Preprocessed
from gluonserve_export.recorded import Stopped
from gluonserve_export.sources import failing, said
from gluonserve_export.state import preserved
from gluonserve_export.structure import parameter_findings, state_of
from gluonserve_export.tracing import trace

if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

    from mxnet import gluon

    from gluonserve_export.files import Axis, Input, Output
    from gluonserve_export.tracing import Traced


@dataclass(frozen=True)
class Exported:
    """What was written, and what is worth knowing about it."""

    folder: Path
    inputs: Tuple[Input, ...]
    outputs: Tuple[Output, ...]
    findings: Tuple[Finding, ...]


def export_model(
    net: gluon.Block,
    path: Union[str, Path],
    *sample_inputs: Any,
    version: int = 1,
    overwrite: bool = False,
    description: str = "",
    labels: Sequence[str] = (),
    input_names: Optional[Sequence[str]] = None,
    output_names: Optional[Sequence[str]] = None,
    batch_axes: Optional[Sequence[Axis]] = None,
    free_axes: Optional[Mapping[str, Set[int]]] = None,
    preprocessing: Optional[gluon.Block] = None,
    check_operators: bool = True,
) -> Exported:
    """Write ``net`` as version ``version`` of the model directory ``path``.

    Sample inputs are arrays, or nested lists of them, as ``net`` takes them; with
    ``preprocessing`` the first is what that takes. Inputs are called ``data``, or ``data0``,
    ``data1`` ... as in MXNet's own exports, unless ``input_names`` says otherwise; ``batch_axes``
    says for each which axis counts rows ("none" where all rows share it), where running other
    shapes does not tell. Every other axis keeps the sample's size unless ``free_axes`` names it.

    The files are read back and run, on the sample and on fresh inputs with another number of
    rows; nothing is left behind where they do not answer as the network does. The network is left
    as it was.

    Raises:
        ExportRefused: its findings say what stands in the way, where, and what to change.
        NotProven: what was written answers otherwise than the network.
        ExportError: there is such a version already, or it cannot be written.
        ValueError: names, axes or the version do not fit.
    """
    if version < 1:
        raise ValueError(f"versions are positive whole numbers, not {version}")
    whole = net if preprocessing is None else Preprocessed(preprocessing, net)
    arrays = arrays_of(list(sample_inputs))
    names = list(input_names or _default_names(len(arrays)))
    _check_inputs(whole, arrays, names)
    traced = _traced(whole, sample_inputs, names, batch_axes, free_axes or {})
    inputs, outputs = _specs(traced, output_names)
    findings = _acceptable(whole, traced, check_operators=check_operators)
    folder = Path(path) / str(version)
    with files.put_in_place(folder, overwrite=overwrite) as place:
        files.write_graph(place, traced.symbol, traced.parameters)
        files.write_samples(place, inputs, outputs)
        text = files.settings_text(inputs, outputs, description=description, labels=bool(labels))
        (place / files.SETTINGS).write_text(text, encoding="utf-8")
        if labels:
            lines = "\n".join(labels) + "\n"
            (place / files.LABELS).write_text(lines, encoding="utf-8")
        runs = [(traced.inputs, [one for _, one in traced.outputs])]
        runs += [(run.inputs, run.outputs) for run in traced.others]
        files.verify(place, [(files.fed(arrays, names, a), b) for a, b in runs])
    return Exported(folder, tuple(inputs), tuple(outputs), tuple(findings))


def _default_names(count: int) -> List[str]:
    return ["data"] if count == 1 else [f"data{at}" for at in range(count)]


def _check_inputs(net: gluon.Block, arrays: Sequence[Any], names: Sequence[str]) -> None:
    odd = next((one for one in arrays if not is_array(one)), None)
    if odd is not None or not arrays:
        what = "there are no sample inputs" if odd is None else f"an input is {type(odd).__name__}"
        raise ExportRefused([Finding("not-arrays", "", what)])
    taken = {one.name for one, _ in networks.parameters(net).values()} & set(names)
    if len(set(names)) != len(arrays) or taken:
        clash = f"; {', '.join(sorted(taken))} is a parameter" if taken else ""
        raise ValueError(f"{len(arrays)} inputs need as many different names, not {names}{clash}")


def _traced(
    net: gluon.Block,
    inputs: Sequence[Any],
    names: Sequence[str],
    batch_axes: Optional[Sequence[Axis]],
    free: Mapping[str, Set[int]],
) -> Traced:
    """The proven trace; what stops it is a refusal, and so are parameters without values."""
    broken = [one for one in parameter_findings(net) if one.stops]
    if any(one.code == "name-clash" for one in broken):
        raise ExportRefused(broken)
    empty = {one.name for one, _ in networks.parameters(net).values() if state_of(one)}
    with preserved(net):
        try:
            waited(net(*copies(inputs)))
        except Exception as error:
            own = Finding("forward-fails", "", said(error), failing(error))
            raise ExportRefused(broken or [own]) from error
        try:
            traced = trace(net, copies(inputs), names, batch_axes=batch_axes, free=free)
        except Stopped as stopped:
            raise ExportRefused([stopped.finding]) from stopped
    if empty & set(traced.parameters):
        raise ExportRefused(broken)
    return traced


def _acceptable(net: gluon.Block, traced: Traced, *, check_operators: bool) -> List[Finding]:
    findings = of_trace(net, traced)
    stopping = [
        one for one in findings if one.stops and (check_operators or one.code == "custom-operator")
    ]
    if stopping:
        raise ExportRefused(stopping)
    return findings


def _specs(
    traced: Traced, output_names: Optional[Sequence[str]]
) -> Tuple[List[Input], List[Output]]:
    axes: Sequence[Optional[Axis]] = traced.batch_axes or [None] * len(traced.names)
    used = set(traced.symbol.list_inputs())
    inputs = [
        files.Input(name, sample, axis, traced.free.get(name, set()))
        for name, sample, axis in zip(traced.names, traced.inputs, axes)
        if name in used
    ]
    found = traced.output_axes or [None] * len(traced.outputs)
    names = list(output_names or unique(traced.symbol.list_outputs()))
    if len(set(names)) != len(traced.outputs):
        raise ValueError(f"{len(traced.outputs)} outputs need as many different names, not {names}")
    outputs = [
        files.Output(name, path, sample, axis)
        for name, (path, sample), axis in zip(names, traced.outputs, found)
    ]
    return inputs, outputs


def unique(names: Sequence[str]) -> List[str]:
    """MXNet's names of outputs, duplicates with _1, _2 as the server has them."""
    counts: Dict[str, int] = {}
    made = []
    for name in names:
        count = counts[name] = counts.get(name, -1) + 1
        made.append(f"{name}_{count}" if count else name)
    return made
