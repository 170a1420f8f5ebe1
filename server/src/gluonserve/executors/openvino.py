"""OpenVINO: the engine for processors; one model for all shapes, one stream for each instance.

The network is compiled once with free dimensions; docs/decisions/ says what static shapes would
gain and cost. Shapes are tried on a copy before the engine meets them, and a network that failed
all the same is compiled again before its next run: see ``shapes.py`` for why.
"""

from __future__ import annotations

import functools
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from gluonserve.errors import (
    BackendUnavailable,
    ExecutionFailed,
    ShapesRefused,
    UnsupportedModel,
)
from gluonserve.executors.attention import careful_settings
from gluonserve.executors.empty import EmptyLease
from gluonserve.executors.memory import AskedShapes, Footprint, FreeList, SlotLease, input_memory
from gluonserve.executors.options import available_cores, cuda_index
from gluonserve.executors.shapes import Expected, Shapes
from gluonserve.executors.weights import borrowed, let_pages_go, weights_as_inputs
from gluonserve.loader.importing import Target
from gluonserve.tensors import DType

# Importing openvino reports that to Intel, from a forked process; without this package it cannot.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
try:
    import openvino
except ImportError as missing:
    raise BackendUnavailable("openvino is not installed: pip install openvino") from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from gluonserve.executors.options import ExecutorOptions
    from gluonserve.executors.protocol import Lease
    from gluonserve.loader.importing import Imported, Lowered
    from gluonserve.tensors import Signature

TARGET = Target(
    lacks=frozenset(
        {
            "Arithmetic in the pass of a reduction of three axes",
            "Cast of floats beyond the range of bytes",
            "Conv of single elements with pads and strides",
            "DeformConv",
            "Det",
            "Div rounded once",
            "Exp of NaN",
            "GatherND that refuses places outside",
            "GlobalMaxPool before QuantizeLinear",
            "Max of NaN",
            "NonMaxSuppression above its threshold",
            "Recurrent nodes that read the same",
            "ReduceProd that stops at the largest integer",
            "Relu of NaN",
            "TopK in the order of equals",
        }
    )
)

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}
_WIDE = (DType.INT64, DType.UINT64, DType.FP64)
_UNCONVERTED = re.compile(r"No conversion rule found for operations: (.+)")


_ONE_CORE = threading.Lock()


def process_core() -> openvino.Core:
    """The one core of this process, made at first use and never freed.

    The plugin gives the thread that makes it an alternate stack for signals and unmaps that stack
    on whichever thread frees it: the maker's next signal, Ctrl-C or SIGTERM, would be a
    segmentation fault. So a thread that ends makes the core, and nothing frees it.
    """
    with _ONE_CORE:
        return _made_core()


@functools.cache
def _made_core() -> openvino.Core:
    def make() -> openvino.Core:
        core = openvino.Core()
        core.get_property("CPU", "FULL_DEVICE_NAME")  # the plugin itself comes with its first use
        return core

    with ThreadPoolExecutor(1, "openvino-core") as maker:
        return maker.submit(make).result()


def compile_model(imported: Imported, options: ExecutorOptions) -> OpenVinoExecutor:
    """Compile for this processor.

    Raises:
        BackendUnavailable: a device or precision that OpenVINO does not have here.
        UnsupportedModel: OpenVINO does not take this network.
    """
    if cuda_index(options.device) is not None:
        raise BackendUnavailable(
            f"openvino runs on cpu; device {options.device!r} needs executor 'onnxruntime'"
        )
    core = process_core()
    settings = _settings(core, options)
    lowered = imported.lower(TARGET)
    try:
        network = _Network(core, read_lowered(core, lowered), settings, imported.signature)
        compiled = network.compile()
    except RuntimeError as error:
        raise UnsupportedModel(f"openvino does not take this network: {_gist(error)}") from error
    let_pages_go(lowered.weights.values())
    return OpenVinoExecutor(imported.signature, options, network, compiled)


class _Network:
    """A network as OpenVINO reads it: compiled once, and again after a failure."""

    def __init__(
        self,
        core: openvino.Core,
        model: openvino.Model,
        settings: Mapping[str, Any],
        signature: Signature,
    ) -> None:
        self._core, self._model, self._settings = core, model, dict(settings)
        self.processor = str(core.get_property("CPU", "FULL_DEVICE_NAME"))
        self.shapes = Shapes(model, (spec.name for spec in signature.inputs))

    def compile(self) -> openvino.CompiledModel:
        settings = {**self._settings, **careful_settings(self._model)}
        return self._core.compile_model(self._model, "CPU", settings)


class OpenVinoExecutor:
    """A network compiled for the processor; leases bind NumPy memory to its infer requests."""

    def __init__(
        self,
        signature: Signature,
        options: ExecutorOptions,
        network: _Network,
        compiled: openvino.CompiledModel,
    ) -> None:
        self._signature = signature
        self._options = options
        self._network: _Network | None = network
        self._compiled: openvino.CompiledModel | None = compiled
        self._processor = network.processor
        self._compiling = threading.Lock()
        self._asked = AskedShapes(signature)
        self._names = tuple(spec.name for spec in signature.outputs)
        # one in C for one: a semaphore is made of Python
        one = options.instances == 1
        self._streams = threading.Lock() if one else threading.BoundedSemaphore(options.instances)
        self._free = FreeList(lambda: _Slot(signature), keep=options.instances + 2)
        self._footprint = Footprint()

    @property
    def signature(self) -> Signature:
        """The signature of the imported network."""
        return self._signature

    @property
    def concurrency(self) -> int:
        """One run for each instance: each has a stream of its own."""
        return self._options.instances

    @property
    def description(self) -> Mapping[str, str]:
        """What runs, where and why."""
        facts = {
            "executor": "openvino",
            "version": openvino.__version__.split("-")[0],
            "device": f"cpu ({self._processor})",
            "precision": self._options.precision,
            "threads": str(self._options.all_threads),
            "instances": str(self._options.instances),
            "why": self._options.why,
        }
        notes = _notes(self._signature)
        if notes:
            facts["note"] = "; ".join(notes)
        return facts

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> Lease:
        """Memory bound to an infer request when it runs."""
        if self._asked.have_no_rows(shapes):
            return EmptyLease(self._signature, shapes)
        return _Lease(self._free, self._names, shapes)

    def run(self, lease: Lease) -> None:
        """Infer in place; waits for a stream when more callers than ``concurrency`` come."""
        if isinstance(lease, EmptyLease):
            lease.answer(self)
            return
        if not isinstance(lease, _Lease):
            raise TypeError("the lease is another executor's")
        expected = self._expected(lease.shapes)
        with self._streams:
            compiled = self._usable()
            lease.run(compiled, expected, self._forget)
            if compiled is not self._compiled:  # another stream's failure may have reached this run
                lease.run(self._usable(), expected, self._forget)
            if self._footprint.outgrown(lease.inputs):
                self._let_go(compiled, lease)

    def _let_go(self, compiled: openvino.CompiledModel, lease: _Lease) -> None:
        """Free what the network keeps between runs, but not answers: they are their requests'."""
        try:
            compiled.release_memory()
        except RuntimeError:  # so it refuses while another stream runs: there is another time
            return
        lease.retire()
        self._footprint.gone()

    def close(self) -> None:
        """Free the compiled network; idempotent."""
        with self._compiling:
            self._compiled = self._network = None
        self._free.clear()

    def _opened(self) -> _Network:
        network = self._network
        if network is None:
            raise ExecutionFailed("the executor is closed")
        return network

    def _expected(self, shapes: Mapping[str, tuple[int, ...]]) -> Expected:
        network = self._opened()
        try:
            return network.shapes.outputs(shapes)
        except RuntimeError as error:
            listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise ShapesRefused(f"the network does not take {listed}") from error

    def _usable(self) -> openvino.CompiledModel:
        """The compiled network, compiled again if a run has failed in it."""
        compiled = self._compiled
        if compiled is not None:
            return compiled
        with self._compiling:
            if self._compiled is None:
                self._compiled = self._opened().compile()
            return self._compiled

    def _forget(self, compiled: openvino.CompiledModel) -> None:
        with self._compiling:
            if self._compiled is compiled:
                self._compiled = None


class _Slot:
    """An infer request and the memory that is bound to its inputs."""

    def __init__(self, signature: Signature) -> None:
        self.memory = input_memory(signature)
        self._compiled: openvino.CompiledModel | None = None
        self._request: openvino.InferRequest | None = None
        self._read: frozenset[str] = frozenset()
        self._bound: dict[str, np.ndarray] = {}

    def bind(
        self, compiled: openvino.CompiledModel, inputs: Mapping[str, np.ndarray]
    ) -> openvino.InferRequest:
        """The request with these arrays as its inputs; does nothing when they already are.

        OpenVINO drops an input of which only the shape is read once that is known.
        """
        request = self._request
        if request is None or self._compiled is not compiled:
            request, self._compiled, self._bound = compiled.create_infer_request(), compiled, {}
            self._request = request
            self._read = frozenset().union(*(port.names for port in compiled.inputs))
        for name, array in inputs.items():
            if self._bound.get(name) is not array and name in self._read:
                self._bound.pop(name, None)
                request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
                self._bound[name] = array
        return request


class _Lease(SlotLease[_Slot]):
    """One holder's use of a slot."""

    def __init__(
        self, free: FreeList[_Slot], names: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        super().__init__(free, shapes)
        self._names, self.shapes = names, dict(shapes)

    def run(
        self,
        compiled: openvino.CompiledModel,
        expected: Expected,
        failed: Callable[[openvino.CompiledModel], None],
    ) -> None:
        """Infer; the outputs are views of the request's own tensors."""
        slot = self.slot
        try:
            request = slot.bind(compiled, self.inputs)
            answers = request.infer(share_outputs=True, decode_strings=False).to_tuple()
        except RuntimeError as error:
            failed(compiled)
            raise ExecutionFailed("openvino failed on a batch") from error
        for answer, shape in zip(answers, expected, strict=True):
            if shape is not None and answer.shape != shape:
                failed(compiled)
                raise ExecutionFailed(f"openvino gave shape {answer.shape} instead of {shape}")
        self.outputs = dict(zip(self._names, answers, strict=True))


def _notes(signature: Signature) -> list[str]:
    """What a person should know of how OpenVINO runs this network."""
    notes = []
    if any(spec.dtype in _WIDE for spec in (*signature.inputs, *signature.outputs)):
        notes.append("INT64, UINT64 and FP64 are computed in 32 bits")
    free = [
        repr(spec.name)
        for spec in signature.inputs
        if any(size < 0 for at, size in enumerate(spec.shape) if at != spec.batch_axis)
    ]
    if free:
        notes.append(f"any size of {', '.join(free)} is taken; stating its shape makes it faster")
    return notes


def _settings(core: openvino.Core, options: ExecutorOptions) -> dict[str, Any]:
    """OpenVINO's properties; without a hint it would compute in bf16 where the processor can."""
    if options.precision not in _HINTS:
        raise BackendUnavailable(
            f"precision {options.precision!r} needs a quantised network, which this release has not"
        )
    has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if _CAPABILITIES[options.precision] not in has:
        raise BackendUnavailable(
            f"precision {options.precision!r} is not in this processor "
            f"({core.get_property('CPU', 'FULL_DEVICE_NAME')}: {', '.join(has)})"
        )
    threads = options.all_threads
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[options.precision],
        "EXECUTION_MODE_HINT": "ACCURACY" if options.precision == "fp32" else "PERFORMANCE",
        "NUM_STREAMS": options.instances,
        "INFERENCE_NUM_THREADS": threads,
        # models with few threads each would all be pinned to the same first cores
        "ENABLE_CPU_PINNING": threads >= available_cores(),
    }


def read_lowered(core: openvino.Core, lowered: Lowered) -> openvino.Model:
    """The structure, with constants that share the mapped weights in place of weight inputs."""
    model = core.read_model(weights_as_inputs(lowered).SerializeToString(), b"")
    for parameter in list(model.get_parameters()):
        for name in parameter.output(0).get_names() & lowered.weights.keys():
            weight = borrowed(lowered.weights[name])
            constant = openvino.op.Constant(weight, shared_memory=True)
            parameter.output(0).replace(constant.output(0))
            model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    return model


def _gist(error: RuntimeError) -> str:
    """What a person can use of OpenVINO's long messages."""
    text = str(error)
    unconverted = _UNCONVERTED.search(text)
    if unconverted:
        return f"it has no operator for {unconverted.group(1)}"
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line and not line.startswith("Exception from")), text)
