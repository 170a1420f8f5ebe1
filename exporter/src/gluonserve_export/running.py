"""Running symbols on arrays, for inference only."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
import os
from typing import TYPE_CHECKING

import mxnet as mx

from gluonserve_export.arrays import is_array
from gluonserve_export.registry import VERSION

if TYPE_CHECKING:
    from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple


def evaluate(symbol: Any, feeds: Mapping[str, Any]) -> List[Any]:
    """The outputs of ``symbol`` in inference mode, given an array for each of its variables."""
    try:
        outputs = _cached(symbol, feeds)
    except mx.MXNetError as error:
        if "non-differentiable" not in str(error):  # a CachedOp wants gradients of all operators
            raise
        outputs = _bound(symbol, feeds)
    return outputs


def _cached(symbol: Any, feeds: Mapping[str, Any]) -> List[Any]:
    """As hybridized Blocks run it."""
    with mx.autograd.pause(train_mode=False):
        answer = mx.nd.CachedOp(symbol)(*[feeds[name] for name in symbol.list_inputs()])
        outputs = [answer] if is_array(answer) else list(answer)
        for one in outputs:
            one.wait_to_read()
    return outputs


def _bound(symbol: Any, feeds: Mapping[str, Any]) -> List[Any]:
    arguments = {name: feeds[name] for name in symbol.list_arguments()}
    states = {name: feeds[name] for name in symbol.list_auxiliary_states()}
    context = next((array.context for array in feeds.values()), mx.cpu())
    with _plain_engine():
        bound = symbol.bind(context, arguments, grad_req="null", aux_states=states)
    outputs = list(bound.forward(is_train=False))
    for one in outputs:
        one.wait_to_read()
    return outputs


def fits(symbol: Any, shapes: Mapping[str, Sequence[int]], wanted: Sequence[Sequence[int]]) -> bool:
    """Whether, by its own inference, ``symbol`` takes these shapes and gives the ``wanted`` ones.

    To be asked before running shapes that a graph was not made for: MXNet does not notice every
    reshape between different sizes, and writes where it must not.
    """
    inside = symbol.get_internals()
    given = {name: shapes[name] for name in inside.list_inputs()}
    shapes_of = inferred(symbol, given)
    shapes_inside = inferred(inside, given)
    if shapes_of is None or shapes_inside is None:
        return False
    pairs = list(zip(shapes_of[1], wanted))
    if len(shapes_of[1]) != len(wanted) or not all(_may_be(one, other) for one, other in pairs):
        return False
    sizes = {name: _size(one) for name, one in zip(inside.list_outputs(), shapes_inside[1])}
    sizes.update({name: _size(one) for name, one in given.items()})
    return all(_keeps_size(node, nodes, sizes) for nodes in [_nodes(symbol)] for node in nodes)


def inferred(symbol: Any, shapes: Mapping[str, Sequence[int]]) -> Optional[Tuple[Any, Any, Any]]:
    """Shapes of arguments, outputs and states, partly unknown; None where ``shapes`` clash.

    Unlike ``infer_shape`` it prints nothing.
    """
    try:
        arguments, outputs, states = symbol.infer_shape_partial(**shapes)
    except mx.MXNetError:
        return None
    return None if outputs is None else (arguments, outputs, states)


def _may_be(shape: Optional[Sequence[int]], wanted: Sequence[int]) -> bool:
    """Whether an inferred shape, which values may leave partly unknown, is the wanted one."""
    if not shape:
        return True
    return len(shape) == len(wanted) and all(
        one in _UNKNOWN or one == other for one, other in zip(shape, wanted)
    )


_UNKNOWN = (0, -1)


def _size(shape: Optional[Sequence[int]]) -> Optional[int]:
    if shape is None or any(dim in _UNKNOWN for dim in shape):
        return None
    return functools.reduce(operator.mul, shape, 1)


def _nodes(symbol: Any) -> List[Any]:
    return list(json.loads(symbol.tojson())["nodes"])


def _keeps_size(node: Any, nodes: Sequence[Any], sizes: Mapping[str, Optional[int]]) -> bool:
    if node["op"] != "Reshape":
        return True
    before = nodes[node["inputs"][0][0]]
    name = before["name"] + ("" if before["op"] == "null" else "_output")
    if name not in sizes:
        return True
    after = sizes[node["name"] + "_output"]
    if sizes[name] is None or after is None:
        return "-1" in node.get("attrs", {}).get("shape", "")
    return sizes[name] == after


def variable(name: str, array: Any) -> Any:
    """A variable for ``array``, of the interface that it belongs to."""
    made = mx.sym.var(name)
    return made if type(array) is mx.nd.NDArray else made.as_np_ndarray()


_ENGINE = "MXNET_SUBGRAPH_BACKEND"


@contextlib.contextmanager
def _plain_engine() -> Iterator[None]:
    """Without fused operators, which round otherwise, in the versions that have them."""
    if VERSION < (1, 7):
        yield
        return
    before = os.environ.get(_ENGINE)
    os.environ[_ENGINE] = "NONE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ENGINE]
        else:
            os.environ[_ENGINE] = before
