"""What is shared while a model is built: its target, its graphs, names, constants and facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gluonserve.loader.lowering import dims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from onnx import NodeProto

    from gluonserve.loader.graph import Graph, Node
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.emit import Emit
    from gluonserve.loader.lowering.values import Value

HOLE = "~hole"
"""How names of dimensions begin that only other operators fix."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the ONNX is for: an opset, and what of it the engine lacks (ONNX operator names)."""

    opset: int = 18
    lacks: frozenset[str] = frozenset()

    def has(self, op_type: str) -> bool:
        """Whether the engine runs this ONNX operator."""
        return op_type not in self.lacks


PLAIN_ONNX = Target()


@dataclass(slots=True)
class Scope:
    """The nodes of one graph being built: the model's, or the body of a loop or branch."""

    parent: Scope | None = None
    nodes: list[NodeProto] = field(default_factory=list)
    lengths: dict[Dim, Value] = field(default_factory=dict)
    makes_nan: bool = False
    """Whether stored statistics that lowerings have met make NaN of whatever comes."""
    recurrent: int = 0
    """How many recurrent nodes there are so far."""

    @property
    def depth(self) -> int:
        """How many graphs this one stands inside."""
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def outermost(self) -> Scope:
        """The graph of the model itself."""
        return self if self.parent is None else self.parent.outermost


@dataclass(slots=True)
class Build:
    """What all scopes of one model share while it is built."""

    target: Target
    np_shape: bool = False
    sketch: bool = False
    """Whether only types and shapes are wanted, so that no weights need be computed."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """Every constant by its value's name; only those that nodes read become initializers."""
    used: dict[str, None] = field(default_factory=dict)
    learned: dict[str, Dim] = field(default_factory=dict)
    """Free dimensions that some operator fixed; the importer builds again with them."""
    known: Mapping[str, Dim] = field(default_factory=dict)
    """What earlier passes fixed of the holes in this graph's shapes."""
    sources: dict[str, tuple[Value, int, Scope]] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    constants: dict[tuple[str, tuple[int, ...], bytes], Value] = field(default_factory=dict)
    coupled: set[str] = field(default_factory=set)
    """Free dimensions along which elements depend on each other; those cannot count rows."""
    rows: set[str] = field(default_factory=set)
    """Free dimensions that operators take for rows."""
    demands: dict[tuple[Dim, Dim], None] = field(default_factory=dict)
    """Dimensions that operators want alike where that fixes no free one."""
    broadcasts: dict[tuple[Dim, Dim], None] = field(default_factory=dict)
    """Dimensions of which operators want one to be 1 where they are not alike."""
    reduced: set[str] = field(default_factory=set)
    """Values that arithmetic would join in the pass of a reduction."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Which of the constants are stored parameters, and their names there."""
    node: Node | None = None
    place: tuple[int, ...] = ()
    """Where the node stands: its position, after those of the nodes whose subgraphs it is in."""
    inline: Callable[[Emit, Graph, Sequence[Value]], tuple[Value, ...]] | None = None

    def unique(self, wanted: str) -> str:
        """A name that no other value has."""
        name = wanted
        while name in self.names:
            self.names[wanted] += 1
            name = f"{wanted}_{self.names[wanted]}"
        self.names[name] = 0
        return name

    def note_sources(self, value: Value, scope: Scope) -> None:
        """Remember which tensor shows a free dimension at run time."""
        for axis, dim in enumerate(value.shape):
            name = dims.free_name(dim)
            if name is not None and name not in self.sources:
                self.sources[name] = (value, axis, scope)
