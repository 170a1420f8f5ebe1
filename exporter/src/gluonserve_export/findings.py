"""What ``diagnose`` can find: codes, what each means for serving, and the change that fixes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Dict, FrozenSet, Optional

    from gluonserve_export.sources import Where

STOPS, TRACED, NOTE = "stops the export", "is traced instead", "is worth knowing"


@dataclass(frozen=True)
class Kind:
    """One kind of finding; ``weight`` says what it does to an export."""

    weight: str
    meaning: str
    fix: str


@dataclass(frozen=True)
class Finding:
    """Something at one child of the network (``path`` is empty for the network itself).

    ``names`` are the parameters it is about.
    """

    code: str
    path: str
    what: str
    where: Optional[Where] = None
    names: FrozenSet[str] = frozenset()

    @property
    def kind(self) -> Kind:
        """What its code means."""
        return KINDS[self.code]

    @property
    def stops(self) -> bool:
        """Whether the network cannot be exported before this is changed."""
        return self.kind.weight == STOPS

    @property
    def meaning(self) -> str:
        """What it means for serving."""
        return self.kind.meaning

    @property
    def fix(self) -> str:
        """The change that fixes it."""
        return self.kind.fix

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        at = self.path or "the network itself"
        return f"{self.code} at {at}: {self.what}{place}\n  {self.meaning}\n  Fix: {self.fix}"


_HYBRIDIZE = "hybridize() fails here, so net.export() does; export_model traces an imperative run."

KINDS: Dict[str, Kind] = {
    "plain-block": Kind(
        TRACED,
        "A Block runs Python for every call and has no graph to export; export_model traces one.",
        "Derive it from HybridBlock and write hybrid_forward(self, F, x) with F instead of nd; or "
        "leave it and use export_model.",
    ),
    "plain-child-of-hybrid": Kind(
        STOPS,
        "A HybridBlock takes only HybridBlocks as children; MXNet refuses the others when the "
        "network is built.",
        "Make the child a HybridBlock (HybridSequential for Sequential), or the parent a Block.",
    ),
    "sequential": Kind(
        TRACED,
        "All its children are hybrid: as HybridSequential it answers the same and can be "
        "hybridized.",
        "Write nn.HybridSequential instead of nn.Sequential.",
    ),
    "hidden-blocks": Kind(
        NOTE,
        "Blocks in lists, tuples, dictionaries and objects, or outside of the network, are not "
        "children: initialize(), save_parameters(), collect_params() and net.export() pass over "
        "their parameters.",
        "Put them into nn.HybridSequential and index that, or call register_child for each.",
    ),
    "name-clash": Kind(
        STOPS,
        "Two different parameters have one name, and files hold one array per name.",
        "Create children inside `with self.name_scope():`, or give them different prefixes.",
    ),
    "overridden-forward": Kind(
        TRACED,
        "A HybridBlock whose own forward() computes is never hybridized: hybridize() only reaches "
        "hybrid_forward().",
        "Rename it to hybrid_forward(self, F, x) and use F instead of nd.",
    ),
    "hybrid-shape": Kind(
        TRACED,
        "A Symbol has no shape. " + _HYBRIDIZE,
        "Use operators that take shapes from their inputs: reshape codes 0 and -1, F.shape_array, "
        "F.reshape_like, F.broadcast_like, F.slice_like, global_pool=True.",
    ),
    "hybrid-attribute": Kind(
        TRACED,
        "Symbols lack what only arrays have (dtype, context, copyto ...). " + _HYBRIDIZE,
        "Do without it: operators like F.cast, F.zeros_like and F.identity take it from an input.",
    ),
    "hybrid-value": Kind(
        TRACED,
        "A Symbol has no values. " + _HYBRIDIZE,
        "Compute with operators instead of asnumpy() and asscalar().",
    ),
    "hybrid-branch": Kind(
        TRACED,
        "Python decides on values that a Symbol does not have. " + _HYBRIDIZE,
        "Use F.where, or F.contrib.cond, F.contrib.while_loop and F.contrib.foreach.",
    ),
    "hybrid-nd": Kind(
        TRACED,
        "nd functions take arrays only. " + _HYBRIDIZE,
        "Call the same function on F, the first argument of hybrid_forward; hold constant arrays "
        "as parameters (self.params.get_constant).",
    ),
    "hybrid-assignment": Kind(
        TRACED,
        "Symbols cannot be changed in place. " + _HYBRIDIZE,
        "Write x = x + y for x += y, and F.where, F.concat or F.slice_axis for x[...] = y.",
    ),
    "hybrid-fails": Kind(
        TRACED,
        _HYBRIDIZE,
        "Use only operators of F on the arguments of hybrid_forward.",
    ),
    "hybrid-differs": Kind(
        TRACED,
        "Hybridized, it answers otherwise than imperatively, without any error: x[0], len(x) and "
        "loops over x mean the outputs of a Symbol, not the rows of an array.",
        "Use F.slice_axis, F.split, F.take or F.contrib.foreach.",
    ),
    "uninitialised": Kind(
        STOPS,
        "The parameter has no values.",
        "Call initialize(), or load_parameters(), for the Block it belongs to.",
    ),
    "deferred": Kind(
        STOPS,
        "The parameter has no shape and no values before the network has run once.",
        "Run the network once on an input, net(x), before exporting it; or load its parameters.",
    ),
    "shared": Kind(
        NOTE,
        "Several Blocks use one parameter; the export holds it once.",
        "Nothing, if it is meant.",
    ),
    "unused": Kind(
        NOTE,
        "The parameter changes no output; the export leaves it out.",
        "Nothing, if it is meant (parts for training only); else use it in the forward.",
    ),
    "custom-operator": Kind(
        STOPS,
        "The operator is Python code, which an export does not hold.",
        "Write it with MXNet's own operators.",
    ),
    "unsupported-operator": Kind(
        STOPS,
        "The server has no lowering for the operator (docs/operators.md lists those it has).",
        'Write it with other operators, or serve with executor = "mxnet" and '
        "export_model(..., check_operators=False).",
    ),
    "value-branch": Kind(
        STOPS,
        "The structure of the computation depends on values, and a trace holds one structure.",
        "Use F.where, or F.contrib.foreach, F.contrib.while_loop and F.contrib.cond in a "
        "HybridBlock.",
    ),
    "value-read": Kind(
        STOPS,
        "Python reads values of the run, and a trace would hold those of the sample for ever.",
        "Compute with operators instead of asnumpy() and asscalar(); where the structure depends "
        "on the value: F.contrib.foreach, F.contrib.while_loop, F.contrib.cond.",
    ),
    "state-written": Kind(
        STOPS,
        "The forward changes a parameter or a stored array, and a served network has no memory "
        "between requests.",
        "Take the state as an input and return the new state as an output.",
    ),
    "view-written": Kind(
        STOPS,
        "Memory that another array shares is written in place, which a graph cannot hold.",
        "Compute a new array: F.where, F.concat, F.broadcast_mul ... instead of x[...] = y.",
    ),
    "fixed-dimension": Kind(
        NOTE,
        "A number that the forward took from a shape is fixed in the export, so that other sizes "
        "of this dimension are not served.",
        "Use operators that take shapes from their inputs: reshape codes 0 and -1, zeros_like, "
        "broadcast_like, slice_like, global_pool=True.",
    ),
    "mixed-rows": Kind(
        NOTE,
        "Rows of one call change each other's answers, so the server runs every request by itself "
        "and batches none.",
        "Nothing, if it is meant; otherwise look for operations over axis 0, or give batch_axes "
        "where another axis counts rows.",
    ),
    "random": Kind(
        STOPS,
        "The same input gives different outputs, so nothing can be proven of an export.",
        "Leave random layers out of the network that is served, and what changes from call to call "
        "(counters, clocks); take a state as an input, and return the new state as an output.",
    ),
    "constant": Kind(
        STOPS,
        "No output depends on an input: there is nothing to serve.",
        "Compute with operators of mxnet on the inputs; what runs elsewhere is not recorded.",
    ),
    "unused-input": Kind(
        NOTE,
        "The input changes no output: the graph has no variable for it, and requests leave it out.",
        "Nothing, if it is meant; else use it in the forward.",
    ),
    "forward-fails": Kind(
        STOPS,
        "The network does not run on these inputs even without hybridizing.",
        "Correct the forward, or the sample inputs.",
    ),
    "not-proven": Kind(
        STOPS,
        "The graph that was traced answers otherwise than the network, so it is not exported: it "
        "holds what Python made of the sample's values.",
        "Compute with functions of nd only, or write this part as a HybridBlock that hybridize() "
        "accepts.",
    ),
    "not-arrays": Kind(
        STOPS,
        "Outputs and inputs of a served network are arrays, in lists, tuples and dictionaries.",
        "Return arrays only; give sample inputs as arrays (mx.nd.array).",
    ),
}
"""Every kind of finding by its code."""
