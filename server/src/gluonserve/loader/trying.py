"""Ranks that a network does not tell, found by trying which of them the whole graph takes.

A symbol file holds no shapes of inputs. Most operators tell the rank of what they read; where none
does, a wrong rank mostly meets one that does not take it: an axis is not there, weights do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING

from gluonserve.errors import GluonserveError, InvalidConfig, InvalidModel, UnsupportedModel
from gluonserve.loader import facts
from gluonserve.loader.axes import BATCH
from gluonserve.loader.lowering import dims
from gluonserve.loader.ranks import relative_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from gluonserve.loader.facts import InputFact
    from gluonserve.loader.hints import InputHint
    from gluonserve.loader.lowering.building import Built, Plan
    from gluonserve.loader.lowering.dims import Dim

_RANKS = (2, 3, 4, 1, 5, 0)
"""What is tried, the likeliest first: rows of numbers or tokens, sequences, pictures."""
_BESIDE = (2, 1, 3, 4, 5, 0)
"""And for an input beside others: masks, labels and lengths."""
_MOST_INPUTS = 6
_MOST_TRIES = 256
_MOST_FITS, _MOST_NODES = 16, 1000
"""Of ranks that fit, so many are compared at most, and few where networks have more nodes than
that: each is lowered whole, and four lowerings of a hundred layers take a quarter of a second."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A network with everything that it says about its inputs, and the ranks that were tried."""

    built: Built
    tried: Mapping[str, int]


def fitted(
    plan: Plan,
    known: Mapping[str, InputFact | facts.Open],
    hints: Mapping[str, InputHint],
    samples: Mapping[str, np.ndarray],
    batchable: Callable[[Built], bool],
) -> Fit:
    """Settle the network with the likeliest ranks that fit, best where rows stay rows.

    Ranks that fit oddly, see :func:`_faults`, come behind those that fit as they are.

    Raises:
        InvalidConfig: none fits, or settings contradict the graph, or a dimension must be stated.
        InvalidModel: the graph contradicts itself.
        UnsupportedModel: what an operator is asked has no lowering at the likeliest ranks.
    """
    opened = {name: one for name, one in known.items() if isinstance(one, facts.Open)}
    if not opened:
        return Fit(facts.settled(plan, facts.with_ranks(known, {}), hints, samples), {})
    if len(opened) > _MOST_INPUTS:
        raise facts.unknown_shapes([*opened], plan.parameters)
    fits: list[tuple[tuple[bool, int], Fit]] = []
    most = min(_MOST_FITS, 3 + _MOST_NODES // len(plan.graph.nodes))
    failures: list[tuple[tuple[int, ...], GluonserveError]] = []
    for ranks in islice(_orders(plan, opened, next(iter(known))), _MOST_TRIES):
        tried = dict(zip(opened, ranks, strict=True))
        try:
            fit = Fit(facts.settled(plan, facts.with_ranks(known, tried), hints, samples), tried)
        except (InvalidModel, InvalidConfig, UnsupportedModel) as error:
            failures.append((ranks, error))
            continue
        faults = _faults(fit, batchable=batchable(fit.built))
        fits.append((faults, fit))
        if not any(faults) or len(fits) == most:
            break
    if fits:
        return min(fits, key=lambda found: found[0])[1]
    raise _failure([*opened], failures)


def _faults(fit: Fit, *, batchable: bool) -> tuple[bool, int]:
    """What speaks against ranks that fit: that rows do not stay rows, and how oddly they fit.

    An axis too few or too many is mostly made up for by a size of 1, by one that is a multiple of
    another input's, or by rows that have to be as many as something else.
    """
    build = fit.built.build
    shapes = [value.shape for value in fit.built.inputs]
    odd = sum(dim == 1 or not _plain(dim) for shape in shapes for dim in shape)
    if batchable:
        counts = [[BATCH in dims.symbols(dim) for dim in tie] for tie in build.demands]
        odd += sum(one != other for one, other in counts)
        odd += sum(BATCH in dims.symbols(dim) for tie in build.broadcasts for dim in tie)
    return not batchable, odd


def _plain(dim: Dim) -> bool:
    return isinstance(dim, int) or dims.free_name(dim) is not None


def _orders(plan: Plan, opened: Mapping[str, facts.Open], first: str) -> Iterator[tuple[int, ...]]:
    """Combinations of ranks, the likeliest first: those that differ as operators make likely."""
    names = [*opened]
    stored = {name: tuple(array.shape) for name, array in plan.parameters.items()}
    larger = relative_ranks(plan.graph, stored, names)
    usual = [_RANKS if name == first else _BESIDE for name in names]
    least = 0 if plan.graph.np_shape else 1  # a scalar has one axis in a legacy graph
    likely = [_likely(one, own, least) for one, own in zip(opened.values(), usual, strict=True)]

    def unlikely(order: tuple[int, ...]) -> tuple[int, int]:
        ranks = {name: own[place] for name, own, place in zip(names, likely, order, strict=True)}
        strange = sum(ranks[b] - ranks[a] != more for (a, b), more in larger.items())
        return strange, sum(order)

    for order in sorted(product(*(range(len(ranks)) for ranks in likely)), key=unlikely):
        yield tuple(ranks[place] for ranks, place in zip(likely, order, strict=True))


def _likely(opened: facts.Open, usual: Sequence[int], least: int) -> list[int]:
    ranks = [rank for rank in usual if rank >= max(opened.least, least)]
    return sorted(ranks, key=lambda rank: rank != opened.suggested)


def _failure(
    names: Sequence[str], failures: Sequence[tuple[tuple[int, ...], GluonserveError]]
) -> GluonserveError:
    """A dimension to be stated, else what was in the way of the likeliest ranks."""
    for _, error in failures:
        if isinstance(error, InvalidConfig):
            return error
    ranks, error = failures[0]
    if isinstance(error, UnsupportedModel):  # which MXNet may run all the same
        return error
    listed = ", ".join(f"{name!r} of rank {rank}" for name, rank in zip(names, ranks, strict=True))
    return InvalidConfig(
        f"the shape of {', '.join(map(repr, names))} is not known, and no rank fits; "
        f"with {listed}: {error}; set shape of that input in model.toml, or inputs= of load()"
    )
