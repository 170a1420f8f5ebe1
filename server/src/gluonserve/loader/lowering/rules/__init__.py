"""What every ONNX operator answers: type and symbolic shape of its outputs, from its inputs'.

A rule is a function of a :class:`Call`; the families register in a dictionary of their own, and
``RULES`` joins them. ONNX's own shape inference is not used: it loses ``batch`` through reshapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.loader.lowering.rules import elementwise, products, shapes, windows
from gluonserve.loader.lowering.rules.call import Call, Rule, Types

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **products.RULES,
    **shapes.RULES,
    **windows.RULES,
}

__all__ = ["RULES", "Call", "Rule", "Types"]
