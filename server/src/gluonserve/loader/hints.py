"""What is known of a network's inputs before it is lowered: types, ranks, and what settings say."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gluonserve.loader.attributes import BadAttribute, Dims, read_attribute
from gluonserve.loader.graph import Graph, Node, Ref, Variable
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class InputHint:
    """What settings say about an input; -1 in ``shape`` is a free dimension.

    ``batch_axis`` is the axis that counts rows, "none" where there is none, and None where the
    default holds. ``accept`` lists further types that requests may use.
    """

    dtype: DType | None = None
    shape: tuple[int, ...] | None = None
    batch_axis: int | Literal["none"] | None = None
    accept: tuple[DType, ...] = ()


FLAGS: Mapping[int, DType] = {
    0: DType.FP32,
    1: DType.FP64,
    2: DType.FP16,
    3: DType.UINT8,
    4: DType.INT32,
    5: DType.INT8,
    6: DType.INT64,
    7: DType.BOOL,
    8: DType.INT16,
    9: DType.UINT16,
    10: DType.UINT32,
    11: DType.UINT64,
}
"""MXNet's numbers for types, as ``__dtype__`` has them."""

_Edge = tuple[int, int, int]

_FIRST = [
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
    "Pooling",
    "UpSampling",
    "_contrib_AdaptiveAvgPooling2D",
    "_contrib_BilinearResize2D",
    "_contrib_div_sqrt_dim",
    "_image_to_tensor",
    "_image_normalize",
    "_image_resize",
    "_image_crop",
    "Crop",
    "_contrib_quantize_v2",
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
_ALL = [
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
_FOUR = [
    "UpSampling",
    "_contrib_AdaptiveAvgPooling2D",
    "_contrib_BilinearResize2D",
    "SpatialTransformer",
    "BilinearSampler",
    "ROIPooling",
    "_contrib_ROIAlign",
    "_contrib_DeformableConvolution",
    "Crop",
    "Pad",
    "_contrib_ModulatedDeformableConvolution",
    "_contrib_MultiBoxPrior",
    "Correlation",
    "depth_to_space",
    "space_to_depth",
]
_OUT_OF_ORDER = {"Embedding": (0, 1), "expand_dims": (0, 1), "stack": (None, 1), "one_hot": (0, 1)}
_TYPED_ALIKE = frozenset({"Convolution", "Deconvolution", "FullyConnected", "RNN", "stack"})
_TYPED_APART = frozenset({"Embedding", "_contrib_SparseEmbedding", "take", "Cast", "amp_cast"})


def ranks(graph: Graph, stored: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Ranks of variables as far as the operators that read them tell."""
    edges: list[_Edge] = []
    known: dict[int, int] = {}
    for at, node in enumerate(graph.nodes):
        if isinstance(node, Variable):
            if node.name in stored:
                known[at] = len(stored[node.name])
            continue
        edges.extend(_rank_edges(at, node))
        known.update(dict(_rank_facts(at, node)))
    found = _spread(known, edges)
    found = _spread(dict(_weak_rank_facts(graph, found)), edges, found)
    return _by_name(graph, found)


def dtypes(graph: Graph, stored: Mapping[str, DType]) -> dict[str, DType]:
    """Types of variables as far as the parameters that meet them tell."""
    order = list(DType)
    edges: list[_Edge] = []
    known: dict[int, int] = {}
    for at, node in enumerate(graph.nodes):
        if isinstance(node, Variable):
            if node.name in stored:
                known[at] = order.index(stored[node.name])
        else:
            edges.extend(_dtype_edges(at, node))
    found = _by_name(graph, _spread(known, edges))
    return {name: order[index] for name, index in found.items()}


def declared_dtype(variable: Variable) -> DType | None:
    """The type in a variable's metadata."""
    text = variable.metadata.get("__dtype__", "")
    return FLAGS.get(int(text)) if text.isdigit() else None


def declared_shape(variable: Variable, *, np_shape: bool) -> tuple[int, ...] | None:
    """The shape in a variable's metadata, -1 where a dimension is unknown."""
    text = variable.metadata.get("__shape__")
    if text is None:
        return None
    try:
        read = read_attribute("__shape__", text, Dims)
    except BadAttribute:
        return None
    shape = tuple(int(dim) for dim in read) if isinstance(read, tuple) else ()
    if not shape and (not np_shape or text.strip() == "None"):
        return None
    return tuple(-1 if dim == -1 or (dim == 0 and not np_shape) else dim for dim in shape)


def _rank_edges(at: int, node: Node) -> Iterator[_Edge]:
    if node.op in _ALL:
        yield from ((ref.node, at, 0) for ref in node.inputs)
    elif node.op in _FIRST or node.op.endswith("_scalar"):
        yield from ((ref.node, at, 0) for ref in node.inputs[:1])
    elif node.op in _OUT_OF_ORDER:
        slot, more = _OUT_OF_ORDER[node.op]
        chosen = node.inputs if slot is None else node.inputs[slot : slot + 1]
        yield from ((ref.node, at, more) for ref in chosen)
    elif node.op == "FullyConnected" and not _flattens(node):
        yield (node.inputs[0].node, at, 0)


def _rank_facts(at: int, node: Node) -> Iterator[tuple[int, int]]:
    kernel = _dims(node, "kernel")
    if node.op in ("Convolution", "Deconvolution", "Convolution_v1") and kernel and node.inputs:
        yield from ((at, len(kernel) + 2), (node.inputs[0].node, len(kernel) + 2))
    elif node.op in ("Pooling", "Pooling_v1") and kernel:
        yield (at, len(kernel) + 2)
    elif node.op in _FOUR and node.inputs:
        yield (node.inputs[0].node, 4)
    elif node.op == "RNN":
        yield from ((ref.node, rank) for ref, rank in zip(node.inputs, (3, 1, 3, 3), strict=False))
    elif node.op == "Flatten" or (node.op == "FullyConnected" and _flattens(node)):
        yield (at, 2)
    elif node.op in ("_zeros", "_ones", "_full") and (shape := _dims(node, "shape")):
        yield (at, len(shape))
    elif node.op == "transpose" and (axes := _dims(node, "axes")):
        yield (at, len(axes))


def _weak_rank_facts(graph: Graph, found: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Where nothing else tells, a dense layer gets rows of a matrix."""
    for node in graph.nodes:
        if isinstance(node, Node) and node.op == "FullyConnected" and node.inputs:
            source = node.inputs[0].node
            if source not in found:
                yield source, 2


def _dtype_edges(at: int, node: Node) -> Iterator[_Edge]:
    if node.op == "Embedding" and len(node.inputs) > 1:
        yield (node.inputs[1].node, at, 0)
    elif node.op in _TYPED_APART:
        return
    elif node.op in _ALL or node.op in _TYPED_ALIKE or node.op.startswith("broadcast_"):
        yield from ((ref.node, at, 0) for ref in node.inputs if ref != _condition(node))
    elif node.op in _FIRST or node.op in ("Reshape", "Flatten", "expand_dims", "squeeze"):
        yield from ((ref.node, at, 0) for ref in node.inputs[:1])


def _condition(node: Node) -> Ref | None:
    """The input of ``where`` whose type is its own affair."""
    return node.inputs[0] if node.op == "where" and node.inputs else None


def _spread(
    known: Mapping[int, int], edges: Collection[_Edge], found: Mapping[int, int] | None = None
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


def _by_name(graph: Graph, numbers: Mapping[int, int]) -> dict[str, int]:
    return {
        node.name: numbers[at]
        for at, node in enumerate(graph.nodes)
        if isinstance(node, Variable) and at in numbers
    }


def _dims(node: Node, name: str) -> tuple[int, ...]:
    read = read_attribute(name, node.attributes.get(name, "()"), Dims)
    return read if isinstance(read, tuple) else ()


def _flattens(node: Node) -> bool:
    return bool(read_attribute("flatten", node.attributes.get("flatten", "True"), bool))
