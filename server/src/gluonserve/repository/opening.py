"""Opens a version's files: the one place where settings meet the loader and the executors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gluonserve.batching.selfcheck import FREE_SIZES, Below
from gluonserve.errors import InvalidConfig, UnsupportedModel
from gluonserve.executors import choose
from gluonserve.executors.options import ExecutorOptions
from gluonserve.loader.fitting import fitting_sizes
from gluonserve.loader.graph import Node, Variable
from gluonserve.loader.hints import InputHint
from gluonserve.loader.importing import import_as_exported, import_model
from gluonserve.loader.outputs import output_names
from gluonserve.loader.params import Params
from gluonserve.tensors import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gluonserve.config import ModelSettings
    from gluonserve.executors.protocol import Executor, Lease
    from gluonserve.loader.fitting import Sizes
    from gluonserve.loader.importing import Imported
    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.samples import Samples
    from gluonserve.tensors import TensorSpec

_PASSING_IDS = frozenset(
    {"Cast", "amp_cast", "BlockGrad", "_copy", "Reshape", "Flatten", "expand_dims", "squeeze"}
    | {"transpose", "SwapAxis", "slice", "slice_axis", "clip"}
)
"""Operators that hand token ids on as they are."""


def _nothing() -> None:
    """Free nothing."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A compiled network before anything is known of its answers.

    ``renamed`` maps the outputs' own names to those that settings gave them, ``valid`` tells the
    range of whole-number inputs where the network limits it, ``sizes`` what to try free dimensions
    with, ``release`` frees what the executor does not own.
    """

    executor: Executor
    renamed: Mapping[str, str] = field(default_factory=dict)
    valid: Mapping[str, Below] = field(default_factory=dict)
    sizes: tuple[Sizes, ...] = FREE_SIZES
    notes: tuple[str, ...] = ()
    device_bytes: int | None = None
    release: Callable[[], None] = _nothing

    def close(self) -> None:
        """Free the engine, then what it may have borrowed."""
        self.executor.close()
        self.release()


def import_source(source: ModelSource, samples: Samples | None) -> Imported:
    """Import as the settings say; whoever asks closes the parameters.

    Where they name MXNet as executor, operators without lowering are its affair.

    Raises:
        GluonserveError: a file is broken or missing, or holds what has no lowering.
    """
    settings = source.settings
    hints = {
        one.name: InputHint(one.datatype, one.shape, one.batch_axis, one.accept)
        for one in settings.inputs
    }
    renamed = {one.index: one.name for one in settings.outputs if one.name is not None}
    recorded = samples.inputs if samples is not None else {}
    files = (source.symbol, source.params)
    forced = settings.batching.enabled == "force"
    alike = forced or any(one.batch_axis is not None for one in settings.outputs)
    try:
        imported = import_model(
            *files, inputs=hints, outputs=renamed, samples=recorded, alike=alike
        )
    except UnsupportedModel:
        if settings.executor != "mxnet":
            raise
        imported = import_as_exported(*files, inputs=hints, outputs=renamed, samples=recorded)
    try:
        _check_outputs(imported, settings)
    except InvalidConfig:
        if isinstance(imported.params, Params):
            imported.params.close()
        raise
    return imported


def _check_outputs(imported: Imported, settings: ModelSettings) -> None:
    """Refuse settings of outputs that are not there, and names that would be given twice."""
    count, names = len(imported.answers), list(imported.answers)
    problems = [
        f"outputs: there is no index {one.index}; the network has {count}, the first is 0"
        for one in settings.outputs
        if one.index >= count
    ]
    problems += _lacking_axes(imported.signature.outputs, settings)
    doubles = sorted({name for name in names if names.count(name) > 1})
    problems += [f"outputs: more than one output is called {name!r}" for name in doubles]
    if problems:
        raise InvalidConfig("\n".join(problems))


def _lacking_axes(outputs: Sequence[TensorSpec], settings: ModelSettings) -> Iterator[str]:
    for one in settings.outputs:
        if isinstance(one.batch_axis, int) and one.index < len(outputs):
            rank = len(outputs[one.index].shape)
            if one.batch_axis >= rank:
                yield (
                    f"outputs: index {one.index}: batch_axis {one.batch_axis} is none of its "
                    f"{rank} axes; the first is 0, and 'none' says that no axis counts rows"
                )


def open_source(source: ModelSource, samples: Samples | None) -> Opened:
    """Import and compile as the settings say.

    Raises:
        GluonserveError: a file is broken or missing, or no engine takes the network.
    """
    settings = source.settings
    imported = import_source(source, samples)
    release = imported.params.close if isinstance(imported.params, Params) else _nothing
    options = ExecutorOptions(
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        instances=settings.instances,
        source=(source.symbol, source.params),
    )
    try:
        executor = _restated(choose(imported, settings.executor, options), settings)
    except UnsupportedModel as error:
        release()
        raise UnsupportedModel(f"{error}{_stated_types(settings)}") from error
    except BaseException:
        release()
        raise
    return Opened(
        executor,
        renamed=_renamed(imported, settings),
        valid=id_ranges(imported),
        sizes=fitting_sizes(imported.demands, FREE_SIZES, imported.broadcasts, imported.input_dims),
        notes=imported.notes,
        device_bytes=imported.facts().parameter_bytes,
        release=release,
    )


def _stated_types(settings: ModelSettings) -> str:
    """A word on data types that settings state, for they are the first suspect of a refusal."""
    types = ", ".join(
        f"{one.datatype.value} for {one.name!r}" for one in settings.inputs if one.datatype
    )
    if not types:
        return ""
    return (
        f"\nmodel.toml states {types}: datatype is what the network computes with; "
        "what clients may send besides goes into accept"
    )


def id_ranges(imported: Imported) -> dict[str, Below]:
    """The valid whole numbers of each input whose values choose rows of a parameter."""
    graph = imported.graph
    ranges: dict[str, Below] = {}
    for node in graph.nodes:
        if not isinstance(node, Node) or node.op not in {"Embedding", "_contrib_SparseEmbedding"}:
            continue
        origin = graph.nodes[node.inputs[0].node]
        while isinstance(origin, Node) and origin.op in _PASSING_IDS:
            origin = graph.nodes[origin.inputs[0].node]
        limit = node.attributes.get("input_dim", "")
        if isinstance(origin, Variable) and limit.isdecimal():
            known = ranges.get(origin.name, Below(int(limit)))
            ranges[origin.name] = Below(min(known.limit, int(limit)))
    return ranges


def _renamed(imported: Imported, settings: ModelSettings) -> dict[str, str]:
    own = output_names(imported.graph)
    return {
        own[one.index]: one.name
        for one in settings.outputs
        if one.name is not None and one.index < len(own)
    }


def _restated(executor: Executor, settings: ModelSettings) -> Executor:
    """The executor with the batch axes that settings state, or that forced batching needs."""
    stated = {one.index: one.batch_axis for one in settings.outputs if one.batch_axis is not None}
    signature = executor.signature
    outputs = tuple(
        _with_axis(spec, stated.get(index)) for index, spec in enumerate(signature.outputs)
    )
    batchable = signature.batchable or (
        outputs != signature.outputs
        and any(spec.batch_axis is not None for spec in signature.inputs)
        and all(spec.batch_axis is not None or at in stated for at, spec in enumerate(outputs))
    )
    inputs = signature.inputs
    if settings.batching.enabled == "force" and not batchable:
        shared = {one.name for one in settings.inputs if one.batch_axis == "none"}
        inputs = tuple(one if one.name in shared else _with_first_axis(one) for one in inputs)
        outputs = tuple(
            one if at in stated else _with_first_axis(one) for at, one in enumerate(outputs)
        )
    why = "" if batchable else signature.why
    restated = Signature(inputs, outputs, batchable=batchable, why=why)
    return executor if restated == signature else _Restated(executor, restated)


def _with_axis(spec: TensorSpec, axis: int | str | None) -> TensorSpec:
    if axis is None:
        return spec
    return replace(spec, batch_axis=axis if isinstance(axis, int) else None)


def _with_first_axis(spec: TensorSpec) -> TensorSpec:
    """Forced batching takes a free axis 0 for rows where nothing is proven."""
    if spec.batch_axis is None and spec.shape[:1] == (-1,):
        return replace(spec, batch_axis=0)
    return spec


class _Restated:
    """An executor with another signature; runs as it did."""

    def __init__(self, executor: Executor, signature: Signature) -> None:
        self._executor = executor
        self.signature = signature
        self.lease: Callable[[Mapping[str, tuple[int, ...]]], Lease] = executor.lease
        self.run: Callable[[Lease], None] = executor.run
        self.close: Callable[[], None] = executor.close

    @property
    def concurrency(self) -> int:
        """As the executor's."""
        return self._executor.concurrency

    @property
    def description(self) -> Mapping[str, str]:
        """As the executor's."""
        return self._executor.description
