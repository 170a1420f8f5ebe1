"""Numbers on a command line: ranges that nan and inf are outside of."""

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


POSITIVE = Finite(0, min_open=True)
NOT_NEGATIVE = Finite(0)
