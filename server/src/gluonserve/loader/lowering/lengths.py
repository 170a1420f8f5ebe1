"""Symbolic dimensions at run time: the nodes that compute them from the shapes of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.loader.lowering import dims
from gluonserve.loader.lowering.construction import HOLE
from gluonserve.loader.lowering.values import UnknownDimension

if TYPE_CHECKING:
    from gluonserve.loader.lowering.construction import Build, Scope
    from gluonserve.loader.lowering.dims import Atom, Dim, Expr, Monomial
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value


def home(build: Build, dim: Expr, here: Scope) -> Scope:
    """The innermost graph that shows a free dimension of ``dim``; the model's for holes.

    Raises:
        UnknownDimension: no tensor shows one of them.
    """
    missing = dims.symbols(dim) - build.sources.keys()
    unknown = frozenset(name for name in missing if not name.startswith(HOLE))
    if unknown:
        raise UnknownDimension("a shape", unknown)
    homes = [build.sources[name][2] for name in sorted(dims.symbols(dim) - missing)]
    return max([here.outermost, *homes], key=lambda scope: scope.depth)


def computed(op: Emit, build: Build, dim: Expr) -> Value:
    """A symbolic dimension as a tensor of shape ``(1,)``."""
    name = dims.free_name(dim)
    if name is not None and name not in build.sources:
        return op.const([1])  # a hole: this pass is to learn what fills it
    if name is not None:
        value, axis, _ = build.sources[name]
        return op.Shape(value, start=axis, end=axis + 1)
    terms = [_term(op, monomial, factor) for monomial, factor in dim.terms]
    total = terms[0]
    for term in terms[1:]:
        total = op.Add(total, term)
    return total


def _term(op: Emit, monomial: Monomial, factor: int) -> Value:
    factors = [_atom(op, atom) for atom, power in monomial for _ in range(power)]
    if factor != 1 or not factors:
        factors.append(op.const([factor]))
    value = factors[0]
    for other in factors[1:]:
        value = op.Mul(value, other)
    return value


def _atom(op: Emit, atom: Atom) -> Value:
    if isinstance(atom, dims.Free):
        return op.length(dims.alone(atom))
    if isinstance(atom, dims.Larger):
        return op.Max(op.length(atom.one), op.length(atom.other))
    return op.quotient(_length(op, atom.top), _length(op, atom.bottom))


def _length(op: Emit, dim: Dim) -> Value:
    constant = dims.constant(dim)
    return op.length(dim) if constant is None else op.const([constant])
