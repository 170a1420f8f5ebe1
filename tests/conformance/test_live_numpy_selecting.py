"""Selections of the numpy interface whose sizes the data tell, against MXNet's imperative calls.

An executor of MXNet keeps the outputs that it was bound with, so that the recorded cases of these
operators hold empty ones; their inputs are asked anew here.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import numpy as np
import pytest
from asking import note
from oracle import Operator
from replay import CORPUS, ENGINES, Case, cases, compare, imported, run

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.mxnet

SIZED_BY_DATA = [
    *("_npx_nonzero", "_npi_unique", "_npi_delete", "_npi_bincount", "_contrib_boolean_mask"),
]


def imperatively(
    op: str, inputs: list[np.ndarray], attributes: Mapping[str, str]
) -> list[np.ndarray]:
    """What the operator answers when it is called on arrays."""
    import mxnet as mx  # noqa: PLC0415 - only where it is installed
    from mxnet.ndarray.numpy import _internal  # noqa: PLC0415
    from mxnet.ndarray.numpy_extension import _op  # noqa: PLC0415

    note([op])
    homes = {"_npx": _op, "_npi": _internal, "_contrib": mx.nd.contrib}
    prefix = next(prefix for prefix in homes if op.startswith(f"{prefix}_"))
    legacy = prefix == "_contrib"
    named = {name: ast.literal_eval(text) for name, text in attributes.items()}
    with mx.util.np_shape(True), mx.util.np_array(not legacy):
        array = mx.nd.array if legacy else mx.np.array
        given = [array(value, dtype=value.dtype) for value in inputs]
        answers = getattr(homes[prefix], op.removeprefix(f"{prefix}_"))(*given, **named)
        listed = answers if isinstance(answers, (list, tuple)) else [answers]
        return [answer.asnumpy() for answer in listed]


def agrees(case: Case) -> None:
    wanted = imperatively(case.op, list(case.inputs.values()), case.attrs)
    network = imported(case)

    assert not network.signature.batchable
    for engine in ENGINES:
        _, difference = compare(run(network, engine, case.data), wanted)
        assert not difference, f"{case.id} on {engine}: {difference}"


@pytest.mark.parametrize("name", SIZED_BY_DATA)
def test_recorded_inputs(name: str) -> None:
    if not CORPUS.is_dir():
        pytest.skip("the recorded cases are not here")

    for case in cases(CORPUS / f"{name}.npz"):
        agrees(case)


def asked(op: str, *inputs: np.ndarray, **attributes: object) -> None:
    examples = {f"x{at}": value for at, value in enumerate(inputs)}
    operator = Operator(op, examples, np_shape=True, **attributes)
    wanted = imperatively(op, list(inputs), operator.attributes)
    for engine, answer in operator.engines.items():
        _, difference = compare(answer(examples), wanted)
        assert not difference, f"{op} {attributes} on {engine}: {difference}"


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "uint8"])
def test_places_that_are_not_zero(dtype: str) -> None:
    draw = np.random.default_rng(1)
    for shape in ((6,), (3, 4), (2, 3, 2)):
        asked("_npx_nonzero", draw.integers(0, 2, shape).astype(dtype))


@pytest.mark.parametrize("places", [[0], [1, 1, 4], [-1, 2], [7]], ids=str)
def test_deletions(places: list[int]) -> None:
    data = np.arange(10, dtype="float32").reshape(2, 5)

    asked("_npi_delete", data, np.array(places, "int64"), axis=1)
    asked("_npi_delete", data, np.array(places, "int64"), axis=None)


@pytest.mark.parametrize("places", [[0], [1, 1, 4], [3, 0, 3], [-1, 2]], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_insertions_before_places(places: list[int], dtype: str) -> None:
    data = np.arange(10).reshape(2, 5).astype(dtype)
    given = np.array([[7.5] * len(places), [8.5] * len(places)], "float32")
    examples = {"arr": data, "values": given, "obj": np.array(places, "int64")}

    for free in (False, len(places) > 1):
        Operator("_npi_insert_tensor", examples, np_shape=True, free=free, axis=1).check()


@pytest.mark.parametrize("place", [0, 2, -1])
def test_insertions_before_one_place(place: int) -> None:
    data = np.arange(10, dtype="float32").reshape(2, 5)

    for shape in ((1,), (2,), (3, 2)):
        given = np.random.default_rng(2).normal(size=shape).astype("float32")
        asked("_npi_insert_scalar", data, given, int_ind=place, axis=1)
    asked("_npi_insert_scalar", data, np.array([1, 2], "float32"), int_ind=place, axis=None)


@pytest.mark.parametrize("bounds", [(0, 5, 2), (4, 0, -2), (1, 2, 1), (3, 1, 1)], ids=str)
def test_insertions_before_a_slice(bounds: tuple[int, int, int]) -> None:
    data = np.arange(10, dtype="float32").reshape(2, 5)
    start, stop, step = bounds

    given = np.array([[9.0], [8.0]], "float32")
    asked("_npi_insert_slice", data, given, start=start, stop=stop, step=step, axis=1)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
@pytest.mark.parametrize("least", [0, 3, 12])
def test_counts(dtype: str, least: int) -> None:
    numbers = np.array([1, 2, 2, 7], dtype)

    asked("_npi_bincount", numbers, minlength=least)
    weights = np.array([0.5, 1, 2, 4], "float32")
    asked("_npi_bincount", numbers, weights, minlength=least, has_weights=True)


@pytest.mark.parametrize(
    ("mask", "value", "axis"),
    [
        (np.array([[1, 0, 1], [0, 0, 1]]), np.array([7.0, 8, 9]), 0),
        (np.array([[1, 0, 1], [0, 0, 1]]), np.array([7.0]), 0),
        (np.array([[1, 0, 1], [0, 0, 1]]), np.array(7.0), 0),
        (np.array([1, 0]), np.array([[7.0, 8, 9]]), 0),
        (np.array([1, 0, 1]), np.array([[7.0, 8], [1, 2]]), 1),
        (np.array([1, 0, 1]), np.array([[7.0], [1]]), 1),
    ],
    ids=str,
)
def test_assignments_where_a_mask_holds(mask: np.ndarray, value: np.ndarray, axis: int) -> None:
    import mxnet as mx  # noqa: PLC0415
    from mxnet.ndarray.numpy import _internal  # noqa: PLC0415

    data = np.arange(6, dtype="float32").reshape(2, 3)
    inputs = {"data": data, "mask": mask.astype(bool), "value": value.astype("float32")}
    operator = Operator("_npi_boolean_mask_assign_tensor", inputs, np_shape=True, start_axis=axis)
    with mx.util.np_shape(True), mx.util.np_array(True):
        target, flags, given = (mx.np.array(one, dtype=one.dtype) for one in inputs.values())
        _internal.boolean_mask_assign_tensor(target, flags, given, start_axis=axis, out=target)

    for engine, answer in operator.engines.items():
        _, difference = compare(answer(inputs), [target.asnumpy()])
        assert not difference, f"on {engine}: {difference}"
