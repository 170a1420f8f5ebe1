"""The importer's door: two exported files in, a network with a proven signature out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig, InvalidModel, UnsupportedModel
from gluonserve.loader import axes, facts
from gluonserve.loader.graph import Graph, Node, Variable
from gluonserve.loader.hints import InputHint
from gluonserve.loader.lowered import Lowered, lowered
from gluonserve.loader.lowering import TABLE
from gluonserve.loader.lowering.building import Plan
from gluonserve.loader.lowering.emit import PLAIN_ONNX, Target
from gluonserve.loader.lowering.table import reachable
from gluonserve.loader.outputs import output_names
from gluonserve.loader.params import Params, read_params
from gluonserve.loader.reading import Readings
from gluonserve.loader.roles import roles
from gluonserve.loader.rolling import rolled
from gluonserve.loader.symbol import read_symbol
from gluonserve.loader.trying import fitted
from gluonserve.loader.widening import FLOAT16, widened
from gluonserve.tensors import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from gluonserve.loader.fitting import Demand
    from gluonserve.loader.lowering.building import Built
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.table import OpTable
    from gluonserve.loader.lowering.values import Value
    from gluonserve.loader.roles import Roles
    from gluonserve.tensors import DType

__all__ = [
    "PLAIN_ONNX",
    "Imported",
    "InputHint",
    "Lowered",
    "Target",
    "import_as_exported",
    "import_model",
]

_MXNET_RUNS_IT = (
    'MXNet itself can run what has no lowering: executor = "mxnet" where mxnet is installed'
)
_UNPROVEN = "MXNet runs it as it was exported, and nothing proves that its rows stay apart"
_SHOWN = 12
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Facts:
    """What ``inspect`` tells about a network."""

    operators: Mapping[str, int]
    parameters: int
    parameter_bytes: int
    notes: tuple[str, ...]
    rewrites: tuple[str, ...]
    """What is run in another form than it was exported in, with the same answers."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A network: the source graph, its parameters, its signature, and ONNX on demand.

    Without a ``plan`` it was taken as exported: only MXNet can run it, and tells its outputs, of
    which the signature then says nothing.
    """

    graph: Graph
    params: Mapping[str, np.ndarray]
    signature: Signature
    notes: tuple[str, ...]
    input_dims: Mapping[str, tuple[Dim, ...]] = field(repr=False)
    """The shapes of the inputs with their free dimensions named."""
    output_dims: Mapping[str, tuple[Dim, ...]] = field(repr=False)
    """The shapes of the outputs in terms of those of the inputs."""
    plan: Plan | None = field(repr=False)
    holes: Mapping[str, Dim] = field(repr=False)
    """What the graph fixed of shapes that it left open."""
    answers: tuple[str, ...] = ()
    """The names of the outputs."""
    demands: tuple[Demand, ...] = field(default=(), repr=False)
    """What operators ask of free dimensions."""
    broadcasts: tuple[Demand, ...] = field(default=(), repr=False)
    """Dimensions that are alike or of which one is 1."""
    rewrites: tuple[str, ...] = ()
    """What ``plan`` runs in another form than ``graph`` has it."""

    def lower(self, target: Target = PLAIN_ONNX) -> Lowered:
        """ONNX for what ``target`` can do; weights stay in the mapped file.

        Raises:
            UnsupportedModel: it was taken as exported, or the target needs what is not known.
        """
        if self.plan is None:
            raise UnsupportedModel("the network has operators without lowering; MXNet runs it")
        kinds = {s.name: (s.dtype, self.input_dims[s.name]) for s in self.signature.inputs}
        built = self.plan.lower(kinds, target, self.holes)
        if built.unknown is not None:
            raise UnsupportedModel(f"{built.unknown}: needs a dimension that is free")
        names = [spec.name for spec in self.signature.outputs]
        model = lowered(built, names, self.params)
        return model if target.has(FLOAT16) else widened(model)

    def facts(self) -> Facts:
        """Operators with their counts (subgraphs included), parameters, and what is odd."""
        operators = Counter(node.op for node in self.graph.operators())
        arrays = list(self.params.values())
        return Facts(
            operators=dict(operators.most_common()),
            parameters=sum(array.size for array in arrays),
            parameter_bytes=sum(array.nbytes for array in arrays),
            notes=self.notes,
            rewrites=self.rewrites,
        )


def import_model(
    symbol: Path | bytes,
    params: Path | Mapping[str, np.ndarray] | None = None,
    *,
    inputs: Mapping[str, InputHint] | None = None,
    outputs: Mapping[int, str] | None = None,
    samples: Mapping[str, np.ndarray] | None = None,
    alike: bool = False,
    table: OpTable = TABLE,
) -> Imported:
    """Import an exported network.

    ``params`` is a file, or arrays by name. ``inputs`` are what settings say of inputs by name,
    ``outputs`` new names of outputs by position, ``samples`` recorded inputs: they tell types and
    ranks, and dimensions where an operator needs one that nothing else fixes. ``alike`` says that
    all inputs have as many rows, also where nothing proves that requests may share a batch.

    Raises:
        InvalidModel: a file is broken, or graph and parameters do not fit each other.
        UnsupportedModel: lists every operator and attribute that has no lowering.
        InvalidConfig: settings contradict the network, or a shape must be stated.
    """
    graph = read_symbol(symbol)
    stored = read_params(params) if isinstance(params, Path) else params
    return _imported(
        graph,
        stored,
        hints=inputs or {},
        renamed=outputs or {},
        samples=samples or {},
        alike=alike,
        table=table,
    )


def _imported(
    graph: Graph,
    params: Mapping[str, np.ndarray] | None,
    *,
    hints: Mapping[str, InputHint],
    renamed: Mapping[int, str],
    samples: Mapping[str, np.ndarray],
    alike: bool,
    table: OpTable,
) -> Imported:
    needed = reachable(graph, table)
    _check_operators(graph, needed, table)
    stored: Mapping[str, np.ndarray] = {} if params is None else params
    parts = roles(graph, stored.keys())
    names = _data_inputs(graph, needed, parts, hints, filed=params is not None)
    rewritten = rolled(graph)
    plan = Plan(rewritten.graph, table, stored)
    known = facts.input_facts(graph, stored, names, hints, samples)
    read = Readings.of(graph)

    def signed(built: Built) -> Signature:
        return _signature(graph, read, built, hints, renamed)

    fit = fitted(plan, known, hints, samples, lambda built: signed(built).batchable)
    built, signature = fit.built, signed(fit.built)
    if not alike and not signature.batchable and _counting(signature) > 1:
        ranked, why = facts.with_ranks(known, fit.tried), signature.why
        built = facts.settled(plan, ranked, hints, samples, apart=True)
        signature = signed(built)
        signature = signature if signature.batchable else replace(signature, why=why)
    signature = _doubtful(signature, facts.guessed(graph, stored, fit.tried))
    doubts = facts.doubts(graph, signature, stored, hints, samples)
    return Imported(
        graph=graph,
        params=stored,
        signature=signature,
        notes=(*_notes(graph, stored, parts, names), *doubts),
        input_dims={value.name: value.shape for value in built.inputs},
        output_dims={
            spec.name: value.shape
            for spec, value in zip(signature.outputs, built.outputs, strict=True)
        },
        plan=plan,
        holes=built.build.known,
        answers=tuple(spec.name for spec in signature.outputs),
        demands=tuple(built.build.demands),
        broadcasts=tuple(built.build.broadcasts),
        rewrites=rewritten.chains,
    )


def import_as_exported(
    symbol: Path,
    params: Path | None,
    *,
    inputs: Mapping[str, InputHint],
    outputs: Mapping[int, str],
    samples: Mapping[str, np.ndarray],
) -> Imported:
    """Import for MXNet itself, which runs what has no lowering.

    The inputs' types and shapes come from settings, samples and the graph; only rows are free
    where nothing says more. Nothing is proven of the outputs.

    Raises:
        InvalidModel: a file is broken.
        InvalidConfig: the shape of an input is not known; names it.
    """
    graph = read_symbol(symbol)
    stored: Mapping[str, np.ndarray] = {} if params is None else read_params(params)
    parts = roles(graph, stored.keys())
    needed = reachable(graph, TABLE)
    names = _data_inputs(graph, needed, parts, inputs, filed=params is not None)
    specs = []
    known = facts.input_facts(graph, stored, names, inputs, samples)
    suggested = {n: one.suggested for n, one in known.items() if isinstance(one, facts.Open)}
    ranks = {name: rank for name, rank in suggested.items() if rank is not None}
    if unknown := suggested.keys() - ranks.keys():
        raise facts.unknown_shapes(sorted(unknown), stored)
    for name, fact in facts.with_ranks(known, ranks).items():
        hint, shape = inputs.get(name, InputHint()), fact.shape
        if hint.shape is None and name in samples and shape:
            shape = (-1, *samples[name].shape[1:])
        axis = hint.batch_axis if hint.batch_axis is not None else 0
        counted = axis if isinstance(axis, int) and shape[axis : axis + 1] == (-1,) else None
        specs.append(TensorSpec(name, fact.dtype, shape, counted, accept=hint.accept))
    return Imported(
        graph=graph,
        params=stored,
        signature=Signature(tuple(specs), (), batchable=False, why=_UNPROVEN),
        notes=tuple(_notes(graph, stored, parts, names)),
        input_dims={},
        output_dims={},
        plan=None,
        holes={},
        answers=tuple(outputs.get(at, name) for at, name in enumerate(output_names(graph))),
    )


def _check_operators(graph: Graph, needed: frozenset[int], table: OpTable) -> None:
    problems = table.problems(_nodes(graph, needed, table))
    if problems:
        raise UnsupportedModel("; ".join([*problems, _MXNET_RUNS_IT]))


def _nodes(graph: Graph, needed: frozenset[int], table: OpTable) -> Iterator[Node]:
    """Every node that is lowered, subgraphs included."""
    for position in sorted(needed):
        node = graph.nodes[position]
        if isinstance(node, Node):
            yield node
            for subgraph in node.subgraphs:
                yield from _nodes(subgraph, reachable(subgraph, table), table)


def _data_inputs(
    graph: Graph,
    needed: frozenset[int],
    parts: Roles,
    hints: Mapping[str, InputHint],
    *,
    filed: bool,
) -> tuple[str, ...]:
    """The variables that requests bring, in the order of the network's call."""
    used = {v.name for at in needed if isinstance(v := graph.nodes[at], Variable)}
    missing = [name for name in parts.missing if name in used and name not in hints]
    if missing:
        listed, many = _listed(missing), "" if len(missing) == 1 else "s"
        count = f"{len(missing)} parameter{many}"
        place = "are not in the parameter file"
        if not filed:
            place = "have no values, for there is no parameter file"
        raise InvalidModel(f"{count} of the graph {place}: {listed}")
    unknown = sorted(hints.keys() - {v.name for v in graph.variables()})
    if unknown:
        have = _listed(parts.inputs) or "none"
        names = " or ".join(map(repr, unknown))
        raise InvalidConfig(f"no input is called {names}; the network's inputs are: {have}")
    valued = [name for name in (*parts.parameters, *parts.auxiliaries) if name in hints]
    if valued:
        have = _listed(parts.inputs) or "none"
        raise InvalidConfig(
            f"{' and '.join(map(repr, valued))}: no input but a parameter, whose values the file "
            f"holds; the network's inputs are: {have}"
        )
    named = [name for name in parts.missing if name in hints]
    return tuple(name for name in (*parts.inputs, *named) if name in used)


def _signature(
    graph: Graph,
    read: Readings,
    built: Built,
    hints: Mapping[str, InputHint],
    renamed: Mapping[int, str],
) -> Signature:
    specs = tuple(
        TensorSpec(
            name=value.name,
            dtype=value.dtype,
            shape=_outer(value.shape),
            batch_axis=axes.batch_axis(value.shape),
            optional=value.name in read.begin_states,
            accept=_accepted(value, hints.get(value.name, InputHint()), read.types_alike),
            flattened=value.name in read.flattened
            and (value.rank, axes.batch_axis(value.shape)) in ((2, 0), (2, None)),
        )
        for value in built.inputs
    )
    names = [renamed.get(at, name) for at, name in enumerate(output_names(graph))]
    named = list(zip(names, built.outputs, strict=True))
    answers = tuple(
        TensorSpec(name, value.dtype, _outer(value.shape), axes.batch_axis(value.shape))
        for name, value in named
    )
    problems = [problem for name, value in named if (problem := axes.output_problem(name, value))]
    if not any(spec.batch_axis is not None for spec in specs):
        problems = [*axes.without_rows(built.inputs, built.build.coupled, hints), *problems]
    if axes.BATCH in built.build.coupled:
        problems.append("an operator couples elements along the axis that counts rows")
    return Signature(specs, answers, batchable=not problems, why="; ".join(problems))


def _accepted(
    value: Value, hint: InputHint, alike: Mapping[str, tuple[DType, ...]]
) -> tuple[DType, ...]:
    """What settings say of further types, else those that the graph makes no difference of."""
    if hint.accept or hint.dtype is not None:
        return hint.accept
    return tuple(dtype for dtype in alike.get(value.name, ()) if dtype is not value.dtype)


def _counting(signature: Signature) -> int:
    """How many inputs have an axis that counts rows."""
    return sum(spec.batch_axis is not None for spec in signature.inputs)


def _doubtful(signature: Signature, guessed: tuple[str, ...]) -> Signature:
    """The signature with a mark on inputs whose rank is a guess."""
    inputs = tuple(
        replace(spec, guessed=spec.name in guessed and not spec.flattened)
        for spec in signature.inputs
    )
    return replace(signature, inputs=inputs)


def _outer(shape: tuple[Dim, ...]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else -1 for dim in shape)


def _notes(
    graph: Graph, params: Mapping[str, np.ndarray], parts: Roles, inputs: tuple[str, ...]
) -> Iterator[str]:
    if isinstance(params, Params):
        yield from params.notes
    used = {variable.name for variable in graph.variables()}
    unused = [name for name in params if name not in used]
    if unused:
        yield f"{len(unused)} stored arrays are not used: {_listed(unused)}"
    dropped = [name for name in parts.labels if name not in inputs]
    if dropped:
        yield f"labels play no part at inference: {_listed(dropped)}"


def _listed(names: Sequence[str]) -> str:
    """Names for a message: the first of many, and of a long one its beginning."""
    cut = [f"{name[:_LONGEST]}..." if len(name) > _LONGEST else name for name in names[:_SHOWN]]
    return ", ".join([*cut, *(["..."] if len(names) > _SHOWN else [])])
