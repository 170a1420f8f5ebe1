"""Numbers on a command line: ranges that nan, inf and more than a day are outside of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click import Context, Parameter


class Finite(click.FloatRange):
    """A range of real numbers; click's own lets nan and inf through."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """The number, or a usage error."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


_DAY_S = 86_400

POSITIVE = Finite(0, min_open=True)
SECONDS = Finite(0, _DAY_S, min_open=True)
SECONDS_OR_NONE = Finite(0, _DAY_S)
