"""Asks live MXNet what an operator answers, and holds both engines to it."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

from asking import in_graph, note
from replay import ENGINES, Case, compare, imported, prepared

if TYPE_CHECKING:
    from collections.abc import Mapping

    import mxnet as mx
    import numpy as np
    from replay import Run


class Operator:
    """One operator with its attributes, in MXNet and on the engines, to be asked many times.

    ``examples`` are its inputs by name, which fix shapes and types (shapes only in part where
    ``free``); ``outputs`` says how many of its outputs are compared, hidden ones included.
    ``np_shape`` asks in MXNet's numpy mode, in which rank 0 and size 0 are real.
    """

    def __init__(
        self,
        op: str,
        examples: Mapping[str, np.ndarray],
        *,
        outputs: int = 1,
        free: bool = False,
        stored: tuple[str, ...] = (),
        np_shape: bool = False,
        **attributes: object,
    ) -> None:
        self.op, self.examples, self.free, self.stored = op, dict(examples), free, stored
        self.attributes = {name: str(value) for name, value in attributes.items()}
        self.np_shape = np_shape
        note([op])
        self.symbol = _symbol(op, list(examples), self.attributes, outputs, np_shape=np_shape)

    def ask(self, feeds: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """MXNet's answers."""
        import mxnet as mx  # noqa: PLC0415 - only where it is installed

        with mx.util.np_shape(self.np_shape):
            arrays = {name: mx.nd.array(value, dtype=value.dtype) for name, value in feeds.items()}
            bound = mx.sym.load_json(self.symbol).bind(mx.cpu(), arrays, grad_req="null")
            return tuple(output.asnumpy() for output in bound.forward(is_train=False))

    @cached_property
    def engines(self) -> dict[str, Run]:
        """The operator compiled for each engine."""
        roles = {name: "param" if name in self.stored else "data" for name in self.examples}
        case = Case(
            "live", self.op, self.attributes, self.symbol.encode(), self.examples, roles, ()
        )
        network = imported(case, free=self.free)
        return {engine: prepared(network, engine) for engine in ENGINES}

    def check(self, feeds: Mapping[str, np.ndarray] | None = None, *, steps: int = 0) -> None:
        """Compare the engines' answers with MXNet's on these inputs, the examples by default.

        Integers may be ``steps`` apart.
        """
        given = self.examples if feeds is None else {**self.examples, **feeds}
        wanted = self.ask(given)
        for engine, run in self.engines.items():
            _, difference = compare(run(given), wanted, steps)
            assert not difference, f"{self.op} {self.attributes} on {engine}: {difference}"


class Network:
    """A graph of operators, in MXNet and on the engines.

    Every dimension of its inputs is free, or none unless ``free``. ``symbol`` is what MXNet's front
    ends made, ``data`` are examples of its inputs, and ``stored`` the rest of its arrays.
    """

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        data: Mapping[str, np.ndarray],
        stored: Mapping[str, np.ndarray] | None = None,
        *,
        free: bool = True,
    ) -> None:
        self.symbol, self.data, self.stored = symbol, dict(data), dict(stored or {})
        note(in_graph(symbol.tojson()))
        names = set(symbol.list_inputs())
        roles = {**dict.fromkeys(self.data, "data"), **dict.fromkeys(self.stored, "param")}
        arrays = {**self.data, **self.stored}
        case = Case(
            "live", "graph", {}, symbol.tojson().encode(),
            {name: array for name, array in arrays.items() if name in names}, roles, (),
        )  # fmt: skip
        self.imported = imported(case, free=free)

    @cached_property
    def engines(self) -> dict[str, Run]:
        """The graph compiled for each engine."""
        return {engine: prepared(self.imported, engine) for engine in ENGINES}

    def ask(self, feeds: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """MXNet's answers."""
        import mxnet as mx  # noqa: PLC0415 - only where it is installed

        given = {**self.stored, **feeds}
        arrays = {name: mx.nd.array(value, dtype=value.dtype) for name, value in given.items()}
        bound = self.symbol.bind(
            mx.cpu(),
            {name: arrays[name] for name in self.symbol.list_arguments()},
            aux_states={name: arrays[name] for name in self.symbol.list_auxiliary_states()},
            grad_req="null",
        )
        return tuple(output.asnumpy() for output in bound.forward(is_train=False))

    def check(self, feeds: Mapping[str, np.ndarray] | None = None, *, steps: int = 0) -> None:
        """Compare the engines' answers with MXNet's on these inputs, the examples by default.

        Integers may be ``steps`` apart.
        """
        given = self.data if feeds is None else {**self.data, **feeds}
        wanted = self.ask(given)
        for engine, run in self.engines.items():
            _, difference = compare(run(given), wanted, steps)
            assert not difference, f"{self.symbol.name} on {engine}: {difference}"


def _symbol(
    op: str, inputs: list[str], attributes: Mapping[str, str], outputs: int, *, np_shape: bool
) -> str:
    at = len(inputs)
    nodes: list[dict[str, object]] = [{"op": "null", "name": name, "inputs": []} for name in inputs]
    refs = [[position, 0, 0] for position in range(at)]
    nodes.append({"op": op, "name": "asked", "attrs": dict(attributes), "inputs": refs})
    return json.dumps(
        {
            "nodes": nodes,
            "arg_nodes": list(range(at)),
            "node_row_ptr": list(range(len(nodes) + 1)),
            "heads": [[at, index, 0] for index in range(outputs)],
            "attrs": {"mxnet_version": ["int", 10901], "is_np_shape": ["int", int(np_shape)]},
        }
    )
