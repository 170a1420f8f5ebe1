"""``python -m gluonserve_export``: diagnose, export and repair from a shell."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

from gluonserve_export.diagnosis import diagnose
from gluonserve_export.errors import ExportError
from gluonserve_export.exporting import export_model
from gluonserve_export.networks import parameters
from gluonserve_export.repairing import repair
from gluonserve_export.structure import state_of

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; 0 ok, 1 refused or findings that stop an export, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gluonserve_export", description=(__doc__ or "").strip())
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("diagnose", help="explain what stands between a network and serving")
    _network(one)
    one.set_defaults(run=_diagnose)
    two = commands.add_parser("export", help="write a network as a model directory")
    _network(two)
    two.add_argument("-o", "--output", required=True, help="model directory to write")
    two.add_argument("--version", type=int, default=1, help="version directory in it")
    two.add_argument("--overwrite", action="store_true", help="replace that version")
    two.add_argument("--description", default="", help="for people")
    two.set_defaults(run=_export)
    three = commands.add_parser("repair", help="write model.toml for an export that lacks one")
    three.add_argument("symbol", help="NAME-symbol.json")
    three.add_argument("params", help="NAME-0000.params")
    three.add_argument("--shape", action="append", default=[], metavar="INPUT=1,3,224,224")
    three.add_argument("--dtype", action="append", default=[], metavar="INPUT=float32")
    three.add_argument("--overwrite", action="store_true", help="replace a model.toml")
    three.set_defaults(run=_repair)
    return parser


def _network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="MODULE:FUNCTION", help="a function that makes it")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="1,3,224,224", help="of each input in turn"
    )
    parser.add_argument(
        "--dtype", action="append", default=[], metavar="float32", help="of each input in turn"
    )
    parser.add_argument("--params", help="file for load_parameters()")


def _diagnose(options: argparse.Namespace) -> int:
    make = _function(options.network)
    found = diagnose(lambda: _loaded(make, options), *_samples(options))
    print(found)
    return 0 if found.exportable else 1


def _export(options: argparse.Namespace) -> int:
    net = _loaded(_function(options.network), options)
    samples = _samples(options)
    if any(state_of(one) == "deferred" for one, _ in parameters(net).values()):
        net(*samples)
    made = export_model(
        *(net, options.output, *samples),
        version=options.version,
        overwrite=options.overwrite,
        description=options.description,
    )
    for finding in made.findings:
        print(finding)
    print(f"wrote {made.folder}")
    return 0


def _repair(options: argparse.Namespace) -> int:
    shapes = {name: _shape(text) for name, text in _pairs(options.shape)}
    ask = _asked if sys.stdin.isatty() else None
    written = repair(
        *(options.symbol, options.params),
        shapes=shapes,
        dtypes=dict(_pairs(options.dtype)),
        ask=ask,
        overwrite=options.overwrite,
    )
    print(f"wrote {written}")
    return 0


def _asked(name: str) -> Tuple[int, ...]:
    return _shape(input(f"shape of input {name!r}, rows included (as in 1,3,224,224): "))


def _pairs(texts: Sequence[str]) -> List[Tuple[str, str]]:
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ExportError(f"{text!r} is not INPUT=VALUE")
        found.append((name, value))
    return found


def _function(name: str) -> Any:
    module, colon, function = name.partition(":")
    if not colon:
        raise ExportError(f"{name!r} is not MODULE:FUNCTION")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ExportError(f"{name}: {error}") from error


def _loaded(make: Any, options: argparse.Namespace) -> Any:
    net = make()
    if options.params:
        net.load_parameters(options.params)
    return net


def _samples(options: argparse.Namespace) -> List[Any]:
    random = np.random.RandomState(0)
    types: Dict[int, str] = dict(enumerate(options.dtype))
    return [
        mx.nd.array(random.uniform(size=_shape(text)), dtype=types.get(at, "float32"))
        for at, text in enumerate(options.shape)
    ]


def _shape(text: str) -> Tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ExportError(f"{text!r} is not a shape like 1,3,224,224") from error
