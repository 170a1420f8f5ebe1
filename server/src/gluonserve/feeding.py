"""Files as a model's inputs: arrays, JSON and pictures."""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from gluonserve.errors import InvalidRequest
from gluonserve.pictures import SUFFIXES, frame_of, read_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gluonserve.pictures import Pixels
    from gluonserve.tensors import TensorSpec

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_UNREADABLE = (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)
_OBJECTS = "it holds Python objects, not numbers"


def read_inputs(
    files: Sequence[Path], specs: Sequence[TensorSpec], pixels: Pixels | None = None
) -> dict[str, np.ndarray]:
    """The inputs that these files hold together.

    An npz or a JSON object has arrays by the inputs' names; an npy, or a JSON array, is the next
    input that no other file has; pictures are the rows of the input that holds pictures.

    Raises:
        InvalidRequest: a file cannot be read, or is not for this model.
    """
    found: dict[str, np.ndarray] = {}
    unnamed: list[tuple[Path, Any]] = []
    for file in files:
        if file.suffix.lower() in SUFFIXES:
            continue
        content = _read(file)
        if isinstance(content, dict):
            for name, array in content.items():
                found[name] = _fit(array, _spec(name, specs, file), file)
        else:
            unnamed.append((file, content))
    found.update(_pictures(files, specs, pixels))
    free = [spec for spec in specs if spec.name not in found]
    for file, content in unnamed:
        if not free:
            raise InvalidRequest(f"{file}: every input of the model is already given")
        spec = free.pop(0)
        found[spec.name] = _fit(content, spec, file)
    return found


def _pictures(
    files: Iterable[Path], specs: Sequence[TensorSpec], pixels: Pixels | None
) -> Mapping[str, np.ndarray]:
    paths = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not paths:
        return {}
    holders = [spec for spec in specs if _holds_pictures(spec)] or list(specs[:1])
    spec = holders[0]
    rows = [read_picture(path, spec, pixels) for path in paths]
    if len({row.shape for row in rows}) > 1:
        raise InvalidRequest("the model takes pictures as they are, and these differ in size")
    if len(spec.shape) != 4 and len(rows) > 1:
        raise InvalidRequest(f"input {spec.name!r} takes one picture at a time")
    return {spec.name: np.concatenate(rows) if len(rows) > 1 else rows[0]}


def _holds_pictures(spec: TensorSpec) -> bool:
    try:
        frame_of(spec)
    except InvalidRequest:
        return False
    return True


def _read(file: Path) -> Any:
    """A dict of arrays by name, or one array (or nested list)."""
    try:
        if file.suffix.lower() == ".json":
            return _json_inputs(json.loads(file.read_text(encoding="utf-8-sig")))
        with file.open("rb") as stream:
            start = stream.read(len(_NPY))
        if not start.startswith((_NPY, _ZIP)):
            raise InvalidRequest(f"{file}: {_unknown(file, start)}")
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {
                _bare(name): loaded[name] for name in loaded.files if not name.startswith("out:")
            }
    except RecursionError as error:
        raise InvalidRequest(f"{file}: cannot be read: lists in it are nested too deep") from error
    except _UNREADABLE as error:
        told = str(error).replace(
            "Object arrays cannot be loaded when allow_pickle=False", _OBJECTS
        )
        raise InvalidRequest(f"{file}: cannot be read: {told}") from error


def _unknown(file: Path, start: bytes) -> str:
    if not start:
        return "the file is empty"
    if file.suffix in {".npy", ".npz"}:
        return f"not a {file.suffix[1:]} file, whatever its name says"
    return "a kind of file that is not read; expected npy, npz, JSON, PNG or JPEG"


def _json_inputs(content: Any) -> Any:
    """Also the body of the protocol's HTTP request."""
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        return content
    arrays = {}
    for one in content["inputs"]:
        if not isinstance(one, dict) or not {"name", "data"} <= one.keys():
            raise ValueError("expected objects with name, shape, datatype and data in 'inputs'")
        arrays[one["name"]] = np.reshape(one["data"], one.get("shape", np.shape(one["data"])))
    return arrays


def _bare(name: str) -> str:
    return name.removeprefix("in:")


def _spec(name: str, specs: Sequence[TensorSpec], file: Path) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    have = ", ".join(spec.name for spec in specs)
    raise InvalidRequest(f"{file}: no input is called {name!r}; the model's inputs are {have}")


def _fit(content: Any, spec: TensorSpec, file: Path) -> np.ndarray:
    """As the input's type, with a row axis if only that is missing."""
    place = f"{file}: input {spec.name!r}"
    try:
        given = np.asarray(content)
    except ValueError as error:
        raise InvalidRequest(f"{place}: lists in it differ in length or depth") from error
    if given.size and given.dtype.kind not in "biuf":
        raise InvalidRequest(f"{place}: expected an array of numbers")
    with np.errstate(all="ignore"):
        array = given.astype(spec.dtype.numpy)
    if array.dtype.kind != "f" and not np.array_equal(array, given):
        raise InvalidRequest(f"{place}: values do not fit {spec.dtype.value}")
    missing_row = array.ndim == len(spec.shape) - 1 and spec.batch_axis == 0
    return np.asarray(array[None] if missing_row else array, order="C")
