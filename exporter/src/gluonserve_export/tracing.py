"""From a network and sample inputs to a symbol that is proven to answer as the network does."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gluonserve_export import generalising
from gluonserve_export.arrays import arrays_of, difference, drawn, leaves, like, regroup
from gluonserve_export.findings import Finding
from gluonserve_export.networks import blocks, parameters
from gluonserve_export.recorded import Recorded, Stopped
from gluonserve_export.recording import record
from gluonserve_export.rows import NONE, axis_of, check_axes, more_than
from gluonserve_export.running import evaluate, fits
from gluonserve_export.sources import failing, said

if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

    from mxnet import gluon

    from gluonserve_export.generalising import Patches
    from gluonserve_export.rows import Axis
    from gluonserve_export.sources import Where

_MOST_TRIES = 24


@dataclass
class Traced:
    """A symbol with what its variables hold, and what was found out by running other shapes.

    ``batch_axes`` and ``output_axes`` are None where the number of rows is fixed. ``free`` are the
    other axes of each input whose size may change, ``others`` the runs of other shapes.
    """

    symbol: Any
    names: Tuple[str, ...]
    parameters: Mapping[str, Any]
    inputs: List[np.ndarray]
    outputs: List[Tuple[str, np.ndarray]]
    batch_axes: Optional[List[Axis]] = None
    output_axes: Optional[List[Optional[Axis]]] = None
    free: Dict[str, Set[int]] = field(default_factory=dict)
    findings: List[Finding] = field(default_factory=list)
    recorded: Optional[Recorded] = None
    others: List[Run] = field(default_factory=list)


@dataclass
class Run:
    """What the network answered to inputs of some shapes."""

    recorded: Recorded
    inputs: List[np.ndarray]

    @property
    def shapes(self) -> List[Tuple[int, ...]]:
        """The shapes of its result, in order."""
        return [tuple(array.shape) for array in arrays_of(self.recorded.outputs)]

    @property
    def outputs(self) -> List[np.ndarray]:
        """The arrays of its result, in order."""
        return [array.asnumpy() for array in arrays_of(self.recorded.outputs)]


def trace(
    net: gluon.Block,
    inputs: Sequence[Any],
    names: Sequence[str],
    *,
    batch_axes: Optional[Sequence[Axis]] = None,
    free: Optional[Mapping[str, Set[int]]] = None,
) -> Traced:
    """The network as a symbol; the caller keeps it from being hybridized (``state.preserved``).

    ``free`` says which axes besides the batch axis to try; by default all, where calls were
    recorded that could hold numbers taken from shapes.

    Raises:
        Stopped: the run did what no graph can hold, or the symbol answers otherwise than the
            network.
        ValueError: an input has no such axis.
    """
    check_axes(dict(zip(names, arrays_of(list(inputs)))), batch_axes, free or {})
    return _Tracer(net, list(inputs), tuple(names)).trace(batch_axes, free)


class _Tracer:
    def __init__(self, net: gluon.Block, inputs: List[Any], names: Tuple[str, ...]) -> None:
        self._net, self._nested, self._names = net, inputs, names
        self._arrays = arrays_of(inputs)
        self._random = np.random.RandomState(0)
        self._patches: Patches = {}
        self._proven: List[Run] = []
        self._batch: List[Axis] = [NONE] * len(names)

    def trace(
        self, batch_axes: Optional[Sequence[Axis]], free: Optional[Mapping[str, Set[int]]]
    ) -> Traced:
        values = [array.asnumpy() for array in self._arrays]
        self._first = first = self._run(values)
        self._held = self._held_by(first)
        if not self._answers(first, {}):
            raise self._unproven(first)
        self._proven.append(first)
        self._try_values(first)
        paths = [path for path, leaf in leaves(first.recorded.outputs) if leaf is not None]
        traced = Traced(None, self._names, {}, values, list(zip(paths, first.outputs)))
        traced.recorded = first.recorded
        self._free_batch(traced, batch_axes)
        self._free_others(traced, free)
        traced.symbol = self._symbol(self._patches)
        traced.others = self._proven[1:]
        used = set(traced.symbol.list_inputs())
        traced.parameters = {name: one for name, one in self._held.items() if name in used}
        if not used.intersection(self._names):
            raise Stopped(Finding("constant", "", "its outputs are the same for all inputs"))
        traced.findings += [
            Finding("unused-input", "", f"{name} changes no output")
            for name in self._names
            if name not in used
        ]
        return traced

    def _run(self, values: Sequence[np.ndarray]) -> Run:
        copies = [like(array, value) for array, value in zip(self._arrays, values)]
        nested = regroup(self._nested, copies)
        return Run(record(self._net, nested, self._names), list(values))

    def _held_by(self, run: Run) -> Dict[str, Any]:
        context = self._arrays[0].context
        held = {
            one.name: one.data(context)
            for one, _ in parameters(self._net).values()
            if one._data is not None
        }
        return {**held, **run.recorded.constants}

    def _symbol(self, patches: Patches) -> Any:
        recorded = self._first.recorded
        graph, heads = generalising.patched(recorded.graph, recorded.heads, patches)
        return graph.symbol(heads)

    def _answers(self, run: Run, patches: Patches) -> bool:
        feeds = dict(self._held)
        for name, array, value in zip(self._names, self._arrays, run.inputs):
            feeds[name] = like(array, value)
        symbol = self._symbol(patches)
        if not fits(symbol, {name: one.shape for name, one in feeds.items()}, run.shapes):
            return False
        try:
            answers = evaluate(symbol, feeds)
        except Exception:
            return False
        pairs = zip((answer.asnumpy() for answer in answers), run.outputs)
        return not any(difference(one, other) for one, other in pairs)

    def _try_values(self, first: Run) -> None:
        """Other values of the sample's shapes: nothing in the graph may come from values."""
        try:
            run = self._run([self._drawn(at, NONE, 0) for at, _ in enumerate(self._names)])
        except Stopped:
            raise
        except Exception:  # a network may refuse values of no meaning to it
            return
        if generalising.unlike(first.recorded, run.recorded) is None and self._answers(run, {}):
            self._proven.append(run)
            return
        raise self._unproven(first, run)

    def _unproven(self, first: Run, other: Optional[Run] = None) -> Stopped:
        """Why: the network answers otherwise each time, or the graph holds what values made."""
        before = {path: dict(vars(one)) for path, one in blocks(self._net).values()}
        again = self._run(first.inputs)
        differs = any(difference(a, b) for a, b in zip(again.outputs, first.outputs))
        if differs or generalising.unlike(first.recorded, again.recorded):
            path, where = _parting(first.recorded, again.recorded)
            what = "two runs on the sample gave different outputs"
            what += "".join(f"; each sets {name}" for name in _set_since(before, self._net))
            return Stopped(Finding("random", path, what, where))
        path, where = _parting(first.recorded, (other or again).recorded)
        on = "the sample" if other is None else "other values of the sample's shapes"
        what = f"on {on} the traced graph answers otherwise than the network does"
        return Stopped(Finding("not-proven", path, what, where))

    # The number of rows.

    def _free_batch(self, traced: Traced, given: Optional[Sequence[Axis]]) -> None:
        """The first axes whose rows do not touch each other; else any size, unbatched."""
        found: List[Tuple[List[Axis], Run, int]] = []
        error: Optional[BaseException] = None
        for axes in [list(given)] if given is not None else self._guesses():
            rows = self._rows(axes)
            if rows is None:
                continue
            more = more_than(rows, [array.shape for array in self._arrays])
            run, raised = self._with_rows(axes, more)
            error = error or raised
            if run is None:
                continue
            found.append((axes, run, rows))
            if given is not None or self._apart(axes, run, rows, more):
                self._take_rows(traced, *found[-1])
                return
        if found:
            self._take_mixed(traced, *found[0])
        elif error is not None:
            what = f"it runs with the sample's number of rows only: {said(error)}"
            traced.findings.append(Finding("fixed-dimension", "", what, failing(error)))

    def _with_rows(
        self, axes: Sequence[Axis], rows: int
    ) -> Tuple[Optional[Run], Optional[BaseException]]:
        try:
            return self._run([self._drawn(at, axis, rows) for at, axis in enumerate(axes)]), None
        except Stopped:
            raise
        except Exception as raised:
            return None, raised

    def _take_mixed(self, traced: Traced, axes: List[Axis], run: Run, _rows: int) -> None:
        """An axis that may have any size, but whose rows are no requests of their own."""
        self._batch = axes
        if not self._accept(run):
            traced.findings += self._fixed(run, "the number of rows")
            return
        traced.batch_axes = [NONE for _ in axes]
        traced.output_axes = [None for _ in traced.outputs]
        for name, axis in zip(self._names, axes):
            if not isinstance(axis, str):
                traced.free.setdefault(name, set()).add(axis)
        traced.findings.append(Finding("mixed-rows", "", "a row alone has another answer"))

    def _take_rows(self, traced: Traced, axes: List[Axis], run: Run, rows: int) -> None:
        self._batch = axes
        if not self._accept(run):
            traced.findings += self._fixed(run, "the number of rows")
            return
        traced.batch_axes = axes
        more = next(
            value.shape[axis] for value, axis in zip(run.inputs, axes) if not isinstance(axis, str)
        )
        traced.output_axes = [
            axis_of(one, other, rows, more) for (_, one), other in zip(traced.outputs, run.outputs)
        ]

    def _apart(self, axes: Sequence[Axis], run: Run, rows: int, more: int) -> bool:
        """Whether the last row alone has the answer that it has among the others."""
        alone = [
            value if isinstance(axis, str) else np.take(value, [more - 1], axis)
            for value, axis in zip(run.inputs, axes)
        ]
        pairs = zip(self._first.outputs, run.outputs)
        found = [axis_of(one, other, rows, more) for one, other in pairs]
        if not any(isinstance(axis, int) for axis in found) and set(found) != {NONE}:
            return False
        try:
            answers = self._run(alone).outputs
        except Stopped:
            raise
        except Exception:
            return True
        return not any(
            difference(answer, np.take(other, [more - 1], axis))
            for axis, other, answer in zip(found, run.outputs, answers)
            if isinstance(axis, int)
        )

    def _guesses(self) -> Iterator[List[Axis]]:
        """Axis 0 of every input first; then other axes of one size, those that most inputs have."""
        shapes = [array.shape for array in self._arrays]
        yield [0 if shape else NONE for shape in shapes]
        tries: List[List[Axis]] = []
        for lead in range(2 if len(shapes[0]) > 2 else 1):
            rows = shapes[0][lead]
            choices: List[List[Axis]] = [[lead]]
            choices += [
                [*(axis for axis, dim in enumerate(shape) if dim == rows), NONE]
                for shape in shapes[1:]
            ]
            tries += [list(one) for one in itertools.product(*choices)]
        yield from sorted(tries, key=lambda one: one.count(NONE))[:_MOST_TRIES]

    def _rows(self, axes: Sequence[Axis]) -> Optional[int]:
        """How many rows the sample has; None where its inputs do not agree."""
        found = {
            array.shape[axis]
            for array, axis in zip(self._arrays, axes)
            if not isinstance(axis, str) and axis < len(array.shape)
        }
        return found.pop() if len(found) == 1 else None

    def _drawn(self, at: int, axis: Axis, size: int) -> np.ndarray:
        values = self._first.inputs[at]
        shape = list(values.shape)
        if not isinstance(axis, str):
            shape[axis] = size
        return drawn(values, shape, self._random)

    # Other sizes.

    def _free_others(self, traced: Traced, free: Optional[Mapping[str, Set[int]]]) -> None:
        if free is None and not traced.recorded.steps:  # type: ignore[union-attr]
            return
        batch = self._batch
        for at, name in enumerate(self._names):
            for axis, size in enumerate(self._arrays[at].shape):
                asked = axis in (free or {}).get(name, ())
                if axis == batch[at] or not (asked or free is None):
                    continue
                run = self._try(at, axis, size + (8 if size >= 16 else 1))
                if run is not None and self._accept(run):
                    traced.free.setdefault(name, set()).add(axis)
                elif run is not None:
                    traced.findings += self._fixed(run, f"axis {axis} of {name}")
                elif asked:
                    what = f"axis {axis} of {name} cannot have another size"
                    traced.findings.append(Finding("fixed-dimension", "", what))

    def _try(self, at: int, axis: int, size: int) -> Optional[Run]:
        """The run with another size; None where the network itself does not take it."""
        values = list(self._first.inputs)
        values[at] = self._drawn(at, axis, size)
        try:
            return self._run(values)
        except Stopped:
            raise
        except Exception:
            return None

    def _accept(self, run: Run) -> bool:
        """Take this shape too, if the symbol can be made to answer it and those before."""
        first = self._first
        changes = [
            generalising.Change(name, axis, size, other)
            for name, one, two in zip(self._names, first.inputs, run.inputs)
            for axis, (size, other) in enumerate(zip(one.shape, two.shape))
            if size != other
        ]
        patches = generalising.patches(first.recorded, run.recorded, self._patches, changes)
        for candidate in (patches, self._patches):
            if all(self._answers(one, candidate) for one in [run, *self._proven]):
                self._patches = candidate
                self._proven.append(run)
                return True
        return False

    def _fixed(self, run: Run, dimension: str) -> List[Finding]:
        """Where the numbers stand that a run of this shape has otherwise."""
        first = self._first.recorded
        what = f"{dimension} is fixed as in the sample"
        places = generalising.differing(first, run.recorded)
        steps = [first.steps[at] for at, _ in places or () if at not in self._patches]
        found = {
            (step.path, step.where): Finding("fixed-dimension", step.path, what, step.where)
            for step in steps
        }
        if found:
            return list(found.values())
        path, where = _parting(first, run.recorded)
        return [Finding("fixed-dimension", path, what, where)]


def _set_since(before: Mapping[str, Mapping[str, Any]], net: gluon.Block) -> List[str]:
    """Attributes of Blocks that hold something else than before."""
    return [
        f"{path}.{name}".lstrip(".")
        for path, block in blocks(net).values()
        for name, value in vars(block).items()
        if not name.startswith("_") and value is not before.get(path, {}).get(name)
    ]


_DRAWING = re.compile("random|sample|shuffle|multinomial|normal|uniform|Dropout")


def _parting(first: Recorded, other: Recorded) -> Tuple[str, Optional[Where]]:
    """Where two runs on inputs of the same shapes part, as a path and a line."""
    found = generalising.unlike(first, other) or generalising.unlike_constants(first, other)
    drawing = [step for step in first.steps.values() if _DRAWING.search(step.op)]
    if found is None and drawing:
        found = drawing[0].path, drawing[0].where
    return found or ("", None)
