"""MXNet itself: the reference that other engines are measured against; chosen only by name.

MXNet wants to be called from one thread, so that each executor has a thread of its own, on which
the network is loaded, run and freed.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gluonserve.errors import BackendUnavailable, ExecutionFailed, UnsupportedModel
from gluonserve.executors.empty import EmptyLease
from gluonserve.executors.memory import AskedShapes, FreeList, SlotLease, input_memory
from gluonserve.executors.options import cuda_index
from gluonserve.tensors import DType, Signature, TensorSpec

try:
    import mxnet
except ImportError as missing:
    raise BackendUnavailable(
        "mxnet is not installed: pip install 'gluonserve[mxnet]' in a Python older than 3.12 "
        f"(this is {sys.version_info.major}.{sys.version_info.minor}); it brings numpy 1.23.5"
    ) from missing
except AttributeError as wrong:  # mxnet 1.9.1 names types that NumPy has removed
    raise BackendUnavailable(
        f"mxnet does not work with numpy {np.__version__}: pip install 'gluonserve[mxnet]'"
    ) from wrong

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gluonserve.executors.options import ExecutorOptions
    from gluonserve.executors.protocol import Lease
    from gluonserve.loader.importing import Imported

_ROWS = (2, 3)
_SIZES = (16, 64, 224, 4, 1)
"""What free dimensions are tried with, in this order, to see what MXNet answers."""


def load_block(imported: Imported, options: ExecutorOptions) -> MxnetExecutor:
    """Load the exported files with MXNet.

    Raises:
        BackendUnavailable: a GPU or precision that this MXNet does not have, or no files to load.
        UnsupportedModel: MXNet does not load this network.
    """
    if options.precision != "fp32":
        raise BackendUnavailable(
            f"mxnet runs networks as they were exported; precision {options.precision!r} is not "
            "its to choose"
        )
    if options.source is None:
        raise BackendUnavailable("mxnet reads exported files, and this network came without")
    gpu = cuda_index(options.device)
    if gpu is not None and gpu >= mxnet.context.num_gpus():
        raise BackendUnavailable(
            f"device {options.device!r}: this mxnet sees {mxnet.context.num_gpus()} GPUs"
        )
    context = mxnet.cpu() if gpu is None else mxnet.gpu(gpu)
    thread = ThreadPoolExecutor(1, thread_name_prefix="mxnet")
    try:
        network = thread.submit(_Network, imported, options.source, context).result()
        signature = imported.signature
        if imported.plan is None:
            signature = thread.submit(network.completed, signature).result()
    except Exception as error:
        thread.shutdown()
        raise UnsupportedModel(f"mxnet does not load this network: {error}") from error
    return MxnetExecutor(signature, options, network, thread)


class MxnetExecutor:
    """A hybridised block on its own thread."""

    def __init__(
        self,
        signature: Signature,
        options: ExecutorOptions,
        network: _Network,
        thread: ThreadPoolExecutor,
    ) -> None:
        self._signature = signature
        self._asked = AskedShapes(signature)
        self._options = options
        self._network: _Network | None = network
        self._thread = thread
        self._closing = threading.Lock()
        self._free = FreeList(lambda: _Slot(signature), keep=2)

    @property
    def signature(self) -> Signature:
        """The signature of the imported network."""
        return self._signature

    @property
    def concurrency(self) -> int:
        """MXNet is called from one thread."""
        return 1

    @property
    def description(self) -> Mapping[str, str]:
        """What runs, where and why."""
        return {
            "executor": "mxnet",
            "version": mxnet.__version__,
            "device": self._options.device,
            "precision": self._options.precision,
            "threads": "MXNet's own",
            "instances": "1",
            "why": self._options.why,
        }

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> Lease:
        """Memory that MXNet copies from, as it always does."""
        if self._asked.have_no_rows(shapes):
            return EmptyLease(self._signature, shapes)
        return _Lease(self._free, shapes)

    def run(self, lease: Lease) -> None:
        """Run on MXNet's thread and wait; callers take turns."""
        if isinstance(lease, EmptyLease):
            lease.answer(self)
            return
        if not isinstance(lease, _Lease):
            raise TypeError("the lease is another executor's")
        network = self._network
        if network is None:
            raise ExecutionFailed("the executor is closed")
        try:
            lease.outputs = self._thread.submit(network.run, lease.inputs).result()
        except Exception as error:  # MXNet's own, and those of its Python side
            raise ExecutionFailed("mxnet failed on a batch") from error

    def close(self) -> None:
        """Free the network on its thread, and end that; idempotent."""
        with self._closing:
            network, self._network = self._network, None
        if network is not None:
            self._thread.submit(network.close).result()
            self._thread.shutdown()
        self._free.clear()


class _Network:
    """The graph as Gluon runs it hybridised; touched only by its thread."""

    def __init__(
        self,
        imported: Imported,
        files: tuple[Path, Path | None],
        context: mxnet.Context,
    ) -> None:
        mxnet.util.set_np_shape(imported.graph.np_shape)  # a setting of the calling thread
        symbol, params = files
        self._context = context
        self._outputs = imported.answers
        self._graph = mxnet.sym.load(str(symbol))
        self._order: list[str] = self._graph.list_inputs()
        self._stored = _stored(params, context)
        given = {spec.name for spec in imported.signature.inputs} | self._stored.keys()
        self._unused = [name for name in self._order if name not in given]
        self._unused_arrays: dict[tuple[tuple[int, ...], ...], dict[str, Any]] = {}
        self._call: Any = mxnet.nd.CachedOp(self._graph, self._flags())

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs, copied out of MXNet's memory, which waits for them."""
        data = {
            name: mxnet.nd.array(array, ctx=self._context, dtype=array.dtype)
            for name, array in inputs.items()
        }
        arrays = {**self._stored, **self._labels(inputs), **data}
        answers = self._call(*(arrays[name] for name in self._order))
        answers = answers if isinstance(answers, list) else [answers]
        return {name: answer.asnumpy() for name, answer in zip(self._outputs, answers, strict=True)}

    def completed(self, signature: Signature) -> Signature:
        """The signature with the outputs that MXNet gives for zeros: what varies there is free."""
        for size in _SIZES:
            try:
                few, many = (self.run(_zeros(signature, rows, size * (rows - 1))) for rows in _ROWS)
            except mxnet.MXNetError as error:
                failure = error
                continue
            outputs = tuple(_spec(name, few[name], many[name]) for name in self._outputs)
            return replace(signature, outputs=outputs)
        raise failure

    def close(self) -> None:
        """Let MXNet free the network here, on the thread that made it."""
        self._call = self._graph = None
        self._stored.clear()
        self._unused_arrays.clear()

    def _flags(self) -> list[tuple[str, object]]:
        """What ``hybridize(static_alloc=True, static_shape=True)`` sets."""
        positions = dict(enumerate(self._order))
        return [
            ("static_alloc", True),
            ("static_shape", True),
            ("data_indices", [at for at, name in positions.items() if name not in self._stored]),
            ("param_indices", [at for at, name in positions.items() if name in self._stored]),
        ]

    def _labels(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """Zeros for what training left in the graph and inference does not read."""
        if not self._unused:
            return {}
        shapes = {name: array.shape for name, array in inputs.items()}
        found = self._unused_arrays.get(tuple(shapes.values()))
        if found is None:
            inferred, _, _ = self._graph.infer_shape(**shapes)
            types, _, _ = self._graph.infer_type(**{n: a.dtype for n, a in inputs.items()})
            names = self._graph.list_arguments()
            known = dict(zip(names, zip(inferred, types, strict=True), strict=True))
            found = {
                name: mxnet.nd.zeros(known[name][0], ctx=self._context, dtype=known[name][1])
                for name in self._unused
            }
            self._unused_arrays = {tuple(shapes.values()): found}
        return found


def _zeros(signature: Signature, rows: int, size: int) -> dict[str, np.ndarray]:
    """Inputs whose values every operator takes, with these sizes where they are free."""
    return {
        spec.name: np.zeros(
            [
                dim if dim >= 0 else rows if axis == spec.batch_axis else size
                for axis, dim in enumerate(spec.shape)
            ],
            spec.dtype.numpy,
        )
        for spec in signature.inputs
    }


def _spec(name: str, few: np.ndarray, many: np.ndarray) -> TensorSpec:
    shape = [one if one == other else -1 for one, other in zip(few.shape, many.shape, strict=True)]
    return TensorSpec(name, DType.of(few.dtype), tuple(shape), batch_axis=None)


def _stored(params: Path | None, context: mxnet.Context) -> dict[str, Any]:
    """The parameters by bare name, dense."""
    if params is None:
        return {}
    loaded = mxnet.nd.load(str(params))
    bare = {name.partition(":")[2] or name: array for name, array in loaded.items()}
    return {name: a.tostype("default").as_in_context(context) for name, a in bare.items()}


class _Slot:
    """Input memory; MXNet has its own for the outputs."""

    def __init__(self, signature: Signature) -> None:
        self.memory = input_memory(signature)


class _Lease(SlotLease[_Slot]):
    """One holder's use of a slot."""
