"""Exports that exist already but lack what they do not hold: inputs, types, samples.

Shapes are inferred from parameters where the first layer says them; the rest is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

from gluonserve_export import files
from gluonserve_export.arrays import drawn, known_dtype
from gluonserve_export.errors import ExportError, NotInferred
from gluonserve_export.exporting import unique
from gluonserve_export.rows import NONE, axis_of, more_than
from gluonserve_export.running import evaluate, fits, inferred
from gluonserve_export.sources import said

if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

    Shape = Tuple[int, ...]
    Ask = Callable[[str], Shape]

_LOSSES = {
    "SoftmaxOutput",
    "LinearRegressionOutput",
    "LogisticRegressionOutput",
    "MAERegressionOutput",
    "SVMOutput",
}


def repair(
    symbol_file: Union[str, Path],
    params_file: Union[str, Path],
    *,
    shapes: Optional[Mapping[str, Shape]] = None,
    dtypes: Optional[Mapping[str, str]] = None,
    ask: Optional[Ask] = None,
    overwrite: bool = False,
) -> Path:
    """Write ``model.toml`` and ``samples.npz`` beside an export; the path of the first.

    ``shapes`` gives whole shapes, rows included, by input; ``ask`` is called for those that are
    neither given nor inferred. Labels of training losses are no inputs.

    Raises:
        NotInferred: a shape is not known, and there is nobody to ask; or the files do not belong
            together.
        ExportError: there is a ``model.toml`` already; a file is missing or something else; no
            input has a name that was given.
    """
    folder = Path(symbol_file).resolve().parent
    if (folder / files.SETTINGS).exists() and not overwrite:
        raise ExportError(f"{folder / files.SETTINGS} exists; give overwrite=True")
    export = _Export(Path(symbol_file), Path(params_file))
    unknown = [name for name in [*(shapes or {}), *(dtypes or {})] if name not in export.inputs]
    if unknown:
        raise ExportError(
            f"no input is called {unknown[0]!r}; there are {', '.join(export.inputs)}"
        )
    known = {**export.inferred(), **(shapes or {})}
    for name in export.inputs:
        if name not in known and ask is None:
            raise NotInferred(
                f"the shape of input {name!r} is not known: --shape {name}=1,3,224,224"
            )
        if name not in known:
            known[name] = ask(name)  # type: ignore[misc]
    inputs, outputs = export.tried({name: known[name] for name in export.inputs}, dtypes or {})
    text = files.settings_text(inputs, outputs)
    try:
        files.write_samples(folder, inputs, outputs)
        (folder / files.SETTINGS).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder / files.SETTINGS


class _Export:
    def __init__(self, symbol: Path, params: Path) -> None:
        self.symbol = _read(mx.sym.load, symbol, "a symbol file")
        stored = dict(_read(mx.nd.load, params, "a parameter file with names") or {})
        self._held = {name.split(":", 1)[-1]: array for name, array in stored.items()}
        if stored and not set(self._held) & set(self.symbol.list_inputs()):
            raise NotInferred(
                f"no array of {params.name} is a variable of {symbol.name}; a file written by "
                "save_parameters() has other names than one written by export()"
            )
        self._nodes: List[Any] = json.loads(self.symbol.tojson())["nodes"]
        self._labels = self._of_losses()
        self.inputs = [
            name
            for name in self.symbol.list_inputs()
            if name not in self._held and name not in self._labels
        ]
        if not self.inputs:
            raise NotInferred(f"{symbol.name} has no inputs")

    def _of_losses(self) -> List[str]:
        """Variables that only losses read, as their labels."""
        readers: Dict[int, List[Tuple[str, int]]] = {}
        for node in self._nodes:
            for place, step in enumerate(node["inputs"]):
                readers.setdefault(step[0], []).append((node["op"], place))
        return [
            node["name"]
            for at, node in enumerate(self._nodes)
            if node["op"] == "null"
            and readers.get(at)
            and all(op in _LOSSES and place for op, place in readers[at])
        ]

    def inferred(self) -> Dict[str, Shape]:
        """Inputs whose whole shape the first layer's weights tell: those of Dense layers."""
        found: Dict[str, Shape] = {}
        for node in self._nodes:
            if node["op"] == "FullyConnected":
                names = [self._nodes[step[0]]["name"] for step in node["inputs"]]
                if names[0] in self.inputs and names[1] in self._held:
                    found[names[0]] = (1, self._held[names[1]].shape[1])
        return found

    def tried(
        self, shapes: Mapping[str, Shape], dtypes: Mapping[str, str]
    ) -> Tuple[List[files.Input], List[files.Output]]:
        """The inputs and outputs, after runs with two numbers of rows."""
        random = np.random.RandomState(0)
        values = {
            name: _values(shape, known_dtype(dtypes.get(name, "float32")), random)
            for name, shape in shapes.items()
        }
        first = self._run(values)
        if first is None:
            raise NotInferred(f"the network does not run on inputs of shapes {dict(shapes)}")
        rows = next(iter(shapes.values()))[0]
        more = more_than(rows, list(shapes.values()))
        others = {
            name: drawn(array, (more, *array.shape[1:]) if array.shape[0] == rows else array.shape,
                        random)
            for name, array in values.items()
        }  # fmt: skip
        second = self._run(others)
        axes: List[Any] = [None] * len(first)
        if second is not None:
            axes = [axis_of(one, other, rows, more) for one, other in zip(first, second)]
        inputs = [
            files.Input(name, array, _batch(array, rows, second), set())
            for name, array in values.items()
        ]
        names = unique(self.symbol.list_outputs())
        outputs = [files.Output(name, "", one, axis) for name, one, axis in zip(names, first, axes)]
        return inputs, outputs

    def _run(self, values: Mapping[str, np.ndarray]) -> Optional[List[np.ndarray]]:
        given = {name: array.shape for name, array in values.items()}
        held = {name: array.shape for name, array in self._held.items()}
        used = set(self.symbol.list_inputs())
        found = inferred(
            self.symbol, {**given, **{name: shape for name, shape in held.items() if name in used}}
        )
        if found is None:
            return None
        arguments, outputs, _ = found
        by_name = dict(zip(self.symbol.list_arguments(), arguments))
        feeds = {
            **self._held,
            **{name: mx.nd.array(one, dtype=one.dtype) for name, one in values.items()},
        }
        feeds.update({name: mx.nd.zeros(by_name[name]) for name in self._labels})
        if not fits(self.symbol, {name: one.shape for name, one in feeds.items()}, outputs):
            return None
        return [one.asnumpy() for one in evaluate(self.symbol, feeds)]


def _read(load: Callable[[str], Any], file: Path, what: str) -> Any:
    if not file.is_file():
        raise ExportError(f"there is no file {file}")
    try:
        found = load(str(file)) if file.stat().st_size or load is mx.sym.load else {}
    except (mx.MXNetError, UnicodeDecodeError) as error:
        raise ExportError(f"{file} is not {what}: {said(error)}") from error
    if isinstance(found, list) and found:
        raise ExportError(f"{file} is not {what}")
    return found


def _values(shape: Sequence[int], dtype: np.dtype, random: np.random.RandomState) -> np.ndarray:
    like = np.array([0, 1], dtype) if dtype.kind != "f" else np.array([0, 0.999], dtype)
    return drawn(like, shape, random)


def _batch(array: np.ndarray, rows: int, second: Optional[Sequence[np.ndarray]]) -> Any:
    if second is None:
        return None
    return 0 if array.shape[0] == rows else NONE
