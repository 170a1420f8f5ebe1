"""What models a directory holds: finds and reads their settings, loads nothing.

A model is a folder with numeric version directories, a folder with one export in it, or a loose
export at the top; a directory may also be one model itself. Files that fit none of these are left
alone. Whatever is a model but cannot be served is found too, with the reason.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gluonserve.config import MODEL_FILE, ModelSettings, read_model_settings
from gluonserve.errors import InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SYMBOL = "-symbol.json"
SAMPLES = "samples.npz"
_VERSION = re.compile(r"[1-9]\d{0,17}")
_EPOCH = re.compile(r"-(\d+)\.params")

Generation = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The files and settings of one version. Equal generations mean that no file was replaced."""

    name: str
    version: int
    folder: Path
    symbol: Path
    params: Path | None
    settings: ModelSettings
    samples: Path | None = None
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    generation: Generation = ()

    def changed(self) -> bool:
        """Whether its files are no longer those that were found."""
        return _generation(self.symbol, self.params, self.samples) != self.generation


@dataclass(frozen=True, slots=True)
class Unusable:
    """A model, or a version of one, that cannot be served as it stands."""

    name: str
    version: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Export:
    """One exported network in a directory."""

    prefix: str
    symbol: Path
    params: Path | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a model of this name stands: its folder, or one export of a directory of several."""

    name: str
    path: Path
    loose: _Export | None = None


def find(path: Path, model_name: str | None = None) -> list[ModelSource | Unusable]:
    """Every model and version under ``path`` that should be served, ordered by name and version.

    Raises:
        InvalidConfig: there is no such directory, or ``model_name`` names one of several models.
    """
    by_name: dict[str, list[_Place]] = {}
    try:
        for place in _places(path, model_name):
            by_name.setdefault(place.name, []).append(place)
    except OSError as error:
        raise InvalidConfig(f"model repository {path}: {_unreadable(error)}") from error
    found: list[ModelSource | Unusable] = []
    for name, places in sorted(by_name.items()):
        if len(places) > 1:
            where = " and ".join(str(place.path) for place in places)
            found.append(Unusable(name, None, f"more than one model has this name: {where}"))
        else:
            found.extend(_of_place(places[0]))
    return found


def _of_place(place: _Place) -> list[ModelSource | Unusable]:
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in place.name):
        reason = "the name of a model must be UTF-8 without control characters"
        return [Unusable(ascii(place.name)[1:-1], None, reason)]
    try:
        return _versions(place)
    except OSError as error:
        return [Unusable(place.name, None, _unreadable(error))]


def _places(path: Path, model_name: str | None) -> Iterator[_Place]:
    if path.is_file() and path.name.endswith(SYMBOL):
        prefix, folder = _prefix(path), path.parent
        alone = _prefixes(folder) == [prefix] and not any(_numbered(folder))
        if alone and _stands(folder / MODEL_FILE):  # which is this model's, as its samples are
            yield _Place(model_name or prefix, folder)
        else:
            yield _loose(folder, prefix, model_name)
        return
    if not path.is_dir():
        what = "neither a directory nor a *" + SYMBOL if path.exists() else "no such directory"
        raise InvalidConfig(f"model repository {path}: {what}")
    prefixes = _prefixes(path)
    if _stands(path / MODEL_FILE) or _has_versions(path, told=model_name is not None):
        named = model_name or (prefixes[0] if len(prefixes) == 1 else path.resolve().name)
        yield _Place(named, path)
        return
    folders = [folder for folder in _folders(path) if _is_model(folder)]
    if model_name is not None and len(prefixes) + len(folders) != 1:
        raise InvalidConfig(
            f"a model name ({model_name!r}) is for a directory that is one model; "
            f"{path} holds {len(prefixes) + len(folders)} models"
        )
    yield from (_loose(path, prefix, model_name) for prefix in prefixes)
    yield from (_Place(model_name or folder.name, folder) for folder in folders)


def _has_versions(path: Path, *, told: bool) -> bool:
    """Whether its numbered folders are versions of one model.

    Unless we are ``told`` so, they are models with numbers for names where a folder beside them is
    surely another model: it has versions of its own, or an export of another name.
    """
    prefixes = {prefix for _, folder in _numbered(path) for prefix in _prefixes(folder)}
    others = [folder for folder in _folders(path) if not _VERSION.fullmatch(folder.name)]
    return bool(prefixes) and (told or not any(_is_other(one, prefixes) for one in others))


def _is_other(folder: Path, prefixes: set[str]) -> bool:
    try:
        own = set(_prefixes(folder))
        return bool(own - prefixes) or any(_prefixes(one) for _, one in _numbered(folder))
    except OSError:  # whoever reads it next tells
        return False


def _is_model(folder: Path) -> bool:
    try:
        if any(True for _ in _numbered(folder)) or _prefixes(folder):
            return True
        return _stands(folder / MODEL_FILE) or bool(_misnumbered(folder))
    except OSError:  # whoever reads it next tells
        return True


def _loose(folder: Path, prefix: str, name: str | None) -> _Place:
    export = _export(folder, prefix)
    return _Place(name or prefix, export.symbol, export)


def _versions(place: _Place) -> list[ModelSource | Unusable]:
    """The versions of one model that its policy selects."""
    if place.loose is not None:
        return [_source(place.name, 1, place.path.parent, place.loose, ModelSettings())]
    file = place.path / MODEL_FILE
    numbered = dict(_numbered(place.path))
    files = [file] if _stands(file) else []
    try:
        settings = read_model_settings(*files)
    except InvalidConfig as error:
        own = _mistakes(folder / MODEL_FILE for folder in numbered.values())
        return [Unusable(place.name, None, "\n".join([str(error), *own]))]
    flat = bool(_prefixes(place.path))
    if flat and numbered:
        reason = f"{place.path} holds version directories and an export besides; keep one of them"
        return [Unusable(place.name, None, reason)]
    if flat:
        return [_version(place.name, 1, place.path, files, flat=True)]
    if not numbered:
        reason = f"{place.path} holds no export and no version directory"
        if odd := _misnumbered(place.path):
            reason += f" ({', '.join(odd)}: no version: 1, 2, ... are)"
        return [Unusable(place.name, None, reason)]
    found = {
        number: _version(place.name, number, folder, files, flat=False)
        for number, folder in sorted(numbered.items())
    }
    if odd := _misnumbered(place.path):
        found = {number: _noted(one, odd) for number, one in found.items()}
    return _selected(place.name, _without_half_copied(found), settings)


def _noted(one: ModelSource | Unusable, odd: Sequence[str]) -> ModelSource | Unusable:
    if isinstance(one, Unusable):
        return one
    note = f"not served: {', '.join(odd)} beside the versions, which are named 1, 2, ..."
    return replace(one, notes=(*one.notes, note))


def _without_half_copied(
    found: Mapping[int, ModelSource | Unusable],
) -> dict[int, ModelSource | Unusable]:
    """A version without parameters is not whole where another version has some.

    A network may have none, and then no version has.
    """
    sources = [one for one in found.values() if isinstance(one, ModelSource)]
    whole = [one.version for one in sources if one.params is not None]
    lacking = {one.version: one for one in sources if one.params is None} if whole else {}
    halves = {
        number: Unusable(
            *(one.name, number),
            f"{one.folder} holds no *.params, and version {whole[-1]} has some; "
            "is it still being copied?",
        )
        for number, one in lacking.items()
    }
    return {**found, **halves}


def _mistakes(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        try:
            if _stands(file):
                read_model_settings(file)
        except InvalidConfig as error:  # noqa: PERF203 - all files' mistakes at once
            yield str(error)


def _selected(
    name: str, found: dict[int, ModelSource | Unusable], settings: ModelSettings
) -> list[ModelSource | Unusable]:
    """By the policy; ``latest`` is the latest complete one, and shows the incomplete above it."""
    if settings.versions == "all":
        return list(found.values())
    if settings.versions == "latest":
        whole = [number for number, one in found.items() if isinstance(one, ModelSource)]
        return [one for number, one in found.items() if number >= max(whole, default=0)]
    return [
        found.get(number) or Unusable(name, number, f"there is no version directory {number}")
        for number in settings.versions
    ]


def _version(
    name: str, version: int, folder: Path, files: Sequence[Path], *, flat: bool
) -> ModelSource | Unusable:
    """The one export of a directory."""
    own = folder / MODEL_FILE
    try:
        prefixes = _prefixes(folder)
        if len(prefixes) != 1:
            count = f"{len(prefixes)} exports ({', '.join(prefixes)})" if prefixes else "no export"
            wanted = f"expected one *{SYMBOL} with its *.params"
            return Unusable(name, version, f"{folder} holds {count}; {wanted}")
        settings = read_model_settings(*files, *([own] if _stands(own) and not flat else []))
        return _source(name, version, folder, _export(folder, prefixes[0], alone=True), settings)
    except InvalidConfig as error:
        return Unusable(name, version, str(error))
    except OSError as error:
        return Unusable(name, version, _unreadable(error))


def _source(
    name: str, version: int, folder: Path, export: _Export, settings: ModelSettings
) -> ModelSource | Unusable:
    samples = folder / SAMPLES
    recorded = samples if _stands(samples) and not _is_loose(folder, export) else None
    for file in (export.symbol, export.params, recorded):
        if file is None:
            continue
        if not file.is_file():
            what = "not a file" if file.exists() else "a link to nothing"
            return Unusable(name, version, f"{file} is {what}")
        if file.stat().st_size == 0:
            return Unusable(name, version, f"{file} is empty; is it still being copied?")
    try:
        labels = _labels(settings, folder)
    except InvalidConfig as error:
        return Unusable(name, version, str(error))
    generation = _generation(export.symbol, export.params, recorded)
    return ModelSource(
        *(name, version, folder, export.symbol, export.params, settings),
        *(recorded, labels, export.notes, generation),
    )


def _is_loose(folder: Path, export: _Export) -> bool:
    """Whether samples.npz could be another export's."""
    return _prefixes(folder) != [export.prefix]


def _export(folder: Path, prefix: str, *, alone: bool = False) -> _Export:
    """The export of this prefix with its highest epoch.

    Where it stands ``alone`` in its directory, a single parameter file of another name is its.
    """
    symbol = folder / (prefix + SYMBOL)
    epochs: dict[int, Path] = {}
    for file in _files(folder, ".params"):
        match = _EPOCH.fullmatch(file.name[len(prefix) :]) if file.name.startswith(prefix) else None
        if match:
            epochs[int(match[1])] = file
    if epochs:
        latest = max(epochs)
        others = ", ".join(str(epoch) for epoch in sorted(epochs) if epoch != latest)
        notes = (f"epoch {latest} is served; {others} stands there too",) if others else ()
        return _Export(prefix, symbol, epochs[latest], notes)
    plain = folder / f"{prefix}.params"
    if _stands(plain):
        return _Export(prefix, symbol, plain, ())
    rest = list(_files(folder, ".params"))
    if alone and len(rest) == 1:
        note = f"{rest[0].name} is taken for the parameters of {symbol.name}"
        return _Export(prefix, symbol, rest[0], (note,))
    return _Export(prefix, symbol, None, ())


def _labels(settings: ModelSettings, folder: Path) -> tuple[str, ...]:
    """The lines of the label file, which stands beside the export or beside model.toml."""
    if settings.labels is None:
        return ()
    places = [folder / settings.labels, folder.parent / settings.labels]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise InvalidConfig(f"labels: no file {' or '.join(str(place) for place in places)}")
    try:
        text = file.read_text(encoding="utf-8-sig").rstrip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"labels: {file} cannot be read: {error}") from error
    if not text:
        raise InvalidConfig(f"labels: {file} holds no label; expected one per line")
    return tuple(text.split("\n"))


def _generation(*files: Path | None) -> Generation:
    """Name, size and time of every file that is there."""
    marks = []
    for file in files:
        if file is not None and file.is_file():
            status = file.stat()
            marks.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(marks)


def _prefix(symbol: Path) -> str:
    return symbol.name[: -len(SYMBOL)]


def _prefixes(folder: Path) -> list[str]:
    return sorted(_prefix(file) for file in _files(folder, SYMBOL))


def _files(folder: Path, ending: str) -> Iterable[Path]:
    """What is named like such a file; ``_source`` sees whether it is one."""
    return (
        file
        for file in sorted(folder.iterdir())
        if file.name.endswith(ending) and not file.name.startswith((".", ending))
    )


def _stands(file: Path) -> bool:
    """Whether something has this name, be it a folder or a link to nothing: reading it tells."""
    return file.is_symlink() or file.exists()


def _unreadable(error: OSError) -> str:
    return f"{error.filename} cannot be read: {error.strerror}"


def _folders(path: Path) -> Iterable[Path]:
    return (
        folder
        for folder in sorted(path.iterdir())
        if not folder.name.startswith(".") and folder.is_dir()
    )


def _numbered(path: Path) -> Iterator[tuple[int, Path]]:
    for folder in _folders(path):
        if _VERSION.fullmatch(folder.name):
            yield int(folder.name), folder


def _misnumbered(path: Path) -> list[str]:
    """Folders with exports whose names are no versions, as ``01``, ``v1`` and ``latest``."""
    return [
        one.name for one in _folders(path) if not _VERSION.fullmatch(one.name) and _prefixes(one)
    ]
