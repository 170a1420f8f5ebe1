"""The engine without a server, for notebooks, tests and other servers.

>>> import gluonserve, numpy as np
>>> model = gluonserve.load("models/lenet_digits")
>>> images = np.zeros((2, 28, 28, 1), np.uint8)
>>> {name: answer.shape for name, answer in model(data=images).items()}
{'digits': (2, 10)}
>>> model.close()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gluonserve.config import ModelSettings, overridden
from gluonserve.errors import InvalidConfig, InvalidRequest
from gluonserve.loader.importing import PLAIN_ONNX
from gluonserve.loader.params import Params
from gluonserve.repository.layout import SYMBOL, ModelSource
from gluonserve.repository.opening import import_source
from gluonserve.repository.samples import read_samples
from gluonserve.repository.threads import open_in_threads
from gluonserve.sources import single_source
from gluonserve.validation import InputCheck

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Never, Self

    from numpy.typing import ArrayLike

    from gluonserve.executors.protocol import Executor
    from gluonserve.loader.importing import Imported
    from gluonserve.repository.opening import Opened
    from gluonserve.tensors import DType, Signature

    InputFacts = tuple[str | DType | None, Sequence[int] | None]


def load(
    path: str | Path,
    params: str | Path | None = None,
    *,
    inputs: Mapping[str, InputFacts] | None = None,
    executor: str | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> Model:
    """Import and compile an exported network.

    ``path`` is a symbol file, with ``params`` unless the network has no parameters, or a model
    directory, whose ``model.toml`` says what the other arguments leave open; without one they are
    ``executor="auto"``, ``device="cpu"`` and ``precision="fp32"``. ``inputs`` holds a data type
    and a shape by input name, for what cannot be inferred, as in
    ``{"data": ("FP32", [-1, 3, 224, 224])}``; None where one of the two can.

    Raises:
        InvalidModel: a file is broken, or there is none.
        UnsupportedModel: lists every operator and attribute that has no lowering.
        InvalidConfig: an argument, or ``model.toml``, is wrong or contradicts the network.
        BackendUnavailable: the executor, its device or precision is not there; says how to get it.
    """
    place = Path(path)
    if params is not None and place.is_dir():
        raise InvalidConfig(f"load(): params goes with a symbol file, and {place} is a directory")
    source = single_source(place) if place.is_dir() else _export(place, params)
    table = {"executor": executor, "device": device, "precision": precision}
    chosen: dict[str, Any] = {key: value for key, value in table.items() if value is not None}
    if not isinstance(inputs, Mapping | None):
        raise InvalidConfig(f"load(): inputs should be facts by input name, not {inputs!r}")
    chosen["inputs"] = [
        {"name": name, **_stated(name, facts)} for name, facts in (inputs or {}).items()
    ]
    return Model(source, overridden(source.settings, chosen, "load()"))


class Model:
    """A compiled network that takes and gives arrays; may be called from several threads."""

    def __init__(self, source: ModelSource, settings: ModelSettings) -> None:
        self._source = ModelSource(
            source.name, source.version, source.folder, source.symbol, source.params, settings
        )
        self._samples = read_samples(source.samples) if source.samples else None
        self._opened: Opened = open_in_threads(self._source, self._samples)
        self._dtypes = {spec.name: spec.dtype.numpy for spec in self.signature.inputs}
        self._checked = InputCheck(source.name, self.signature)

    def __call__(
        self, inputs: Mapping[str, ArrayLike] | None = None, /, **arrays: ArrayLike
    ) -> dict[str, np.ndarray]:
        """The outputs by name, in MXNet's order.

        Arrays are converted as ``mx.nd.array(x, dtype=declared)`` would; inputs that are begin
        states may be left out. The outputs own their memory.

        Raises:
            InvalidRequest: naming the input, what was expected and what came.
            ExecutionFailed: the engine failed; its own error is the cause.
        """
        if not isinstance(inputs, Mapping | None):
            names = ", ".join(map(repr, self._dtypes))
            raise InvalidRequest(
                f"expected arrays by the names of the inputs ({names}), got {type(inputs).__name__}"
            )
        given = {**(inputs or {}), **arrays}
        _, complete = self._checked({name: self._converted(name, v) for name, v in given.items()})
        executor = self._opened.executor
        lease = executor.lease({name: array.shape for name, array in complete.items()})
        try:
            for name, array in lease.inputs.items():
                np.copyto(array, complete[name])
            executor.run(lease)
            return {name: output.copy() for name, output in lease.outputs.items()}
        finally:
            lease.release()

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{spec.name}: {spec.dtype.value} {list(spec.shape)}" for spec in specs)
            for specs in (self.signature.inputs, self.signature.outputs)
        )
        return f"<Model {self._source.name}: {inputs} -> {outputs}>"

    def __reduce__(self) -> Never:
        """Refuse to be pickled or copied, in words."""
        raise TypeError("a loaded model holds an engine and cannot be pickled; load it anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def signature(self) -> Signature:
        """Names, types and shapes of inputs and outputs."""
        return self._opened.executor.signature

    @property
    def executor(self) -> Executor:
        """The engine; its ``description`` says which it is, and why."""
        return self._opened.executor

    def to_onnx(self) -> bytes:
        """The network as one ONNX file of plain operators.

        Raises:
            UnsupportedModel: it is larger than one file can be (2 GiB); use ``save_onnx``.
        """
        imported = self._imported()
        try:
            return imported.lower(PLAIN_ONNX).to_bytes()
        finally:
            _close(imported)

    def save_onnx(self, path: str | Path) -> None:
        """Write the network as an ONNX file, with weights over 2 GiB in a file beside it."""
        imported = self._imported()
        try:
            imported.lower(PLAIN_ONNX).save(Path(path))
        finally:
            _close(imported)

    def close(self) -> None:
        """Free the engine; idempotent."""
        self._opened.close()

    def _imported(self) -> Imported:
        return import_source(self._source, self._samples)

    def _converted(self, name: str, value: ArrayLike) -> np.ndarray:
        try:
            array = np.asarray(value)
            if array.dtype.kind in "cmM":
                raise InvalidRequest(f"input {name!r}: {array.dtype} has no place in a network")
            return array.astype(self._dtypes.get(name), copy=False)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"input {name!r}: not an array of numbers: {error}") from error


def _export(symbol: Path, params: str | Path | None) -> ModelSource:
    return ModelSource(
        name=symbol.name.removesuffix(SYMBOL),
        version=1,
        folder=symbol.parent,
        symbol=symbol,
        params=None if params is None else Path(params),
        settings=ModelSettings(),
    )


def _stated(name: str, facts: InputFacts) -> dict[str, Any]:
    """What is stated of an input, as a settings file would hold it."""
    shaped = isinstance(facts, tuple | list) and len(facts) == 2
    if not shaped or not isinstance(facts[1], Sequence | np.ndarray | None):
        raise InvalidConfig(f"load(): inputs[{name!r}] should be (data type, shape), not {facts!r}")
    dtype, shape = facts
    table: dict[str, Any] = {} if dtype is None else {"datatype": dtype}
    if shape is None:
        return table
    sizes = [size.item() if isinstance(size, np.generic) else size for size in shape]
    return {**table, "shape": sizes}


def _close(imported: Imported) -> None:
    if isinstance(imported.params, Params):
        imported.params.close()
