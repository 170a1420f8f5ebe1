"""Recording an imperative run as a graph.

Every operator call becomes a node beside the run. A HybridBlock that answers on symbols as it does
imperatively is taken in whole, with its own names and its loops; everything else is recorded call
by call. Reading values that depend on an input, and writing memory that outlives the run, end it.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np
from mxnet import gluon

from gluonserve_export import networks
from gluonserve_export.arrays import (
    arrays_of,
    difference,
    is_array,
    is_numpy_interface,
    regroup,
)
from gluonserve_export.findings import Finding
from gluonserve_export.graphs import Graph, Ref
from gluonserve_export.hooks import listening
from gluonserve_export.indexing import is_basic, picked_by, steps_of
from gluonserve_export.recorded import Recorded, Step, Stopped
from gluonserve_export.registry import OF_SHAPES, operator, without_writing
from gluonserve_export.running import evaluate, variable
from gluonserve_export.sources import running
from gluonserve_export.state import imperative

if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

    from gluonserve_export.indexing import Picked

_INPUT = "gluonserve_export_input"


def record(net: gluon.Block, inputs: Any, names: Sequence[str]) -> Recorded:
    """Run ``net`` on nested ``inputs`` (their arrays called ``names``) and record it.

    The run must not be hybridized (see ``state.preserved``).

    Raises:
        Stopped: it did what no graph can hold.
    """
    recorder = _Recorder(net, dict(zip(names, arrays_of(inputs))))
    with recorder.on():
        outputs = net(*inputs)
    if recorder.stopped is not None:  # the network caught it and went on
        raise recorder.stopped
    odd = next((leaf for leaf in arrays_of(outputs) if not is_array(leaf)), None)
    if odd is not None or not arrays_of(outputs):
        what = "nothing" if odd is None else f"a {type(odd).__name__}"
        raise Stopped(Finding("not-arrays", "", f"its result holds {what}"))
    heads = [recorder.head(array) for array in arrays_of(outputs)]
    return Recorded(
        *(recorder.graph, recorder.steps, recorder.constants, heads, outputs, recorder.met)
    )


class _Recorder:
    def __init__(self, net: gluon.Block, inputs: Mapping[str, Any]) -> None:
        self.graph = Graph()
        self.steps: Dict[int, Step] = {}
        self.constants: Dict[str, Any] = {}
        self.stopped: Optional[Stopped] = None
        self.met: List[Finding] = []
        self._strange: Set[int] = set()
        self._paths = {key: path for key, (path, _) in networks.blocks(net).items()}
        self._parameters = [one for one, _ in networks.parameters(net).values()]
        self._stored = networks.stored_arrays(net)
        self._refs: Dict[int, Ref] = {}
        self._reading: Set[int] = set()
        self._kept: List[Any] = []
        self._roots: Dict[int, int] = {}
        self._shared: Set[int] = set()
        self._blocks: List[gluon.Block] = []
        self._thread = threading.get_ident()
        self._paused = True
        for name, array in inputs.items():
            self._bind(array, self.graph.variable(name), reads=True)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        with listening(invoke=self._invoke, call=self._call, methods=self._method):
            self._paused = False
            try:
                yield
            finally:
                self._paused = True

    def head(self, array: Any) -> Ref:
        """What an output refers to; a variable among them is copied, to have a name."""
        ref = self._ref(array)
        if self.graph.nodes[ref.node]["op"] != "null":
            return ref
        return self.graph.operator("_copy", f"{self.graph.nodes[ref.node]['name']}_copy", {}, [ref])

    # What MXNet's functions call instead of themselves.

    def _invoke(  # noqa: PLR0917 - as MXNet calls it
        self,
        original: Callable[..., Any],
        handle: int,
        arrays: Sequence[Any],
        keys: Sequence[str],
        values: Sequence[Any],
        out: Any,
        *rest: Any,
    ) -> Any:
        if not self._listens():
            return original(handle, arrays, keys, values, out, *rest)
        inputs = [self._ref(array) for array in arrays]
        shapes = tuple(tuple(array.shape) for array in arrays)
        written = [] if out is None else [out] if is_array(out) else list(out)
        for array in written:
            self._may_write(array)
        reads = any(id(array) in self._reading for array in arrays)
        attributes = {key: str(value) for key, value in zip(keys, values)}
        result = original(handle, arrays, keys, values, out, *rest)
        outputs = written or ([result] if is_array(result) else list(result))
        kind = operator(handle)
        if kind.counts and kind.counts not in attributes:
            attributes[kind.counts] = str(len(inputs))
        name, attributes = without_writing(kind.name, attributes, arrays, outputs)
        self._step(name, attributes, inputs, shapes, outputs, reads=reads)
        return result

    def _call(self, original: Callable[..., Any], block: gluon.Block, *args: Any) -> Any:
        if not self._listens():
            return original(block, *args)
        if id(block) not in self._paths:
            self._meet(block)
        self._blocks.append(block)
        try:
            with imperative(block) if id(block) in self._strange else contextlib.nullcontext():
                return self._called(original, block, *args)
        finally:
            self._blocks.pop()

    def _called(self, original: Callable[..., Any], block: gluon.Block, *args: Any) -> Any:
        symbol = self._symbol(block, args) if isinstance(block, gluon.HybridBlock) else None
        if symbol is None:
            return original(block, *args)
        with self._pause():
            result = original(block, *args)
            agrees = self._agrees(symbol, args, result)
        if agrees:
            self._splice(symbol, args, result)
            return result
        return original(block, *args)

    def _meet(self, block: gluon.Block) -> None:
        """A Block that the network calls and does not hold."""
        path, where = self._path(), running()
        what = f"it calls {block.name} ({type(block).__name__}), which none of its attributes holds"
        self.met.append(Finding("hidden-blocks", path, what, where))
        for key in networks.blocks(block):
            self._paths.setdefault(key, path)
            self._strange.add(key)
        taken = {one.name for one in self._parameters}
        for one, _ in networks.parameters(block).values():
            if one._data is not None and one.name not in taken:
                self._parameters.append(one)
                self.constants[one.name] = one.data(one.list_ctx()[0])

    def _method(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        methods: Dict[str, Callable[..., Any]] = {
            "reshape": self._reshape,
            "__getitem__": self._getitem,
            **dict.fromkeys(("detach", "as_np_ndarray", "as_nd_ndarray"), self._detach),
            "_sync_copyfrom": self._copyfrom,
        }
        own = methods.get(name)

        def run(array: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._listens():
                return original(array, *args, **kwargs)
            if own is not None:
                return own(original, array, *args, **kwargs)
            return self._read(name, original, array, *args, **kwargs)

        return run

    # Arrays' methods that do not call an operator.

    def _reshape(self, original: Any, array: Any, *shape: Any, **kwargs: Any) -> Any:
        if is_numpy_interface(array):  # it calls an operator
            return original(array, *shape, **kwargs)
        result = self._quietly(original, array, *shape, **kwargs)
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape
        given = given or kwargs.get("shape", ())
        attributes = {"shape": str(tuple(int(one) for one in given))}
        if kwargs.get("reverse"):
            attributes["reverse"] = "True"
        self._view("Reshape", attributes, array, result)
        return result

    def _detach(self, original: Any, array: Any) -> Any:
        result = self._quietly(original, array)
        if result is not array:
            self._view("_copy", {}, array, result)
        return result

    def _getitem(self, original: Any, array: Any, key: Any) -> Any:
        if not is_basic(key):
            picked = picked_by(key, array.ndim)
            if picked is None:
                return original(array, key)
            return self._pick(original, array, key, picked)
        result = self._quietly(original, array, key)
        if result is array:
            return result
        ref = self._ref(array)
        reads = id(array) in self._reading
        shape = tuple(array.shape)
        steps = steps_of(key, shape, tuple(result.shape), scalars=is_numpy_interface(array))
        for op, attributes, after in steps or [("_copy", {}, shape)]:
            ref = self._add(op, attributes, [ref], (shape,))
            shape = after
        self._bind(result, ref, reads=reads)
        self._share(array, result)
        return result

    def _pick(self, original: Any, array: Any, key: Any, picked: Picked) -> Any:
        """One axis indexed by numbers, which MXNet does with numbers for all the others too."""
        numbers = picked.numbers
        if not is_array(numbers):
            with self._pause():
                numbers = mx.nd.array(np.asarray(numbers), dtype="int32", ctx=array.context)
                numbers = numbers.as_np_ndarray() if is_numpy_interface(array) else numbers
        result = self._quietly(original, array, key)
        ref, shape = self._ref(array), tuple(array.shape)
        for op, attributes, after in steps_of(picked.others, shape, shape):
            ref, shape = self._add(op, attributes, [ref], (shape,)), after
        reads = id(array) in self._reading or id(numbers) in self._reading
        attributes = {"axis": str(picked.axis), "mode": "wrap"}
        ref = self._add("take", attributes, [ref, self._ref(numbers)], (shape, numbers.shape))
        self._bind(result, ref, reads=reads)
        return result

    def _copyfrom(self, original: Any, array: Any, *args: Any) -> Any:
        self._may_write(array)
        result = self._quietly(original, array, *args)
        self._refs.pop(id(array), None)
        self._reading.discard(id(array))
        return result

    def _read(self, name: str, original: Any, array: Any, *args: Any, **kwargs: Any) -> Any:
        if id(array) in self._reading:
            if name in ("__bool__", "__nonzero__"):
                self._stop("value-branch", "it decides on the values of an array")
            self._stop("value-read", f"{name}() reads values that depend on an input")
        return self._quietly(original, array, *args, **kwargs)

    # The graph beside the run.

    def _symbol(self, block: gluon.HybridBlock, args: Sequence[Any]) -> Any:
        """What the Block computes on symbols; None where it does not, or not with these inputs."""
        leaves = arrays_of(list(args))
        if not leaves or not all(is_array(leaf) for leaf in leaves):
            return None
        variables = [variable(f"{_INPUT}{at}", leaf) for at, leaf in enumerate(leaves)]
        with self._pause(), mx.name.NameManager():
            try:
                answer = block.forward(*regroup(list(args), variables))
            except Stopped:
                raise
            except Exception:
                return None
            parts = arrays_of(answer)
            if not parts or not all(isinstance(part, mx.sym.Symbol) for part in parts):
                return None
            return mx.sym.Group(parts) if len(parts) > 1 else parts[0]

    def _agrees(self, symbol: Any, args: Sequence[Any], result: Any) -> bool:
        """Whether the symbol answers what the Block did."""
        expected = arrays_of(result)
        feeds = {f"{_INPUT}{at}": leaf for at, leaf in enumerate(arrays_of(list(args)))}
        context = feeds[f"{_INPUT}0"].context
        by_name = {one.name: one for one in self._parameters}
        try:
            for name in symbol.list_inputs():
                if name not in feeds:
                    feeds[name] = by_name[name].data(context)
            answers = evaluate(symbol, feeds)
        except (KeyError, RuntimeError, mx.MXNetError):
            return False
        return len(answers) == len(expected) and not any(
            difference(one.asnumpy(), other.asnumpy()) for one, other in zip(answers, expected)
        )

    def _splice(self, symbol: Any, args: Sequence[Any], result: Any) -> None:
        leaves = arrays_of(list(args))
        inputs = {f"{_INPUT}{at}": self._ref(leaf) for at, leaf in enumerate(leaves)}
        reads = any(id(leaf) in self._reading for leaf in leaves)
        for array, ref in zip(arrays_of(result), self.graph.splice(symbol, inputs)):
            self._bind(array, ref, reads=reads)

    def _step(
        self,
        op: str,
        attributes: Mapping[str, str],
        inputs: Sequence[Ref],
        shapes: Tuple[Tuple[int, ...], ...],
        outputs: Sequence[Any],
        *,
        reads: bool,
    ) -> None:
        first = self._add(op, attributes, inputs, shapes)
        for at, array in enumerate(outputs):
            self._bind(array, Ref(first.node, at), reads=reads and op not in OF_SHAPES)

    def _add(
        self,
        op: str,
        attributes: Mapping[str, str],
        inputs: Sequence[Ref],
        shapes: Tuple[Tuple[int, ...], ...],
    ) -> Ref:
        prefix = self._blocks[-1].prefix if self._blocks else ""
        ref = self.graph.operator(op, prefix + op.strip("_").lower(), attributes, inputs)
        self.steps[ref.node] = Step(op, self._path(), running(), shapes)
        return ref

    def _view(self, op: str, attributes: Mapping[str, str], array: Any, result: Any) -> None:
        ref = self._ref(array)
        reads = id(array) in self._reading
        self._step(op, attributes, [ref], (tuple(array.shape),), [result], reads=reads)
        self._share(array, result)

    def _share(self, array: Any, view: Any) -> None:
        root = self._roots.get(id(array), id(array))
        self._roots[id(view)] = root
        self._shared.add(root)

    def _bind(self, array: Any, ref: Ref, *, reads: bool) -> None:
        self._kept.append(array)  # an identity is an array's only while it lives
        self._refs[id(array)] = ref
        if reads:
            self._reading.add(id(array))
        else:
            self._reading.discard(id(array))

    def _ref(self, array: Any) -> Ref:
        """Where an array comes from: the run, a parameter, or else it is a constant."""
        known = self._refs.get(id(array))
        if known is not None:
            return known
        parameter = self._parameter(array)
        if parameter is not None:
            ref = self.graph.splice(parameter.var(), {})[0]
        else:
            prefix = self._blocks[-1].prefix if self._blocks else ""
            name = f"{prefix}constant{len(self.constants)}"
            with self._pause():
                self.constants[name] = array.copy()
            ref = self.graph.variable(name)
        self._bind(array, ref, reads=False)
        return ref

    def _parameter(self, array: Any) -> Optional[gluon.Parameter]:
        for one in self._parameters:
            if any(array is data for data in one._data or ()):
                return one
        return None

    def _may_write(self, array: Any) -> None:
        if self._parameter(array) is not None or id(array) in self._stored:
            self._stop("state-written", "it writes an array that the network keeps")
        if self._roots.get(id(array), id(array)) in self._shared:
            self._stop("view-written", "it writes into an array whose memory another one shares")

    def _stop(self, code: str, what: str) -> None:
        self.stopped = Stopped(Finding(code, self._path(), what, running()))
        raise self.stopped

    def _path(self) -> str:
        return self._paths.get(id(self._blocks[-1]), "") if self._blocks else ""

    def _listens(self) -> bool:
        return not self._paused and threading.get_ident() == self._thread

    @contextlib.contextmanager
    def _pause(self) -> Iterator[None]:
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def _quietly(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._pause():
            return original(*args, **kwargs)
