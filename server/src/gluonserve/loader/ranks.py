"""Ranks of a network's inputs, as far as the operators tell that read them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from gluonserve.loader.attributes import Dims, read_attribute
from gluonserve.loader.graph import Graph, Node, Variable
from gluonserve.loader.subgraphs import bindings
from gluonserve.loader.ties import ALL, FIRST, by_name, spread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from gluonserve.loader.ties import Edge

_FOUR = [
    "UpSampling",
    "_contrib_AdaptiveAvgPooling2D",
    "_contrib_BilinearResize2D",
    "Crop",
    "Pad",
    "_contrib_MultiBoxPrior",
    "depth_to_space",
    "space_to_depth",
]
_OUT_OF_ORDER = {"Embedding": (0, 1), "expand_dims": (0, 1), "stack": (None, 1), "one_hot": (0, 1)}
_RANKS: Mapping[str, tuple[int, ...]] = {
    "CTCLoss": (3, 2, 1, 1),
    "BilinearSampler": (4, 4),
    "Correlation": (4, 4),
    "ROIPooling": (4, 2),
    "RNN": (3, 1, 3, 3, 1),
    "SpatialTransformer": (4, 2),
    "batch_dot": (3, 3),
    "_contrib_DeformableConvolution": (4, 4, 4, 1),
    "_contrib_DeformablePSROIPooling": (4, 2, 4),
    "_contrib_ModulatedDeformableConvolution": (4, 4, 4, 4, 1),
    "_contrib_MultiBoxDetection": (3, 2, 3),
    "_contrib_MultiProposal": (4, 4, 2),
    "_contrib_PSROIPooling": (4, 2),
    "_contrib_Proposal": (4, 4, 2),
    "_contrib_ROIAlign": (4, 2),
    "_contrib_RROIAlign": (4, 2),
    "_contrib_box_decode": (3, 3),
    "_contrib_interleaved_matmul_encdec_qk": (3, 3),
    "_contrib_interleaved_matmul_encdec_valatt": (3, 3),
    "_contrib_interleaved_matmul_selfatt_qk": (3,),
    "_contrib_interleaved_matmul_selfatt_valatt": (3, 3),
}
"""Ranks of inputs, in order."""
_DENSE = frozenset(
    {"FullyConnected", "_contrib_quantized_fully_connected", "_sg_mkldnn_fully_connected"}
)
_CONVOLUTIONS = frozenset(
    {
        "Convolution",
        "Convolution_v1",
        "Deconvolution",
        "_contrib_quantized_conv",
        "_sg_mkldnn_conv",
    }
)
_BROADCASTING = (
    "broadcast_", "_npi_add", "_npi_multiply", "_npi_subtract", "_npi_true_divide",
)  # fmt: skip
_OTHERWISE = frozenset({"broadcast_axis", "broadcast_like", "broadcast_to"})
_MATRIX = (1, 1)
_ANY = 100
"""More than any rank: what others are compared with it."""
_OF_LENGTHS = frozenset({"log_softmax", "softmax", "softmin"})
"""Their second input has a number for each line along the axis, which it lacks."""
_LENGTHS = frozenset({"SequenceLast", "SequenceMask", "SequenceReverse", "_contrib_boolean_mask"})
"""Their second input has a number for each row."""


class Guess(Enum):
    """What is made of a dense layer that nothing else tells the rank of."""

    NONE = 0
    FLATTENING = 1
    """It reads a matrix if it flattens whatever it reads."""
    ALL = 2
    """And one that keeps all axes but the last reads sequences, although it may read a matrix."""


def input_ranks(
    graph: Graph, stored: Mapping[str, tuple[int, ...]], *, guess: Guess = Guess.ALL
) -> dict[str, int]:
    """Ranks of variables as far as the operators that read them tell."""
    edges: list[Edge] = []
    known = {
        at: len(stored[node.name])
        for at, node in enumerate(graph.nodes)
        if isinstance(node, Variable) and node.name in stored
    }
    weak = list(_collect_ranks(graph, 0, edges, known))
    found = spread(known, edges)
    if guess is Guess.ALL:
        edges += _likely(graph, stored)
        found = spread(found, edges)
    if guess is not Guess.NONE:
        guessed = {
            at: 2 if flattens else 3
            for at, flattens in weak
            if at not in found and (flattens or guess is Guess.ALL)
        }
        found = spread(guessed, edges, found)
    return by_name(graph, found)


def relative_ranks(
    graph: Graph, stored: Mapping[str, tuple[int, ...]], names: Collection[str]
) -> dict[tuple[str, str], int]:
    """By how much the rank of a second of these variables is likely larger than that of a first."""
    edges: list[Edge] = []
    for _ in _collect_ranks(graph, 0, edges, {}):
        pass  # what dense layers read
    edges += _likely(graph, stored)
    larger: dict[tuple[str, str], int] = {}
    for at, node in enumerate(graph.nodes):
        if isinstance(node, Variable) and node.name in names:
            near = by_name(graph, spread({at: _ANY}, edges))
            larger.update(
                ((node.name, other), near[other] - _ANY) for other in names if other in near
            )
    return larger


def _collect_ranks(
    graph: Graph, base: int, edges: list[Edge], known: dict[int, int]
) -> Iterator[tuple[int, bool]]:
    """What the nodes of a graph tell, numbered from ``base``; yields what dense layers read.

    Subgraphs are numbered behind all nodes of the graph, their variables tied to what feeds them.
    """
    behind = base + len(graph.nodes)
    for at, node in enumerate(graph.nodes):
        if isinstance(node, Variable):
            continue
        edges.extend((one + base, other + base, more) for one, other, more in _rank_edges(at, node))
        known.update((where + base, rank) for where, rank in _rank_facts(at, node))
        if node.op in _DENSE and node.inputs:
            yield node.inputs[0].node + base, _flattens(node)
        bases = []
        for subgraph in node.subgraphs:
            bases.append(behind)
            yield from _collect_ranks(subgraph, behind, edges, known)
            behind += _size(subgraph)
        edges.extend(_bound_ranks(node, base, bases))


def _likely(graph: Graph, stored: Mapping[str, tuple[int, ...]]) -> Iterator[Edge]:
    """What mostly holds, and need not.

    Indices lack the axis of what they pick, as labels do; they may have it, of size 1. Labels are
    reshaped as a precaution. What is broadcast, other than a stored vector, has been given axes of
    size 1 before.
    """
    for at, node in enumerate(graph.nodes):
        if not isinstance(node, Node):
            continue
        if node.op == "pick" and len(node.inputs) > 1:
            yield node.inputs[1].node, node.inputs[0].node, 1
        elif node.op == "reshape_like" and len(node.inputs) > 1:
            yield node.inputs[0].node, node.inputs[1].node, 0
        elif node.op.startswith(_BROADCASTING) and node.op not in _OTHERWISE:
            for ref in node.inputs:
                if len(stored.get(graph.nodes[ref.node].name, _MATRIX)) >= len(_MATRIX):
                    yield ref.node, at, 0


def _bound_ranks(node: Node, base: int, bases: Sequence[int]) -> Iterator[Edge]:
    """Ties between the inputs of a loop or branch and the variables inside."""
    for binding in bindings(node):
        if binding.subgraph >= len(bases) or binding.source >= len(node.inputs):
            continue
        inside = [
            at
            for at, inner in enumerate(node.subgraphs[binding.subgraph].nodes)
            if isinstance(inner, Variable)
        ]
        if binding.place < len(inside):
            outer = base + node.inputs[binding.source].node
            yield (bases[binding.subgraph] + inside[binding.place], outer, int(binding.apart))


def _size(graph: Graph) -> int:
    """How many nodes a graph has, those of subgraphs included."""
    return len(graph.nodes) + sum(
        _size(subgraph)
        for node in graph.nodes
        if isinstance(node, Node)
        for subgraph in node.subgraphs
    )


def _rank_edges(at: int, node: Node) -> Iterator[Edge]:
    if node.op in ALL:
        yield from ((ref.node, at, 0) for ref in node.inputs)
    elif node.op in FIRST or node.op.endswith("_scalar"):
        yield from ((ref.node, at, 0) for ref in node.inputs[:1])
    elif node.op in _OUT_OF_ORDER:
        slot, more = _OUT_OF_ORDER[node.op]
        chosen = node.inputs if slot is None else node.inputs[slot : slot + 1]
        yield from ((ref.node, at, more) for ref in chosen)
    elif node.op == "FullyConnected" and not _flattens(node):
        yield (node.inputs[0].node, at, 0)
    elif node.op in ("SliceChannel", "_split_v2"):
        squeezed = read_attribute("squeeze_axis", node.attributes.get("squeeze_axis", "0"), bool)
        yield (node.inputs[0].node, at, -int(bool(squeezed)))
    elif node.op == "SequenceLast":
        yield (node.inputs[0].node, at, -1)
    if node.op in _OF_LENGTHS and len(node.inputs) > 1:
        yield (node.inputs[1].node, at, 1)
    elif node.op.startswith("_contrib_interleaved_matmul"):
        yield (node.inputs[0].node, at, 0)


def _rank_facts(at: int, node: Node) -> Iterator[tuple[int, int]]:
    kernel = _kernel(node)
    if node.op in _CONVOLUTIONS and kernel and node.inputs:
        yield from ((at, len(kernel) + 2), (node.inputs[0].node, len(kernel) + 2))
    elif node.op in ("Pooling", "Pooling_v1") and kernel:
        yield (at, len(kernel) + 2)
    elif node.op in _FOUR and node.inputs:
        yield (node.inputs[0].node, 4)
    elif node.op == "RNN" and node.attributes.get("mode") != "lstm":
        yield from ((ref.node, rank) for ref, rank in zip(node.inputs, (3, 1, 3, 1), strict=False))
    elif node.op in _RANKS:
        yield from (
            (ref.node, rank) for ref, rank in zip(node.inputs, _RANKS[node.op], strict=False)
        )
    elif node.op in _LENGTHS:
        yield from ((ref.node, 1) for ref in node.inputs[1:])
    elif node.op == "Flatten" or (node.op == "FullyConnected" and _flattens(node)):
        yield (at, 2)
    elif node.op in ("_zeros", "_ones", "_full") and (shape := _dims(node, "shape")):
        yield (at, len(shape))
    elif node.op == "transpose" and (axes := _dims(node, "axes")):
        yield (at, len(axes))


def _kernel(node: Node) -> tuple[int, ...]:
    """The sides of a window; a fused convolution's is in the graph that it holds."""
    held = [one for graph in node.subgraphs for one in graph.nodes if isinstance(one, Node)]
    inner = held if node.op == "_sg_mkldnn_conv" else [node]
    return next((kernel for one in inner if (kernel := _dims(one, "kernel"))), ())


def _dims(node: Node, name: str) -> tuple[int, ...]:
    read = read_attribute(name, node.attributes.get(name, "()"), Dims)
    return read if isinstance(read, tuple) else ()


def _flattens(node: Node) -> bool:
    return bool(read_attribute("flatten", node.attributes.get("flatten", "True"), bool))
