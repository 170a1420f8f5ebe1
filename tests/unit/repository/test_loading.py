"""What is proven before a version serves: recorded answers, batching, warmth."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakemodels import export
from unit.batching.fakes import FakeExecutor, signature_of

from gluonserve.batching.selfcheck import Below
from gluonserve.errors import AnswersDiffer, ExecutionFailed, InvalidModel, ServerNotReady
from gluonserve.repository.layout import find
from gluonserve.repository.loading import load_version
from gluonserve.repository.opening import Opened
from gluonserve.tensors import DType, Signature, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from gluonserve.repository.loading import Loaded

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


class StrictExecutor(FakeExecutor):
    """Fails as the protocol says it must, and remembers that it was closed."""

    closed = False

    def run(self, lease) -> None:
        try:
            super().run(lease)
        except FloatingPointError as error:
            raise ExecutionFailed("the engine failed") from error

    def close(self) -> None:
        self.closed = True


def mixing(inputs):
    return {"doubled": inputs["data"] * 2 + inputs["data"].sum()}


def load(
    folder: Path,
    executor: FakeExecutor,
    settings: str = "",
    samples: dict[str, np.ndarray] | None = None,
    **opened,
) -> Loaded:
    export(folder)
    (folder / "model.toml").write_text(settings)
    if samples is not None:
        np.savez(folder / "samples.npz", **samples)
    (source,) = find(folder)
    return load_version(
        source, threading.Event(), lambda _source, _samples: Opened(executor, **opened)
    )


class TestRecordedSamples:
    right = {"in:data": ROWS, "out:doubled": ROWS * 2}  # noqa: RUF012
    wrong = {"in:data": ROWS, "out:doubled": ROWS * 2.1}  # noqa: RUF012

    def test_reproduced_ones_say_nothing(self, tmp_path) -> None:
        assert load(tmp_path, StrictExecutor(), samples=self.right).notes == ()

    def test_others_are_refused_with_the_error_of_each_output(self, tmp_path) -> None:
        executor = StrictExecutor()

        with pytest.raises(AnswersDiffer, match=r"tolerance 0\.0001: 'doubled' 0\.048"):
            load(tmp_path, executor, samples=self.wrong)

        assert executor.closed

    def test_others_are_noted_where_settings_warn(self, tmp_path) -> None:
        loaded = load(tmp_path, StrictExecutor(), "[check]\nsamples = 'warn'", self.wrong)

        assert "not reproduced" in loaded.notes[0]

    def test_nobody_looks_where_settings_say_off(self, tmp_path) -> None:
        loaded = load(tmp_path, StrictExecutor(), "[check]\nsamples = 'off'", self.wrong)

        assert loaded.notes == ()

    def test_tolerance_is_a_setting(self, tmp_path) -> None:
        assert not load(tmp_path, StrictExecutor(), "[check]\ntolerance = 0.1", self.wrong).notes

    def test_low_precision_is_measured_and_shown(self, tmp_path) -> None:
        loaded = load(tmp_path, StrictExecutor(), "precision = 'bf16'", self.wrong)

        assert loaded.notes == ("measured against recorded answers at bf16: 'doubled' 0.048",)

    def test_may_use_names_from_before_renaming(self, tmp_path) -> None:
        samples = {"in:data": ROWS, "out:dense0_output": ROWS * 2}

        assert not load(
            tmp_path, StrictExecutor(), samples=samples, renamed={"dense0_output": "doubled"}
        ).notes

    @pytest.mark.parametrize(
        ("samples", "told"),
        [
            ({"in:x": ROWS, "out:doubled": ROWS}, "do not fit the model: missing input 'data'"),
            ({"in:data": ROWS, "out:x": ROWS}, "have output 'x'; the model gives doubled"),
            ({"data": ROWS}, r"expected in:<input> and out:<output>"),
        ],
        ids=["input", "output", "marks"],
    )
    def test_of_another_model_are_told(self, tmp_path, samples, told) -> None:
        with pytest.raises(InvalidModel, match=told):
            load(tmp_path, StrictExecutor(), samples=samples)

    def test_broken_file_is_told(self, tmp_path) -> None:
        export(tmp_path)
        (tmp_path / "samples.npz").write_bytes(b"PK not really")
        (source,) = find(tmp_path)

        with pytest.raises(InvalidModel, match="not a file of recorded samples"):
            load_version(source, threading.Event(), lambda *_: Opened(StrictExecutor()))

    def test_other_shapes_and_nans_are_infinitely_wrong(self, tmp_path) -> None:
        samples = {"in:data": ROWS, "out:doubled": np.full_like(ROWS, np.nan)}

        with pytest.raises(AnswersDiffer, match=r"'doubled' inf \(NaN or infinity"):
            load(tmp_path, StrictExecutor(), samples=samples)


class TestLabels:
    @pytest.mark.parametrize(
        ("lines", "notes"),
        [("a\nb\nc\n", ()), ("a\nb\n", ("names.txt has 2 labels; 'doubled' has 3 classes",))],
        ids=["right", "few"],
    )
    def test_are_as_many_as_classes(self, tmp_path, lines, notes) -> None:
        (tmp_path / "names.txt").write_text(lines)

        signature = Signature(
            (TensorSpec("data", DType.FP32, (-1, 3)),),
            (TensorSpec("doubled", DType.FP32, (-1, 3)),),
        )

        loaded = load(tmp_path, StrictExecutor(signature=signature), "labels = 'names.txt'")

        assert loaded.notes == notes


class TestBatching:
    def test_safe_rows_are_batched(self, tmp_path) -> None:
        assert load(tmp_path, StrictExecutor()).signature.batchable

    @pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "generated"])
    def test_mixing_rows_are_served_alone_with_a_note(self, tmp_path, recorded) -> None:
        samples = {"in:data": ROWS, "out:doubled": mixing({"data": ROWS})["doubled"]}

        loaded = load(tmp_path, StrictExecutor(mixing), samples=samples if recorded else None)

        assert not loaded.signature.batchable
        assert "output 'doubled' mixes rows" in loaded.signature.why
        assert "served unbatched: output 'doubled' mixes rows" in loaded.notes[0]

    def test_unproven_signature_is_served_alone(self, tmp_path) -> None:
        signature = Signature(
            (TensorSpec("data", DType.FP32, (-1, 3)),),
            (TensorSpec("doubled", DType.FP32, (-1, 3), batch_axis=None),),
            batchable=False,
            why="output 'doubled' has no rows",
        )

        loaded = load(tmp_path, StrictExecutor(signature=signature))

        assert not loaded.signature.batchable
        assert loaded.notes == ("served unbatched: output 'doubled' has no rows",)

    def test_failing_guesses_of_a_size_ask_for_it(self, tmp_path) -> None:
        signature = Signature(
            (TensorSpec("data", DType.FP32, (-1, -1)),),
            (TensorSpec("doubled", DType.FP32, (-1, 3)),),
        )
        executor = StrictExecutor(signature=signature, fails_on=lambda inputs: True)

        note, *_ = load(tmp_path, executor).notes

        assert "could not be checked" in note
        assert note.endswith(
            "; state the shape of 'data' in model.toml, or put samples.npz beside the network"
        )

    def test_force_overrides_with_a_note(self, tmp_path) -> None:
        loaded = load(tmp_path, StrictExecutor(mixing), "[batching]\nenabled = 'force'")

        assert loaded.signature.batchable
        assert loaded.policy.enabled
        assert loaded.notes[0].startswith(
            "batched because the settings force it, against this doubt: output 'doubled' mixes rows"
        )

    def test_force_against_no_doubt_says_nothing(self, tmp_path) -> None:
        assert load(tmp_path, StrictExecutor(), "[batching]\nenabled = 'force'").notes == ()

    def test_off_needs_no_proof(self, tmp_path) -> None:
        loaded = load(tmp_path, StrictExecutor(mixing), "[batching]\nenabled = 'off'")

        assert not loaded.policy.enabled
        assert loaded.notes == ()

    def test_settings_make_the_policy(self, tmp_path) -> None:
        text = (
            "[batching]\nmax_rows = 8\nmax_delay_ms = 1.5\nmax_queue_rows = 9\nmax_queue_bytes=77"
        )

        policy = load(tmp_path, StrictExecutor(), text).policy

        assert (policy.max_rows, policy.max_delay_ms) == (8, 1.5)
        assert (policy.max_queue_rows, policy.max_queue_bytes) == (9, 77)


class TestWarmUp:
    def test_runs_each_size_once(self, tmp_path) -> None:
        executor = StrictExecutor()

        load(tmp_path, executor, "[warmup]\nrows = [2, 16, 64]")

        assert executor.sizes[-2:] == [2, 16]

    def test_repeats_recorded_rows(self, tmp_path) -> None:
        executor = StrictExecutor()
        samples = {"in:data": ROWS, "out:doubled": ROWS * 2}

        load(tmp_path, executor, "[warmup]\nrows = [6]", samples)

        assert (executor.batches[-1]["data"] == ROWS[[0, 1, 2, 3, 0, 1]]).all()

    def test_failure_on_recorded_rows_refuses(self, tmp_path) -> None:
        executor = StrictExecutor(fails_on=lambda inputs: len(inputs["data"]) > 4)
        samples = {"in:data": ROWS, "out:doubled": ROWS * 2}

        with pytest.raises(ExecutionFailed):
            load(tmp_path, executor, samples=samples)

        assert executor.closed

    def test_failure_on_generated_rows_is_a_note(self, tmp_path) -> None:
        loaded = load(tmp_path, StrictExecutor(fails_on=lambda inputs: True))

        assert any("not warmed up" in note for note in loaded.notes)

    def test_rows_too_large_to_generate_are_told_not_tried(self, tmp_path) -> None:
        vast = TensorSpec("data", DType.FP32, (-1, 2**31 - 1))
        executor = StrictExecutor(signature=signature_of(inputs=(vast,)))

        check, warmup = load(tmp_path, executor).notes

        assert "could not be checked: input 'data' of shape [5, 2147483647] takes 40 GiB" in check
        assert warmup.startswith("not warmed up")
        assert executor.batches == []

    def test_generated_ids_stay_in_range(self, tmp_path) -> None:
        executor = StrictExecutor(fails_on=lambda inputs: bool((inputs["data"] >= 5).any()))

        loaded = load(tmp_path, executor, valid={"data": Below(5)})

        assert loaded.notes == ()


class TestGivingUp:
    def test_between_steps_frees_the_engine(self, tmp_path) -> None:
        executor, stopping = StrictExecutor(), threading.Event()
        (source,) = find(export(tmp_path))
        stopping.set()

        with pytest.raises(ServerNotReady):
            load_version(source, stopping, lambda *_: Opened(executor))

        assert executor.closed

    def test_files_that_change_meanwhile_are_told(self, tmp_path) -> None:
        executor = StrictExecutor()
        (source,) = find(export(tmp_path))

        def opening(*_) -> Opened:
            source.params.write_bytes(b"more weights")
            return Opened(executor)

        with pytest.raises(InvalidModel, match="changed while they were read"):
            load_version(source, threading.Event(), opening)

        assert executor.closed
