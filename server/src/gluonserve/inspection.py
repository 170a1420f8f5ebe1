"""What a model takes, gives and needs, and everything that would stop it from loading."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from gluonserve.errors import GluonserveError
from gluonserve.loader.obstacles import obstacles
from gluonserve.loader.params import Params, read_params
from gluonserve.loader.symbol import read_symbol
from gluonserve.repository.layout import ModelSource
from gluonserve.repository.loading import load_version
from gluonserve.repository.opening import import_source
from gluonserve.repository.samples import read_samples
from gluonserve.sources import found_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from gluonserve.loader.obstacles import Obstacle
    from gluonserve.repository.loading import Loaded
    from gluonserve.repository.samples import Samples
    from gluonserve.tensors import TensorSpec


@dataclass(slots=True)
class Report:
    """One version of a model. Without ``problems`` it loads; facts are there as far as it came.

    ``obstacles`` name every operator, attribute and node that has no lowering.
    """

    name: str
    version: int | None
    files: dict[str, str | None] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    parameters: int = 0
    parameter_bytes: int = 0
    executor: Mapping[str, str] = field(default_factory=dict)
    batching: str = ""
    rewrites: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    obstacles: tuple[Obstacle, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same in JSON's types."""
        tensors = {"inputs": self.inputs, "outputs": self.outputs}
        plain = asdict(self)
        return plain | {key: [_tensor(spec) for spec in specs] for key, specs in tensors.items()}


def inspect(path: Path, model_name: str | None = None) -> Iterator[Report]:
    """A report per version of every model under ``path``, each as soon as it is made.

    Raises:
        InvalidConfig: there is no such path, or no model in it.
    """
    for one in found_at(path, model_name):
        if isinstance(one, ModelSource):
            yield inspect_source(one)
        else:
            yield Report(one.name, one.version, problems=[one.reason])


def inspect_source(source: ModelSource) -> Report:
    """Read, import and load one version as a server would."""
    files = {"symbol": source.symbol, "params": source.params, "samples": source.samples}
    named = {kind: str(file) if file else None for kind, file in files.items()}
    report = Report(source.name, source.version, named, notes=list(source.notes))
    readable = _try(report, lambda: _count_operators(source, report))
    readable &= _try(report, lambda: _read_params(source))
    samples: list[Samples] = []
    _try(report, lambda: samples.extend(_samples(source)))
    if readable:
        _try(report, lambda: _import(source, next(iter(samples), None), report))
    if not report.problems:
        _try(report, lambda: _load(source, report))
    return report


def _count_operators(source: ModelSource, report: Report) -> None:
    graph = read_symbol(source.symbol)
    report.operators = dict(Counter(node.op for node in graph.operators()).most_common())
    if source.settings.executor != "mxnet":
        report.obstacles = obstacles(graph)


def _read_params(source: ModelSource) -> None:
    if source.params is not None:
        read_params(source.params).close()


def _samples(source: ModelSource) -> list[Samples]:
    return [] if source.samples is None else [read_samples(source.samples)]


def _import(source: ModelSource, samples: Samples | None, report: Report) -> None:
    imported = import_source(source, samples)
    facts = imported.facts()
    report.inputs, report.outputs = imported.signature.inputs, imported.signature.outputs
    report.parameters, report.parameter_bytes = facts.parameters, facts.parameter_bytes
    report.rewrites = facts.rewrites
    if isinstance(imported.params, Params):
        imported.params.close()


def _load(source: ModelSource, report: Report) -> None:
    loaded = load_version(source, threading.Event())
    try:
        report.inputs, report.outputs = loaded.signature.inputs, loaded.signature.outputs
        report.executor = dict(loaded.description)
        report.batching = _batching(loaded)
        report.notes = list(loaded.notes)
    finally:
        loaded.close()


def _batching(loaded: Loaded) -> str:
    if not loaded.policy.enabled:
        return "off in the settings"
    if not loaded.signature.batchable:
        return f"unbatched: {loaded.signature.why}"
    delay = (
        f", waiting at most {loaded.policy.max_delay_ms:g} ms" if loaded.policy.max_delay_ms else ""
    )
    return f"up to {loaded.policy.max_rows} rows{delay}"


def _try(report: Report, step: Callable[[], object]) -> bool:
    """Whether the step went well; what went wrong is kept, so that one fault hides no other."""
    try:
        step()
    except GluonserveError as error:
        report.problems.append(str(error))
        return False
    return True


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    plain = asdict(spec)
    accept = [dtype.value for dtype in spec.accept]
    return plain | {"dtype": spec.dtype.value, "shape": list(spec.shape), "accept": accept}
