"""Dimensions that are known, or known as polynomials over free ones such as ``batch``.

A :data:`Dim` is an ``int`` or an :class:`Expr`; arithmetic on either gives the simplest of both,
so lowerings compute with dimensions as with numbers. Two expressions are equal when they are the
same polynomial; floors of quotients fold (``((n + 1) // 2 + 1) // 2`` is ``(n + 3) // 4``), so
that sizes reached on different ways through strided layers compare equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from math import gcd
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Dim: TypeAlias = Union[int, "Expr"]
Atom: TypeAlias = Union["Free", "Quotient", "Larger"]
Monomial: TypeAlias = tuple[tuple["Atom", int], ...]


@dataclass(frozen=True, slots=True)
class Free:
    """A dimension that only a request fixes; the same name means the same dimension.

    It is 1 at least, unless ``counted``: then the data fix it, by how much of them is chosen.
    """

    name: str
    counted: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Quotient:
    """``top // bottom``, rounded down, where no simpler form exists."""

    top: Expr
    bottom: Dim

    def __str__(self) -> str:
        bottom = self.bottom if isinstance(self.bottom, int) else f"({self.bottom})"
        return f"(({self.top})//{bottom})"


@dataclass(frozen=True, slots=True)
class Larger:
    """The larger of two dimensions of which neither is known to be."""

    one: Expr
    other: Dim

    def __str__(self) -> str:
        return f"max({self.one}, {self.other})"


@dataclass(frozen=True, slots=True, repr=False)
class Expr:
    """A polynomial with integer coefficients over atoms; never a constant, see :func:`_made`."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Dim) -> Dim:
        return _sum((*self.terms, *_terms(other)))

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return _made({monomial: -factor for monomial, factor in self.terms})

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        products = (
            (_merged(left, right), a * b) for left, a in self.terms for right, b in _terms(other)
        )
        return _sum(products)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return _floor(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return 0 if other == 0 else alone(Quotient(_constant(other), self))

    def __mod__(self, other: Dim) -> Dim:
        return self - self // other * other

    def __str__(self) -> str:
        parts = [_term_text(monomial, factor) for monomial, factor in self.terms]
        return " + ".join(parts).replace("+ -", "- ")

    __repr__ = __str__


def free(name: str) -> Expr:
    """The free dimension of this name."""
    return alone(Free(name))


def counted(name: str) -> Expr:
    """The dimension of this name that the data fix, and that may be 0."""
    return alone(Free(name, counted=True))


def alone(atom: Atom) -> Expr:
    """An atom as a dimension."""
    return Expr(((((atom, 1),), 1),))


def free_name(dim: Dim) -> str | None:
    """The name of a dimension that is nothing but a free one."""
    if isinstance(dim, int) or len(dim.terms) != 1:
        return None
    monomial, factor = dim.terms[0]
    if factor != 1 or len(monomial) != 1 or monomial[0][1] != 1:
        return None
    atom = monomial[0][0]
    return atom.name if isinstance(atom, Free) else None


def constant(dim: Dim) -> int | None:
    """The number that a dimension is, also where it stands inside an atom."""
    if isinstance(dim, int):
        return dim
    return dim.terms[0][1] if dim.terms[0][0] == () else None


def larger(one: Dim, other: Dim) -> Dim:
    """The larger of two dimensions, symbolic where that is not known."""
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    difference = one - other
    if isinstance(difference, int):
        return one if difference >= 0 else other
    if _never_negative(difference):
        return one
    if _never_negative(-difference):
        return other
    mine, others = _candidates(one), _candidates(other)
    if mine >= others or others >= mine:
        return one if mine >= others else other
    ordered = sorted(mine | others, key=lambda dim: (isinstance(dim, int), str(dim)))
    largest: Dim = ordered[0]
    for dim in ordered[1:]:
        largest = alone(Larger(_expr(largest), dim))
    return largest


def _candidates(dim: Dim) -> set[Dim]:
    """The dimensions of which this is the largest: each once, however often they are compared."""
    if isinstance(dim, int) or len(dim.terms) != 1:
        return {dim}
    monomial, factor = dim.terms[0]
    if factor != 1 or len(monomial) != 1 or monomial[0][1] != 1:
        return {dim}
    atom = monomial[0][0]
    return _candidates(atom.one) | {atom.other} if isinstance(atom, Larger) else {dim}


def smaller(one: Dim, other: Dim) -> Dim:
    """The smaller of two dimensions."""
    return -larger(-one, -other)


def product(dims: Iterable[Dim]) -> Dim:
    """How many elements a tensor of these dimensions has."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def exact_quotient(top: Dim, bottom: Dim) -> Dim | None:
    """``top / bottom`` where that is a polynomial (or an integer); None where it is not known."""
    if bottom in (0, 1) or top == bottom:
        return None if bottom == 0 else (top if bottom == 1 else 1)
    if isinstance(top, int):
        return top // bottom if isinstance(bottom, int) and top % bottom == 0 else None
    quotient: Dim = 0
    rest: Dim = top
    lead, factor = _terms(bottom)[0]
    for _ in range(len(top.terms) + 1):
        if rest == 0:
            return quotient
        step = _divided(_terms(rest)[0], lead, factor)
        if step is None:
            return None
        quotient = quotient + step
        rest = rest - step * bottom
    return quotient if rest == 0 else None


def symbols(dim: Dim) -> frozenset[str]:
    """The names of the free dimensions that ``dim`` depends on."""
    return frozenset() if isinstance(dim, int) else frozenset(_names(dim))


def replaced(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """``dim`` with free dimensions replaced by others, or by numbers."""
    if isinstance(dim, int) or not (symbols(dim) & values.keys()):
        return dim

    def value(atom: Atom) -> Dim:
        if isinstance(atom, Free):
            return values.get(atom.name, alone(atom))
        if isinstance(atom, Quotient):
            return replaced(atom.top, values) // replaced(atom.bottom, values)
        return larger(replaced(atom.one, values), replaced(atom.other, values))

    return evaluate(dim, value)


def evaluate(dim: Dim, value: Callable[[Atom], Dim]) -> Dim:
    """``dim`` with every atom replaced by what ``value`` makes of it."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, factor in dim.terms:
        term: Dim = factor
        for atom, power in monomial:
            for _ in range(power):
                term = term * value(atom)
        total = total + term
    return total


def solved(one: Dim, other: Dim) -> tuple[str, Dim] | None:
    """A free dimension that ``one == other`` fixes, and its value; None where it fixes none."""
    difference = one - other
    if isinstance(difference, int):
        return None
    names = sorted(symbols(difference) - {"batch"}, reverse=True)
    for name in (*names, "batch"):
        value = _solution(difference, name)
        if value is not None:
            return name, value
    return None


def _solution(difference: Expr, name: str) -> Dim | None:
    """The value of ``name`` where ``difference`` is zero and linear in it."""
    alone = ((Free(name), 1),)
    factor = dict(difference.terms).get(alone)
    if factor is None:
        return None
    rest = difference - free(name) * factor
    if name in symbols(rest):
        return None
    value = exact_quotient(-rest, factor)
    return None if isinstance(value, int) and value < 0 else value


def _names(expr: Expr) -> Iterator[str]:
    for monomial, _ in expr.terms:
        for atom, _ in monomial:
            if isinstance(atom, Free):
                yield atom.name
            elif isinstance(atom, Quotient):
                yield from symbols(atom.top) | symbols(atom.bottom)
            else:
                yield from symbols(atom.one) | symbols(atom.other)


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return (((), dim),) if isinstance(dim, int) else dim.terms


def _constant(value: int) -> Expr:
    """A constant in the clothes of an expression; only atoms hold such."""
    return Expr((((), value),))


def _expr(dim: Dim) -> Expr:
    return _constant(dim) if isinstance(dim, int) else dim


@lru_cache(maxsize=1 << 16)
def _order(monomial: Monomial) -> tuple[int, str]:
    """Higher degrees first, then alphabetical; the constant last."""
    return -sum(power for _, power in monomial), str([(str(atom), p) for atom, p in monomial])


def _sum(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[Monomial, int] = {}
    for monomial, factor in terms:
        total[monomial] = total.get(monomial, 0) + factor
    return _made(total)


def _made(terms: Mapping[Monomial, int]) -> Dim:
    """The canonical form: no zero terms, sorted, a plain ``int`` where no atom is left."""
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept.keys() - {()}:
        return kept.get((), 0)
    return Expr(tuple(sorted(kept.items(), key=lambda term: _order(term[0]))))


def _merged(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: str(item[0])))


def _divided(term: tuple[Monomial, int], lead: Monomial, factor: int) -> Dim | None:
    """One term of a polynomial division, or None where it does not come out even."""
    monomial, value = term
    powers = dict(monomial)
    for atom, power in lead:
        powers[atom] = powers.get(atom, 0) - power
        if powers[atom] < 0:
            return None
    if value % factor:
        return None
    left = tuple((atom, power) for atom, power in monomial if powers[atom])
    return _made({tuple((atom, powers[atom]) for atom, _ in left): value // factor})


def _floor(top: Expr, bottom: Dim) -> Dim:
    if bottom == 1:
        return top
    exact = exact_quotient(top, bottom)
    if exact is not None:
        return exact
    if not isinstance(bottom, int) or bottom <= 0:
        return alone(Quotient(top, bottom))
    whole = _made({m: f // bottom for m, f in top.terms if m and f % bottom == 0})
    rest = _sum((m, f) for m, f in top.terms if not m or f % bottom)
    constant = dict(_terms(rest)).get((), 0)
    whole = whole + constant // bottom
    rest = rest - constant // bottom * bottom
    if isinstance(rest, int):
        return whole
    return whole + _nested(rest, bottom)


def _nested(top: Expr, bottom: int) -> Dim:
    """``floor((floor(a / b) + r) / c)`` is ``floor((a + r * b) / (b * c))``; common factors go."""
    constant = dict(top.terms).get((), 0)
    inner = [(m, f) for m, f in top.terms if m]
    if len(inner) == 1 and inner[0][1] == 1 and len(inner[0][0]) == 1:
        atom, power = inner[0][0][0]
        if power == 1 and isinstance(atom, Quotient) and isinstance(atom.bottom, int):
            return (atom.top + constant * atom.bottom) // (atom.bottom * bottom)
    common = reduce(gcd, (factor for _, factor in inner), bottom)
    if common > 1:
        reduced = _made({m: f // common for m, f in inner}) + constant // common
        return reduced // (bottom // common)
    return alone(Quotient(top, bottom))


def _never_negative(dim: Dim) -> bool:
    """Whether ``dim`` is surely no less than zero: free dimensions are written as 1 and more."""
    shifted = evaluate(dim, lambda atom: _more(atom) if isinstance(atom, Free) else alone(atom))
    return all(
        factor >= 0 and all(_size(atom) for atom, _ in monomial)
        for monomial, factor in _terms(shifted)
    )


def _more(atom: Free) -> Dim:
    return alone(atom) if atom.counted else alone(atom) + 1


def _size(atom: Atom) -> bool:
    if isinstance(atom, Free):
        return True
    if isinstance(atom, Quotient):
        return _never_negative(atom.top) and _never_negative(atom.bottom)
    return _never_negative(atom.one) or _never_negative(atom.other)


def _term_text(monomial: Monomial, factor: int) -> str:
    atoms = "*".join(str(atom) for atom, power in monomial for _ in range(power))
    if not atoms:
        return str(factor)
    return atoms if factor == 1 else f"-{atoms}" if factor == -1 else f"{factor}*{atoms}"
