"""Networks that mix rows are found out, others are not suspected, and no engine failure escapes."""

from __future__ import annotations

import numpy as np
import pytest

from gluonserve.batching.selfcheck import (
    Below,
    batching_is_safe,
    check_batching,
    generate_rows,
)
from gluonserve.tensors import DType, Signature, TensorSpec

from .fakes import FakeExecutor, double, row, signature_of


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def folded(values: np.ndarray) -> np.ndarray:
    return np.cumsum(values.reshape(-1)).reshape(values.shape)


def rows_of_noise(count: int = 4, columns: int = 6) -> dict[str, np.ndarray]:
    return {"data": np.random.default_rng(1).standard_normal((count, columns), dtype=np.float32)}


SAFE = {
    "affine": lambda x: x * 3 + 1,
    "softmax_of_each_row": lambda x: softmax(x, 1),
    "noise_of_the_engine": lambda x: x * np.float32(1 + 1e-6 * len(x)),
    "zeros": lambda x: x * 0,
    "nan_everywhere": lambda x: x * np.nan,
    "argmax": lambda x: x.argmax(axis=1, keepdims=True).astype(np.int64),
}
MIXING = {
    "softmax_over_axis_0": lambda x: softmax(x, 0),
    "full_reduction": lambda x: x - x.sum(),
    "reshape_that_folds_the_batch": folded,
    "batch_mean": lambda x: x - x.mean(axis=0, keepdims=True),
    "largest_of_the_batch": lambda x: x / np.abs(x).max(),
    "position_in_the_batch": lambda x: x + np.arange(len(x), dtype=np.float32)[:, None],
    "size_of_the_batch": lambda x: x / len(x),
    "nan_that_spreads": lambda x: x * (np.nan if len(x) > 1 else 1),
}


@pytest.mark.parametrize("name", SAFE)
def test_network_that_keeps_rows_apart_is_safe(name: str) -> None:
    executor = FakeExecutor(lambda inputs: {"doubled": SAFE[name](inputs["data"])})

    verdict = batching_is_safe(executor, rows_of_noise())

    assert verdict.safe, verdict
    assert verdict.error < 1e-4
    assert executor.leases_out == 0


@pytest.mark.parametrize("name", MIXING)
def test_network_that_mixes_rows_is_found_out(name: str) -> None:
    executor = FakeExecutor(lambda inputs: {"doubled": MIXING[name](inputs["data"])})

    verdict = batching_is_safe(executor, rows_of_noise())

    assert (verdict.safe, verdict.checked, verdict.output) == (False, True, "doubled")
    assert verdict.error > 1e-4
    assert "'doubled' mixes rows" in verdict.why


@pytest.mark.parametrize("name", MIXING)
def test_generated_rows_find_it_out_too(name: str) -> None:
    executor = FakeExecutor(lambda inputs: {"doubled": MIXING[name](inputs["data"])})

    assert check_batching(executor).checked
    assert not check_batching(executor).safe


def test_output_whose_rows_do_not_follow_the_batch_is_named() -> None:
    executor = FakeExecutor(lambda inputs: {"doubled": inputs["data"][:1]})

    verdict = batching_is_safe(executor, rows_of_noise())

    assert not verdict.safe
    assert "'doubled' has 1 rows for a batch of 4" in verdict.why


def test_shared_output_that_depends_on_the_rows_is_not_safe() -> None:
    signature = signature_of(
        outputs=(
            TensorSpec("doubled", DType.FP32, (-1, -1)),
            TensorSpec("mean", DType.FP32, (), batch_axis=None),
        )
    )
    executor = FakeExecutor(
        lambda inputs: {**double(inputs), "mean": inputs["data"].mean(keepdims=True)},
        signature=signature,
    )

    verdict = batching_is_safe(executor, rows_of_noise())

    assert (verdict.safe, verdict.output) == (False, "mean")
    assert "shared by all rows but depends on them" in verdict.why


def test_rows_on_another_axis_and_shared_inputs_are_checked_on_their_axis() -> None:
    signature = Signature(
        inputs=(
            TensorSpec("data", DType.FP32, (4, -1), batch_axis=1),
            TensorSpec("bias", DType.FP32, (4, 1), batch_axis=None),
        ),
        outputs=(TensorSpec("sum", DType.FP32, (4, -1), batch_axis=1),),
    )
    apart = FakeExecutor(lambda i: {"sum": i["data"] + i["bias"]}, signature=signature)
    mixed = FakeExecutor(lambda i: {"sum": softmax(i["data"], 1)}, signature=signature)

    assert check_batching(apart).safe
    assert not check_batching(mixed).safe


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(rows_of_noise(1), "two rows", id="one_row"),
        pytest.param(row(1, rows=4), "all alike", id="equal_rows"),
        pytest.param({}, "expected one array", id="nothing"),
    ],
)
def test_rows_that_prove_nothing_give_no_verdict(rows, words) -> None:
    verdict = batching_is_safe(FakeExecutor(), rows)

    assert (verdict.safe, verdict.checked) == (False, False)
    assert verdict.why.startswith("could not be checked: ")
    assert words in verdict.why


def test_engine_that_fails_on_one_row_could_not_be_checked() -> None:
    verdict = check_batching(FakeExecutor(fails_on=lambda inputs: True))

    assert (verdict.safe, verdict.checked) == (False, False)
    assert "could not be checked: one row alone fails: this engine" in verdict.why


def test_engine_that_fails_only_on_company_must_not_batch() -> None:
    verdict = check_batching(FakeExecutor(fails_on=lambda inputs: len(inputs["data"]) > 1))

    assert (verdict.safe, verdict.checked) == (False, True)
    assert "5 rows together fail" in verdict.why


def test_free_dimensions_are_tried_until_the_engine_takes_one() -> None:
    executor = FakeExecutor(fails_on=lambda inputs: inputs["data"].shape[1] < 100)

    assert check_batching(executor).safe


def test_free_dimensions_are_tried_with_the_sizes_that_the_network_tells() -> None:
    executor = FakeExecutor(fails_on=lambda inputs: inputs["data"].shape[1] != 28)

    assert check_batching(executor, sizes=(49, 28)).safe


def test_shapes_that_the_network_tells_are_tried_as_they_are() -> None:
    executor = FakeExecutor(fails_on=lambda inputs: inputs["data"].shape[1] != 28)

    assert check_batching(executor, sizes=({"data": (1, 28)},)).safe
    assert max(executor.sizes) == 5


def test_recorded_samples_are_preferred_and_few_of_them_suffice() -> None:
    executor = FakeExecutor()

    assert check_batching(executor, rows_of_noise(count=500)).safe
    assert max(executor.sizes) == 8
    assert executor.batches[0]["data"].shape == (1, 6)


def test_samples_of_a_single_row_are_replaced_by_generated_ones() -> None:
    executor = FakeExecutor()

    assert check_batching(executor, rows_of_noise(count=1)).safe
    assert max(executor.sizes) == 5


def test_network_without_batch_axis_could_not_be_checked() -> None:
    signature = signature_of(inputs=(TensorSpec("data", DType.FP32, (2, 2), batch_axis=None),))

    verdict = check_batching(FakeExecutor(signature=signature))

    assert (verdict.safe, verdict.checked) == (False, False)
    assert "no input has a batch axis" in verdict.why


def test_generated_values_are_valid_for_their_input() -> None:
    signature = Signature(
        inputs=(
            TensorSpec("tokens", DType.FP32, (-1, 50)),
            TensorSpec("lengths", DType.INT32, (-1,)),
            TensorSpec("pixels", DType.UINT8, (-1, 4, 4)),
            TensorSpec("mask", DType.BOOL, (-1, -1)),
            TensorSpec("state", DType.FP16, (2, -1, 8), batch_axis=1),
        ),
        outputs=(),
    )

    rows = generate_rows(signature, 3, valid={"tokens": Below(7), "lengths": Below(51, least=1)})

    shapes = {name: array.shape for name, array in rows.items()}
    assert shapes == {
        "tokens": (3, 50),
        "lengths": (3,),
        "pixels": (3, 4, 4),
        "mask": (3, 16),
        "state": (2, 3, 8),
    }
    assert [rows[spec.name].dtype for spec in signature.inputs] == [
        spec.dtype.numpy for spec in signature.inputs
    ]
    assert set(rows["tokens"].ravel()) <= set(range(7))
    assert 1 <= rows["lengths"].min() <= rows["lengths"].max() <= 50
