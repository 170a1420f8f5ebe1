"""Which shapes a network takes, found out on a copy of it before OpenVINO's engine meets them.

The engine does not survive shapes that contradict the graph. It goes on with the shapes of the
batch before: it fails batches that are right, with one thread it answers with what the last batch
left behind, and it reads past the end of inputs. Shape inference on a copy that is never compiled
finds such shapes without harm; it takes milliseconds, once for each combination of shapes.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from gluonserve.executors.infer_requests import Combination

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import openvino

    from gluonserve.executors.infer_requests import Shape

_KEPT = 1024


class Shapes:
    """What a network makes of the shapes of its inputs; remembers those it was asked."""

    def __init__(self, model: openvino.Model, inputs: Iterable[str]) -> None:
        self._copy = model.clone()
        self._inputs = tuple(inputs)
        self._known: dict[tuple[Shape, ...], Combination] = {}
        self._lock = threading.Lock()

    def met(self, inputs: Mapping[str, Shape]) -> Combination | None:
        """What is known of this combination, without finding out."""
        return self._known.get(tuple(map(inputs.__getitem__, self._inputs)))

    def combination(self, inputs: Mapping[str, Shape]) -> Combination:
        """What these shapes make of the outputs'.

        Raises:
            RuntimeError: OpenVINO's own, the network does not take these shapes.
        """
        asked = tuple(map(inputs.__getitem__, self._inputs))
        known = self._known.get(asked)
        if known is None:
            with self._lock:
                state(self._copy, inputs)
                known = Combination(
                    tuple(
                        tuple(shape.to_shape()) if (shape := one.partial_shape).is_static else None
                        for one in self._copy.outputs
                    )
                )
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[asked] = known
        return known


def state(model: openvino.Model, inputs: Mapping[str, Shape]) -> None:
    """Give a model these input shapes, and infer all others.

    Raises:
        RuntimeError: OpenVINO's own, the network does not take them.
    """
    for parameter in model.get_parameters():
        for name in parameter.output(0).get_names() & inputs.keys():
            parameter.set_partial_shape(_partial(inputs[name]))
    model.validate_nodes_and_infer_types()


def sizes(model: openvino.Model) -> tuple[int, int]:
    """Bytes of a model's constants, and of all that its other nodes hand on where that is known."""
    found = [0, 0]
    for node in model.get_ops():
        for output in node.outputs():
            shape = output.partial_shape
            if shape.is_static:
                size = math.prod(shape.to_shape()) * int(output.element_type.size)
                found[node.get_type_name() != "Constant"] += size
    return found[0], found[1]


def _partial(shape: Shape) -> openvino.PartialShape:
    import openvino  # noqa: PLC0415 (only where the engine has been imported already)

    return openvino.PartialShape(list(shape))
