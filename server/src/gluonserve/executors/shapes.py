"""Which shapes a network takes, found out on a copy of it before OpenVINO's engine meets them.

The engine does not survive shapes that contradict the graph. It goes on with the shapes of the
batch before: it fails batches that are right, with one thread it answers with what the last batch
left behind, and it reads past the end of inputs. Shape inference on a copy that is never compiled
finds such shapes without harm; it takes milliseconds, once for each combination of shapes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import openvino

Shape: TypeAlias = "tuple[int, ...]"
Expected: TypeAlias = "tuple[Shape | None, ...]"

_KEPT = 1024


class Shapes:
    """The shapes of a network's outputs for shapes of its inputs; remembers those it was asked."""

    def __init__(self, model: openvino.Model, inputs: Iterable[str]) -> None:
        self._copy = model.clone()
        self._inputs = tuple(inputs)
        self._known: dict[tuple[Shape, ...], Expected] = {}
        self._lock = threading.Lock()

    def outputs(self, inputs: Mapping[str, Shape]) -> Expected:
        """The output shapes; None where they depend on values.

        Raises:
            RuntimeError: OpenVINO's own, the network does not take these shapes.
        """
        asked = tuple(inputs[name] for name in self._inputs)
        known = self._known.get(asked)
        if known is None:
            with self._lock:
                known = self._inferred(inputs)
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[asked] = known
        return known

    def _inferred(self, inputs: Mapping[str, Shape]) -> Expected:
        for parameter in self._copy.get_parameters():
            for name in parameter.output(0).get_names() & inputs.keys():
                parameter.set_partial_shape(_partial(inputs[name]))
        self._copy.validate_nodes_and_infer_types()
        return tuple(
            tuple(shape.to_shape()) if (shape := output.partial_shape).is_static else None
            for output in self._copy.outputs
        )


def _partial(shape: Shape) -> openvino.PartialShape:
    import openvino  # noqa: PLC0415 (only where the engine has been imported already)

    return openvino.PartialShape(list(shape))
