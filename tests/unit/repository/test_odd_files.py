"""Folders as they come: links to nothing, folders for files, odd names, what may not be read."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
from fakemodels import export

from gluonserve.errors import InvalidConfig, InvalidModel
from gluonserve.repository.layout import ModelSource, Unusable, find
from gluonserve.repository.model import ModelVersion
from gluonserve.repository.samples import read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def reasons(path: Path) -> dict[str, str]:
    return {one.name: one.reason for one in find(path) if isinstance(one, Unusable)}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that everybody reaches; root becomes somebody whom permissions concern."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    export(folder / "good")
    user = os.geteuid()
    try:
        yield folder
    finally:
        if os.geteuid() != user:
            os.seteuid(user)
        for place in (folder, folder / "net", folder / "net" / "1"):
            if place.exists():
                place.chmod(0o755)
        shutil.rmtree(folder)


def step_down() -> None:
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


class TestUnreadable:
    @pytest.mark.parametrize("place", ["net", "net/1"], ids=["model", "version"])
    def test_folder_stops_no_other_model(self, unprivileged, place) -> None:
        export(unprivileged / "net" / "1")
        (unprivileged / place).chmod(0)
        step_down()

        found = find(unprivileged)

        assert [type(one) for one in found] == [ModelSource, Unusable]
        assert f"{unprivileged / place} cannot be read: Permission denied" in found[1].reason

    def test_repository_is_a_mistake_of_configuration(self, unprivileged) -> None:
        unprivileged.chmod(0o300)
        step_down()

        with pytest.raises(InvalidConfig, match="cannot be read: Permission denied"):
            find(unprivileged)

    def test_settings(self, unprivileged) -> None:
        (unprivileged / "good" / "model.toml").touch(mode=0)
        step_down()

        assert "model.toml: cannot be read" in reasons(unprivileged)["good"]


class TestNoFiles:
    @pytest.mark.parametrize("name", ["model-symbol.json", "model-0000.params"])
    def test_link_to_nothing(self, tmp_path, name) -> None:
        file = export(tmp_path / "net" / "1") / name
        file.unlink()
        file.symlink_to("nowhere")

        assert reasons(tmp_path) == {"net": f"{file} is a link to nothing"}

    @pytest.mark.parametrize("name", ["model-symbol.json", "model-0000.params"])
    def test_folder_in_place_of_a_file(self, tmp_path, name) -> None:
        file = export(tmp_path / "net" / "1") / name
        file.unlink()
        file.mkdir()

        assert reasons(tmp_path) == {"net": f"{file} is not a file"}

    def test_link_to_a_folder_is_no_link_to_nothing(self, tmp_path) -> None:
        file = export(tmp_path / "net" / "1") / "model-0000.params"
        file.unlink()
        file.symlink_to(tmp_path)

        assert reasons(tmp_path) == {"net": f"{file} is not a file"}

    @pytest.mark.parametrize("place", ["net", "net/1"], ids=["model", "version"])
    def test_settings_that_cannot_apply_are_not_left_out(self, tmp_path, place) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / place / "model.toml").symlink_to("nowhere")

        assert "model.toml: cannot be read" in reasons(tmp_path)["net"]

    def test_samples_that_cannot_be_replayed_are_not_left_out(self, tmp_path) -> None:
        file = export(tmp_path / "net" / "1") / "samples.npz"
        file.symlink_to("nowhere")

        assert reasons(tmp_path) == {"net": f"{file} is a link to nothing"}

    def test_pipe_is_not_waited_for(self, tmp_path) -> None:
        file = export(tmp_path / "net" / "1") / "samples.npz"
        os.mkfifo(file)

        assert reasons(tmp_path) == {"net": f"{file} is not a file"}

    def test_labels_without_a_label(self, tmp_path) -> None:
        export(tmp_path / "net" / "1")
        (tmp_path / "net" / "model.toml").write_text("labels = 'labels.txt'")
        (tmp_path / "net" / "labels.txt").write_text("\n")

        assert "labels.txt holds no label" in reasons(tmp_path)["net"]

    def test_parameters_without_a_graph(self, tmp_path) -> None:
        (export(tmp_path / "net" / "1") / "model-symbol.json").unlink()

        assert "holds no export; expected one *-symbol.json" in reasons(tmp_path)["net"]

    def test_file_that_is_no_graph(self, tmp_path) -> None:
        export(tmp_path)

        with pytest.raises(InvalidConfig, match=r"neither a directory nor a \*-symbol.json"):
            find(tmp_path / "model-0000.params")


class TestNames:
    @pytest.mark.parametrize("name", ["with space", "ünï 数字", 'quo"te', "back\\slash"])
    def test_anything_printable_is_a_name(self, tmp_path, name) -> None:
        export(tmp_path / name / "1")

        assert [(one.name, type(one)) for one in find(tmp_path)] == [(name, ModelSource)]

    @pytest.mark.parametrize(
        ("name", "shown"),
        [(b"bad\xff", "bad\\udcff"), (b"two\nlines", "two\\nlines")],
        ids=["not_utf8", "control"],
    )
    def test_what_neither_wire_nor_metrics_can_carry_is_told(self, tmp_path, name, shown) -> None:
        export(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)) / "1")

        assert reasons(tmp_path) == {
            shown: "the name of a model must be UTF-8 without control characters"
        }

    def test_reason_that_names_a_file_whose_name_is_not_utf8_can_be_sent(self, tmp_path) -> None:
        place = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff-symbol.json")

        version = ModelVersion(Unusable("net", 1, f"{place} is empty"))

        assert version.reason.encode().endswith(b"/bad\\udcff-symbol.json is empty")

    async def test_failure_that_names_such_a_file_can_be_sent(self, tmp_path) -> None:
        def refuse(_: object) -> NoReturn:
            raise InvalidModel("bad\udcff-symbol.json is broken")

        export(tmp_path / "net" / "1")
        (source,) = find(tmp_path)
        version = ModelVersion(source)
        with ThreadPoolExecutor(1) as pool:
            await version.load(refuse, pool)

        assert version.reason.encode() == b"bad\\udcff-symbol.json is broken"

    @pytest.mark.parametrize("name", ["0", "01", "v1", "latest"])
    def test_folders_of_exports_that_are_no_versions_are_told(self, tmp_path, name) -> None:
        export(tmp_path / "net" / name)

        assert f"({name}: no version" in reasons(tmp_path)["net"]


def test_mistakes_of_model_and_version_are_told_together(tmp_path) -> None:
    export(tmp_path / "net" / "1")
    (tmp_path / "net" / "model.toml").write_text("instances = 0")
    (tmp_path / "net" / "1" / "model.toml").write_text("executer = 'mxnet'")

    told = reasons(tmp_path)["net"]

    assert "net/model.toml: instances" in told
    assert "net/1/model.toml: executer" in told


@pytest.mark.parametrize("content", [b"text", b"\x93NUMPY"], ids=["text", "npy"])
def test_samples_of_another_kind_are_told_without_advice_on_pickles(tmp_path, content) -> None:
    file = tmp_path / "samples.npz"
    file.write_bytes(content)

    with pytest.raises(InvalidModel, match=r"no npz archive$"):
        read_samples(file)


def test_samples_cut_short_are_told(tmp_path) -> None:
    file = tmp_path / "samples.npz"
    np.savez_compressed(file, **{"in:data": np.zeros(5000)})
    whole = file.read_bytes()
    file.write_bytes(whole[:60] + b"\0" * 40 + whole[100:])

    with pytest.raises(InvalidModel, match="not a file of recorded samples"):
        read_samples(file)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a"]),
        np.array([1j]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(2, [("a", "f4")]),
    ],
    ids=lambda values: str(values.dtype),
)
def test_samples_that_are_no_numbers(tmp_path, values) -> None:
    file = tmp_path / "samples.npz"
    np.savez(file, **{"in:data": values})

    with pytest.raises(InvalidModel, match=r"in:data holds .*, expected numbers"):
        read_samples(file)


def test_samples_that_claim_more_than_any_memory(tmp_path) -> None:
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
    np.lib.format.write_array_header_1_0(header, claim)
    file = tmp_path / "samples.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in:data.npy", header.getvalue())

    with pytest.raises(InvalidModel, match="not a file of recorded samples"):
        read_samples(file)
