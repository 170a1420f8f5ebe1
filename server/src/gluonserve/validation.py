"""Whether a request's tensors fit a model, decided by rules that are prepared once per model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.classification import classify
from gluonserve.errors import InvalidRequest
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gluonserve.tensors import Signature, TensorSpec


_GUESSED = (
    "; nothing in the network tells the rank of this input, so it is a guess: "
    "state its shape in model.toml, or inputs= of load()"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What the hot path compares of one input: plain values, no enum members."""

    spec: TensorSpec
    dtype: np.dtype
    rank: int
    fixed: tuple[tuple[int, int], ...]
    rest: tuple[int, ...] | None
    """All dimensions behind the rows, where axis 0 counts them and the rest is fixed."""
    rows_axis: int | None
    truth: bool

    @classmethod
    def of(cls, spec: TensorSpec) -> _Rule:
        fixed = tuple(
            (axis, size)
            for axis, size in enumerate(spec.shape)
            if size >= 0 and axis != spec.batch_axis
        )
        plain = spec.batch_axis == 0 and len(fixed) == len(spec.shape) - 1
        rest = spec.shape[1:] if plain else None
        dtype, truth = spec.dtype.numpy, spec.dtype is DType.BOOL
        return cls(spec, dtype, len(spec.shape), fixed, rest, spec.batch_axis, truth)


class InputCheck:
    """Checks a request's inputs against one signature and completes them.

    Called with the arrays by name; gives the number of rows (1 where no input counts rows) and the
    arrays as the engine takes them: declared dtypes, left-out optional inputs as zeros. An empty
    ``model`` is not named in texts.
    """

    def __init__(self, model: str, signature: Signature) -> None:
        self._place = f" of model {model!r}" if model else ""
        self._rules = tuple((spec.name, _Rule.of(spec)) for spec in signature.inputs)
        self._names = frozenset(spec.name for spec in signature.inputs)
        self._required = frozenset(spec.name for spec in signature.inputs if not spec.optional)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> tuple[int, Mapping[str, np.ndarray]]:
        """Check and complete.

        Raises:
            InvalidRequest: naming the input, what was expected and what came.
        """
        complete = inputs.keys() == self._names
        if not complete:
            self._check_names(inputs)
        rows = -1
        changed: dict[str, np.ndarray] = {}
        for name, rule in self._rules:
            array = inputs.get(name)
            if array is None:
                continue
            shape = array.shape
            if rule.rest != shape[1:] or not shape:
                array = self._fitting(rule, array, changed)
                shape = array.shape
            if array.dtype != rule.dtype:
                changed[name] = self._converted(rule, array)
            elif rule.truth:  # any byte but 0 is true, and engines differ about 2
                changed[name] = array.view(np.uint8) != 0
            if rule.rows_axis is not None:
                if rows < 0:
                    rows = shape[rule.rows_axis]
                elif rows != shape[rule.rows_axis]:
                    raise self._rows_differ(inputs)
        if rows < 0:
            rows = 1
        if not complete:
            changed.update(self._absent(inputs, rows))
        return rows, ({**inputs, **changed} if changed else inputs)

    def _fitting(
        self, rule: _Rule, array: np.ndarray, changed: dict[str, np.ndarray]
    ) -> np.ndarray:
        """The array if it fits, or its rows as the network flattens them if those do."""
        given = array.shape
        if rule.spec.flattened and len(given) > rule.rank:
            array = array.reshape(given[0], math.prod(given[1:]))
            changed[rule.spec.name] = array
        shape = array.shape
        fits = len(shape) == rule.rank and all(shape[axis] == size for axis, size in rule.fixed)
        if not fits:
            doubt = _GUESSED if rule.spec.guessed and len(shape) != rule.rank else ""
            raise InvalidRequest(
                f"unexpected shape for input {rule.spec.name!r}{self._place}: "
                f"expected {list(rule.spec.shape)}, got {list(given)}{doubt}"
            )
        return array

    def _check_names(self, inputs: Mapping[str, np.ndarray]) -> None:
        missing = [name for name, _ in self._rules if name in self._required - inputs.keys()]
        if missing:
            raise InvalidRequest(
                f"missing input {_quoted(missing)}{self._place}; it takes "
                f"{_quoted([name for name, _ in self._rules])}, got {_quoted([*inputs]) or 'none'}"
            )
        unexpected = sorted(inputs.keys() - self._names)
        if unexpected:
            raise InvalidRequest(
                f"unexpected input {_quoted(unexpected)}{self._place}; "
                f"it takes {_quoted([name for name, _ in self._rules])}"
            )

    def _rows_differ(self, inputs: Mapping[str, np.ndarray]) -> InvalidRequest:
        rows = ", ".join(
            f"{name!r} has {inputs[name].shape[rule.rows_axis]} (axis {rule.rows_axis})"
            for name, rule in self._rules
            if rule.rows_axis is not None and name in inputs
        )
        return InvalidRequest(f"inputs{self._place} differ in rows: {rows}")

    def _converted(self, rule: _Rule, array: np.ndarray) -> np.ndarray:
        try:
            given = DType.of(array.dtype)
        except KeyError:
            given = None
        if given not in rule.spec.accept:
            wanted = [rule.spec.dtype.value, *(dtype.value for dtype in rule.spec.accept)]
            raise InvalidRequest(
                f"unexpected datatype for input {rule.spec.name!r}{self._place}: "
                f"expected {' or '.join(wanted)}, got {given.value if given else array.dtype}; "
                "accept in model.toml lets the server convert others"
            )
        converted = _exactly(array, rule.dtype)
        if converted is None:
            raise InvalidRequest(
                f"input {rule.spec.name!r}{self._place}: not every {given.value} value "
                f"has an exact {rule.spec.dtype.value}; convert it before sending"
            )
        return converted

    def _absent(self, inputs: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
        zeros = {}
        for name, rule in self._rules:
            if name in inputs:
                continue
            shape = list(rule.spec.shape)
            if rule.rows_axis is not None:
                shape[rule.rows_axis] = rows
            if min(shape, default=0) < 0:
                raise InvalidRequest(
                    f"input {name!r}{self._place} cannot be left out: its shape "
                    f"{list(rule.spec.shape)} has dimensions that only the caller knows"
                )
            zeros[name] = np.broadcast_to(np.zeros((), rule.dtype), shape)
        return zeros


@dataclass(frozen=True, slots=True)
class Selection:
    """The outputs that a request asked for, in the model's order, some of them as top-k text."""

    specs: tuple[TensorSpec, ...]
    classification: Mapping[str, int]
    labels: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: str,
        signature: Signature,
        names: Sequence[str],
        classification: Mapping[str, int],
        labels: tuple[str, ...] = (),
    ) -> Selection:
        """What to answer; no names select all.

        Raises:
            InvalidRequest: an output that the model has not, or a k below 1.
        """
        known = [spec.name for spec in signature.outputs]
        asked = dict.fromkeys((*names, *classification))
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise InvalidRequest(
                f"unexpected output {_quoted(unknown)} of model {model!r}; "
                f"it gives {_quoted(known)}"
            )
        for name, k in classification.items():
            if k < 1:
                raise InvalidRequest(f"classification of output {name!r}: k is {k}, must be >= 1")
        specs = tuple(spec for spec in signature.outputs if not names or spec.name in names)
        return cls(specs, classification, labels)

    def apply(
        self, outputs: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """The chosen outputs and their datatypes."""
        chosen = {spec.name: self._one(spec, outputs[spec.name]) for spec in self.specs}
        datatypes = tuple(
            "BYTES" if spec.name in self.classification else spec.dtype.value for spec in self.specs
        )
        return chosen, datatypes

    def _one(self, spec: TensorSpec, values: np.ndarray) -> np.ndarray:
        k = self.classification.get(spec.name)
        if k is None:
            return values
        return classify(values, k, self.labels, batched=spec.batch_axis == 0)


def _exactly(array: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    """The same values in another type, or None where some value has no counterpart there."""
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        back = converted.astype(array.dtype)
    nan = array.dtype.kind == "f" and converted.dtype.kind == "f"
    if not np.array_equal(back, array, equal_nan=nan):
        return None
    if not array.size or array.dtype.kind not in "iu" or converted.dtype.kind == "b":
        return converted
    if not np.isfinite(converted).all():
        return None
    # Integers that wrapped, or met the edge of what a float can give back, return as they came.
    ends = ((array.min(), converted.min()), (array.max(), converted.max()))
    return converted if all(int(a) == int(b) for a, b in ends) else None


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
