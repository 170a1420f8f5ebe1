"""Products of tensors whose axes have letters, as Einstein wrote them: einsum and tensordot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.diagonals import diagonal_of
from gluonserve.loader.lowering.numpy_reducing import totalled
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

_FREE_SIZE = 64
"""What a free dimension counts for where the order of products is chosen."""
_ELLIPSIS = "..."
_PRODUCTS = frozenset({DType.INT32, DType.INT64, DType.FP16, DType.FP32, DType.FP64})


@dataclass(frozen=True, slots=True)
class Term:
    """A tensor whose axes have these letters, no letter twice."""

    value: Value
    letters: str

    @property
    def sizes(self) -> dict[str, Dim]:
        """The size of each letter's axis."""
        return dict(zip(self.letters, self.value.shape, strict=True))


def contracted(op: Emit, terms: Sequence[Term], wanted: str) -> Value:
    """The product of all terms, summed over every letter that is not ``wanted``.

    Always the two that make the smallest product are multiplied next.
    """
    left = list(terms)
    while len(left) > 1:
        first, second = min(combinations(left, 2), key=lambda pair: _cost(pair, left, wanted))
        left = [term for term in left if term is not first and term is not second]
        kept = _kept((first, second), left, wanted)
        left.append(product(op, first, second, kept))
    (last,) = left
    summed = _summed(op, last, wanted)
    return op.transpose(summed.value, [summed.letters.index(letter) for letter in wanted])


def product(op: Emit, one: Term, other: Term, kept: Collection[str]) -> Term:
    """Two terms as a ``MatMul``: rows, what both share, columns; letters not kept are summed."""
    one, other = (
        _summed(op, one, {*kept, *other.letters}),
        _summed(op, other, {*kept, *one.letters}),
    )
    shared = [letter for letter in one.letters if letter in other.letters]
    both = "".join(letter for letter in shared if letter in kept)
    inner = "".join(letter for letter in shared if letter not in kept)
    rows = "".join(letter for letter in one.letters if letter not in shared)
    columns = "".join(letter for letter in other.letters if letter not in shared)
    sizes = {**one.sizes, **other.sizes}
    for letter in shared:
        sizes[letter] = op.equate(one.sizes[letter], other.sizes[letter], f"sizes of {letter!r}")
    shape = tuple(sizes[letter] for letter in both + rows + columns)
    if any(sizes[letter] == 0 for letter in inner) or 0 in shape:
        return Term(op.filled(0, shape, one.value.dtype), both + rows + columns)
    left = _grouped(op, one, sizes, both, rows, inner)
    right = _grouped(op, other, sizes, both, inner, columns)
    return Term(op.reshape(op.MatMul(left, right), shape), both + rows + columns)


def einsum(op: Emit, subscripts: str, operands: Sequence[Value]) -> Value:
    """NumPy's notation: repeated letters, ``...``, and results that are not written out."""
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    parts = inputs.split(",")
    if len(parts) != len(operands):
        raise InvalidModel(f"{len(operands)} operands of einsum {subscripts!r}")
    ranks = [v.rank - len(p.replace(_ELLIPSIS, "")) for p, v in zip(parts, operands, strict=True)]
    dots = max(
        (rank for part, rank in zip(parts, ranks, strict=True) if _ELLIPSIS in part), default=0
    )
    spare = "".join(letter for letter in _SPARE if letter not in subscripts)[:dots]
    written = [
        part.replace(_ELLIPSIS, spare[len(spare) - rank :])
        for part, rank in zip(parts, ranks, strict=True)
    ]
    if arrow:
        wanted = result.replace(_ELLIPSIS, spare)
    else:
        counts = Counter("".join(parts).replace(_ELLIPSIS, ""))
        wanted = spare + "".join(sorted(letter for letter, n in counts.items() if n == 1))
    kind = operands[0].dtype
    wide = kind if kind in _PRODUCTS else DType.INT32
    terms = [
        _without_repeats(op, op.cast(value, wide), letters)
        for value, letters in zip(operands, written, strict=True)
    ]
    return op.cast(contracted(op, _without_ones(op, terms), wanted), kind)


_SPARE = "ZYXWVUTSRQPONMLKJIHGFEDCBA"
"""Letters for what an ellipsis stands for."""


def _cost(pair: Sequence[Term], terms: Sequence[Term], wanted: str) -> int:
    rest = [term for term in terms if term not in pair]
    kept = _kept(pair, rest, wanted)
    sizes = {**pair[0].sizes, **pair[1].sizes}
    cost = 1
    for letter in kept:
        size = sizes[letter]
        cost *= size if isinstance(size, int) else _FREE_SIZE
    return cost


def _kept(pair: Sequence[Term], rest: Sequence[Term], wanted: str) -> set[str]:
    needed = set(wanted).union(*(term.letters for term in rest))
    return needed & {*pair[0].letters, *pair[1].letters}


def _summed(op: Emit, term: Term, kept: Collection[str]) -> Term:
    axes = [at for at, letter in enumerate(term.letters) if letter not in kept]
    if not axes:
        return term
    letters = "".join(letter for letter in term.letters if letter in kept)
    return Term(totalled(op, "ReduceSum", term.value, axes, keep=False), letters)


def _grouped(op: Emit, term: Term, sizes: dict[str, Dim], *groups: str) -> Value:
    """A tensor of rank 3: each group of letters is one axis."""
    order = [term.letters.index(letter) for group in groups for letter in group]
    turned = op.transpose(term.value, order)
    return op.reshape(
        turned, tuple(dims.product(sizes[letter] for letter in group) for group in groups)
    )


def _without_repeats(op: Emit, value: Value, letters: str) -> Term:
    """Diagonals of the axes that have one letter."""
    if len(letters) != value.rank:
        raise InvalidModel(f"einsum takes {letters!r} for {value.rank} dimensions")
    for letter in letters:
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.rindex(letter)
            op.equate(value.shape[first], value.shape[second], f"sizes of {letter!r}")
            value = diagonal_of(op, value, 0, first, second)
            rest = (one for at, one in enumerate(letters) if at not in (first, second))
            letters = "".join(rest) + letter
    return Term(value, letters)


def _without_ones(op: Emit, terms: Sequence[Term]) -> list[Term]:
    """Axes of one go where another term has more of the letter: they broadcast."""
    longest: dict[str, Dim] = {}
    for term in terms:
        for letter, size in term.sizes.items():
            if longest.get(letter, 1) == 1:
                longest[letter] = size
    slim = []
    for term in terms:
        axes = [
            at
            for at, letter in enumerate(term.letters)
            if term.value.shape[at] == 1 and longest[letter] != 1
        ]
        letters = "".join(one for at, one in enumerate(term.letters) if at not in axes)
        slim.append(Term(op.squeeze(term.value, *axes), letters))
    return slim
