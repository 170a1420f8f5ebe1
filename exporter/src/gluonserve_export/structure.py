"""What the tree of a network and its parameters show without running it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from mxnet import gluon

from gluonserve_export import networks
from gluonserve_export.findings import Finding
from gluonserve_export.sources import Where

if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional


def examine(net: gluon.Block) -> List[Finding]:
    """Findings about Blocks, containers and parameters."""
    found = networks.blocks(net)
    children = [one for path, block in found.values() for one in _of_block(path, block)]
    paths = {key: path for key, (path, _) in found.items()}
    return [*children, *_hidden(net, paths), *parameter_findings(net)]


def _of_block(path: str, block: gluon.Block) -> Iterator[Finding]:
    kind = type(block)
    if isinstance(block, gluon.HybridBlock):
        if overrides_forward(block):
            what = f"{kind.__name__} overrides forward()"
            yield Finding("overridden-forward", path, what, definition(kind.forward))
        return
    if is_sequential(block):
        if can_hybridize(block):
            count = len(list(networks.registered(block))) - 1
            yield Finding("sequential", path, f"nn.Sequential of hybrid Blocks ({count} inside)")
        return
    why = f"{kind.__name__} is a Block, not a HybridBlock"
    if kind.__name__ in _HYBRID_FORMS and networks.is_builtin(block):
        why += f"; {_HYBRID_FORMS[kind.__name__]} is one"
    yield Finding("plain-block", path, why, _written(block))


_HYBRID_FORMS = {"Lambda": "HybridLambda", "Concurrent": "HybridConcurrent"}


def _written(block: gluon.Block) -> Optional[Where]:
    """Where the user wrote what it computes: its forward, or a Lambda's function."""
    own = vars(block).get("_func_impl") if networks.is_builtin(block) else type(block).forward
    theirs = inspect.isfunction(own) and not own.__module__.startswith("mxnet.")
    return definition(own) if theirs else None


def overrides_forward(block: gluon.HybridBlock) -> bool:
    """Whether user code stands where hybridize() has its own."""
    own = type(block).forward
    return not own.__module__.startswith("mxnet.")


def is_sequential(block: gluon.Block) -> bool:
    """Whether it runs its children in order and does nothing else."""
    plain = isinstance(block, gluon.nn.Sequential)
    return plain and type(block).forward is gluon.nn.Sequential.forward


def can_hybridize(block: gluon.Block) -> bool:
    """Whether everything in it is hybrid, or a Sequential that could be."""
    if is_sequential(block):
        inside = (one for path, one in networks.registered(block) if path)
        return all(isinstance(one, gluon.HybridBlock) or is_sequential(one) for one in inside)
    return isinstance(block, gluon.HybridBlock)


def _hidden(net: gluon.Block, paths: Dict[int, str]) -> Iterator[Finding]:
    for one in networks.hidden(net):
        kind = type(vars(one.owner)[one.attribute]).__name__
        inside = ", ".join(f"{at} ({type(block).__name__})" for at, block in one.blocks[:4])
        more = f" and {len(one.blocks) - 4} more" if len(one.blocks) > 4 else ""
        what = f"the {kind} {one.attribute} hides {inside}{more}"
        yield Finding("hidden-blocks", paths[id(one.owner)], what)


def parameter_findings(net: gluon.Block) -> List[Finding]:
    """Parameters without values, shared ones, and names that two have."""
    by_state: Dict[Any, List[str]] = {}
    owners: Dict[str, List[str]] = {}
    found: List[Finding] = []
    using = _users(net)
    for parameter, paths in networks.parameters(net).values():
        owners.setdefault(parameter.name, []).append(paths[0])
        state = state_of(parameter)
        if state:
            by_state.setdefault((state, paths[0]), []).append(parameter.name)
        users = using.get(id(parameter), [])
        if len(users) > 1:
            what = f"{parameter.name} belongs to {' and '.join(path or '(root)' for path in users)}"
            found.append(Finding("shared", users[0], what))
    found += [
        Finding(state, path, f"no values: {', '.join(names)}", names=frozenset(names))
        for (state, path), names in by_state.items()
    ]
    found += [
        Finding("name-clash", paths[1], f"{name} is also the name of a parameter of {paths[0]}")
        for name, paths in owners.items()
        if len(paths) > 1
    ]
    return found


def _users(net: gluon.Block) -> Dict[int, List[str]]:
    """Paths of the Blocks that compute with each parameter, by its identity."""
    found: Dict[int, List[str]] = {}
    for path, block in networks.blocks(net).values():
        for one in {id(value) for value in block._reg_params.values()}:
            found.setdefault(one, []).append(path)
    return found


def state_of(parameter: gluon.Parameter) -> str:
    """``uninitialised``, ``deferred``, or nothing where it has values."""
    if parameter._data is not None:
        return ""
    return "deferred" if parameter._deferred_init else "uninitialised"


def definition(function: Any) -> Optional[Where]:
    """Where a function begins."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Where(code.co_filename, code.co_firstlineno) if code else None
