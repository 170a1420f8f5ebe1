"""What is known of a network's inputs before it is lowered: types, ranks, and what settings say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gluonserve.loader.attributes import BadAttribute, Dims, read_attribute
from gluonserve.loader.graph import Graph, Node, Ref, Variable
from gluonserve.loader.ties import ALL, FIRST, by_name, spread
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gluonserve.loader.ties import Edge


@dataclass(frozen=True, slots=True)
class InputHint:
    """What settings say about an input; -1 in ``shape`` is a free dimension.

    ``batch_axis`` is the axis that counts rows, "none" where there is none, and None where the
    default holds. ``accept`` lists further types that requests may use; where neither it nor
    ``dtype`` is stated, those do of which the graph makes no difference.
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

_TYPED_ALIKE = frozenset({"Convolution", "Deconvolution", "FullyConnected", "RNN", "stack"})
_TYPED_AS_FIRST = frozenset({
    "Flatten", "Reshape", "SequenceLast", "SliceChannel", "_contrib_arange_like",
    "_contrib_interleaved_matmul_selfatt_qk", "expand_dims", "mean", "squeeze", "sum", "tile",
})  # fmt: skip
_TYPED_APART = frozenset(
    {
        "Embedding",
        "_contrib_SparseEmbedding",
        "take",
        "Cast",
        "amp_cast",
        "_contrib_quantize",
        "_contrib_quantize_v2",
        "_contrib_requantize",
        "_contrib_dequantize",
    }
)


def dtypes(graph: Graph, stored: Mapping[str, DType]) -> dict[str, DType]:
    """Types of variables as far as the parameters that meet them tell."""
    order = list(DType)
    edges: list[Edge] = []
    known: dict[int, int] = {}
    for at, node in enumerate(graph.nodes):
        if isinstance(node, Variable):
            if node.name in stored:
                known[at] = order.index(stored[node.name])
        else:
            edges.extend(_dtype_edges(at, node))
    found = by_name(graph, spread(known, edges))
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


def _dtype_edges(at: int, node: Node) -> Iterator[Edge]:
    if node.op == "Embedding" and len(node.inputs) > 1:
        yield (node.inputs[1].node, at, 0)
    elif node.op in _TYPED_APART:
        return
    elif node.op in ALL or node.op in _TYPED_ALIKE or node.op.startswith("broadcast_"):
        yield from ((ref.node, at, 0) for ref in node.inputs if ref != _condition(node))
    elif node.op in FIRST or node.op in _TYPED_AS_FIRST or _is_scalar(node.op):
        yield from ((ref.node, at, 0) for ref in node.inputs[:1])


def _is_scalar(op: str) -> bool:
    """The arithmetic of tensors with numbers keeps the type; NumPy's may not."""
    return op.endswith("_scalar") and not op.startswith("_npi")


def _condition(node: Node) -> Ref | None:
    """The input of ``where`` whose type is its own affair."""
    return node.inputs[0] if node.op == "where" and node.inputs else None
