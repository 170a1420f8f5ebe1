"""Names a graph's outputs as MXNet's ``list_outputs()`` does."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from gluonserve.loader.attributes import BadAttribute, Dims, read_attribute
from gluonserve.loader.graph import Graph, Node, Ref, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_QUANTIZED = ("output", "min_output", "max_output")
_DECLARED: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "BatchNorm": ("output", "mean", "var"),
    "BatchNorm_v1": ("output", "mean", "var"),
    "BilinearSampler": ("output", "tmp"),
    "Correlation": ("output", "tmp1", "tmp2"),
    "Dropout": ("output", "mask"),
    "GridGenerator": ("output", "grid_dst"),
    "GroupNorm": ("output", "mean", "std"),
    "InstanceNorm": ("output", "mean", "var"),
    "L2Normalization": ("output", "norm"),
    "LRN": ("output", "tmp_norm"),
    "LayerNorm": ("output", "mean", "std"),
    "LeakyReLU": ("output", "mask"),
    "Pooling": ("output", "workspace"),
    "RNN": ("output", "state_output", "statecell_output"),
    "ROIPooling": ("output", "maxidx"),
    "SpatialTransformer": ("output", "grid_dst", "tmp"),
    "_contrib_BatchNormWithReLU": ("output", "mean", "var", "mask"),
    "_contrib_DeformablePSROIPooling": ("output", "top_count"),
    "_contrib_MultiBoxTarget": ("loc_target", "loc_mask", "cls_target"),
    "_contrib_MultiProposal": ("output", "score"),
    "_contrib_Proposal": ("output", "score"),
    "_contrib_SyncBatchNorm": ("output", "mean", "var"),
    "_contrib_calibrate_entropy": ("threshold", "divergence"),
    "_contrib_hawkesll": ("output", "out_state"),
    "_contrib_quantize_asym": ("output", "scale", "shift"),
    "_contrib_quantized_act": _QUANTIZED,
    "_contrib_quantized_batch_norm": _QUANTIZED,
    "_contrib_quantized_concat": _QUANTIZED,
    "_contrib_quantized_conv": _QUANTIZED,
    "_contrib_quantized_elemwise_add": _QUANTIZED,
    "_contrib_quantized_elemwise_mul": _QUANTIZED,
    "_contrib_quantized_embedding": _QUANTIZED,
    "_contrib_quantized_flatten": _QUANTIZED,
    "_contrib_quantized_fully_connected": _QUANTIZED,
    "_contrib_quantized_pooling": _QUANTIZED,
    "_npi_concatenate": ("out",),
    "_npi_dstack": ("out",),
    "_npi_hstack": ("out",),
    "_npi_matmul": ("out",),
    "_npi_std": ("std", "mean"),
    "_npi_var": ("var", "mean"),
    "make_loss": ("loss",),
})  # fmt: skip
_NUMBERED = frozenset({
    "CTCLoss", "SliceChannel", "_contrib_bipartite_matching", "_contrib_box_encode",
    "_contrib_box_nms", "_contrib_quantize", "_contrib_quantize_v2", "_contrib_requantize",
    "_histogram", "_linalg_det", "_linalg_gelqf", "_linalg_slogdet", "_linalg_syevd",
    "_npi_average", "_npi_eig", "_npi_eigh", "_npi_exponential", "_npi_gumbel", "_npi_logistic",
    "_npi_norm", "_npi_normal", "_npi_normal_n", "_npi_pareto", "_npi_rayleigh", "_npi_svd",
    "_npi_weibull", "_sample_unique_zipfian", "moments", "sort",
})  # fmt: skip


def output_names(graph: Graph) -> tuple[str, ...]:
    """MXNet's name of each head; a name that is taken gets ``_1``, ``_2`` ..."""
    listed = [_listed(graph, head) for head in graph.heads]
    taken = set(listed)
    given: set[str] = set()
    numbers: dict[str, int] = {}
    unique = []
    for wanted in listed:
        name = wanted
        while name in given or (name != wanted and name in taken):
            numbers[wanted] = numbers.get(wanted, 0) + 1
            name = f"{wanted}_{numbers[wanted]}"
        given.add(name)
        unique.append(name)
    return tuple(unique)


def _listed(graph: Graph, head: Ref) -> str:
    node = graph.nodes[head.node]
    if isinstance(node, Variable):
        return node.name
    name = _output(node, head.index)
    return f"{node.name}_{name}" if node.name else name


def _output(node: Node, index: int) -> str:
    declared = _DECLARED.get(node.op, ())
    if index < len(declared):
        return declared[index]
    if index == 0 and node.op not in _NUMBERED and _count(node) == 1:
        return "output"
    return f"output{index}"


def _count(node: Node) -> int:
    """How many outputs the operator has, hidden ones included; 1 where nothing is known.

    Unreadable attributes count as nothing known: the lowering reports them, all at once.
    """
    try:
        return _COUNTS[node.op](node) if node.op in _COUNTS else 1
    except BadAttribute:
        return 1


def _int(node: Node, name: str) -> int:
    return int(str(read_attribute(name, node.attributes.get(name, "0"), int)))


def _pieces(node: Node) -> int:
    indices = read_attribute("indices", node.attributes.get("indices", "()"), Dims)
    return _int(node, "sections") or len(indices if isinstance(indices, tuple) else ())


def _flags(node: Node, *names: str) -> int:
    """One output, and another for each attribute that is true."""
    return 1 + sum(
        bool(read_attribute(name, node.attributes.get(name, "False"), bool)) for name in names
    )


_COUNTS: Mapping[str, Callable[[Node], int]] = MappingProxyType(
    {
        "_cond": lambda node: _int(node, "num_outputs"),
        "_foreach": lambda node: _int(node, "num_outputs"),
        "_np_atleast_1d": lambda node: _int(node, "num_args"),
        "_np_atleast_2d": lambda node: _int(node, "num_args"),
        "_np_atleast_3d": lambda node: _int(node, "num_args"),
        "_npi_dsplit": _pieces,
        "_npi_hsplit": _pieces,
        "_npi_unique": lambda node: _flags(node, "return_index", "return_inverse", "return_counts"),
        "_sample_multinomial": lambda node: _flags(node, "get_prob"),
        "_split_v2": _pieces,
        "_while_loop": lambda node: _int(node, "num_outputs"),
        "amp_multicast": lambda node: _int(node, "num_outputs"),
        "topk": lambda node: 1 + (node.attributes.get("ret_typ") == "both"),
    }
)
