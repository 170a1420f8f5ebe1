"""Attention with every size stated, which OpenVINO must not fuse into loops of its own.

Its "snippets" end the process while they compile some such networks: two layers of one head each
behind a gate, or one behind a selection. Without them attention takes 0 to 10 percent longer; with
a free dimension they come to no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import openvino

_WITHOUT_SNIPPETS: Mapping[str, str] = {"SNIPPETS_MODE": "DISABLE"}


def careful_settings(model: openvino.Model) -> Mapping[str, str]:
    """What to compile a model with beside the usual settings: nothing, for most."""
    return _WITHOUT_SNIPPETS if not model.is_dynamic() and _attends(model) else {}


def _attends(model: openvino.Model) -> bool:
    """Whether computed tensors are multiplied by each other, and there is a softmax."""
    nodes = model.get_ops()
    return any(node.get_type_name() == "Softmax" for node in nodes) and any(
        node.get_type_name() == "MatMul"
        and not any(
            node.input_value(at).get_node().get_type_name() == "Constant"
            for at in range(node.get_input_size())
        )
        for node in nodes
    )
