"""Functions of one element and of two, asked of live MXNet and both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawing import ANY, FINITE, FLOATS, INTEGERS, MILD, NO_NUMBERS, NUMBERS, WIDER, Asked
from drawing import broadcastable as alongside
from holding import holds

from gluonserve.loader.lowering.elementwise import BINARY
from gluonserve.loader.lowering.unary import LEGACY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drawing import Drawing

pytestmark = pytest.mark.mxnet

WHOLE_TOO = frozenset(
    {
        *("abs", "negative", "sign", "square", "logical_not", "_copy", "BlockGrad"),
        *("ceil", "fix", "floor", "rint", "round", "trunc"),
        *("_contrib_round_ste", "_contrib_sign_ste"),
    }
)
"""Of integers, too; what other functions answer does not fit an integer, which C leaves open."""
PERIODIC = frozenset({"sin", "cos", "tan"})
SCALARS = (0, 1, -1, 2, 0.5, -1.5, 3, 100)
MODEST = (*MILD, *NO_NUMBERS)
NO_NAN = tuple(value for value in ANY if not np.isnan(value))
"""Without NaN, of which engines that fuse relu and clip with what goes before make a number."""
SMALL = (0, 1, 2, 3)


def unary(op: str) -> Callable[[Drawing], Asked]:
    values = (*FINITE, *NO_NUMBERS) if op in PERIODIC else ANY
    values = NO_NAN if op.endswith("relu") else values
    kinds = NUMBERS if op in WHOLE_TOO else FLOATS

    def drawn(d: Drawing) -> Asked:
        return Asked(op, {"data": d.array(d.shape(), d.of(kinds), values)}, np_shape=d.np_shape)

    return drawn


def operands(stem: str, d: Drawing) -> tuple[str, Sequence[float], Sequence[float]]:
    """A type, and the values of both operands: C leaves open a whole division by zero."""
    kind = d.of(NUMBERS)
    if kind in INTEGERS:
        if stem in ("power", "hypot"):
            return kind, SMALL, SMALL
        left = (0, 1, -1, 2, -2, 3, -3, 5, 7, -7, 50, -100)
        return kind, left, [one for one in left if one] if stem == "div" else left
    if stem == "mod":  # OpenVINO's has rounded quotients, and NaN by an infinity
        halves = tuple(value for value in MILD if value * 2 % 1 == 0)
        return kind, (*halves, np.nan), (*halves, np.nan)
    return (kind, MODEST, MODEST) if stem in ("power", "hypot") else (kind, ANY, ANY)


def alike(op: str, stem: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        kind, left, right = operands(stem, d)
        shape = d.shape()
        inputs = {"lhs": d.array(shape, kind, left), "rhs": d.array(shape, kind, right)}
        return Asked(op, inputs, np_shape=d.np_shape)

    return drawn


def broadcast(op: str, stem: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        kind, left, right = operands(stem, d)
        shape = d.shape()
        shapes = [shape, alongside(d, shape)][:: 1 if d.flag() else -1]
        inputs = {"lhs": d.array(shapes[0], kind, left), "rhs": d.array(shapes[1], kind, right)}
        return Asked(op, inputs, np_shape=d.np_shape)

    return drawn


def scalar(op: str, stem: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        kind, left, right = operands(stem, d)
        values = right if op.startswith("_r") else left
        numbers = [one for one in SCALARS if kind in FLOATS or int(one) in right]
        inputs = {"data": d.array(d.shape(), kind, values)}
        given: dict[str, object] = {"scalar": d.of(numbers)}
        if kind in INTEGERS and d.flag():
            given["is_int"] = d.flag()
        return Asked(op, inputs, given, np_shape=d.np_shape)

    return drawn


def add_n(d: Drawing) -> Asked:
    shape, kind = d.shape(), d.of(NUMBERS)
    inputs = {f"a{at}": d.array(shape, kind, MILD) for at in range(d.number(1, 4))}
    return Asked("add_n", inputs, {"num_args": len(inputs)}, np_shape=d.np_shape)


def clip(d: Drawing) -> Asked:
    low = d.of((-2.5, -1, 0, 0.5))
    bounds = {"a_min": low, "a_max": low + d.of((0, 1, 2.5))}
    data = d.array(d.shape(), d.of(NUMBERS), NO_NAN)
    return Asked("clip", {"data": data}, bounds, np_shape=d.np_shape)


def smooth_l1(d: Drawing) -> Asked:
    data = d.array(d.shape(), d.of(FLOATS), ANY)
    return Asked("smooth_l1", {"data": data}, {"scalar": d.of((1, 0.5, 3))}, np_shape=d.np_shape)


def quadratic(d: Drawing) -> Asked:
    data = d.array(d.shape(), d.of((*FLOATS, "int32", "int64")), MILD)
    factors = {name: d.of((0.0, 1.0, -0.5)) for name in "abc"}
    return Asked("_contrib_quadratic", {"data": data}, factors, np_shape=d.np_shape)


def div_sqrt_dim(d: Drawing) -> Asked:
    data = d.array(d.shape(1, low=1), d.of((*WIDER, *INTEGERS)), ANY)
    return Asked("_contrib_div_sqrt_dim", {"data": data}, np_shape=d.np_shape)


def gradient_multiplier(d: Drawing) -> Asked:
    data = d.array(d.shape(), d.of(FLOATS), ANY)
    return Asked("_contrib_gradientmultiplier", {"data": data}, {"scalar": 2}, np_shape=d.np_shape)


def where(d: Drawing) -> Asked:
    shape, kind = d.shape(1), d.of(NUMBERS)
    condition = d.array(shape[:1] if d.flag() else shape, d.of(NUMBERS), MILD)
    inputs = {"condition": condition, "x": d.array(shape, kind), "y": d.array(shape, kind)}
    return Asked("where", inputs, np_shape=d.np_shape)


def numpy_scalar(op: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        data = d.array(d.shape(), d.of(WIDER), MODEST)
        return Asked(op, {"data": data}, {"scalar": d.of((2.0, 0.5, 3.0))}, np_shape=True)

    return drawn


def itself(op: str, **attributes: object) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        return Asked(
            op, {"data": d.array(d.shape(), d.of(FLOATS))}, attributes, np_shape=d.np_shape
        )

    return drawn


def of_two(op: str, *names: str) -> Callable[[Drawing], Asked]:
    def drawn(d: Drawing) -> Asked:
        inputs = {name: d.array(d.shape(1, low=1), "bool") for name in names}
        return Asked(op, inputs, np_shape=True)

    return drawn


def constraint_check(d: Drawing) -> Asked:
    data = np.ones(d.shape(1, low=1), np.bool_)  # of a constraint that fails it makes an error
    return Asked("_npx_constraint_check", {"input": data}, {"msg": "no"}, np_shape=True)


def identity_like(d: Drawing) -> Asked:
    shape, kind = d.shape(), d.of(FLOATS)
    inputs = {"lhs": d.array(shape, kind), "rhs": d.array(shape, kind)}
    return Asked("_identity_with_attr_like_rhs", inputs, np_shape=d.np_shape)


ARITHMETIC = {"plus": "add", "minus": "sub", "mul": "mul", "div": "div"}
STEMS = [stem for stem in BINARY if stem not in ARITHMETIC.values()]
TABLE = {
    **{op: unary(op) for op in LEGACY if op != "_copyto"},
    **{f"elemwise_{stem}": alike(f"elemwise_{stem}", stem) for stem in ARITHMETIC.values()},
    **{f"_{stem}": alike(f"_{stem}", stem) for stem in STEMS},
    "_grad_add": alike("_grad_add", "add"),
    "_scatter_elemwise_div": alike("_scatter_elemwise_div", "div"),
    **{f"broadcast_{stem}": broadcast(f"broadcast_{stem}", stem) for stem in BINARY},
    **{f"_{name}_scalar": scalar(f"_{name}_scalar", ARITHMETIC[name]) for name in ARITHMETIC},
    **{
        f"_scatter_{one}_scalar": scalar(f"_scatter_{one}_scalar", "add")
        for one in ("plus", "minus")
    },
    **{f"_{stem}_scalar": scalar(f"_{stem}_scalar", stem) for stem in STEMS},
    "_rminus_scalar": scalar("_rminus_scalar", "sub"),
    "_rdiv_scalar": scalar("_rdiv_scalar", "div"),
    "_rmod_scalar": scalar("_rmod_scalar", "mod"),
    "_rpower_scalar": scalar("_rpower_scalar", "power"),
    **{
        f"_npi_{stem}_scalar": numpy_scalar(f"_npi_{stem}_scalar")
        for stem in ("greater", "less_equal", "not_equal", "rpower", "rtrue_divide")
    },
    "_npx_relu": unary("_npx_relu"),
    "_npx_sigmoid": itself("_npx_sigmoid"),
    "_npi_share_memory": of_two("_npi_share_memory", "a", "b"),
    "_npx_constraint_check": constraint_check,
    "_np_copy": itself("_np_copy"),
    "cast_storage": itself("cast_storage", stype="default"),
    "_identity_with_attr_like_rhs": identity_like,
    "add_n": add_n,
    "clip": clip,
    "smooth_l1": smooth_l1,
    "_contrib_quadratic": quadratic,
    "_contrib_div_sqrt_dim": div_sqrt_dim,
    "_contrib_gradientmultiplier": gradient_multiplier,
    "where": where,
}
BYTES = {"data": np.array([-128, -3, 0, 127], np.int8)}
UNSIGNED = {"data": np.array([0, 7, 50, 255], np.uint8)}
ODD = {"data": np.array([np.nan, np.inf, -np.inf, 2, 0], np.float32)}
ODD_PAIR = {"lhs": ODD["data"], "rhs": ODD["data"][::-1].copy()}
PINNED = {
    "rcbrt": [Asked("rcbrt", {"data": np.array([-0.0, 0.0, -8.0, 27.0])})],
    "cosh": [Asked("cosh", {"data": np.array([-np.inf, -100.0, 0.5, 700.0])})],
    "sinh": [Asked("sinh", {"data": np.array([-np.inf, -100.0, 0.5, 700.0])})],
    "abs": [Asked("abs", BYTES)],
    "negative": [Asked("negative", BYTES), Asked("negative", UNSIGNED)],
    "square": [Asked("square", BYTES), Asked("square", UNSIGNED)],
    **{op: [Asked(op, ODD)] for op in ("exp", "expm1")},
    **{
        op: [Asked(op, ODD_PAIR)]
        for op in ("_hypot", "_greater", "_greater_equal", "_logical_and", "_logical_xor")
    },
    "add_n": [Asked("add_n", {"a": BYTES["data"], "b": BYTES["data"]}, {"num_args": 2})],
}


@pytest.mark.parametrize("op", TABLE)
def test_engines_answer_as_mxnet(op: str) -> None:
    holds(TABLE[op], PINNED.get(op, ()))
