"""Which models a directory holds: every layout, versions, epochs, and what is half there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakemodels import export

from gluonserve.errors import InvalidConfig
from gluonserve.repository.layout import ModelSource, Unusable, find

if TYPE_CHECKING:
    from pathlib import Path


def served(path: Path, model_name: str | None = None) -> list[tuple[str, int]]:
    found = find(path, model_name)
    reasons = [one.reason for one in found if isinstance(one, Unusable)]
    assert not reasons
    return [(one.name, one.version) for one in found if isinstance(one, ModelSource)]


def only(path: Path, model_name: str | None = None) -> ModelSource:
    (found,) = find(path, model_name)
    assert isinstance(found, ModelSource), found
    return found


def unusable(path: Path) -> Unusable:
    (found,) = [one for one in find(path) if isinstance(one, Unusable)]
    return found


class TestLayouts:
    def test_version_directories(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        export(tmp_path / "net" / "12")

        assert served(tmp_path) == [("net", 12)]

    def test_export_straight_in_a_folder_is_version_1(self, tmp_path) -> None:
        export(tmp_path / "net", "resnet50")

        assert served(tmp_path) == [("net", 1)]

    def test_loose_exports_are_named_by_their_prefix(self, tmp_path) -> None:
        export(tmp_path, "squeezenet")
        export(tmp_path, "alexnet")

        assert served(tmp_path) == [("alexnet", 1), ("squeezenet", 1)]

    def test_all_of_them_beside_each_other(self, tmp_path) -> None:
        export(tmp_path / "a" / "3")
        export(tmp_path / "b")
        export(tmp_path, "c")

        assert served(tmp_path) == [("a", 3), ("b", 1), ("c", 1)]

    def test_one_symbol_file(self, tmp_path) -> None:
        export(tmp_path, "net")
        export(tmp_path, "other")

        assert served(tmp_path / "net-symbol.json") == [("net", 1)]

    def test_one_symbol_file_with_its_settings(self, tmp_path) -> None:
        export(tmp_path, "net")
        (tmp_path / "model.toml").write_text("instances = 3")

        found = only(tmp_path / "net-symbol.json")

        assert (found.name, found.settings.instances) == ("net", 3)

    @pytest.mark.parametrize(
        ("number", "other"),
        [("2024/a", "net/b"), ("2024/a", "net/1/a"), ("2024/1/a", "net/a")],
        ids=["another export", "versions of its own", "numbers in numbers"],
    )
    def test_number_may_be_the_name_of_a_model(self, tmp_path, number, other) -> None:
        for place in (tmp_path / number, tmp_path / other):
            export(place.parent, place.name)

        assert served(tmp_path) == [("2024", 1), ("net", 1)]

    def test_unknown_files_are_left_alone(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "README.md").write_text("hello")
        (tmp_path / "training").mkdir()
        (tmp_path / "training" / "train.py").write_text("")
        (tmp_path / "net" / "1" / "notes.txt").write_text("")
        (tmp_path / "net" / "old").mkdir()
        export(tmp_path / ".hidden")

        assert served(tmp_path) == [("net", 1)]

    def test_parameters_may_be_missing(self, tmp_path) -> None:
        (tmp_path / "add-symbol.json").write_text("{}")

        assert only(tmp_path).params is None

    def test_nothing_at_all_is_no_mistake(self, tmp_path) -> None:
        assert find(tmp_path) == []

    def test_missing_directory_is_one(self, tmp_path) -> None:
        with pytest.raises(InvalidConfig, match="no such directory"):
            find(tmp_path / "nowhere")


class TestDirectoryThatIsOneModel:
    def test_flat_is_named_by_its_prefix(self, tmp_path) -> None:
        export(tmp_path / "mnt", "lenet")

        assert served(tmp_path / "mnt") == [("lenet", 1)]

    def test_flat_with_settings_is_named_by_its_prefix(self, tmp_path) -> None:
        export(tmp_path / "mnt", "lenet")
        (tmp_path / "mnt" / "model.toml").write_text("instances = 3")

        found = only(tmp_path / "mnt")

        assert found.name == "lenet"
        assert found.settings.instances == 3

    def test_versions_are_named_by_the_folder(self, tmp_path) -> None:
        export(tmp_path / "mnt" / "2")

        assert served(tmp_path / "mnt") == [("mnt", 2)]

    def test_folders_beside_versions_that_may_be_versions_are_told(self, tmp_path) -> None:
        for folder in ("1", "latest", "old"):
            export(tmp_path / "mnt" / folder)

        found = only(tmp_path / "mnt")

        assert (found.name, found.version) == ("mnt", 1)
        note = "not served: latest, old beside the versions, which are named 1, 2, ..."
        assert found.notes == (note,)

    def test_given_name_makes_numbers_versions(self, tmp_path) -> None:
        export(tmp_path / "mnt" / "3", "a")
        export(tmp_path / "mnt" / "old", "b")

        assert served(tmp_path / "mnt", "net") == [("net", 3)]

    @pytest.mark.parametrize("version", ["", "4"], ids=["flat", "versions"])
    def test_given_name_wins(self, tmp_path, version) -> None:
        export(tmp_path / "mnt" / version)

        assert only(tmp_path / "mnt", "digits").name == "digits"

    def test_name_for_several_models_is_a_mistake(self, tmp_path) -> None:
        export(tmp_path, "a")
        export(tmp_path, "b")

        with pytest.raises(InvalidConfig, match="holds 2 models"):
            find(tmp_path, "digits")


class TestVersions:
    @pytest.mark.parametrize(
        ("policy", "expected"),
        [("'latest'", [10]), ("'all'", [1, 2, 10]), ("[1, 10]", [1, 10])],
        ids=["latest", "all", "list"],
    )
    def test_policy_selects(self, tmp_path, policy, expected) -> None:
        for version in ("1", "2", "10"):
            export(tmp_path / "net" / version)
        (tmp_path / "net" / "model.toml").write_text(f"versions = {policy}")

        assert [version for _, version in served(tmp_path)] == expected

    def test_missing_one_is_told(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "net" / "model.toml").write_text("versions = [1, 3]")

        assert unusable(tmp_path) == Unusable("net", 3, "there is no version directory 3")

    def test_version_has_settings_of_its_own(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "net" / "model.toml").write_text("instances = 3\nprecision = 'bf16'")
        (tmp_path / "net" / "1" / "model.toml").write_text("precision = 'fp32'")

        settings = only(tmp_path).settings

        assert (settings.instances, settings.precision) == (3, "fp32")

    def test_half_copied_latest_leaves_the_complete_one(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "net" / "2").mkdir()

        found = find(tmp_path)

        assert [(one.version, type(one)) for one in found] == [(1, ModelSource), (2, Unusable)]

    def test_latest_without_its_parameters_leaves_the_complete_one(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (export(tmp_path / "net" / "2") / "model-0000.params").unlink()

        served, half = find(tmp_path)

        assert isinstance(served, ModelSource)
        assert isinstance(half, Unusable)
        assert (served.version, half.version) == (1, 2)
        assert half.reason.endswith(
            "holds no *.params, and version 1 has some; is it still being copied?"
        )

    def test_network_without_parameters_has_none_in_any_version(self, tmp_path) -> None:
        for number in "12":
            (export(tmp_path / "net" / number) / "model-0000.params").unlink()

        assert served(tmp_path) == [("net", 2)]

    def test_versions_beside_an_export_are_refused(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        export(tmp_path / "net")

        assert "keep one of them" in unusable(tmp_path).reason


class TestFilesOfAVersion:
    def test_highest_epoch_is_taken_and_noted(self, tmp_path) -> None:
        export(tmp_path, "net", 0, 9, 10)

        found = only(tmp_path)

        assert found.params == tmp_path / "net-0010.params"
        assert found.notes == ("epoch 10 is served; 0, 9 stands there too",)

    def test_prefix_of_another_prefix_has_its_own_parameters(self, tmp_path) -> None:
        export(tmp_path, "net", 0)
        export(tmp_path, "net-v2", 7)

        files = {one.name: one.params.name for one in find(tmp_path)}

        assert files == {"net": "net-0000.params", "net-v2": "net-v2-0007.params"}

    def test_single_parameters_of_another_name_are_taken_and_noted(self, tmp_path) -> None:
        export(tmp_path / "net", "model")
        (tmp_path / "net" / "model-0000.params").rename(tmp_path / "net" / "weights.params")

        found = only(tmp_path)

        assert found.params == tmp_path / "net" / "weights.params"
        assert found.notes

    def test_samples_and_labels_are_found(self, tmp_path) -> None:
        folder = export(tmp_path / "net" / "1")
        (folder / "samples.npz").write_bytes(b"x")
        (tmp_path / "net" / "labels.txt").write_text("cat\ndog\n")
        (tmp_path / "net" / "model.toml").write_text("labels = 'labels.txt'")

        found = only(tmp_path)

        assert found.samples == folder / "samples.npz"
        assert found.labels == ("cat", "dog")

    def test_replaced_file_shows(self, tmp_path) -> None:
        export(tmp_path, "net")
        found = only(tmp_path)
        assert not found.changed()

        (tmp_path / "net-0000.params").write_bytes(b"other weights")

        assert found.changed()
        assert only(tmp_path).generation != found.generation


class TestUnusable:
    def test_empty_file_is_being_copied(self, tmp_path) -> None:
        export(tmp_path, "net")
        (tmp_path / "net-0000.params").write_bytes(b"")

        assert "is it still being copied?" in unusable(tmp_path).reason

    def test_same_name_twice(self, tmp_path) -> None:
        export(tmp_path / "net")
        export(tmp_path, "net")
        export(tmp_path, "other")

        found = find(tmp_path)

        assert "more than one model has this name" in unusable(tmp_path).reason
        assert [one.name for one in found] == ["net", "other"]

    def test_several_exports_in_one_folder(self, tmp_path) -> None:
        export(tmp_path / "net", "a")
        export(tmp_path / "net", "b")

        assert "holds 2 exports (a, b)" in unusable(tmp_path).reason

    @pytest.mark.parametrize("place", ["net", "net/1"], ids=["model", "version"])
    def test_wrong_settings(self, tmp_path, place) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / place / "model.toml").write_text("executer = 'x'")

        assert "executer: unknown key" in unusable(tmp_path).reason

    def test_missing_labels(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "net" / "model.toml").write_text("labels = 'names.txt'")

        assert "names.txt" in unusable(tmp_path).reason

    def test_settings_without_an_export(self, tmp_path) -> None:
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "model.toml").write_text("")

        assert "holds no export and no version directory" in unusable(tmp_path).reason
