"""Running the hybrid parts of a network both ways: imperatively, and on symbols.

Each HybridBlock of the user's own is run on symbols by itself, with the inputs that it had in an
imperative run. A child that already failed is stood in for by variables, so that every defect is
found at the Block it is in.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mxnet as mx
from mxnet import gluon

from gluonserve_export import networks
from gluonserve_export.arrays import arrays_of, difference, is_array, regroup
from gluonserve_export.findings import Finding
from gluonserve_export.hooks import listening
from gluonserve_export.running import evaluate, variable
from gluonserve_export.sources import Where, failing, said
from gluonserve_export.structure import definition, overrides_forward

if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple


@dataclass(frozen=True)
class _Call:
    block: gluon.HybridBlock
    args: Tuple[Any, ...]
    result: Any


def both_ways(net: gluon.Block, inputs: Sequence[Any]) -> List[Finding]:
    """What hybridizing would break; the network is kept from being hybridized meanwhile."""
    paths = {key: path for key, (path, _) in networks.blocks(net).items()}
    comparison = _Comparison(net, paths)
    for call in _calls(net, inputs):
        comparison.take(call)
    return comparison.findings


def _calls(net: gluon.Block, inputs: Sequence[Any]) -> List[_Call]:
    """The first call of each HybridBlock of the user's own, inner ones first."""
    calls: Dict[int, _Call] = {}

    def call(original: Callable[..., Any], block: gluon.Block, *args: Any) -> Any:
        result = original(block, *args)
        own = isinstance(block, gluon.HybridBlock) and not networks.is_builtin(block)
        if own and not overrides_forward(block):
            calls.setdefault(id(block), _Call(block, args, result))
        return result

    with listening(invoke=_as_it_is, call=call, methods=lambda _, original: original):
        net(*inputs)
    return list(calls.values())


def _as_it_is(original: Callable[..., Any], *args: Any) -> Any:
    return original(*args)


class _Comparison:
    def __init__(self, net: gluon.Block, paths: Dict[int, str]) -> None:
        self.findings: List[Finding] = []
        self._paths = paths
        self._parameters = [one for one, _ in networks.parameters(net).values()]
        self._broken: Dict[int, Any] = {}
        self._stood_in = False
        self._tested: Optional[gluon.Block] = None

    def take(self, call: _Call) -> None:
        """Run one Block on symbols; what goes wrong is found there."""
        leaves = arrays_of(list(call.args))
        if not leaves or not all(is_array(leaf) for leaf in leaves):
            return
        names = [f"input{at}" for at in range(len(leaves))]
        variables = [variable(name, leaf) for name, leaf in zip(names, leaves)]
        self._stood_in, self._tested = False, call.block
        try:
            with mx.name.NameManager(), listening(
                invoke=_as_it_is, call=self._stand_in, methods=lambda _, original: original
            ):
                answer = call.block.forward(*regroup(list(call.args), variables))
        except Exception as error:
            self._found(call, *_classified(error))
            return
        if not self._stood_in and not self._same(call, answer, dict(zip(names, leaves))):
            where = _suspicious(type(call.block).hybrid_forward)
            self._found(call, "hybrid-differs", "it answers otherwise on symbols", where)

    def _stand_in(self, original: Callable[..., Any], block: gluon.Block, *args: Any) -> Any:
        if id(block) not in self._broken or block is self._tested:
            return original(block, *args)
        self._stood_in = True
        result = self._broken[id(block)]
        leaves = arrays_of(result)
        return regroup(
            result, [variable(f"{block.name}{at}", one) for at, one in enumerate(leaves)]
        )

    def _found(self, call: _Call, code: str, what: str, where: Optional[Where]) -> None:
        self._broken[id(call.block)] = call.result
        self.findings.append(Finding(code, self._paths.get(id(call.block), ""), what, where))

    def _same(self, call: _Call, answer: Any, feeds: Dict[str, Any]) -> bool:
        parts, expected = arrays_of(answer), arrays_of(call.result)
        if not parts or not all(isinstance(part, mx.sym.Symbol) for part in parts):
            return False
        symbol = mx.sym.Group(parts) if len(parts) > 1 else parts[0]
        context = next(iter(feeds.values())).context
        by_name = {one.name: one for one in self._parameters}
        for name in symbol.list_inputs():
            if name not in feeds:
                if name not in by_name:
                    return True  # another finding's business: where it comes from
                feeds[name] = by_name[name].data(context)
        try:
            answers = evaluate(symbol, feeds)
        except mx.MXNetError:
            return False
        return len(answers) == len(expected) and not any(
            difference(one.asnumpy(), other.asnumpy()) for one, other in zip(answers, expected)
        )


_SHAPES = {"shape", "ndim", "size"}
_VALUES = {"asnumpy", "asscalar", "item", "tolist"}


def _classified(error: Exception) -> Tuple[str, str, Optional[Where]]:
    """The code for what a Symbol cannot do, in words, and the line."""
    text = said(error)
    where = failing(error)
    lacking = re.search(r"'(?:Symbol|_Symbol)' object has no attribute '(\w+)'", text)
    function = re.match(r"Function (\w+)", text)
    if lacking:
        name = lacking.group(1)
        code = "hybrid-shape" if name in _SHAPES else "hybrid-attribute"
        return ("hybrid-value" if name in _VALUES else code), f"it uses .{name}", where
    if function:
        name = function.group(1)
        if name in ("__bool__", "__nonzero__"):
            return "hybrid-branch", "Python decides on the values of an array", where
        if name in _VALUES:
            return "hybrid-value", f"it uses .{name}()", where
        if name.startswith("__i"):
            return "hybrid-assignment", "it changes an array in place", where
        return "hybrid-attribute", f"it uses .{name}()", where
    if "item assignment" in text:
        return "hybrid-assignment", "it assigns to a part of an array", where
    if "must have NDArray type" in text or "NDArray'> not supported" in text:
        return "hybrid-nd", "it mixes nd and F", where
    if re.search(r"(float|int|bool)\(\) argument must be", text):
        return "hybrid-value", "it makes a number of an array", where
    if isinstance(error, IndexError) or "index < " in text or "integer index" in text:
        return "hybrid-fails", "it takes a part of an array; a Symbol's are its outputs", where
    if where is not None and re.search(r"\b(mx\.)?nd\.", where.code):
        return "hybrid-nd", "it mixes nd and F", where
    return "hybrid-fails", text, where


def _suspicious(function: Any) -> Optional[Where]:
    """The first line that indexes, counts or loops over a variable; else where it begins."""
    begin = definition(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return begin
    lines = [getattr(node, "lineno", 0) for node in ast.walk(tree) if _means_rows(node)]
    if begin is None or not lines:
        return begin
    return Where(begin.file, begin.line + min(lines) - 1)


def _means_rows(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        part: Any = node.value
    elif isinstance(node, ast.For):
        part = node.iter
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("len", "enumerate", "zip"):
        part = node.args[0] if node.args else None
    else:
        return False
    return isinstance(part, ast.Name)
