"""Builds an ONNX graph from lowerings: ``op.Conv(...)`` emits a node and knows what it answers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import AttributeProto, helper

from gluonserve.errors import InvalidModel
from gluonserve.loader.lowering import dims, folding, fusing, lengths
from gluonserve.loader.lowering.bodies import Body, Narrowed
from gluonserve.loader.lowering.construction import HOLE, PLAIN_ONNX, Build, Scope, Target
from gluonserve.loader.lowering.rules import RULES, Call
from gluonserve.loader.lowering.values import ONNX_TYPE, UnknownDimension, Value, wrapped
from gluonserve.tensors import DType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gluonserve.loader.graph import Graph, Node
    from gluonserve.loader.lowering.bodies import OnnxOp
    from gluonserve.loader.lowering.dims import Dim
    from gluonserve.loader.lowering.values import Operand, Shape


class Emit:
    """The graph under construction, as lowerings see it.

    ``op.Conv(x, w, kernel_shape=(3, 3))`` emits any ONNX operator with one output; its type and
    symbolic shape come from the operator's rule. Operands are values, NumPy arrays, Python lists
    of integers (an int64 vector) or Python numbers (a scalar of the first value's type); None
    leaves an optional input out, and attributes that are None are left out too. What is known at
    import is folded, so that shape arithmetic on static dimensions emits nothing.

    Lower-case methods are what lowerings need beyond single nodes.
    """

    def __init__(self, build: Build, scope: Scope | None = None) -> None:
        self._build = build
        self.scope = scope or Scope()

    def __getattr__(self, op_type: str) -> OnnxOp:
        if op_type[:1] != op_type[:1].upper() or op_type.startswith("_"):
            raise AttributeError(op_type)

        def emit(*inputs: Operand, **attributes: Any) -> Value:
            return self.node(op_type, *inputs, **attributes)[0]

        return emit

    @property
    def target(self) -> Target:
        """The engine's capabilities: ``op.target.has("DeformConv")``."""
        return self._build.target

    @property
    def np_shape(self) -> bool:
        """Whether rank 0 and size 0 are real; legacy reductions to a scalar answer ``(1,)``."""
        return self._build.np_shape

    @property
    def sketching(self) -> bool:
        """Whether only types and shapes are wanted: weights may be any of the right ones."""
        return self._build.sketch

    @property
    def mxnet_node(self) -> Node:
        """The MXNet node being lowered (its subgraphs, its text attributes, its name)."""
        if self._build.node is None:
            raise RuntimeError("no node is being lowered")
        return self._build.node

    def node(
        self,
        op_type: str,
        *inputs: Operand,
        outputs: int = 1,
        types: Sequence[tuple[DType, Shape]] | None = None,
        reads_data: bool | None = None,
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """Emit a node with any number of outputs.

        ``types`` states what the outputs are where the rule cannot know (or there is none: Loop,
        Scan, If); ``reads_data`` overrides that outputs read data if any input does.
        """
        operands = self._operands(inputs)
        given = {name: value for name, value in attributes.items() if value is not None}
        if outputs == 1 and types is None:
            folded = folding.fold(op_type, operands, given)
            if folded is not None:
                return (self.const(folded),)
        content = folding.content(op_type, operands, given) if outputs == 1 else None
        if content is not None and all(isinstance(dim, int) for dim in content[1]):
            return (self.const(np.array(content[1], content[0].numpy).reshape(content[2])),)
        operands = fusing.apart(self, self._build, op_type, operands)
        call = Call(self, op_type, operands, given, outputs)
        inferred = list(types) if types is not None else RULES[op_type](call)
        if op_type in _FATAL_WHEN_EMPTY and 0 in inferred[0][1]:
            kind, shape = inferred[0]
            return (self.filled(0, shape, kind),)
        if reads_data is None:
            reads_data = call.reads_data
        values = tuple(
            Value(self._name(), dtype, shape, reads_data, None, content[1] if content else None)
            for dtype, shape in inferred
        )
        self._append(op_type, operands, values, given)
        fusing.note(self._build, op_type, operands, values)
        return values

    def const(
        self, array: np.ndarray | np.generic | float | Sequence[int], dtype: DType | None = None
    ) -> Value:
        """A constant; equal small ones are shared."""
        elements = np.asarray(array, None if dtype is None else dtype.numpy)
        kind = DType.of(elements.dtype)
        if elements.nbytes > _SHARED_BYTES:
            return self._constant(elements, kind)
        key = (kind.value, elements.shape, elements.tobytes())
        if key not in self._build.constants:
            self._build.constants[key] = self._constant(elements, kind)
        return self._build.constants[key]

    def scalar(self, number: Dim | float, dtype: DType = DType.INT64) -> Value:
        """A scalar of this type: a number, or a dimension that is known only at run time."""
        if not isinstance(number, dims.Expr):
            return self.const(wrapped(number, dtype))
        return self.cast(self.Squeeze(self.length(number), [0]), dtype)

    def filled(self, number: float, shape: Sequence[Dim], dtype: DType) -> Value:
        """A tensor of this shape in which every element is ``number``."""
        element = wrapped(number, dtype)
        count = dims.product(shape)
        if isinstance(count, int) and count <= _FILLED_ELEMENTS:
            known = tuple(self.static(dim, "a constant") for dim in shape)
            return self.const(np.full(known, element))
        return self.expand(self.const(element), shape)

    def length(self, dim: Dim) -> Value:
        """A dimension as an int64 tensor of shape ``(1,)``."""
        if isinstance(dim, int):
            return self.const([dim])
        home = lengths.home(self._build, dim, self.scope)
        if dim not in home.lengths:
            home.lengths[dim] = lengths.computed(Emit(self._build, home), self._build, dim)
        return home.lengths[dim]

    def shape_vector(self, shape: Sequence[Dim]) -> Value:
        """A shape as an int64 vector; a constant where every dimension is known."""
        if all(isinstance(dim, int) for dim in shape):
            return self.const(np.array(shape, np.int64))
        parts = [self.length(dim) for dim in shape]
        return parts[0] if len(parts) == 1 else self.Concat(*parts, axis=0)

    def shape_of(self, value: Value) -> Value:
        """The shape of a value as an int64 vector."""
        return self.shape_vector(value.shape)

    def static(self, dim: Dim, what: str) -> int:
        """``dim`` as a number.

        Raises:
            UnknownDimension: it is free; the importer asks the model's settings for it.
        """
        if isinstance(dim, int):
            return dim
        raise UnknownDimension(what, dims.symbols(dim))

    def equate(self, one: Dim, other: Dim, what: str = "") -> Dim:
        """Learn that two dimensions are the same, as the operator demands; the better known one.

        Raises:
            InvalidModel: they cannot be the same.
        """
        if one == other:
            return one
        if isinstance(one, int) and isinstance(other, int):
            raise InvalidModel(f"{what or 'dimensions'}: {one} is not {other}")
        if (fact := dims.solved(one, other)) is not None:
            self._build.learned.setdefault(*fact)
        else:
            self._build.demands[one, other] = None
        return one if isinstance(one, int) else other if isinstance(other, int) else one

    def broadcasts(self, one: Dim, other: Dim) -> None:
        """Say that two dimensions are alike or one of them is 1, and of which a free one is."""
        self._build.broadcasts[one, other] = None

    def couple(self, *shape: Dim) -> None:
        """Say that elements along these dimensions depend on each other: they cannot be rows."""
        for dim in shape:
            self._build.coupled |= dims.symbols(dim)

    def counts_rows(self, dim: Dim) -> None:
        """Say that an operator takes this dimension for rows, where it is a free one."""
        self._build.rows |= {name} if (name := dims.free_name(dim)) else set()

    def same_shape(self, *values: Value, what: str = "shapes") -> Shape:
        """The common shape of values that the operator wants alike."""
        shape = values[0].shape
        for value in values[1:]:
            if value.rank != len(shape):
                raise InvalidModel(f"{what}: {shape} and {value.shape} differ")
            label = f"{what}: {shape} and {value.shape} differ"
            shape = tuple(self.equate(a, b, label) for a, b in zip(shape, value.shape, strict=True))
        return shape

    def quotient(self, top: Value, bottom: Operand, *, floor: bool = True) -> Value:
        """Integers divided, rounded down (or towards zero).

        The remainder goes first: engines may turn a division into a product that is rounded.
        """
        rest = self.Mod(top, bottom, fmod=None if floor else 1)
        return self.Div(self.Sub(top, rest), bottom)

    def shaped(self, value: Value, shape: Shape) -> Value:
        """The same value, known to have this shape (from what :meth:`same_shape` learnt)."""
        if shape == value.shape:
            return value
        known = replace(value, shape=shape)
        self._build.note_sources(known, self.scope)
        return known

    def reshape(self, value: Value, shape: Sequence[Dim]) -> Value:
        """``value`` in another shape of as many elements."""
        wanted = tuple(shape)
        if wanted == value.shape:
            return value
        self.equate(dims.product(value.shape), dims.product(wanted), f"{value.shape} as {wanted}")
        if not wanted:
            return self.squeeze(value, *range(value.rank))
        if value.constant is not None and all(isinstance(dim, int) for dim in wanted):
            return self._viewed(value, tuple(self.static(dim, "a constant") for dim in wanted))
        vector = self._reshape_vector(value.shape, wanted)
        empty, types = 1 if 0 in wanted else None, [(value.dtype, wanted)]
        return self.node("Reshape", value, vector, types=types, allowzero=empty)[0]

    def expand(self, value: Value, shape: Sequence[Dim]) -> Value:
        """``value`` broadcast to a shape."""
        wanted = tuple(shape)
        if wanted == value.shape:
            return value
        vector, types, reads = self.shape_vector(wanted), [(value.dtype, wanted)], value.reads_data
        return self.node("Expand", value, vector, types=types, reads_data=reads)[0]

    def cast(self, value: Value, dtype: DType) -> Value:
        """``value`` as another type; itself where it has it already."""
        return value if value.dtype is dtype else self.Cast(value, to=ONNX_TYPE[dtype])

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """``value`` with its axes in another order."""
        if tuple(axes) == tuple(range(value.rank)):
            return value
        return self.Transpose(value, perm=tuple(axes))

    def slice(
        self, value: Value, axis: int, begin: Dim | None, end: Dim | None, step: int = 1
    ) -> Value:
        """A range of one axis with Python's meaning of ``begin:end:step``."""
        first = (_LAST if step < 0 else 0) if begin is None else begin
        stop = (-_LAST if step < 0 else _LAST) if end is None else end
        return self.Slice(value, self.length(first), self.length(stop), [axis], [step])

    def unsqueeze(self, value: Value, *axes: int) -> Value:
        """``value`` with new axes of one, counted in the result."""
        return self.Unsqueeze(value, list(axes)) if axes else value

    def squeeze(self, value: Value, *axes: int) -> Value:
        """``value`` without these axes of one."""
        return self.Squeeze(value, list(axes)) if axes else value

    def narrowed(self) -> Narrowed:
        """Emits single nodes on float64 values in float32, where engines lack the wider code."""
        return Narrowed(self)

    def body(self, inputs: Sequence[tuple[DType, Shape]], *, reads_data: bool) -> Body:
        """Begin the body of a Loop, Scan or If; values of outer graphs may be used inside."""
        scope = Scope(self.scope)
        values = tuple(Value(self._name(), dtype, shape, reads_data) for dtype, shape in inputs)
        for value in values:
            self._build.note_sources(value, scope)
        return Body(Emit(self._build, scope), values, self._name())

    def inline(self, graph: Graph, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Lower an MXNet subgraph here, its variables bound to ``inputs`` by position."""
        if self._build.inline is None:
            raise RuntimeError("subgraphs cannot be lowered here")
        return self._build.inline(self, graph, inputs)

    def answer(self, value: Value, name: str) -> None:
        """Give a value to the outside under a name of its own; for the importer."""
        self._append("Identity", [value], [replace(value, name=name)], {})

    def fresh(self) -> Dim:
        """A free dimension that only the data fix."""
        return dims.counted(self._build.unique(f"{self._prefix()}.size"))

    def hole(self, axis: int) -> Dim:
        """A dimension that MXNet left to inference (0 in a legacy shape); its users fix it."""
        place = ".".join(map(str, (*self._build.place, axis)))
        name = f"{HOLE}{place}"
        return self._build.known.get(name, dims.free(name))

    @contextmanager
    def lowering(self, node: Node, position: int) -> Iterator[None]:
        """While this holds, values are named for ``node``; for the importer."""
        before = self._build.node, self._build.place
        self._build.node, self._build.place = node, (*self._build.place, position)
        try:
            yield
        finally:
            self._build.node, self._build.place = before

    def _prefix(self) -> str:
        return self._build.node.name if self._build.node else "value"

    def _name(self) -> str:
        return self._build.unique(self._prefix())

    def _constant(self, elements: np.ndarray, kind: DType) -> Value:
        name = self._build.unique(f"{self._prefix()}.const")
        self._build.arrays[name] = elements
        return Value(name, kind, elements.shape, constant=elements)

    def _viewed(self, value: Value, shape: tuple[int, ...]) -> Value:
        """A constant in another shape: the same bytes, so that a stored one stays in its file."""
        view = self.const(np.reshape(np.asarray(value.constant), shape))
        if value.name in self._build.parameters and view.name not in self._build.parameters:
            self._build.parameters[view.name] = self._build.parameters[value.name]
        return view

    def _operands(self, inputs: Iterable[Operand]) -> list[Value | None]:
        given = list(inputs)
        like = next((one.dtype for one in given if isinstance(one, Value)), DType.INT64)
        return [self._operand(one, like) for one in given]

    def _operand(self, given: Operand, like: DType) -> Value | None:
        if given is None or isinstance(given, Value):
            return given
        if isinstance(given, np.ndarray):
            return self.const(given)
        if isinstance(given, list):
            return self.const(np.array(given, np.int64))
        return self.scalar(given, like)

    def _append(
        self,
        op_type: str,
        operands: Sequence[Value | None],
        values: Sequence[Value],
        attributes: Mapping[str, object],
    ) -> None:
        for operand in operands:
            if operand is not None and operand.name in self._build.arrays:
                self._build.used.setdefault(operand.name)
        names = [operand.name if operand is not None else "" for operand in operands]
        while names and not names[-1]:
            names.pop()
        outputs = [value.name for value in values]
        made = helper.make_node(op_type, names, outputs, name=outputs[0])
        made.attribute.extend(_attribute(name, value) for name, value in attributes.items())
        self.scope.nodes.append(made)
        for value in values:
            self._build.note_sources(value, self.scope)

    def _reshape_vector(self, source: Shape, wanted: Shape) -> Value:
        """``wanted`` in ONNX's terms: 0 copies a dimension, one -1 is inferred."""
        entries: list[Dim] = [
            0 if at < len(source) and isinstance(dim, dims.Expr) and source[at] == dim else dim
            for at, dim in enumerate(wanted)
        ]
        unknown = [at for at, dim in enumerate(entries) if isinstance(dim, dims.Expr)]
        if len(unknown) == 1 and 0 not in wanted:
            entries[unknown[0]] = -1
            unknown = []
        if unknown or 0 in wanted:
            return self.shape_vector(wanted)
        return self.const(np.array(entries, np.int64))


__all__ = ["HOLE", "PLAIN_ONNX", "Body", "Build", "Emit", "Scope", "Target"]

_FATAL_WHEN_EMPTY = frozenset({"Gather", "GatherElements", "GatherND"})
"""OpenVINO's code for these divides by zero where there is nothing to take."""
_SHARED_BYTES = 1024
_FILLED_ELEMENTS = 1024
_LAST = (1 << 63) - 1


def _attribute(name: str, value: object) -> AttributeProto:
    if isinstance(value, (tuple, list)) and not value:
        return AttributeProto(name=name, type=AttributeProto.INTS)
    if isinstance(value, bool):
        return helper.make_attribute(name, int(value))
    return helper.make_attribute(name, value)
