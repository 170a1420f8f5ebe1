"""The tree of a network: registered children, and Blocks that others hide from registration."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mxnet import gluon

from gluonserve_export.arrays import arrays_of, is_array

if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Set, Tuple

    from mxnet.gluon import Block
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque)
_OWN = ("_children", "_reg_params", "_forward_hooks", "_forward_pre_hooks", "_cached_op_args")


@dataclass(frozen=True)
class Hidden:
    """An attribute, container or object, and the Blocks in it that no Block has registered."""

    owner: Block
    attribute: str
    blocks: Tuple[Tuple[str, Block], ...]


def join(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name


def registered(net: Block, path: str = "") -> Iterator[Tuple[str, Block]]:
    """Every registered Block once, parents first, with its path; the network's own is empty."""
    seen: Set[int] = set()

    def walk(block: Block, at: str) -> Iterator[Tuple[str, Block]]:
        if id(block) in seen:
            return
        seen.add(id(block))
        yield at, block
        for name, child in block._children.items():
            yield from walk(_child(child), join(at, name))

    return walk(net, path)


def _child(child: Any) -> Block:
    """Later versions of MXNet hold children by weak reference."""
    return child if isinstance(child, gluon.Block) else child()


def hidden(net: Block) -> List[Hidden]:
    """Containers of every registered Block that hide others, and those inside what they hide."""
    found: List[Hidden] = []
    known = {id(block) for _, block in registered(net)}
    todo = [block for _, block in registered(net)]
    while todo:
        owner = todo.pop(0)
        for attribute, value in vars(owner).items():
            if attribute in _OWN or isinstance(value, gluon.Block):
                continue
            inside = [(at, one) for at, one in _inside(value, attribute) if id(one) not in known]
            if inside:
                found.append(Hidden(owner, attribute, tuple(inside)))
                new = [block for _, one in inside for _, block in registered(one)]
                known.update(id(block) for block in new)
                todo.extend(new)
    return found


def _inside(value: Any, path: str, *, in_object: bool = False) -> Iterator[Tuple[str, Block]]:
    """Blocks in containers, and in objects of the user's own, but not in the objects of those."""
    if isinstance(value, gluon.Block):
        yield path, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _inside(one, f"{path}[{key!r}]", in_object=in_object)
    elif isinstance(value, _CONTAINERS):
        for at, one in enumerate(value):
            yield from _inside(one, f"{path}[{at}]", in_object=in_object)
    elif not in_object and type(value).__module__.split(".")[0] not in _FOREIGN:
        for name, one in getattr(value, "__dict__", {}).items():
            yield from _inside(one, f"{path}.{name}", in_object=True)


_FOREIGN = {"builtins", "mxnet", "numpy"}


def blocks(net: Block) -> Dict[int, Tuple[str, Block]]:
    """Every Block, hidden ones too, by identity, with its path."""
    found = {id(block): (path, block) for path, block in registered(net)}
    for one in hidden(net):
        owner = found[id(one.owner)][0]
        for at, block in one.blocks:
            for path, inner in registered(block, join(owner, at)):
                found.setdefault(id(inner), (path, inner))
    return found


def parameters(net: Block) -> Dict[int, Tuple[gluon.Parameter, List[str]]]:
    """Every Parameter by identity, with the paths of the Blocks that have it."""
    found: Dict[int, Tuple[gluon.Parameter, List[str]]] = {}
    for path, block in blocks(net).values():
        own = list(block.params.values()) + list(block._reg_params.values())
        for one in {id(parameter): parameter for parameter in own}.values():
            found.setdefault(id(one), (one, []))[1].append(path)
    return found


def is_builtin(block: Block) -> bool:
    """Whether its code is MXNet's own."""
    return type(block).__module__.split(".")[0] == "mxnet"


def stored_arrays(net: Block) -> Dict[int, Any]:
    """Arrays in attributes of Blocks, by identity."""
    values = [value for _, block in blocks(net).values() for value in vars(block).values()]
    return {id(leaf): leaf for value in values for leaf in arrays_of(value) if is_array(leaf)}
