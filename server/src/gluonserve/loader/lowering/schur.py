"""Eigenvalues and vectors of any real matrices, in LAPACK's order, by Francis' double shifts.

Neither engine has these operators. A round of a ``Loop`` finds where each Hessenberg matrix falls
apart and takes eigenvalues off its end, or chases a bulge down its diagonal once, with the
decisions of LAPACK's code for matrices of up to 75 rows: they fix the order of eigenvalues and the
signs of vectors. Matrices may have any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gluonserve.loader.lowering.hessenberg import (
    Grid,
    Similar,
    column_before,
    grid,
    hessenberg,
    reflected,
    reflection,
)
from gluonserve.loader.lowering.linalg import transposed
from gluonserve.loader.lowering.rotations import Block, standardised
from gluonserve.loader.lowering.stepping import repeated, stepped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value
    from gluonserve.tensors import DType

_STUCK = (10, 20)
"""After so many rounds without an eigenvalue, shifts come from elsewhere."""
_IMAGINARY = 1e-15
"""What MXNet lets pass for a real eigenvalue."""


class Eigen(NamedTuple):
    """Eigenvalues (count, size), and their vectors as columns."""

    values: Value
    vectors: Value


class Precision(NamedTuple):
    """Of the type that LAPACK would compute in: the last place of 1, and what counts as zero."""

    unit: float
    least: Value


class Lines(NamedTuple):
    """The diagonal and its neighbours, (count, size) each.

    ``under`` is left of the diagonal in the same row, ``over`` above it; both are 0 in place 0.
    """

    main: Value
    under: Value
    over: Value


class Window(NamedTuple):
    """Rows ``first`` to ``last`` are at work, (count, 1); ``tries`` counts rounds so far."""

    first: Value
    last: Value
    tries: Value


class Shifts(NamedTuple):
    """Two eigenvalues to shift by, conjugate or equal: the real part, and the imaginary one."""

    real: Value
    imaginary: Value


def spectrum(op: Emit, matrices: Value, kind: DType) -> Eigen:
    """Of matrices (count, size, size) in float64, decided with the precision of ``kind``.

    All is NaN where an eigenvalue is complex: MXNet raises there, and has no value for it.
    """
    at = grid(op, matrices.shape[-1])
    facts = np.finfo(kind.numpy)
    unit = float(facts.eps)
    least = op.Mul(op.scalar(at.size, matrices.dtype), float(facts.tiny) / unit)
    precision = Precision(unit, least)
    form, real = _schur_form(op, at, hessenberg(op, at, matrices), precision)
    values = _lines(op, at, form.matrices).main
    vectors = op.MatMul(form.basis, _of_triangles(op, at, form.matrices, values, precision))
    length = op.Sqrt(op.ReduceSumSquare(vectors, [1], keepdims=1))
    missing = op.scalar(np.nan, matrices.dtype)
    return Eigen(
        op.Where(real, values, missing),
        op.Where(op.unsqueeze(real, 2), op.Div(vectors, length), missing),
    )


def _schur_form(op: Emit, at: Grid, given: Similar, precision: Precision) -> tuple[Similar, Value]:
    """Triangles, and of which matrices all eigenvalues are real, (count, 1)."""
    ends = (given.matrices.shape[0], 1)
    last = op.expand(op.scalar(at.size - 1), ends)
    tries = op.expand(op.scalar(0), ends)
    widest = op.expand(op.scalar(0, given.matrices.dtype), ends)

    def turn(inner: Emit, _: Value, states: Sequence[Value]) -> tuple[Value, Sequence[Value]]:
        matrices, basis, last, tries, widest = states
        first, matrices = _split(inner, at, matrices, last, precision)
        works = inner.GreaterOrEqual(last, inner.scalar(0))
        small = inner.GreaterOrEqual(inner.Add(first, inner.scalar(1)), last)
        pair = inner.And(works, inner.Equal(inner.Add(first, inner.scalar(1)), last))
        now = Similar(matrices, basis)
        now, imaginary = _finished(inner, at, now, last, pair, precision)
        sweeps = inner.And(works, inner.Not(small))
        now = _swept(inner, at, now, Window(first, last, tries), sweeps, precision)
        found = inner.And(works, small)
        left = inner.Where(found, inner.Sub(first, inner.scalar(1)), last)
        tries = inner.Where(found, inner.scalar(0), inner.Add(tries, inner.scalar(1)))
        again = inner.GreaterOrEqual(inner.ReduceMax(left, [0, 1], keepdims=0), 0)
        return again, (*now, left, tries, inner.Max(widest, imaginary))

    most = op.scalar(at.size * 30 + 300)
    states = [*given, last, tries, widest]
    matrices, basis, last, _, widest = repeated(op, most, states, turn, reads_data=True)
    real = op.And(op.Less(last, 0), op.LessOrEqual(widest, _IMAGINARY))
    return Similar(matrices, basis), real


def _lines(op: Emit, at: Grid, matrices: Value) -> Lines:
    zero = op.scalar(0, matrices.dtype)
    main = op.ReduceSum(op.Where(at.diagonal, matrices, zero), [2], keepdims=0)
    behind = op.Equal(op.Add(at.places, op.scalar(1)), at.rows)
    under = op.ReduceSum(op.Where(behind, matrices, zero), [2], keepdims=0)
    before = op.Equal(op.Add(at.rows, op.scalar(1)), at.places)
    return Lines(main, under, op.ReduceSum(op.Where(before, matrices, zero), [1], keepdims=0))


def _split(
    op: Emit, at: Grid, matrices: Value, last: Value, precision: Precision
) -> tuple[Value, Value]:
    """Where the part that ends at ``last`` begins: under the last number that counts as zero."""
    lines = _lines(op, at, matrices)
    small = op.And(_negligible(op, at, lines, precision), op.LessOrEqual(at.places, last))
    first = op.ReduceMax(op.Where(small, at.places, op.scalar(0)), [1], keepdims=1)
    row = op.Equal(at.rows, op.unsqueeze(first, 2))
    column = op.Equal(op.Add(at.places, op.scalar(1)), first)
    cut = op.And(row, op.unsqueeze(column, 1))
    return first, op.Where(cut, op.scalar(0, matrices.dtype), matrices)


def _negligible(op: Emit, at: Grid, lines: Lines, precision: Precision) -> Value:
    """Ahues and Tisseur's test of each number under the diagonal; NaN counts as zero, to end."""
    main, under = lines.main, op.Abs(lines.under)
    upper = _before(op, at, main)
    weight = op.Add(op.Abs(upper), op.Abs(main))
    nothing = op.Equal(weight, 0.0)
    around = op.Add(_before(op, at, under), _behind(op, at, under))
    weight = op.Where(nothing, op.Add(weight, around), weight)
    over, apart, size = op.Abs(lines.over), op.Abs(op.Sub(upper, main)), op.Abs(main)
    most, least = op.Max(under, over), op.Min(under, over)
    far, near = op.Max(size, apart), op.Min(size, apart)
    total = op.Add(most, far)
    product = op.Mul(least, op.Div(most, total))
    allowed = op.Max(precision.least, op.Mul(op.Mul(near, op.Div(far, total)), precision.unit))
    much = op.Or(op.Greater(under, op.Mul(weight, precision.unit)), op.Greater(product, allowed))
    return op.Not(op.And(op.Greater(under, precision.least), much))


def _finished(
    op: Emit, at: Grid, given: Similar, last: Value, pair: Value, precision: Precision
) -> tuple[Similar, Value]:
    """Turn pairs of rows that are left alone to a triangle; how complex their eigenvalues are."""
    kind = given.matrices.dtype
    none = op.scalar(-1)
    lower = op.Where(pair, last, none)
    upper = op.Where(pair, op.Sub(last, op.scalar(1)), none)
    lines = _lines(op, at, given.matrices)
    one, zero = op.scalar(1, kind), op.scalar(0, kind)
    block = Block(
        _taken(op, lines.main, upper), _taken(op, lines.over, lower),
        _taken(op, lines.under, lower), _taken(op, lines.main, lower),
        op.expand(one, last.shape), op.expand(zero, last.shape),
    )  # fmt: skip
    turned = standardised(op, block, precision.unit)
    numbers = [op.unsqueeze(number, 2) for number in turned]
    above = op.Equal(at.rows, op.unsqueeze(upper, 2)), op.unsqueeze(op.Equal(at.places, upper), 1)
    below = op.Equal(at.rows, op.unsqueeze(lower, 2)), op.unsqueeze(op.Equal(at.places, lower), 1)
    crossings = [op.And(row[0], column[1]) for row in (above, below) for column in (above, below)]
    *corners, cosine, sine = numbers
    unit = op.cast(op.unsqueeze(at.diagonal, 0), kind)
    rotation = _placed(op, crossings, [cosine, sine, op.Neg(sine), cosine], unit)
    back = transposed(op, rotation)
    whole = op.MatMul(op.MatMul(rotation, given.matrices), back)
    imaginary = op.Mul(op.Sqrt(op.Abs(turned.b)), op.Sqrt(op.Abs(turned.c)))
    return (
        Similar(_placed(op, crossings, corners, whole), op.MatMul(given.basis, back)),
        op.Where(pair, imaginary, zero),
    )


def _placed(op: Emit, masks: Sequence[Value], numbers: Sequence[Value], otherwise: Value) -> Value:
    for mask, number in zip(masks, numbers, strict=True):
        otherwise = op.Where(mask, number, otherwise)
    return otherwise


def _swept(
    op: Emit, at: Grid, given: Similar, window: Window, sweeps: Value, precision: Precision
) -> Similar:
    """One double-shift sweep over the windows of those matrices that the mask shows."""
    lines = _lines(op, at, given.matrices)
    shifts = _shifts(op, lines, window)
    start, begin = _begun(op, at, lines, window, shifts, precision)
    begin = op.Where(sweeps, begin, op.scalar(at.size))
    last = op.Where(sweeps, window.last, op.scalar(0))
    earliest = op.ReduceMin(begin, [0, 1], keepdims=0)
    rounds = op.Sub(op.ReduceMax(last, [0, 1], keepdims=0), earliest)

    def chase(inner: Emit, count: Value, states: Sequence[Value]) -> tuple[Value, Sequence[Value]]:
        now, place = Similar(*states), inner.Add(count, earliest)
        column = column_before(inner, now.matrices, place)
        zero = inner.scalar(0, column.dtype)
        starts = inner.Equal(begin, place)
        works = inner.And(inner.LessOrEqual(begin, place), inner.Less(place, last))
        reach = inner.Min(inner.Add(place, inner.scalar(2)), last)
        part = inner.And(
            inner.GreaterOrEqual(at.places, place), inner.LessOrEqual(at.places, reach)
        )
        vectors = inner.Where(inner.And(part, works), inner.Where(starts, start, column), zero)
        here = inner.Equal(at.places, place)
        mirror = reflection(inner, vectors, here)
        old = inner.ReduceSum(inner.Where(here, column, zero), [1], keepdims=1)
        kept = inner.Sub(old, inner.Mul(old, mirror.factor))
        chased = inner.And(works, inner.Not(starts))
        mirror = mirror._replace(head=inner.Where(chased, mirror.head, kept))
        return inner.const(True), reflected(inner, at, now, mirror, place)

    most = op.Max(rounds, op.scalar(0))
    return Similar(*repeated(op, most, given, chase, reads_data=True))


def _shifts(op: Emit, lines: Lines, window: Window) -> Shifts:
    """Eigenvalues of the window's last two rows; or others, if rounds pass without a result."""
    first, last, tries = window
    stuck = [op.Equal(tries, op.scalar(count)) for count in _STUCK]
    step = op.scalar(1)
    second = op.Add(first, step)
    low, high = (
        op.Add(op.Abs(_taken(op, lines.under, one)), op.Abs(_taken(op, lines.under, other)))
        for one, other in ((second, op.Add(second, step)), (last, op.Sub(last, step)))
    )
    size = op.Where(stuck[0], low, high)
    end = _taken(op, lines.main, last)
    middle = op.Add(op.Where(stuck[0], _taken(op, lines.main, first), end), op.Mul(size, 0.75))
    ordinary = (
        _taken(op, lines.main, op.Sub(last, step)), _taken(op, lines.over, last),
        _taken(op, lines.under, last), end,
    )  # fmt: skip
    elsewhere = (middle, op.Mul(size, -0.4375), size, middle)
    a, b, c, d = (
        op.Where(op.Or(*stuck), other, usual)
        for usual, other in zip(ordinary, elsewhere, strict=True)
    )
    scale = op.Add(op.Add(op.Abs(a), op.Abs(b)), op.Add(op.Abs(c), op.Abs(d)))
    scale = op.Where(op.Equal(scale, 0.0), op.scalar(1, scale.dtype), scale)
    a, b, c, d = (op.Div(number, scale) for number in (a, b, c, d))
    mean = op.Mul(op.Add(a, d), 0.5)
    rest = op.Sub(op.Mul(op.Sub(a, mean), op.Sub(d, mean)), op.Mul(b, c))
    root = op.Sqrt(op.Abs(rest))
    apart = op.Less(rest, 0.0)
    more, less = op.Add(mean, root), op.Sub(mean, root)
    nearer = op.LessOrEqual(op.Abs(op.Sub(more, d)), op.Abs(op.Sub(less, d)))
    real = op.Mul(op.Where(apart, op.Where(nearer, more, less), mean), scale)
    imaginary = op.Where(apart, op.scalar(0, root.dtype), op.Mul(root, scale))
    return Shifts(real, imaginary)


def _begun(
    op: Emit, at: Grid, lines: Lines, window: Window, shifts: Shifts, precision: Precision
) -> tuple[Value, Value]:
    """The vector whose reflection begins a sweep, in its place, and where: as late as it may."""
    main, under = lines.main, lines.under
    lower, next_under = _behind(op, at, main), _behind(op, at, under)
    away = op.Sub(main, shifts.real)
    scale = op.Add(op.Add(op.Abs(away), op.Abs(shifts.imaginary)), op.Abs(next_under))
    slope = op.Div(next_under, scale)
    squares = op.Mul(shifts.imaginary, op.Div(shifts.imaginary, scale))
    numbers = [
        op.Add(
            op.Add(op.Mul(slope, _behind(op, at, lines.over)), op.Mul(away, op.Div(away, scale))),
            squares,
        ),
        op.Mul(slope, op.Sub(op.Add(main, lower), op.Mul(shifts.real, 2.0))),
        op.Mul(slope, _behind(op, at, next_under)),
    ]
    total = op.Add(op.Add(op.Abs(numbers[0]), op.Abs(numbers[1])), op.Abs(numbers[2]))
    numbers = [op.Div(number, total) for number in numbers]
    around = op.Add(op.Add(op.Abs(_before(op, at, main)), op.Abs(main)), op.Abs(lower))
    effect = op.Mul(op.Abs(under), op.Add(op.Abs(numbers[1]), op.Abs(numbers[2])))
    late = op.LessOrEqual(effect, op.Mul(op.Mul(op.Abs(numbers[0]), around), precision.unit))
    inside = op.And(
        op.Greater(at.places, window.first),
        op.Less(op.Add(at.places, op.scalar(1)), window.last),
    )
    places = op.Where(op.And(late, inside), at.places, window.first)
    begin = op.ReduceMax(places, [1], keepdims=1)
    start = op.expand(op.scalar(0, main.dtype), main.shape)
    for offset, number in enumerate(numbers):
        here = op.Equal(op.Sub(at.places, op.scalar(offset)), begin)
        start = op.Where(here, _taken(op, number, begin), start)
    return start, begin


def _of_triangles(
    op: Emit, at: Grid, triangles: Value, values: Value, precision: Precision
) -> Value:
    """Eigenvectors of triangles as columns, 1 on the diagonal before they are scaled."""
    kind = triangles.dtype
    zero, one = op.scalar(0, kind), op.scalar(1, kind)
    unit = op.expand(op.unsqueeze(op.cast(at.diagonal, kind), 0), triangles.shape)
    least = op.Max(op.Mul(op.Abs(values), precision.unit), precision.least)

    def step(
        inner: Emit, parts: Sequence[Value], states: Sequence[Value]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (place,), (vectors,) = parts, states
        behind = inner.Greater(at.places, place)
        row = inner.Where(behind, inner.Gather(triangles, place, axis=1), zero)
        rest = inner.squeeze(inner.MatMul(inner.unsqueeze(row, 1), vectors), 1)
        own = inner.unsqueeze(inner.Gather(values, place, axis=1), 1)
        divisor = inner.Sub(own, values)
        divisor = inner.Where(inner.Less(inner.Abs(divisor), least), least, divisor)
        solved = inner.Neg(inner.Div(rest, divisor))
        solved = inner.Where(inner.And(behind, inner.Not(inner.Equal(rest, zero))), solved, zero)
        here = inner.Equal(at.rows, place)
        vectors = inner.Where(inner.And(here, behind), inner.unsqueeze(solved, 1), vectors)
        largest = inner.ReduceMax(inner.Abs(vectors), [1], keepdims=1)
        return (inner.Div(vectors, inner.Max(largest, one)),), ()

    (vectors,), _ = stepped(op, [at.places], [unit], step, reads_data=True, backwards=True)
    return vectors


def _before(op: Emit, at: Grid, line: Value) -> Value:
    """Each number's neighbour in the place before; in place 0 its own."""
    return op.Gather(line, op.Max(op.Sub(at.places, op.scalar(1)), op.scalar(0)), axis=1)


def _behind(op: Emit, at: Grid, line: Value) -> Value:
    """Each number's neighbour in the place behind; 0 in the last."""
    end = op.scalar(at.size - 1)
    moved = op.Gather(line, op.Min(op.Add(at.places, op.scalar(1)), end), axis=1)
    return op.Where(op.Less(at.places, end), moved, op.scalar(0, line.dtype))


def _taken(op: Emit, line: Value, place: Value) -> Value:
    """The number in one place of each line, (count, 1); at an end, where there is no such place."""
    end = op.scalar(line.shape[1] - 1)
    return op.GatherElements(line, op.Min(op.Max(place, op.scalar(0)), end), axis=1)
