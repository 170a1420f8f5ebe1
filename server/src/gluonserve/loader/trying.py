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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from gluonserve.loader.facts import InputFact
    from gluonserve.loader.hints import InputHint
    from gluonserve.loader.lowering.building import Built, Plan

_RANKS = (2, 3, 4, 1, 5, 0)
"""What is tried, the likeliest first: rows of numbers or tokens, sequences, pictures."""
_MOST_INPUTS = 4
_MOST_TRIES = 256
_MOST_FITS = 4
"""Trying a network of a hundred layers to its end takes a quarter of a second."""


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
    fits: list[Fit] = []
    failures: list[tuple[tuple[int, ...], GluonserveError]] = []
    for ranks in islice(_orders([*opened.values()]), _MOST_TRIES):
        tried = dict(zip(opened, ranks, strict=True))
        try:
            fit = Fit(facts.settled(plan, facts.with_ranks(known, tried), hints, samples), tried)
        except (InvalidModel, InvalidConfig, UnsupportedModel) as error:
            failures.append((ranks, error))
            continue
        if batchable(fit.built):
            return fit
        fits.append(fit)
        if len(fits) == _MOST_FITS:
            break
    if fits:
        return fits[0]
    raise _failure([*opened], failures)


def _orders(opened: Sequence[facts.Open]) -> Iterator[tuple[int, ...]]:
    """Combinations of ranks, the likeliest first."""
    likely = [_likely(one) for one in opened]
    for order in sorted(product(*(range(len(ranks)) for ranks in likely)), key=sum):
        yield tuple(ranks[place] for ranks, place in zip(likely, order, strict=True))


def _likely(opened: facts.Open) -> list[int]:
    ranks = [rank for rank in _RANKS if rank >= opened.least]
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
