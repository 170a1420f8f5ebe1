"""The engines that run an imported network, by name, and the choice among them.

A module is imported only when its engine is asked for, so that an engine whose package is absent
costs nothing and is one clear ``BackendUnavailable`` when it is wanted.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

from gluonserve.errors import BackendUnavailable, InvalidConfig, UnsupportedModel
from gluonserve.executors.options import ExecutorOptions, cuda_index
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gluonserve.executors.protocol import Executor
    from gluonserve.loader.importing import Imported

Factory: TypeAlias = "Callable[[Imported, ExecutorOptions], Executor]"

_WIDE = (DType.INT64, DType.UINT64, DType.FP64)


def _openvino() -> Factory:
    from gluonserve.executors.openvino import compile_model  # noqa: PLC0415 (see module)

    return compile_model


def _onnxruntime() -> Factory:
    from gluonserve.executors.onnxruntime import open_session  # noqa: PLC0415 (see module)

    return open_session


def _mxnet() -> Factory:
    from gluonserve.executors.mxnet import load_block  # noqa: PLC0415 (see module)

    return load_block


FACTORIES: Mapping[str, Callable[[], Factory]] = {
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "mxnet": _mxnet,
}


def choose(
    imported: Imported, executor: str = "auto", options: ExecutorOptions | None = None
) -> Executor:
    """The executor of that name; ``auto`` takes the first of the device's that accepts the model.

    What was chosen, and what stood in the way of the others, is ``description["why"]``.

    Raises:
        BackendUnavailable: the engine, or the device or precision asked of it, is not there.
        UnsupportedModel: the engine does not take this network.
        InvalidConfig: no such executor or device.
    """
    options = options or ExecutorOptions()
    if executor == "tensorrt" or options.device.startswith("tensorrt"):
        cuda_index("tensorrt")
    if executor == "auto":
        return _first_that_accepts(imported, options)
    if executor not in FACTORIES:
        raise InvalidConfig(f"executor {executor!r} is not one of auto, {', '.join(FACTORIES)}")
    return FACTORIES[executor]()(imported, options)


def _first_that_accepts(imported: Imported, options: ExecutorOptions) -> Executor:
    names, why = _candidates(imported, options)
    refusals: list[str] = []
    for name in names:
        reason = "; ".join([*refusals, why if not refusals else f"{name} is next in line"])
        try:
            return FACTORIES[name]()(imported, dataclasses.replace(options, why=f"auto: {reason}"))
        except (BackendUnavailable, UnsupportedModel) as error:
            refusals.append(f"{name} refused: {error}")
            last = error
    raise type(last)("; ".join(refusals)) from last


def _candidates(imported: Imported, options: ExecutorOptions) -> tuple[tuple[str, ...], str]:
    """The engines to try, best first, and why the first is first."""
    if cuda_index(options.device) is not None:
        return ("onnxruntime",), "onnxruntime is the engine for CUDA devices"
    tensors = (*imported.signature.inputs, *imported.signature.outputs)
    wide = next((spec for spec in tensors if spec.dtype in _WIDE), None)
    if wide is not None and options.precision == "fp32":
        why = f"onnxruntime first, because {wide.name!r} is {wide.dtype.value}"
        return ("onnxruntime", "openvino"), f"{why} and openvino computes in 32 bits"
    return ("openvino", "onnxruntime"), "openvino is the fastest on cpu"
