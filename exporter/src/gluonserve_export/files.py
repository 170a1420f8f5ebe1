"""The files of one version: symbol, parameters, model.toml and recorded samples."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

from gluonserve_export.arrays import DATATYPES, difference, like
from gluonserve_export.errors import ExportError, NotProven
from gluonserve_export.graphs import text_of
from gluonserve_export.running import evaluate

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

    Axis = Union[int, str]

SYMBOL, PARAMS = "model-symbol.json", "model-0000.params"
SETTINGS, SAMPLES, LABELS = "model.toml", "samples.npz", "labels.txt"


@dataclass(frozen=True)
class Input:
    """An input: its sample, the axis that counts rows (None: their number is fixed), free axes."""

    name: str
    sample: np.ndarray
    batch_axis: Optional[Axis]
    free: Set[int]

    @property
    def shape(self) -> List[int]:
        """Its shape, -1 where free."""
        free = self.free | ({self.batch_axis} if isinstance(self.batch_axis, int) else set())
        return [-1 if axis in free else dim for axis, dim in enumerate(self.sample.shape)]


@dataclass(frozen=True)
class Output:
    """An output: its place in the nested result, and the axis that counts rows, where known."""

    name: str
    path: str
    sample: np.ndarray
    batch_axis: Optional[Axis]


def write_graph(folder: Path, symbol: Any, parameters: Mapping[str, Any]) -> None:
    """The symbol, and the arrays of its variables other than inputs, as MXNet's export has them."""
    states = set(symbol.list_auxiliary_states())
    arrays = {}
    for name in symbol.list_inputs():
        if name in parameters:
            kind = "aux" if name in states else "arg"
            arrays[f"{kind}:{name}"] = parameters[name].as_in_context(mx.cpu())
    (folder / SYMBOL).write_text(text_of(symbol), encoding="utf-8")
    plain = {key: one.as_nd_ndarray() if _odd(one) else one for key, one in arrays.items()}
    mx.nd.save(str(folder / PARAMS), plain)


def _odd(array: Any) -> bool:
    return type(array) is not mx.nd.NDArray


def write_samples(folder: Path, inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
    """Recorded inputs and the network's own answers, which the server replays at load."""
    arrays = {f"in:{one.name}": one.sample for one in inputs}
    arrays.update({f"out:{one.name}": one.sample for one in outputs})
    save: Any = np.savez_compressed  # its stub takes any name for an option
    save(str(folder / SAMPLES), **arrays)


def settings_text(
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    *,
    description: str = "",
    labels: bool = False,
) -> str:
    """``model.toml``: what an export itself does not hold."""
    lines = [f"description = {_quoted(description)}"] if description else []
    lines += [f'labels = "{LABELS}"'] if labels else []
    for one in inputs:
        lines += ["", "[[inputs]]", f"name = {_quoted(one.name)}"]
        lines += [f'datatype = "{DATATYPES[one.sample.dtype.name]}"', f"shape = {one.shape}"]
        lines += _axis_line("none" if one.batch_axis is None else one.batch_axis)
    for at, other in enumerate(outputs):
        lines += ["", "[[outputs]]", f"index = {at}", f"name = {_quoted(other.name)}"]
        lines += [f"path = {_quoted(other.path)}"] if other.path else []
        lines += _axis_line(other.batch_axis)
    return "\n".join(lines).lstrip("\n") + "\n"


def _axis_line(axis: Optional[Axis]) -> List[str]:
    if axis is None:
        return []
    return [f"batch_axis = {_quoted(axis) if isinstance(axis, str) else axis}"]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def verify(folder: Path, runs: Sequence[Tuple[Mapping[str, Any], Sequence[np.ndarray]]]) -> None:
    """Read back what was written and run it.

    Raises:
        NotProven: it answers one of ``runs`` (inputs, expected outputs) otherwise.
    """
    symbol = mx.sym.load(str(folder / SYMBOL))
    stored = mx.nd.load(str(folder / PARAMS)) if (folder / PARAMS).stat().st_size else {}
    held = {name.split(":", 1)[1]: array for name, array in dict(stored or {}).items()}
    for inputs, expected in runs:
        context = next(iter(inputs.values())).context
        feeds = {name: array.as_in_context(context) for name, array in held.items()}
        feeds.update(inputs)
        answers = evaluate(symbol, feeds)
        names = symbol.list_outputs()
        for name, answer, wanted in zip(names, answers, expected):
            worst = difference(answer.asnumpy(), wanted)
            if worst:
                raise NotProven(f"the files written answer {name} otherwise: {worst}")


def fed(
    arrays: Sequence[Any], names: Sequence[str], values: Sequence[np.ndarray]
) -> Dict[str, Any]:
    """``values`` as inputs of the kinds that ``arrays`` are."""
    return {name: like(one, value) for name, one, value in zip(names, arrays, values)}


@contextlib.contextmanager
def put_in_place(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write into, which becomes ``folder`` at the end, whole or not at all.

    Raises:
        ExportError: there is one, and it is not to be overwritten; or it cannot be written.
    """
    if folder.exists() and not overwrite:
        raise ExportError(f"{folder} exists; give another version, or overwrite=True")
    partial, old = (
        folder.with_name(f".{folder.name}.partial"),
        folder.with_name(f".{folder.name}.old"),
    )
    for left_over in (partial, old):
        shutil.rmtree(str(left_over), ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        for left_over in (partial, old):
            shutil.rmtree(str(left_over), ignore_errors=True)
