"""Which axes count rows: ``batch`` among the free dimensions, proven from inputs to outputs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from gluonserve.loader.hints import InputHint
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.values import Value

BATCH = "batch"


def batch_facts(
    shapes: Mapping[str, tuple[Dim, ...]],
    hints: Mapping[str, InputHint],
    coupled: Collection[str] = (),
    rows: Collection[str] = (),
    *,
    apart: bool = False,
) -> dict[str, Dim]:
    """The free dimensions that are ``batch``, given what inputs are known to be.

    Axis 0 of each input counts rows unless settings say otherwise. Where the graph ties axis 0 of
    one input to another axis of a second one (lengths of shape (N,) beside data of shape
    (T, N, C)), the tie decides, so that no input has two such axes. A dimension along which an
    operator couples elements (the steps of a recurrent layer) counts rows only if settings say so.
    Where nothing is left and settings say nothing, ``rows`` are what a recurrent layer takes for
    rows: axis 1 of data with steps first. Inputs that stand ``apart`` need not have as many rows:
    only those of the likeliest count, or those that settings name.
    """
    chosen: dict[str, Dim] = {}
    wanted = {name: _wanted(shape, hints.get(name)) for name, shape in shapes.items()}
    votes = Counter(text for text in wanted.values() if text is not None)
    for symbol in votes.keys() & coupled:
        if not _explicit(symbol, wanted, hints):
            del votes[symbol]
    order = sorted(votes, key=lambda text: (-_explicit(text, wanted, hints), -votes[text]))
    if apart:
        order = [one for one in order if _explicit(one, wanted, hints)] or order[:1]
    for symbol in order:
        trial = {**chosen, symbol: dims.free(BATCH)}
        if not any(_twice(shape, trial) for shape in shapes.values()):
            chosen = trial
    if chosen or any(hint.batch_axis is not None for hint in hints.values()):
        return chosen
    return {symbol: dims.free(BATCH) for symbol in sorted(set(rows) - set(coupled))[:1]}


def batch_axis(shape: tuple[Dim, ...]) -> int | None:
    """The single axis that is exactly ``batch``."""
    batch = dims.free(BATCH)
    axes = [axis for axis, dim in enumerate(shape) if dim == batch]
    return axes[0] if len(axes) == 1 else None


def output_problem(name: str, value: Value) -> str:
    """Why an output's rows are not those of the requests, or empty."""
    if batch_axis(value.shape) is not None or not value.reads_data:
        return ""
    shown = ", ".join(str(dim) for dim in value.shape)
    return f"output {name!r} has shape ({shown}), in which no axis counts the rows of the inputs"


def without_rows(
    inputs: Sequence[Value], coupled: Collection[str], hints: Mapping[str, InputHint]
) -> Iterator[str]:
    """Why no input has an axis that counts rows, although settings name one or axis 0 is free."""
    for one in inputs:
        axis = hints[one.name].batch_axis if one.name in hints else None
        size = one.shape[axis] if isinstance(axis, int) else None
        if isinstance(size, int):
            yield f"batch_axis {axis} of {one.name!r} has the fixed size {size}"
    mixed = [repr(one.name) for one in inputs if _wanted(one.shape, None) in coupled]
    if mixed:
        yield f"an operator mixes what lies along axis 0 of {', '.join(mixed)}"
    yield "no input has an axis that counts rows"


def _wanted(shape: tuple[Dim, ...], hint: InputHint | None) -> str | None:
    """The free dimension of an input that counts rows, if one may."""
    if hint is not None and hint.batch_axis == "none":
        return None
    axis = hint.batch_axis if hint is not None and isinstance(hint.batch_axis, int) else 0
    if axis >= len(shape):
        return None
    dim = shape[axis]
    names = dims.symbols(dim)
    return next(iter(names)) if len(names) == 1 and dim == dims.free(min(names)) else None


def _explicit(
    symbol: str, wanted: Mapping[str, str | None], hints: Mapping[str, InputHint]
) -> bool:
    """Whether settings name an axis that this is."""
    return any(
        text == symbol and name in hints and hints[name].batch_axis is not None
        for name, text in wanted.items()
    )


def _twice(shape: tuple[Dim, ...], facts: Mapping[str, Dim]) -> bool:
    batch = dims.free(BATCH)
    return sum(dims.replaced(dim, facts) == batch for dim in shape) > 1
