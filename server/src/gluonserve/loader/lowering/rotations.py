"""Rotations that make two rows of many matrices upper triangular, where eigenvalues are real."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value


class Block(NamedTuple):
    """Two rows of two, ``a b`` and ``c d``, and the rotation that they were turned by."""

    a: Value
    b: Value
    c: Value
    d: Value
    cosine: Value
    sine: Value


def standardised(op: Emit, block: Block, unit: float) -> Block:
    """Blocks turned so that ``c`` is 0, or ``a`` equals ``d`` if eigenvalues are complex.

    ``block``'s own rotation is none. Which of two eigenvalues comes first is LAPACK's choice.
    """
    a, b, c, d, one, zero = block
    apart = op.Sub(a, d)
    half = op.Mul(apart, 0.5)
    more = op.Max(op.Abs(b), op.Abs(c))
    less = op.Min(op.Abs(b), op.Abs(c))
    unlike = _unlike(op, b, c)
    less = op.Where(unlike, op.Neg(less), less)
    scale = op.Max(op.Abs(half), more)
    square = op.Add(op.Mul(op.Div(half, scale), half), op.Mul(op.Div(more, scale), less))
    root = op.Mul(op.Sqrt(scale), op.Sqrt(square))
    far = op.Add(half, _like(op, root, half))
    length = _length(op, c, far)
    distinct = Block(
        op.Add(d, far), op.Sub(b, c), zero, op.Sub(d, op.Mul(op.Div(more, far), less)),
        op.Div(far, length), op.Div(c, length),
    )  # fmt: skip
    swapped = Block(d, op.Neg(c), zero, a, zero, one)
    alike = op.And(op.Equal(apart, zero), unlike)
    return _first(
        op,
        [
            (op.Equal(c, zero), block),
            (op.Equal(b, zero), swapped),
            (alike, block),
            (op.GreaterOrEqual(square, 4 * unit), distinct),
        ],
        _levelled(op, block),
    )


def _levelled(op: Emit, block: Block) -> Block:
    """Equal numbers on the diagonal; then a triangle, if eigenvalues are real and near."""
    a, b, c, d, one, zero = block
    total, apart = op.Add(b, c), op.Sub(a, d)
    length = _length(op, total, apart)
    cosine = op.Sqrt(op.Mul(op.Add(op.Div(op.Abs(total), length), one), 0.5))
    sine = op.Neg(op.Div(op.Mul(apart, 0.5), op.Mul(length, cosine)))
    sine = op.Where(op.Less(total, zero), op.Neg(sine), sine)
    left = [_turned(op, one_row, cosine, sine) for one_row in ((a, b), (c, d))]
    (first, above), (under, last) = (
        _turned(op, column, cosine, sine) for column in zip(*left, strict=True)
    )
    above, under = under, above
    middle = op.Mul(op.Add(first, last), 0.5)
    level = Block(middle, above, under, middle, cosine, sine)
    roots = op.Sqrt(op.Abs(above)), op.Sqrt(op.Abs(under))
    root = _like(op, op.Mul(*roots), under)
    norm = op.Sqrt(op.Abs(op.Add(above, under)))
    more = op.Div(roots[0], norm), op.Div(roots[1], norm)
    near = Block(
        op.Add(middle, root), op.Sub(above, under), zero, op.Sub(middle, root),
        op.Sub(op.Mul(cosine, more[0]), op.Mul(sine, more[1])),
        op.Add(op.Mul(cosine, more[1]), op.Mul(sine, more[0])),
    )  # fmt: skip
    lower = Block(middle, op.Neg(under), zero, middle, op.Neg(sine), cosine)
    return _first(
        op,
        [
            (op.Equal(under, zero), level),
            (op.Equal(above, zero), lower),
            (_unlike(op, above, under), level),
        ],
        near,
    )


def _turned(op: Emit, pair: Sequence[Value], cosine: Value, sine: Value) -> tuple[Value, Value]:
    x, y = pair
    return (
        op.Add(op.Mul(x, cosine), op.Mul(y, sine)),
        op.Sub(op.Mul(y, cosine), op.Mul(x, sine)),
    )


def _first(op: Emit, cases: Sequence[tuple[Value, Block]], otherwise: Block) -> Block:
    """For each matrix the block of the first condition that holds."""
    chosen = otherwise
    for condition, block in reversed(cases):
        pairs = zip(block, chosen, strict=True)
        chosen = Block(*(op.Where(condition, mine, other) for mine, other in pairs))
    return chosen


def _length(op: Emit, x: Value, y: Value) -> Value:
    """Of a vector of two; squares neither overflow nor vanish."""
    largest = op.Max(op.Abs(x), op.Abs(y))
    x, y = op.Div(x, largest), op.Div(y, largest)
    return op.Mul(largest, op.Sqrt(op.Add(op.Mul(x, x), op.Mul(y, y))))


def _unlike(op: Emit, one: Value, other: Value) -> Value:
    """Whether one is negative and the other is not."""
    return op.Xor(op.Less(one, 0.0), op.Less(other, 0.0))


def _like(op: Emit, size: Value, sign: Value) -> Value:
    return op.Where(op.Less(sign, 0.0), op.Neg(size), size)
