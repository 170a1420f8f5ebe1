"""Ties between the nodes of a graph: whose result is like their inputs, and what that carries."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gluonserve.loader.graph import Graph, Variable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Edge = tuple[int, int, int]
"""Two nodes, and by how much the number of the second is larger."""


FIRST = [
    "Activation",
    "BatchNorm",
    "BatchNorm_v1",
    "_contrib_SyncBatchNorm",
    "_contrib_BatchNormWithReLU",
    "Dropout",
    "LeakyReLU",
    "LayerNorm",
    "GroupNorm",
    "InstanceNorm",
    "L2Normalization",
    "LRN",
    "softmax",
    "log_softmax",
    "softmin",
    "SoftmaxActivation",
    "SoftmaxOutput",
    "LinearRegressionOutput",
    "LogisticRegressionOutput",
    "MAERegressionOutput",
    "SVMOutput",
    "MakeLoss",
    "make_loss",
    "BlockGrad",
    "Cast",
    "amp_cast",
    "clip",
    "_copy",
    "SwapAxis",
    "transpose",
    "slice",
    "slice_axis",
    "slice_like",
    "Pad",
    "reverse",
    "SequenceMask",
    "SequenceReverse",
    "_contrib_boolean_mask",
    "Pooling",
    "UpSampling",
    "_contrib_AdaptiveAvgPooling2D",
    "_contrib_BilinearResize2D",
    "_contrib_div_sqrt_dim",
    "_image_to_tensor",
    "_image_normalize",
    "_image_resize",
    "_image_crop",
    "_image_flip_left_right",
    "_image_flip_top_bottom",
    "_image_adjust_lighting",
    "Crop",
    "_contrib_quantize",
    "_contrib_quantize_v2",
    "_contrib_quantized_act",
    "_contrib_quantized_pooling",
    "_contrib_requantize",
    "_contrib_dequantize",
    "_power_scalar",
    "_rpower_scalar",
    "_npi_copy",
    "zeros_like",
    "ones_like",
    "broadcast_axis",
    "repeat",
    "sort",
    "argsort",
    "relu",
    "sigmoid",
    "tanh",
    "exp",
    "log",
    "sqrt",
    "square",
    "abs",
    "negative",
    "softsign",
    "erf",
    "reciprocal",
    "rsqrt",
    "round",
    "floor",
    "ceil",
    "sign",
    "cumsum",
    "_np_cumsum",
    "_np_copy",
    "_npx_relu",
    "_npx_sigmoid",
    "hard_sigmoid",
    "expm1",
    "log1p",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "degrees",
    "radians",
    "rint",
    "fix",
    "trunc",
    "cbrt",
    "rcbrt",
    "gamma",
    "gammaln",
    "erfinv",
    "logical_not",
    "smooth_l1",
    "RNN",
]
"""Operators whose result is in rank and type like their first input."""
ALL = [
    "elemwise_add",
    "elemwise_sub",
    "elemwise_mul",
    "elemwise_div",
    "add_n",
    "_grad_add",
    "Concat",
    "_maximum",
    "_minimum",
    "_equal",
    "_not_equal",
    "_greater",
    "_greater_equal",
    "_lesser",
    "_lesser_equal",
    "_power",
    "_mod",
    "_hypot",
    "where",
    "amp_multicast",
    "batch_dot",
]
"""Operators whose result is in rank and type like all of their inputs."""


def spread(
    known: Mapping[int, int], edges: Collection[Edge], found: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Carry numbers along edges ``(a, b, d)`` that say ``b = a + d``; what came first stays."""
    near: dict[int, list[tuple[int, int]]] = {}
    for one, other, more in edges:
        near.setdefault(one, []).append((other, more))
        near.setdefault(other, []).append((one, -more))
    numbers = {**known, **(found or {})}
    pending = deque(numbers)
    while pending:
        at = pending.popleft()
        for other, more in near.get(at, ()):
            if other not in numbers and numbers[at] + more >= 0:
                numbers[other] = numbers[at] + more
                pending.append(other)
    return numbers


def by_name(graph: Graph, numbers: Mapping[int, int]) -> dict[str, int]:
    """The numbers of a graph's variables."""
    return {
        node.name: numbers[at]
        for at, node in enumerate(graph.nodes)
        if isinstance(node, Variable) and at in numbers
    }
