"""Settings: every source, every mistake at once, and what the pages promise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gluonserve.config import (
    ModelSettings,
    ServerSettings,
    read_model_settings,
    read_server_settings,
    table_of,
    unknown_variables,
)
from gluonserve.errors import InvalidConfig
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = """
description = "handwritten digits"
executor = "openvino"
device = "cpu"
precision = "bf16"
instances = 2
threads = 4
versions = [1, 3]
labels = "labels.txt"

[[inputs]]
name = "data"
datatype = "FP32"
shape = [-1, 1, 28, 28]
batch_axis = 0
accept = ["UINT8", "fp16"]

[[outputs]]
index = 0
name = "digits"
path = "[0]"
batch_axis = "none"

[batching]
enabled = "force"
max_rows = 8
max_delay_ms = 2.5
max_queue_rows = 64
max_queue_bytes = 1000000

[warmup]
rows = [1, 8]

[check]
samples = "warn"
tolerance = 1e-3
"""


def written(folder: Path, text: str, name: str = "model.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


class TestModelFile:
    def test_every_key_is_read(self, tmp_path) -> None:
        settings = read_model_settings(written(tmp_path, EVERYTHING))

        assert settings.versions == (1, 3)
        assert settings.inputs[0].datatype is DType.FP32
        assert settings.inputs[0].accept == (DType.UINT8, DType.FP16)
        assert settings.outputs[0].batch_axis == "none"
        assert settings.batching.max_delay_ms == 2.5
        assert settings.tolerance == 1e-3

    def test_nothing_has_to_be_said(self, tmp_path) -> None:
        assert read_model_settings(written(tmp_path, "")) == ModelSettings()
        assert read_model_settings() == ModelSettings()

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            ModelSettings().device = "cuda:0"  # type: ignore[misc]

    def test_version_overrides_key_by_key(self, tmp_path) -> None:
        own = written(
            tmp_path,
            """
            precision = "fp32"
            [[inputs]]
            name = "data"
            shape = [-1, 3, 32, 32]
            [[inputs]]
            name = "mask"
            [batching]
            max_rows = 4
            """,
            "version.toml",
        )

        settings = read_model_settings(written(tmp_path, EVERYTHING), own)

        assert settings.precision == "fp32"
        assert settings.executor == "openvino"
        assert [one.name for one in settings.inputs] == ["data", "mask"]
        assert settings.inputs[0].shape == (-1, 3, 32, 32)
        assert settings.inputs[0].datatype is DType.FP32
        assert settings.batching.max_rows == 4
        assert settings.batching.enabled == "force"

    def test_every_mistake_is_told_at_once(self, tmp_path) -> None:
        file = written(
            tmp_path,
            """
            executer = "openvino"
            precision = "fp8"
            device = "gpu"
            [[inputs]]
            name = "data"
            shape = [-2, 1]
            batch_axis = "rows"
            [[outputs]]
            name = "x"
            [batching]
            max_row = 2
            """,
        )

        with pytest.raises(InvalidConfig) as caught:
            read_model_settings(file)

        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{file}: ") for line in lines)
        keys = {line.removeprefix(f"{file}: ").split(":")[0] for line in lines}
        assert keys == {
            "executer",
            "precision",
            "device",
            "inputs[0].shape[0]",
            "inputs[0].batch_axis",
            "outputs[0].index",
            "batching.max_row",
        }

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                'precision = "fp8"',
                "precision: should be 'fp32', 'bf16', 'fp16' or 'int8', not 'fp8'",
            ),
            ("[batching]\nmax_row = 2", "did you mean 'max_rows'?"),
            ("[batching]\nmax_row = 2", "enabled, max_rows, max_delay_ms"),
            ("[[outputs]]\nname = 'x'", "outputs[0].index: is required"),
            ("[[inputs]]\nname='a'\n[[inputs]]\nname='a'", "'a' is given more than once"),
            ("versions = 'newest'", "should be 'latest' or 'all' or a list, not 'newest'"),
            ("executor = 'tensorrt'", "executor: TensorRT is not in this release; for NVIDIA"),
            ("device = 'gpu:0'", "device: should be cpu or cuda:N, as in cuda:0, not 'gpu:0'"),
            ("labels = ''", "labels: should not be empty"),
            ("labels = 3", "labels: should be text, not 3"),
            ("instances = 'two'", "instances: should be a whole number, not 'two'"),
            ("instances = 1.5", "instances: should be a whole number, not 1.5"),
            ("[batching]\nmax_delay_ms = 'x'", "max_delay_ms: should be a number, not 'x'"),
            ("[[inputs]]\nname='a'\ndatatype='float'", "'FP32' or 'FP64', not 'float'"),
            ("instances = 0", "greater than or equal to 1"),
            ("instances = true", "instances: should be a whole number, not True"),
            ("instances = '2'", "instances: should be a whole number, not '2'"),
            ("versions = [0]", ": versions[0]: should be greater than or equal to 1, not 0"),
            ("versions = [2, 2]", ": versions: 2 is given more than once"),
            ("batching = 'off'", ": batching: should be a table, not 'off'"),
            ("[batching]\nmax_delay_ms = inf", "less than or equal to 3600000, not inf"),
            ("[batching]\nmax_rows = 2147483648", "max_rows: should be less than or equal to 214"),
            ("[batching]\nmax_queue_rows = 99999999999", "max_queue_rows: should be less than or"),
            (
                "[warmup]\nrows = [1, 99999999999]",
                "warmup.rows[1]: should be less than or equal",
            ),
            ("[check]\ntolerance = inf", "tolerance: should be a finite number, not inf"),
            ("inputs = [{name = 'a', shape = [9e9]}]", "inputs[0].shape[0]: should be a whole"),
            ("inputs = [{name = 'a', shape = [4294967296]}]", "less than or equal to 2147483647"),
            ("x = ", "not TOML"),
            ("threads = " + "9" * 5000, "cannot be read"),
            ("x = " + "[" * 20_000, "cannot be read"),
        ],
        ids=lambda text: text.split("=")[0].strip(),
    )
    def test_mistake_says_what_would_be_right(self, tmp_path, text, told) -> None:
        with pytest.raises(InvalidConfig) as caught:
            read_model_settings(written(tmp_path, text))

        assert told in str(caught.value)

    def test_a_mistake_in_a_list_is_told_once(self, tmp_path) -> None:
        file = written(tmp_path, "versions = [1, 'two', 0]")

        with pytest.raises(InvalidConfig) as caught:
            read_model_settings(file)

        assert [line.split(":")[1] for line in str(caught.value).splitlines()] == [
            " versions[1]",
            " versions[2]",
        ]

    def test_mistake_of_the_whole_file_stands_behind_its_name(self, tmp_path) -> None:
        file = written(tmp_path, "[[inputs]]\nname='a'\n[[inputs]]\nname='a'")

        with pytest.raises(InvalidConfig) as caught:
            read_model_settings(file)

        assert str(caught.value) == f"{file}: inputs: name 'a' is given more than once"

    def test_byte_order_mark_of_an_editor_is_no_mistake(self, tmp_path) -> None:
        file = written(tmp_path, "\ufeffinstances = 2")

        assert read_model_settings(file).instances == 2

    def test_pipe_is_not_waited_for(self, tmp_path) -> None:
        file = tmp_path / "model.toml"
        os.mkfifo(file)

        with pytest.raises(InvalidConfig, match=r"model\.toml: is not a file"):
            read_model_settings(file)

    def test_mistakes_of_both_files_are_told(self, tmp_path) -> None:
        one, other = written(tmp_path, "a = 1"), written(tmp_path, "b = 1", "other.toml")

        with pytest.raises(InvalidConfig) as caught:
            read_model_settings(one, other)

        assert f"{one}: a: unknown key" in str(caught.value)
        assert f"{other}: b: unknown key" in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "tolerance"),
        [
            ("", 1e-4),
            ('precision = "int8"', None),
            ('precision = "bf16"\n[check]\ntolerance = 0.01', 0.01),
        ],
        ids=["fp32", "lower precision only shows", "explicit"],
    )
    def test_tolerance_by_precision(self, tmp_path, text, tolerance) -> None:
        assert read_model_settings(written(tmp_path, text)).tolerance == tolerance


class TestServerSettings:
    def test_digit_that_makes_no_number_is_told_as_any_other_text(self) -> None:
        with pytest.raises(InvalidConfig, match="--http-port: should be a whole number or 'off'"):
            read_server_settings({"http_port": "8²"}, {})

    def test_flag_beats_variable_beats_file_beats_default(self, tmp_path) -> None:
        file = written(tmp_path, "http_port = 1\ngrpc_port = 1\nmetrics_port = 1", "server.toml")
        environ = {"GLUONSERVE_HTTP_PORT": "2", "GLUONSERVE_GRPC_PORT": "2"}

        settings = read_server_settings({"http_port": 3}, environ, file)

        assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (3, 2, 1)
        assert settings.exit_timeout_s == 30

    def test_file_is_named_by_a_variable_or_lies_here(self, tmp_path, monkeypatch) -> None:
        named = written(tmp_path, "load_threads = 7", "other.toml")
        written(tmp_path, "load_threads = 5", "gluonserve.toml")

        monkeypatch.chdir(tmp_path)

        assert read_server_settings({}, {}).load_threads == 5
        assert read_server_settings({}, {"GLUONSERVE_CONFIG": str(named)}).load_threads == 7

    @pytest.mark.parametrize("given", ["off", "OFF", 0, "0", 8001, "8001"], ids=repr)
    def test_port_is_a_number_or_off(self, given) -> None:
        wanted = int(given) if str(given).isdigit() else "off"

        assert read_server_settings({"grpc_port": given}, {}).grpc_port == wanted

    def test_empty_variable_is_not_set(self) -> None:
        assert read_server_settings({}, {"GLUONSERVE_GRPC_PORT": ""}).grpc_port == 8001

    def test_every_mistake_names_where_it_stands(self, tmp_path) -> None:
        file = written(tmp_path, "grpc_prot = 1\nload_threads = 0", "server.toml")

        with pytest.raises(InvalidConfig) as caught:
            read_server_settings({"max_message_bytes": 1}, {"GLUONSERVE_HTTP_PORT": "http"}, file)

        text = str(caught.value)
        assert f"{file}: grpc_prot: unknown key; did you mean 'grpc_port'?" in text
        assert f"{file}: load_threads: should be greater than or equal to 1" in text
        assert "--max-message-bytes: " in text
        assert "GLUONSERVE_HTTP_PORT: " in text

    def test_missing_named_file_is_a_mistake(self, tmp_path) -> None:
        with pytest.raises(InvalidConfig, match=r"nowhere\.toml: cannot be read"):
            read_server_settings({}, {}, tmp_path / "nowhere.toml")

    def test_misspelt_variables_are_found(self) -> None:
        environ = {"GLUONSERVE_GRPC_PROT": "1", "GLUONSERVE_GRPC_PORT": "1", "HOME": "/"}

        assert unknown_variables(environ) == ["GLUONSERVE_GRPC_PROT"]


def tables(settings: type) -> list[type]:
    inner = [table_of(field.annotation) for field in settings.model_fields.values()]
    return [settings, *(table for one in inner if one for table in tables(one))]


@pytest.mark.parametrize(
    "table", [*tables(ServerSettings), *tables(ModelSettings)], ids=lambda one: one.__name__
)
def test_every_setting_is_documented(table) -> None:
    missing = [
        name
        for name, field in table.model_fields.items()
        if not field.description and table_of(field.annotation) is None
    ]

    assert not missing
    assert table.__doc__


def test_model_name_can_stand_in_an_address() -> None:
    with pytest.raises(InvalidConfig, match="--model-name: should be without '/'"):
        read_server_settings({"model_name": "team/net"}, {})
