"""A data plane in memory, for tests of the fronts: models that add, echo, wait and fail."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gluonserve.dataplane import (
    EXTENSIONS,
    PLATFORM,
    IndexEntry,
    ModelConfig,
    ModelMetadata,
    ServerMetadata,
)
from gluonserve.errors import (
    DeadlineExceeded,
    GluonserveError,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    ServerNotReady,
)
from gluonserve.inference import InferRequest, InferResponse
from gluonserve.recording import BatchStatistics, Duration, ModelStatistics
from gluonserve.tensors import DType, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.inference import Caller

Arrays = dict[str, np.ndarray]


@dataclass
class FakeModel:
    """Inputs to outputs by a plain function."""

    name: str
    signature: Signature
    compute: Callable[[Mapping[str, np.ndarray]], Arrays]
    version: str = "1"
    labels: str = ""
    max_batch_size: int = 8
    ready: bool = True
    requests: int = 0
    rows: int = 0

    def statistics(self) -> ModelStatistics:
        """Every request was a batch of its own, and each part of it took 1 us."""
        each = Duration(self.requests, self.requests * 1000)
        return ModelStatistics(
            name=self.name,
            version=self.version,
            last_inference_ms=1_700_000_000_000,
            inference_count=self.rows,
            execution_count=self.requests,
            success=each,
            fail=Duration(0, 0),
            queue=each,
            compute_input=each,
            compute_infer=each,
            compute_output=each,
            batches=(BatchStatistics(1, each, each, each),),
        )


def spec(name: str, dtype: DType, *shape: int, **more: object) -> TensorSpec:
    """A tensor whose axis 0 is the batch."""
    return TensorSpec(name, dtype, shape, **more)


def add_model(name: str = "add") -> FakeModel:
    """``sum = a + b`` over rows of three."""
    inputs = (spec("a", DType.FP32, -1, 3), spec("b", DType.FP32, -1, 3))
    outputs = (spec("sum", DType.FP32, -1, 3), spec("difference", DType.FP32, -1, 3))
    return FakeModel(
        name,
        Signature(inputs, outputs),
        lambda x: {"sum": x["a"] + x["b"], "difference": x["a"] - x["b"]},
    )


def echo_model(dtype: DType, *shape: int) -> FakeModel:
    """One input, the same as output; named for its data type."""
    name = f"echo_{dtype.value.lower()}"
    signature = Signature((spec("x", dtype, *shape),), (spec("y", dtype, *shape),))
    return FakeModel(name, signature, lambda x: {"y": x["x"]})


class FakeDataPlane:
    """Answers like the real one. ``held`` models wait for ``release``; ``failing`` ones raise."""

    def __init__(self, *models: FakeModel) -> None:
        self.models = {model.name: model for model in models}
        self.failing: dict[str, Exception] = {}
        self.held: set[str] = set()
        self.release = asyncio.Event()
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self._moved = asyncio.Event()
        self.seen: deque[InferRequest] = deque(maxlen=100)
        self.calls = 0
        self.cancelled: list[str] = []
        self.refusals: list[tuple[str, GluonserveError]] = []
        self.most_inside = self._inside = 0
        self.is_ready = True
        self._draining = False
        self._running: set[asyncio.Task[None]] = set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition that changes when requests come and go, bounded."""
        while not condition():
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), 20)

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        return self.is_ready and not self._draining

    def model_ready(self, name: str, version: str = "") -> bool:
        try:
            self._get(name, version)
        except ModelNotReady:
            return False
        return not self._draining

    def drain(self) -> None:
        self._draining = True

    def server_metadata(self) -> ServerMetadata:
        return ServerMetadata("gluonserve", "0.0", EXTENSIONS)

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        model = self._get(name, version)
        signature = model.signature
        return ModelMetadata(
            name,
            (model.version,),
            PLATFORM,
            signature.inputs,
            signature.outputs,
            {"executor": "fake"},
        )

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        model = self._get(name, version)
        return ModelConfig(
            name=name,
            version=model.version,
            platform=PLATFORM,
            max_batch_size=model.max_batch_size,
            inputs=model.signature.inputs,
            outputs=model.signature.outputs,
            max_delay_us=0 if model.max_batch_size else None,
            max_queue_rows=64,
            instances=1,
            device="cpu",
            labels=model.labels,
            warmup_rows=(1, 8),
            parameters={"executor": "fake"},
        )

    def statistics(self, name: str = "", version: str = "") -> tuple[object, ...]:
        if name:
            return (self._get(name, version).statistics(),)
        return tuple(model.statistics() for model in self.models.values())

    def index(self, *, ready: bool = False) -> tuple[IndexEntry, ...]:
        entries = [
            IndexEntry(
                m.name, m.version, *(("READY", "") if m.ready else ("UNAVAILABLE", "broken"))
            )
            for m in self.models.values()
        ]
        return tuple(entry for entry in entries if not ready or entry.state == "READY")

    def begin(self, request: InferRequest, caller: Caller) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                response = await self.infer(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
                if not caller.done():
                    caller.set_exception(error)
            else:
                if not caller.done():
                    caller.set_result(response)

        task = asyncio.get_running_loop().create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def infer(self, request: InferRequest) -> InferResponse:
        self.seen.append(request)
        self.calls += 1
        self._moved.set()
        self._inside += 1
        self.most_inside = max(self.most_inside, self._inside)
        try:
            return await self._infer(request)
        except asyncio.CancelledError:
            self.cancelled.append(request.id)
            raise
        finally:
            self._inside -= 1
            self.left.set()
            self._moved.set()

    def encoded(self, response: InferResponse, ns: int) -> None:
        assert ns >= 0
        assert response.model in self.models

    def refused(self, name: str, version: str, error: GluonserveError, ns: int = 0) -> None:
        self.refusals.append((name, error))

    async def _infer(self, request: InferRequest) -> InferResponse:
        if self._draining:
            raise ServerNotReady("the server is shutting down")
        model = self._get(request.model, request.version)
        if request.model in self.failing:
            raise self.failing[request.model]
        self._check(model, request)
        if request.model in self.held:
            await self._hold(request)
        outputs = model.compute(request.inputs)
        rows = next(iter(request.inputs.values())).shape[0]
        model.requests += 1
        model.rows += rows
        specs = [
            s for s in model.signature.outputs if not request.outputs or s.name in request.outputs
        ]
        return InferResponse(
            model.name,
            model.version,
            request.id,
            {s.name: outputs[s.name] for s in specs},
            tuple(s.dtype.value for s in specs),
        )

    async def _hold(self, request: InferRequest) -> None:
        self.entered.set()
        left = None
        if request.deadline is not None:
            left = request.deadline - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(self.release.wait(), left)
        except asyncio.TimeoutError:
            raise DeadlineExceeded("the deadline passed while the request waited") from None

    def _get(self, name: str, version: str) -> FakeModel:
        model = self.models.get(name)
        if model is None:
            raise ModelNotFound(name)
        if version not in ("", model.version):
            raise ModelNotFound(name, int(version))
        if not model.ready:
            raise ModelNotReady(name, int(model.version), "UNAVAILABLE", "broken")
        return model

    def _check(self, model: FakeModel, request: InferRequest) -> None:
        expected = {s.name: s for s in model.signature.inputs}
        if request.inputs.keys() != expected.keys():
            raise InvalidRequest(
                f"expected inputs {sorted(expected)}, got {sorted(request.inputs)}"
            )
        for name, array in request.inputs.items():
            want = expected[name]
            if array.dtype != want.dtype.numpy:
                raise InvalidRequest(
                    f"input {name!r}: expected {want.dtype.value}, got {array.dtype}"
                )
            fits = array.ndim == len(want.shape) and all(
                size in (-1, got) for size, got in zip(want.shape, array.shape, strict=True)
            )
            if not fits:
                raise InvalidRequest(
                    f"input {name!r}: expected {list(want.shape)}, got {list(array.shape)}"
                )
