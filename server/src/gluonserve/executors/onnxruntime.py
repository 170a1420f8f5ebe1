"""ONNX Runtime: the second engine for processors, and the one for NVIDIA GPUs.

One session serves all instances: it may be run by several threads at once, and its thread pool and
packed weights are shared by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gluonserve.errors import BackendUnavailable, ExecutionFailed, UnsupportedModel
from gluonserve.executors.empty import EmptyLease
from gluonserve.executors.memory import AskedShapes, Footprint, FreeList, SlotLease, input_memory
from gluonserve.executors.options import cuda_index
from gluonserve.executors.weights import borrowed, let_pages_go, weights_declared_external
from gluonserve.loader.importing import Target
from gluonserve.loader.widening import FLOAT16

try:
    import onnxruntime
except ImportError as missing:
    raise BackendUnavailable("onnxruntime is not installed: pip install onnxruntime") from missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve.executors.options import ExecutorOptions
    from gluonserve.executors.protocol import Lease
    from gluonserve.loader.importing import Imported, Lowered
    from gluonserve.tensors import Signature

TARGET = Target(lacks=frozenset({"DeformConv", FLOAT16}))
_GPU_TARGET = Target(lacks=frozenset({"DeformConv"}))
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

_HOW_TO_GET_CUDA = (
    "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]', on a machine with "
    "an NVIDIA driver"
)


def open_session(imported: Imported, options: ExecutorOptions) -> OnnxRuntimeExecutor:
    """Open a session on this processor or a GPU.

    Raises:
        BackendUnavailable: the device, its provider, or the precision is not there.
        UnsupportedModel: ONNX Runtime does not take this network.
    """
    if options.precision != "fp32":
        raise BackendUnavailable(
            f"onnxruntime runs networks as they are, in fp32; precision {options.precision!r} is "
            "not in this release"
        )
    gpu = cuda_index(options.device)
    if gpu is not None:
        _check_cuda(options.device)
    lowered = imported.lower(TARGET if gpu is None else _GPU_TARGET)
    settings = _settings(options)
    kept = _supply(settings, lowered)
    structure = weights_declared_external(lowered).SerializeToString()
    try:
        session = onnxruntime.InferenceSession(
            structure,
            settings,
            providers=_providers(gpu),
            enable_fallback=0,  # it would go on without the GPU, and tell nobody but the terminal
        )
    except Exception as error:  # its binding has a class of exception for each status code
        if gpu is not None and "CUDA" in str(error):
            raise _cuda_failed(options.device) from error
        raise UnsupportedModel(f"onnxruntime does not take this network: {error}") from error
    if gpu is not None and CUDA not in session.get_providers():
        raise _cuda_failed(options.device)
    let_pages_go(lowered.weights.values())
    return OnnxRuntimeExecutor(imported.signature, options, session, kept)


class OnnxRuntimeExecutor:
    """A session; leases bind host memory, or device memory with host memory to stage it."""

    def __init__(
        self,
        signature: Signature,
        options: ExecutorOptions,
        session: onnxruntime.InferenceSession,
        kept: list[onnxruntime.OrtValue],
        staged_on: tuple[str, int] | None = None,
    ) -> None:
        """``kept`` are weights that must outlive the session; ``staged_on`` is for tests."""
        self._signature = signature
        self._asked = AskedShapes(signature)
        self._names = tuple(spec.name for spec in signature.outputs)
        self._options = options
        self._kept = kept
        gpu = cuda_index(options.device)
        device = staged_on or (None if gpu is None else ("cuda", gpu))
        self._session: onnxruntime.InferenceSession | None = session
        self._footprint = Footprint()
        self._free = FreeList(
            lambda: _Slot(self._opened(), signature, device), keep=options.instances + 2
        )

    @property
    def signature(self) -> Signature:
        """The signature of the imported network."""
        return self._signature

    @property
    def concurrency(self) -> int:
        """One run for each instance."""
        return self._options.instances

    @property
    def description(self) -> Mapping[str, str]:
        """What runs, where and why."""
        return {
            "executor": "onnxruntime",
            "version": onnxruntime.__version__,
            "device": self._options.device,
            "precision": self._options.precision,
            "threads": str(self._options.all_threads),
            "instances": str(self._options.instances),
            "why": self._options.why,
        }

    def lease(self, shapes: Mapping[str, tuple[int, ...]]) -> Lease:
        """Memory bound to the session when it runs."""
        if self._asked.have_no_rows(shapes):
            return EmptyLease(self._signature, shapes)
        return _Lease(self._free, self._names, shapes)

    def run(self, lease: Lease) -> None:
        """Run the session on the lease's bound memory."""
        if isinstance(lease, EmptyLease):
            lease.answer(self)
            return
        if not isinstance(lease, _Lease):
            raise TypeError("the lease is another executor's")
        if self._footprint.outgrown(lease.inputs):
            lease.retire()
            lease.run(self._opened(), _shrinking())
            self._footprint.gone()
        else:
            lease.run(self._opened())

    def close(self) -> None:
        """Free the session; idempotent."""
        self._session = None
        self._free.clear()
        self._kept.clear()

    def _opened(self) -> onnxruntime.InferenceSession:
        if self._session is None:
            raise ExecutionFailed("the executor is closed")
        return self._session


class _Slot:
    """An I/O binding and the memory that it binds."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        signature: Signature,
        device: tuple[str, int] | None,
    ) -> None:
        self.memory = input_memory(signature)
        self._binding = session.io_binding()
        self._outputs = [output.name for output in session.get_outputs()]
        self._device = device
        self._bound: dict[str, tuple[np.ndarray, onnxruntime.OrtValue]] = {}
        self._answers: list[onnxruntime.OrtValue] = []

    def run(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Mapping[str, np.ndarray],
        options: onnxruntime.RunOptions | None,
    ) -> list[np.ndarray]:
        """The answers as views of memory that is this slot's until its next run."""
        for name, array in inputs.items():
            value = self._value(name, array)
            if self._device is not None:
                value.update_inplace(array)
        for (
            name
        ) in self._outputs:  # anew for each run: a binding keeps the shapes of the last answers
            self._binding.bind_output(name, "cpu")
        if self._device is not None:
            self._binding.synchronize_inputs()
        session.run_with_iobinding(self._binding, options)
        if self._device is not None:
            self._binding.synchronize_outputs()
        self._answers = self._binding.get_outputs()
        return [answer.numpy() for answer in self._answers]

    def _value(self, name: str, array: np.ndarray) -> onnxruntime.OrtValue:
        """What is bound for this array: the array itself, or device memory of its shape."""
        bound = self._bound.get(name)
        if bound is not None and bound[0] is array:
            return bound[1]
        if self._device is None:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        else:
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                list(array.shape), array.dtype.type, *self._device
            )
        self._binding.bind_ortvalue_input(name, value)
        self._bound[name] = (array, value)
        return value


class _Lease(SlotLease[_Slot]):
    """One holder's use of a slot."""

    def __init__(
        self, free: FreeList[_Slot], names: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        super().__init__(free, shapes)
        self._names = names

    def run(
        self,
        session: onnxruntime.InferenceSession,
        options: onnxruntime.RunOptions | None = None,
    ) -> None:
        """Run; the outputs are views of what the session allocated."""
        slot = self.slot
        try:
            answers = slot.run(session, self.inputs, options)
        except Exception as error:  # its binding has a class of exception for each status code
            raise ExecutionFailed("onnxruntime failed on a batch") from error
        self.outputs = dict(zip(self._names, answers, strict=True))


def _shrinking() -> onnxruntime.RunOptions:
    """A run after which host memory that it did not need goes back to the system."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _check_cuda(device: str) -> None:
    preload = getattr(onnxruntime, "preload_dlls", None)  # the CUDA build, since 1.21
    if preload is not None and CUDA in onnxruntime.get_available_providers():
        preload()
    if CUDA not in onnxruntime.get_available_providers():
        raise BackendUnavailable(
            f"device {device!r} needs the CUDA build of onnxruntime, and "
            f"{onnxruntime.__version__} here has only "
            f"{', '.join(onnxruntime.get_available_providers())}: {_HOW_TO_GET_CUDA}"
        )


def _cuda_failed(device: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"device {device!r} could not be opened by onnxruntime {onnxruntime.__version__}: its log "
        f"says which library or device is missing; {_HOW_TO_GET_CUDA}"
    )


def _providers(gpu: int | None) -> list[Any]:
    """CUDA with exact fp32 (it would take TF32 by itself), and the processor for what it lacks."""
    if gpu is None:
        return [CPU]
    return [
        (CUDA, {"device_id": gpu, "use_tf32": 0, "arena_extend_strategy": "kSameAsRequested"}),
        CPU,
    ]


def _settings(options: ExecutorOptions) -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.intra_op_num_threads = options.all_threads
    settings.inter_op_num_threads = 1
    # spinning threads take the cores that the server's event loop and other models need
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


def _supply(settings: onnxruntime.SessionOptions, lowered: Lowered) -> list[onnxruntime.OrtValue]:
    """Hand the mapped weights to the session by reference; returns what must stay alive."""
    values = [
        onnxruntime.OrtValue.ortvalue_from_numpy(borrowed(array))
        for array in lowered.weights.values()
    ]
    if values:
        settings.add_external_initializers(list(lowered.weights), values)
    return values
