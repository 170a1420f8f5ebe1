"""Draws what live MXNet is asked: shapes, types and values, ordinary and odd, by Hypothesis.

Values of one tensor are drawn from a palette of a few, so that they tie; where they stand follows
from a number. ``Drawing`` is what an operator's row of a table draws its attributes and inputs by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

PLAIN = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -3.5, 0.1, -0.7)
TINY = (-0.0, 1e-3, -1e-20)
LARGE = (10.0, -20.0, 100.0, 1e4, -1e30)
NO_NUMBERS = (np.nan, np.inf, -np.inf)
DENORMAL = (1e-40, -1e-40)

MILD = PLAIN
"""For what is summed, multiplied and divided: differences stay within what sums are allowed."""
FINITE = (*PLAIN, *TINY, *LARGE[:3])
ANY = (*FINITE, *LARGE[3:], *NO_NUMBERS)
BITS = (*ANY, *DENORMAL)
"""For what is moved as it is."""
WHOLE = (0, 1, -1, 2, -2, 3, -3, 5, 7, -7, 50, -100)
BYTES = (*WHOLE, 127, -128)

FLOATS = ("float32", "float32", "float64", "float16")
SINGLE = ("float32",)
WIDER = ("float32", "float32", "float64")
INTEGERS = ("int32", "int64", "int8", "uint8")
NUMBERS = (*FLOATS, *INTEGERS)

MOST_ELEMENTS = 400


@dataclass(frozen=True)
class Asked:
    """One operator with attributes and inputs; ``stored`` inputs are parameters of the network."""

    op: str
    inputs: Mapping[str, np.ndarray]
    attributes: Mapping[str, object] = field(default_factory=dict)
    stored: tuple[str, ...] = ()
    outputs: int = 1
    np_shape: bool = False

    def __repr__(self) -> str:
        given = {n: f"{a.dtype}{list(a.shape)} {a.tolist()}" for n, a in self.inputs.items()}
        return f"{self.op}({dict(self.attributes)}, {given}, np_shape={self.np_shape})"


class Drawing:
    """What one case is drawn by; in numpy mode (``np_shape``) rank 0 and size 0 are real."""

    def __init__(self, draw: Callable[[st.SearchStrategy[T]], T], *, np_shape: bool) -> None:
        self._draw, self.np_shape = draw, np_shape

    def of(self, choices: Sequence[T]) -> T:
        """One of these."""
        return self._draw(st.sampled_from(list(choices)))

    def flag(self) -> bool:
        """Yes or no."""
        return self._draw(st.booleans())

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self._draw(st.integers(low, high))

    def maybe(self, value: T) -> T | None:
        """The value, or nothing."""
        return value if self.flag() else None

    def shape(
        self, least: int = 0, most: int = 5, *, low: int = 0, high: int = 4
    ) -> tuple[int, ...]:
        """Ranks from ``least`` to ``most``; without numpy's shapes rank and sizes are 1 or more."""
        if not self.np_shape:
            least, low = max(least, 1), max(low, 1)
        sizes = self._draw(st.lists(st.integers(low, high), min_size=least, max_size=max(most, 1)))
        while prod(sizes) > MOST_ELEMENTS:
            sizes[int(np.argmax(sizes))] = 1
        return tuple(sizes[:most])

    def axis(self, rank: int) -> int:
        """An axis, counted from the front or from the end."""
        return self.number(-rank, rank - 1)

    def axes(self, rank: int, least: int = 0, most: int | None = None) -> tuple[int, ...]:
        """Different axes, counted from the front or from the end, in order."""
        chosen = self._draw(
            st.sets(
                st.integers(0, rank - 1), min_size=least, max_size=rank if most is None else most
            )
        )
        return tuple(at - rank if self.flag() else at for at in sorted(chosen))

    def order(self, count: int) -> tuple[int, ...]:
        """A permutation."""
        return tuple(self._draw(st.permutations(range(count))))

    def array(
        self,
        shape: Sequence[int],
        dtype: str = "float32",
        values: Sequence[float] = ANY,
    ) -> np.ndarray:
        """Values of a palette, anywhere; those that the type has no place for are left out."""
        fitting = list(_kept(values, dtype))
        palette = self._draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=6))
        seed = self.number(0, 999)
        chosen = np.random.default_rng(seed).integers(0, len(palette), tuple(shape))
        return np.asarray(np.array(palette, dtype)[chosen])

    def normal(self, shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
        """Ordinary numbers around 0, all different."""
        drawn = np.random.default_rng(self.number(0, 999)).normal(size=tuple(shape))
        return np.asarray(drawn).astype(dtype)

    def apart(self, shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
        """Whole numbers in any order, all different."""
        mixed = np.random.default_rng(self.number(0, 999)).permutation(prod(shape))
        return mixed.reshape(tuple(shape)).astype(dtype)


def _kept(values: Sequence[float], dtype: str) -> Sequence[float]:
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return [0, 1]
    if kind.kind == "f":
        most = np.finfo(kind).max
        tiny = np.finfo(kind).tiny if kind == np.float16 else 0.0
        return [v for v in values if not np.isfinite(v) or v == 0 or tiny <= abs(v) <= most]
    info = np.iinfo(kind)
    whole = BYTES if any(v != int(v) for v in values if np.isfinite(v)) else values
    return [v for v in whole if info.min <= v <= info.max]


def broadcastable(d: Drawing, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that broadcasts with this one to this one or beyond."""
    kept = tuple(1 if d.flag() else size for size in shape)
    return kept[d.number(0, len(kept)) if d.flag() else 0 :] or kept


def rows(function: Callable[[Drawing], Asked], *, most: int = 8) -> st.SearchStrategy[list[Asked]]:
    """Some cases of one operator, which are asked together."""

    @st.composite
    def one(draw: Callable[..., object], np_shape: bool) -> Asked:
        return function(Drawing(draw, np_shape=np_shape))

    modes = st.sampled_from([False, False, True])
    return modes.flatmap(lambda mode: st.lists(one(mode), min_size=1, max_size=most))
