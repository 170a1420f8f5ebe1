"""Settles the types and shapes of inputs: from settings, samples, and what the graph demands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig, InvalidModel
from gluonserve.loader import axes
from gluonserve.loader import hints as hinting
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.emit import HOLE, PLAIN_ONNX
from gluonserve.loader.ranks import Guess, input_ranks
from gluonserve.loader.reading import rounded
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from gluonserve.loader.graph import Graph, Variable
    from gluonserve.loader.hints import InputHint
    from gluonserve.loader.lowering.building import Built, Plan
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.values import UnknownDimension
    from gluonserve.tensors import Signature

_MOST_PASSES = 24


@dataclass(frozen=True, slots=True)
class InputFact:
    """An input before the graph has had its say: -1 where a dimension is not known."""

    dtype: DType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """An input whose rank nothing tells; a dense layer may suggest one; ``least`` is its least."""

    dtype: DType
    suggested: int | None
    least: int


def input_facts(
    graph: Graph,
    stored: Mapping[str, np.ndarray],
    names: Sequence[str],
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
) -> dict[str, InputFact | Open]:
    """Types and ranks of the inputs.

    A type comes from settings, else samples, else metadata, else what parameters it meets.

    Raises:
        InvalidConfig: an input has no axis that settings call its rows; names the input.
    """
    shapes = {name: tuple(array.shape) for name, array in stored.items()}
    kinds = {name: DType.of(array.dtype) for name, array in stored.items()}
    told, dtypes = input_ranks(graph, shapes, guess=Guess.NONE), hinting.dtypes(graph, kinds)
    lacking = {*names} - told.keys()
    suggested = input_ranks(graph, shapes, guess=Guess.ALL) if lacking else {}
    variables = {variable.name: variable for variable in graph.variables()}
    known: dict[str, InputFact | Open] = {}
    for name in names:
        shape = _shape(variables[name], graph, told.get(name), hints, samples)
        dtype = _dtype(variables[name], hints, samples, dtypes)
        if shape is not None:
            known[name] = InputFact(dtype, shape)
        else:
            axis = hints[name].batch_axis if name in hints else None
            least = axis + 1 if isinstance(axis, int) else 0
            rank = suggested.get(name, -1)
            known[name] = Open(dtype, rank if rank >= least else None, least)
    _check_axes(known, hints)
    return known


def with_ranks(
    known: Mapping[str, InputFact | Open], ranks: Mapping[str, int]
) -> dict[str, InputFact]:
    """The facts with these ranks where nothing told any."""
    return {
        name: InputFact(one.dtype, (-1,) * ranks[name]) if isinstance(one, Open) else one
        for name, one in known.items()
    }


def unknown_shapes(names: Sequence[str], stored: Mapping[str, np.ndarray]) -> InvalidConfig:
    """What to say of inputs whose rank nothing tells."""
    return InvalidConfig(
        f"the shape of {', '.join(map(repr, names))} is not known: set shape of that input "
        f"in model.toml, or inputs= of load(){lost(stored)}"
    )


def lost(stored: Mapping[str, np.ndarray]) -> str:
    """A word on parameters that may pass for inputs."""
    return "" if stored else "; if it is a parameter, its file is missing or named otherwise"


def doubts(
    graph: Graph,
    signature: Signature,
    stored: Mapping[str, np.ndarray],
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
) -> Iterator[str]:
    """What to say of ranks and types that are taken for likely and may be others."""
    for spec in signature.inputs:
        if spec.guessed:
            yield (
                f"{spec.name!r} is taken for an array of rank {len(spec.shape)}; nothing in the "
                "network says so: if its rank is another, state its shape in model.toml, or "
                f"inputs= of load(){lost(stored)}"
            )
    told = {*samples, *(name for name, hint in hints.items() if hint.dtype is not None)}
    for name, op in rounded(graph).items():
        if name not in told and DType.FP32 in (s.dtype for s in signature.inputs if s.name == name):
            yield (
                f"{name!r} is taken for FP32; nothing in the network says so, and {op} rounds what "
                "it makes of bytes: if requests bring pixels as they are, state its datatype UINT8 "
                "in model.toml, or inputs= of load()"
            )


def _check_axes(known: Mapping[str, InputFact | Open], hints: Mapping[str, InputHint]) -> None:
    for name, fact in known.items():
        if isinstance(fact, Open):
            continue
        axis, rank = hints[name].batch_axis if name in hints else None, len(fact.shape)
        if isinstance(axis, int) and axis >= rank:
            raise InvalidConfig(
                f"input {name!r}: batch_axis {axis} is none of its {rank} axes; "
                "the first is 0, and 'none' says that no axis counts rows"
            )


def settled(
    plan: Plan,
    known: Mapping[str, InputFact],
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
    *,
    apart: bool = False,
) -> Built:
    """The graph lowered with everything that it says about its inputs.

    It is lowered with a free dimension for every unknown one, operators fix some (a convolution
    its channels), and it is lowered again until no more is learned. Then the free dimensions that
    count rows become one, ``batch``; only one of them does where inputs stand ``apart``.

    Raises:
        InvalidConfig: settings contradict the graph, or a dimension must be stated.
        InvalidModel: the graph contradicts itself.
    """
    try:
        return _settled(plan, known, hints, samples, apart=apart)
    except InvalidModel as contradiction:
        stated = {name: hint.shape for name, hint in hints.items() if hint.shape is not None}
        free = {n: InputFact(f.dtype, (-1,) * len(f.shape)) for n, f in known.items()}
        if not stated or not _fits(plan, free, hints, samples):
            raise
        shown = ", ".join(f"{name} = {list(shape)}" for name, shape in stated.items())
        raise InvalidConfig(
            f"the stated shape does not fit the network ({shown}): {contradiction}"
        ) from contradiction


def guessed(
    graph: Graph, stored: Mapping[str, np.ndarray], ranks: Mapping[str, int]
) -> tuple[str, ...]:
    """Which of these ranks are guesses: a dense layer that flattens is taken to read a matrix."""
    if not ranks:
        return ()
    shapes = {name: tuple(array.shape) for name, array in stored.items()}
    told = input_ranks(graph, shapes, guess=Guess.FLATTENING)
    return tuple(name for name, rank in ranks.items() if told.get(name) != rank)


def _fits(
    plan: Plan,
    known: Mapping[str, InputFact],
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
) -> bool:
    try:
        _settled(plan, known, hints, samples)
    except InvalidModel:
        return False
    except InvalidConfig:
        return True
    return True


def _settled(
    plan: Plan,
    known: Mapping[str, InputFact],
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
    *,
    apart: bool = False,
) -> Built:
    shapes: dict[str, tuple[Dim, ...]] = {
        name: tuple(
            size if size >= 0 else dims.free(f"{name}_{axis}")
            for axis, size in enumerate(fact.shape)
        )
        for name, fact in known.items()
    }
    symbols = {symbol for shape in shapes.values() for dim in shape for symbol in dims.symbols(dim)}
    learned: dict[str, Dim] = {}
    batched = False
    for _ in range(_MOST_PASSES):
        current = {
            name: tuple(dims.replaced(dim, learned) for dim in shape)
            for name, shape in shapes.items()
        }
        built = plan.lower(
            {name: (fact.dtype, current[name]) for name, fact in known.items()},
            PLAIN_ONNX,
            learned,
            sketch=True,
        )
        if _merge(learned, built.build.learned, symbols):
            continue
        if built.unknown is not None:
            _pin(learned, built.unknown, known, samples)
            continue
        if batched:
            return _without_holes(built)
        build = built.build
        counted = axes.batch_facts(current, hints, build.coupled, build.rows, apart=apart)
        _merge(learned, counted, symbols)
        batched = True
    raise InvalidModel("the shapes of the inputs do not settle")


def _merge(learned: dict[str, Dim], new: Mapping[str, Dim], symbols: set[str]) -> bool:
    """Take over new facts about inputs and holes; whether there were any."""
    changed = False
    for name, fact in new.items():
        if name not in symbols and not name.startswith(HOLE):
            continue
        value = dims.replaced(fact, learned)
        usable = dims.symbols(value) <= symbols | {axes.BATCH}
        if name in learned or name in dims.symbols(value) or not usable:
            continue
        _substitute(learned, {name: value})
        learned[name] = value
        changed = True
    return changed


def _substitute(learned: dict[str, Dim], new: Mapping[str, Dim]) -> None:
    learned.update({name: dims.replaced(value, new) for name, value in learned.items()})


def _pin(
    learned: dict[str, Dim],
    unknown: UnknownDimension,
    known: Mapping[str, InputFact],
    samples: Mapping[str, np.ndarray],
) -> None:
    """Take a dimension that an operator needs as a number from the samples."""
    wanted = {
        f"{name}_{axis}": (name, axis)
        for name, fact in known.items()
        for axis in range(len(fact.shape))
    }
    places = [wanted[symbol] for symbol in sorted(unknown.names) if symbol in wanted]
    pinned = {
        f"{name}_{axis}": samples[name].shape[axis] for name, axis in places if name in samples
    }
    if pinned:
        learned.update(pinned)
        _substitute(learned, pinned)
        return
    if not places:
        free = ", ".join(sorted(unknown.names))
        raise InvalidConfig(
            f"{unknown.what} needs a fixed size, and {free} is free: set shape of the inputs in "
            "model.toml, or inputs= of load()"
        )
    listed = ", ".join(f"dimension {axis} of {name!r}" for name, axis in places)
    raise InvalidConfig(
        f"{unknown.what} needs {listed}: set shape of that input in model.toml, "
        "or inputs= of load()"
    )


def _without_holes(built: Built) -> Built:
    """The pass itself, if no dimension is left that other operators should have fixed."""
    for name, (value, _, _) in built.build.sources.items():
        if name.startswith(HOLE):
            raise InvalidModel(f"{value.name}: nothing fixes the unknown dimension of its shape")
    return built


def _shape(
    variable: Variable,
    graph: Graph,
    rank: int | None,
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
) -> tuple[int, ...] | None:
    hint = hints.get(variable.name)
    if hint is not None and hint.shape is not None:
        return hint.shape
    if variable.name in samples:
        return (-1,) * samples[variable.name].ndim
    declared = hinting.declared_shape(variable, np_shape=graph.np_shape)
    if declared is not None and (rank is None or rank == len(declared)):
        return (-1, *declared[1:]) if declared else declared
    return None if rank is None else (-1,) * rank


def _dtype(
    variable: Variable,
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
    inferred: Mapping[str, DType],
) -> DType:
    hint = hints.get(variable.name)
    if hint is not None and hint.dtype is not None:
        return hint.dtype
    if variable.name in samples:
        return DType.of(samples[variable.name].dtype)
    declared = hinting.declared_dtype(variable)
    return declared or inferred.get(variable.name, DType.FP32)
