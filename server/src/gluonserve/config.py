"""Settings of the server and of models: read, checked all at once, and documented here.

pydantic lives in this module only. What is wrong is one ``InvalidConfig`` with every mistake, where
it is and what would be right. Docstrings under fields are the page ``docs/configuration.md``.
"""

from __future__ import annotations

import os
import re
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gluonserve.complaints import Steps, complaint, dotted, innermost, joined, path_of
from gluonserve.errors import InvalidConfig
from gluonserve.tensors import DType

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "GLUONSERVE_"
MODEL_FILE = "model.toml"
SERVER_FILE = "gluonserve.toml"
NO_TENSORRT = (
    "TensorRT is not in this release; for NVIDIA GPUs there is 'onnxruntime' with device 'cuda:0'"
)


class Settings(BaseModel):
    """Immutable; an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _from_text(value: object) -> object:
    """``off``, ``auto`` and numbers as text, as flags and variables give them."""
    text = value.strip().lower() if isinstance(value, str) else ""
    return text if text in ("off", "auto") else int(text) if text.isdecimal() else value


def _dtype(value: object) -> object:
    """A data type by its name, in any case."""
    return value.upper() if isinstance(value, str) else value


def _device(value: object) -> object:
    """A device by its name, in any case; whether it is there its engine tells."""
    if isinstance(value, str):
        if not re.fullmatch(r"cpu|(cuda|tensorrt)(:\d+)?", value, re.IGNORECASE):
            raise ValueError(f"should be cpu or cuda:N, as in cuda:0, not {value!r}")
        return value.lower()
    return value


def _model_name(value: object) -> object:
    if isinstance(value, str) and "/" in value:
        raise ValueError(f"should be without '/', which parts addresses, not {value!r}")
    return value


def _executor(value: object) -> object:
    if value == "tensorrt":
        raise ValueError(NO_TENSORRT)
    return value


Port = Annotated[
    Annotated[int, Field(ge=0, le=65535)] | Literal["off"], BeforeValidator(_from_text)
]
Fronts = Annotated[
    Annotated[int, Field(ge=0, le=64)] | Literal["auto"], BeforeValidator(_from_text)
]
DataType = Annotated[DType, BeforeValidator(_dtype)]
Dim = Annotated[int, Field(ge=-1, le=2**31 - 1, strict=True)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Rows = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]  # as the protocol counts them
Index = Annotated[int, Field(ge=0, strict=True)]
Axis = Index | Literal["none"]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Device = Annotated[str, BeforeValidator(_device)]
Engine = Annotated[Literal["auto", "openvino", "onnxruntime", "mxnet"], BeforeValidator(_executor)]
Name = Annotated[str, StringConstraints(min_length=1)]


class ServerSettings(Settings):
    """The server as a whole."""

    model_repository: Path = Path("models")
    """Directory of models, or of one model."""
    model_name: Annotated[Name, BeforeValidator(_model_name)] | None = None
    """Name of the model where the repository is itself one model. Otherwise it has the name of its
    files' prefix, or of the folder where that says nothing."""
    host: Name = "0.0.0.0"  # noqa: S104 - documented, and a container needs it
    """Interface to listen on. The default is every one, IPv6 too, as in a container it must be;
    127.0.0.1 keeps the server private to its machine."""
    http_port: Port = 8000
    """HTTP port (health): a number, 0 for any free one (the ready line prints it), or off."""
    grpc_port: Port = 8001
    """gRPC port: a number, 0 for any free one, or off."""
    metrics_port: Port = 8002
    """Port of `/metrics`: a number, 0 for any free one, or off."""
    front_processes: Fronts = "auto"
    """Processes that take gRPC calls and hand them to this one, which batches and runs them: for
    many small requests. 0 takes calls here; auto is 1 with several cores, 2 from eight on."""
    max_message_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 2**31 - 1
    """Largest request taken and answer sent. The default is the most that the protocol can hold."""
    strict_readiness: bool = True
    """Ready only while every model is READY. Otherwise the server is ready when loading is over,
    whatever came of it."""
    load_threads: Annotated[int, Field(ge=1)] = 2
    """Models loaded at the same time. Few, so that models already serving keep their latency."""
    drain_delay_s: Seconds = 0
    """How long a stopping server goes on taking requests while it already reports not ready, so
    that load balancers can look away first. It comes before exit_timeout_s."""
    exit_timeout_s: Seconds = 30
    """How long a stopping server waits for requests under way before it fails what is left."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is logged."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """How log lines look; auto is console on a terminal and JSON elsewhere."""


class InputSettings(Settings):
    """One input; overrides what import infers, never what the parameters' shapes say."""

    name: Name
    """Which input this is about."""
    datatype: DataType | None = None
    """Its data type: BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32 or
    FP64. Otherwise recorded samples say, else the file, else MXNet's own type inference."""
    shape: tuple[Dim, ...] | None = None
    """Its shape, -1 where free."""
    batch_axis: Axis | None = None
    """The axis that counts rows (axis 0 by default), or "none" where all rows share the input."""
    accept: tuple[DataType, ...] = ()
    """Further types that requests may send: converted exactly or refused; else what is cast."""


class OutputSettings(Settings):
    """One output, by its place in MXNet's order."""

    index: Index
    """Which output this is about; the first is 0."""
    name: Name | None = None
    """Its name towards clients instead of MXNet's."""
    path: str | None = None
    """Where it stood in the network's nested result, for people."""
    batch_axis: Axis | None = None
    """The axis that counts rows, where it is not axis 0; "none" where all rows share the output."""


class BatchingSettings(Settings):
    """How requests share runs of the engine."""

    enabled: Literal["auto", "off", "force"] = "auto"
    """auto batches where that is proven safe; force batches although the proof failed."""
    max_rows: Rows = 32
    """Largest batch handed to the engine, in rows. A larger single request runs alone."""
    max_delay_ms: Annotated[float, Field(ge=0, le=3_600_000, strict=True)] = 0
    """How long the oldest request may wait for company while the engine is idle. 0 batches only
    what is already waiting, which under load is enough."""
    max_queue_rows: Rows = 4096
    """Rows that may wait; a request beyond them is refused at once."""
    max_queue_bytes: Positive = 1 << 30
    """Bytes of input tensors that may wait; a request beyond them is refused at once."""


class WarmupSettings(Settings):
    """Runs before a model is READY, so that no request pays for the engine's first ones."""

    rows: tuple[Rows, ...] = (1, 8, 32)
    """Batch sizes to run once each; those above max_rows are left out, and all but 1 where
    requests are not batched."""


class CheckSettings(Settings):
    """What is proven at load."""

    samples: Literal["refuse", "warn", "off"] | None = None
    """What happens if the recorded answers in samples.npz are not reproduced. The default is refuse
    at fp32; at bf16, fp16 and int8 the error is measured and shown, and refused only if a tolerance
    is set."""
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | None = None
    """Largest relative L2 error of an output. 1e-4 by default."""


class ModelSettings(Settings):
    """One model, or one version of it."""

    description: str = ""
    """For people."""
    executor: Engine = "auto"
    """The engine; auto is OpenVINO on CPU and ONNX Runtime on CUDA."""
    device: Device = "cpu"
    """Where it runs: cpu, or cuda:N."""
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    """Arithmetic of the engine. fp32 is exact; the others are faster and move the answers."""
    instances: Annotated[int, Field(ge=1, le=1024, strict=True)] = 1
    """Batches that run at the same time, each on its share of the cores. One answers a lone request
    soonest; as many as cores answer the most requests per second under steady load."""
    threads: Annotated[int, Field(ge=1, le=1024, strict=True)] | None = None
    """CPU threads of one instance. By default all cores, shared among the instances; a single
    instance of a network whose row takes less than 0.3 ms runs on one thread, except for batches
    of many rows, because threads that wait for each other take longer than it does."""
    versions: Literal["latest", "all"] | Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        "latest"
    )
    """Which version directories serve: latest, all, or a list of numbers."""
    labels: Name | None = None
    """File with one class label per line, for the classification extension."""
    inputs: tuple[InputSettings, ...] = ()
    """Facts about inputs that the export does not hold."""
    outputs: tuple[OutputSettings, ...] = ()
    """Names and axes of outputs."""
    batching: BatchingSettings = BatchingSettings()
    warmup: WarmupSettings = WarmupSettings()
    check: CheckSettings = CheckSettings()

    @model_validator(mode="after")
    def _no_doubles(self) -> ModelSettings:
        names = [repr(one.name) for one in self.inputs]
        indices = [str(one.index) for one in self.outputs]
        numbers = [] if isinstance(self.versions, str) else [str(one) for one in self.versions]
        doubled = ("inputs: name", names), ("outputs: index", indices), ("versions:", numbers)
        for label, keys in doubled:
            doubles = sorted({key for key in keys if keys.count(key) > 1})
            if doubles:
                raise ValueError(f"{label} {', '.join(doubles)} is given more than once")
        return self

    @property
    def tolerance(self) -> float | None:
        """Relative L2 error above which recorded answers count as different; None to only show."""
        if self.check.tolerance is not None:
            return self.check.tolerance
        return 1e-4 if self.precision == "fp32" else None


def read_model_settings(*files: Path) -> ModelSettings:
    """The settings of the given files, a later file overriding an earlier one key by key.

    ``[[inputs]]`` of the same name and ``[[outputs]]`` of the same index are merged key by key too.

    Raises:
        InvalidConfig: listing every mistake of every file.
    """
    mistakes: list[str] = []
    merged: dict[str, Any] = {}
    for file in files:
        try:
            merged = _overridden(merged, _read_model_file(file))
        except InvalidConfig as error:  # noqa: PERF203 - all files' mistakes at once
            mistakes.append(str(error))
    if mistakes:
        raise InvalidConfig("\n".join(mistakes))
    where = " + ".join(str(file) for file in files)
    return _validated(ModelSettings, merged, _places(where))


def overridden(settings: ModelSettings, table: Mapping[str, Any], where: str) -> ModelSettings:
    """The settings with the keys of ``table`` over them, as those of a later file would be.

    Raises:
        InvalidConfig: listing every mistake after ``where``.
    """
    given = settings.model_dump(exclude_unset=True)
    return _validated(ModelSettings, _overridden(given, dict(table)), _places(where))


def _read_model_file(file: Path) -> dict[str, Any]:
    """The file's table, found valid by itself."""
    if file.exists() and not file.is_file():  # reading a pipe would wait for a writer
        raise InvalidConfig(f"{file}: is not a file")
    table = _read_toml(file)
    _validated(ModelSettings, table, _places(str(file)))
    return table


def _places(file: str) -> Callable[[Steps], str]:
    return lambda path: f"{file}: {dotted(path)}" if path else file


def read_server_settings(
    flags: Mapping[str, object], environ: Mapping[str, str] = os.environ, file: Path | None = None
) -> ServerSettings:
    """The server's settings: flag, else ``GLUONSERVE_*`` variable, else file, else default.

    ``flags`` holds given flags only, by field name. Without ``file`` the variable
    ``GLUONSERVE_CONFIG`` names it, else ``gluonserve.toml`` in the working directory is read
    where there is one. Variables set to nothing count as not set.

    Raises:
        InvalidConfig: listing every mistake with where it stands.
    """
    named = file or (Path(environ[PREFIX + "CONFIG"]) if environ.get(PREFIX + "CONFIG") else None)
    path = named or Path(SERVER_FILE)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    if named or path.is_file():
        values.update(_read_toml(path))
        origins.update({key: f"{path}: {key}" for key in values})
    for key in ServerSettings.model_fields:
        variable = PREFIX + key.upper()
        if environ.get(variable):
            values[key], origins[key] = environ[variable], variable
    for key, value in flags.items():
        values[key], origins[key] = value, "--" + key.replace("_", "-")
    return _validated(
        ServerSettings, values, lambda at: origins.get(str(at[0]), str(at[0])) if at else str(path)
    )


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like settings and are none.

    Worth a warning, for a misspelt one would silently do nothing; not an error, for Kubernetes
    makes such variables of the names of services.
    """
    known = {PREFIX + key.upper() for key in ServerSettings.model_fields} | {PREFIX + "CONFIG"}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig(f"{file}: not TOML: {error}") from error
    except (OSError, ValueError, RecursionError) as error:  # a number, or a nest, beyond Python's
        raise InvalidConfig(f"{file}: cannot be read: {error}") from error


def _overridden(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``new`` over ``old``: tables key by key, entries of inputs and outputs by their key."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _overridden(before, value)
        elif key in {"inputs", "outputs"} and before:
            mark = "name" if key == "inputs" else "index"
            entries = {entry[mark]: entry for entry in before}
            for entry in value:
                entries[entry[mark]] = {**entries.get(entry[mark], {}), **entry}
            merged[key] = list(entries.values())
        else:
            merged[key] = value
    return merged


_Model = typing.TypeVar("_Model", bound=Settings)


def _validated(
    model: type[_Model],
    values: Mapping[str, object],
    place: Callable[[Steps], str],
) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        by_path: dict[Steps, list[str]] = {}
        for one in error.errors(include_url=False):
            path = path_of(values, one["loc"], missing=one["type"] == "missing")
            text = complaint(one, path, values, lambda at: _keys(model, at))
            by_path.setdefault(path, []).append(text)
        lines = [f"{place(path)}: {joined(by_path[path])}" for path in innermost(by_path)]
        raise InvalidConfig("\n".join(lines)) from error


def _keys(model: type[Settings], path: Steps) -> list[str]:
    """The valid keys of the table that stands at ``path``."""
    for step in path:
        if isinstance(step, str):
            model = table_of(model.model_fields[step].annotation) or model
    return list(model.model_fields)


def table_of(annotation: Any) -> type[Settings] | None:
    """The settings class inside a field's annotation, where it has one."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    found = (table_of(argument) for argument in typing.get_args(annotation))
    return next((one for one in found if one), None)
