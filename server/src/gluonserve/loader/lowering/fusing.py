"""Keeps arithmetic apart from reductions along with which an engine would do it wrongly.

OpenVINO does arithmetic that follows a reduction in the reduction's own pass. Of tensors of three
axes that goes wrong: numbers for each channel meet other channels, and integers are changed twice.
A running sum along an axis of one stands between, which changes nothing and is its own node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.loader.lowering.construction import Build
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

ARITHMETIC_WITH_REDUCTIONS = "Arithmetic in the pass of a reduction of three axes"
"""What a target lacks that does it wrongly."""

_REDUCTIONS = ("Reduce", "GlobalAveragePool", "GlobalMaxPool")
_AXES = 3
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Neg", "PRelu", "BatchNormalization"})
_ALONG = frozenset(
    {
        "Abs",
        "Cast",
        "Ceil",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Mish",
        "Reciprocal",
        "Relu",
        "Reshape",
        "Round",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Squeeze",
        "Tanh",
        "Unsqueeze",
    }
)
"""What may be part of the same pass, or vanish before it is made up."""


def apart(op: Emit, build: Build, op_type: str, operands: list[Value | None]) -> list[Value | None]:
    """The operands, with a node before those that this arithmetic must not follow directly."""
    if op_type not in _ARITHMETIC or not build.reduced:
        return operands
    constant = any(one is not None and not one.reads_data and one.rank for one in operands)
    return [
        _alone(op, one)
        if one is not None and one.name in build.reduced and (constant or not one.is_float)
        else one
        for one in operands
    ]


def note(
    build: Build, op_type: str, operands: Sequence[Value | None], values: Sequence[Value]
) -> None:
    """Remember values arithmetic on which would be done in the pass of a reduction.

    Constants alone join what is in the pass, and only such as leave its shape.
    """
    if build.target.has(ARITHMETIC_WITH_REDUCTIONS):
        return
    data = operands[0] if operands else None
    inside = {one.name: one for one in operands if one is not None and one.name in build.reduced}
    if op_type.startswith(_REDUCTIONS):
        found = data is not None and data.rank == _AXES
    elif op_type in _ARITHMETIC:
        found = any(one.shape == values[0].shape for one in inside.values()) and not any(
            one.reads_data for one in operands if one is not None and one.name not in inside
        )
    else:
        found = bool(inside) and op_type in _ALONG
    if found:
        build.reduced.update(value.name for value in values)


def _alone(op: Emit, value: Value) -> Value:
    """The value itself, by way of a sum of one element each."""
    behind = value.rank
    summed = op.CumSum(op.unsqueeze(value, behind), op.const(np.array(behind)))
    return op.squeeze(summed, behind)
