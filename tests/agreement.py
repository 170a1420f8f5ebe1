"""How near an answer must be to MXNet's: the tolerances of the recorded cases, by operator.

Results that are moved and not computed are equal to the bit; so are integers, booleans, shapes and
types. Floats are held to a bound by element where an operator computes each by itself, and to one
that grows with the largest magnitude of the output where sums are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Bound:
    """What is allowed: ``absolute + relative * |wanted|``, and ``steps`` of quantised integers.

    The absolute part is in units of the output's largest magnitude where ``scaled``.
    """

    absolute: float = 0.0
    relative: float = 0.0
    scaled: bool = False
    steps: int = 0


EXACT = Bound()
ARITHMETIC = Bound(1e-6, 1e-5)
TRANSCENDENTAL = Bound(1e-6, 1e-4)
SUMS = Bound(1e-5, 1e-4, scaled=True)
LONG_SUMS = Bound(1e-5, 1e-3, scaled=True)
HALF = Bound(1e-2, 1e-2)
HALF_SUMS = Bound(5e-2, 5e-2, scaled=True)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOVING = _names("""
    BlockGrad Concat Flatten Pad Reshape SequenceLast SequenceMask SequenceReverse SliceChannel
    SwapAxis _contrib_boolean_mask _contrib_index_array _copy _eye _full _image_crop
    _linalg_extractdiag _linalg_extracttrian _linalg_makediag _linalg_maketrian _maximum
    _maximum_scalar _minimum _minimum_scalar _np_atleast_1d _np_atleast_2d _np_atleast_3d _np_copy
    _np_diag _np_diagflat _np_diagonal _np_max _np_min _np_moveaxis _np_reshape _np_roll _np_squeeze
    _np_transpose _npi_absolute _npi_boolean_mask_assign_tensor _npi_broadcast_to _npi_ceil
    _npi_column_stack _npi_concatenate _npi_copysign _npi_delete _npi_dsplit _npi_dstack _npi_eye
    _npi_fix _npi_flip _npi_floor _npi_full_like _npi_hsplit _npi_hstack _npi_identity _npi_indices
    _npi_insert_scalar _npi_insert_slice _npi_insert_tensor _npi_nan_to_num _npi_negative _npi_ones
    _npi_pad _npi_rint _npi_rot90 _npi_share_memory _npi_sign _npi_stack _npi_tril _npi_trunc
    _npi_unique _npi_vstack _npi_where _npi_zeros _npx_relu _npx_reshape _ones _rnn_param_concat
    _slice_assign _slice_assign_scalar _split_v2 _zeros abs batch_take broadcast_axis broadcast_like
    broadcast_maximum broadcast_minimum broadcast_to cast_storage ceil clip depth_to_space diag
    expand_dims fix floor gather_nd make_loss max min negative one_hot ones_like pick relu repeat
    reshape_like reverse rint round scatter_nd sign slice slice_axis slice_like sort space_to_depth
    squeeze stack take tile topk transpose trunc where zeros_like
""")
"""Operators whose floats are moved, chosen or made whole, and so equal to the bit."""

ELEMENTWISE = _names("""
    Cast Dropout LinearRegressionOutput MAERegressionOutput _arange _contrib_arange_like
    _contrib_dequantize _contrib_div_sqrt_dim _contrib_gradientmultiplier _contrib_quadratic
    _contrib_round_ste _div_scalar _image_normalize _linspace _minus_scalar _mod _mul_scalar
    _npi_add _npi_add_scalar _npi_arange _npi_around _npi_diff _npi_ediff1d _npi_fmod _npi_mod
    _npi_mod_scalar _npi_multiply _npi_multiply_scalar _npi_radians _npi_reciprocal _npi_rmod_scalar
    _npi_rsubtract_scalar _npi_rtrue_divide_scalar _npi_square _npi_subtract _npi_subtract_scalar
    _npi_true_divide _npi_true_divide_scalar _plus_scalar _rdiv_scalar _rminus_scalar
    _scatter_elemwise_div broadcast_add broadcast_div broadcast_mod broadcast_mul broadcast_sub
    degrees elemwise_add elemwise_div elemwise_mul elemwise_sub hard_sigmoid radians reciprocal
    smooth_l1 square
""")
"""Operators that compute each float by itself, with plain arithmetic."""

FUNCTIONS = _names("""
    Activation LeakyReLU LogisticRegressionOutput _hypot _hypot_scalar _npi_arccosh _npi_arcsin
    _npi_arcsinh _npi_arctan _npi_arctan2 _npi_arctanh _npi_blackman _npi_cbrt _npi_cos _npi_cosh
    _npi_exp _npi_expm1 _npi_hamming _npi_hanning _npi_hypot _npi_ldexp _npi_log _npi_log10
    _npi_log1p _npi_log2 _npi_logspace _npi_power _npi_power_scalar _npi_rpower_scalar _npi_sin
    _npi_sinh _npi_sqrt _npi_tan _npi_tanh _npx_sigmoid _power _power_scalar _rpower_scalar arccos
    arccosh arcsin arcsinh arctan arctanh broadcast_power cbrt cos cosh erfinv exp expm1 gamma
    gammaln log log10 log1p log2 rcbrt rsqrt sigmoid sin sinh softsign sqrt tan tanh
""")
"""Operators that compute each float by itself, with more than arithmetic."""

LONG = _names("""
    RNN _linalg_det _linalg_gelqf _linalg_inverse _linalg_potrf _linalg_potri _linalg_slogdet
    _linalg_trsm _npi_pinv _npi_pinv_scalar_rcond _npi_solve _npi_tensorinv _npi_tensorsolve
""")
"""Operators whose long sums cancel."""

INDICES = frozenset({"argsort", "topk", "argmax", "argmin", "_npi_argmax", "_npi_argmin"})
"""Operators whose results are positions: those of equal values may be any of them."""


def bound(op: str, dtype: np.dtype) -> Bound:
    """What is allowed for an output of this type of this operator."""
    if dtype.kind in "iub":
        return Bound(steps=int("quant" in op or op.startswith("_sg_")))
    if op in MOVING or op in INDICES:
        return EXACT
    single = op in ELEMENTWISE or op in FUNCTIONS
    if dtype == np.float16:
        return HALF if single else HALF_SUMS
    if single:
        return ARITHMETIC if op in ELEMENTWISE else TRANSCENDENTAL
    return LONG_SUMS if op in LONG else SUMS


def agreement(
    op: str,
    attributes: Mapping[str, str],
    inputs: Sequence[np.ndarray],
    answers: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
) -> tuple[float, str]:
    """The worst error in units of what is allowed, and in words what differs first."""
    worst = 0.0
    if len(answers) != len(wanted):
        return float("inf"), f"{len(answers)} outputs, not {len(wanted)}"
    undefined = _undefined(op, inputs)
    for at, (got, want) in enumerate(zip(answers, wanted, strict=True)):
        if got.shape != want.shape or got.dtype != want.dtype:
            return float("inf"), (
                f"output {at} is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
            )
        errors = _errors(got, want, bound(op, want.dtype))
        if undefined is not None and undefined.shape == errors.shape:
            errors = np.where(undefined, 0.0, errors)
        error = float(errors.max(initial=0.0))
        if error > 1 and op in INDICES and _as_good(op, attributes, inputs, got, want):
            error = 0.0
        worst = max(worst, error)
        if error > 1:
            bad = int(np.argmax(errors.ravel()))
            return worst, (
                f"output {at}: {got.ravel()[bad]} is not {want.ravel()[bad]} (at {bad}, "
                f"{int((errors > 1).sum())} of {errors.size} differ)"
            )
    return worst, ""


def _errors(got: np.ndarray, want: np.ndarray, allowed: Bound) -> np.ndarray:
    """The error of each element in units of what is allowed."""
    with np.errstate(invalid="ignore", over="ignore"):
        a, b = got.astype("f8"), want.astype("f8")
        alike = (got == want) | (np.isnan(a) & np.isnan(b))
        if want.dtype.kind in "iub":
            return np.where(alike | (np.abs(a - b) <= allowed.steps), 0.0, np.inf)
        finite = np.isfinite(a) & np.isfinite(b)
        scale = 1.0
        if allowed.scaled:
            scale = max(1.0, float(np.abs(b[np.isfinite(b)]).max(initial=0.0)))
        room = allowed.absolute * scale + allowed.relative * np.abs(b)
        beyond = np.where(room > 0, np.abs(a - b) / np.where(room > 0, room, 1.0), np.inf)
    return np.where(alike, 0.0, np.where(finite, beyond, np.inf))


def _undefined(op: str, inputs: Sequence[np.ndarray]) -> np.ndarray | None:
    """Where a float has no value of an integer type: C leaves open what becomes of it."""
    if op != "Cast" or not inputs or inputs[0].dtype.kind != "f":
        return None
    with np.errstate(invalid="ignore"):
        given: np.ndarray = inputs[0].astype("f8")
        return ~np.isfinite(given) | (np.abs(given) >= 2.0**31)


def _as_good(
    op: str,
    attributes: Mapping[str, str],
    inputs: Sequence[np.ndarray],
    got: np.ndarray,
    want: np.ndarray,
) -> bool:
    """Whether positions that differ are of equal values."""
    if op == "topk" and attributes.get("ret_typ", "indices") != "indices":
        return False
    data, text = inputs[0], attributes.get("axis", "-1" if op in ("argsort", "topk") else "None")
    if text == "None":
        data, axis = data.ravel(), 0
        left, right = got.ravel(), want.ravel()
    else:
        axis, left, right = int(text), got, want
        if left.ndim == data.ndim - 1:
            left, right = np.expand_dims(left, axis), np.expand_dims(right, axis)
    try:
        chosen = [np.take_along_axis(data, np.asarray(i, "i8"), axis) for i in (left, right)]
    except (IndexError, ValueError):
        return False
    return bool(np.array_equal(*chosen, equal_nan=data.dtype.kind == "f"))
