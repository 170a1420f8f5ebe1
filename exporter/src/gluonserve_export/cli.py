"""``python -m gluonserve_export``: diagnose, export and repair from a shell."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np
from mxnet import gluon

from gluonserve_export.arrays import known_dtype, waited
from gluonserve_export.diagnosis import REFUSED_CHILD, diagnose
from gluonserve_export.errors import ExportError
from gluonserve_export.exporting import export_model
from gluonserve_export.networks import parameters
from gluonserve_export.repairing import repair
from gluonserve_export.sources import failing, said
from gluonserve_export.structure import state_of

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    from gluonserve_export.findings import Finding


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
    two.add_argument("--version", type=_version, default=1, help="version directory in it")
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
    parser.add_argument("--json", action="store_true", help="print findings as JSON")


def _diagnose(options: argparse.Namespace) -> int:
    make = _named(options.network)
    found = diagnose(lambda: _loaded(make, options), *_samples(options))
    print(_json([_told(one) for one in found.findings]) if options.json else found)
    return 0 if found.exportable else 1


def _export(options: argparse.Namespace) -> int:
    samples = _samples(options)
    if not samples:
        raise ExportError("a network is exported by running it: give --shape for each input")
    net = _loaded(_named(options.network), options)
    if any(state_of(one) == "deferred" for one, _ in parameters(net).values()):
        _finish_parameters(net, samples)
    made = export_model(
        *(net, options.output, *samples),
        version=options.version,
        overwrite=options.overwrite,
        description=options.description,
    )
    if options.json:
        print(
            _json({"folder": str(made.folder), "findings": [_told(one) for one in made.findings]})
        )
        return 0
    for finding in made.findings:
        print(finding)
    print(f"wrote {made.folder}")
    return 0


def _finish_parameters(net: gluon.Block, samples: Sequence[Any]) -> None:
    """One run, which makes the parameters whose shapes were left open."""
    try:
        waited(net(*samples))
    except Exception as error:
        raise ExportError(f"the network does not run on these shapes: {_told_of(error)}") from error


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _told(finding: Finding) -> Dict[str, Any]:
    """A finding for a program."""
    where = finding.where
    return {
        "code": finding.code,
        "path": finding.path,
        "what": finding.what,
        "file": where and where.file,
        "line": where and where.line,
        "stops": finding.stops,
        "meaning": finding.meaning,
        "fix": finding.fix,
    }


def _told_of(error: BaseException) -> str:
    """A user's error in one line, with the line of theirs that raised it."""
    kind, text, where = type(error).__name__, said(error), failing(error)
    whole = text if text.startswith(kind) else f"{kind}: {text}"
    return f"{whole} (at {where})" if where else whole


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


def _named(name: str) -> Any:
    """What MODULE:FUNCTION names: a function that makes a network, or the network itself."""
    module, colon, function = name.partition(":")
    if not colon:
        raise ExportError(f"{name!r} is not MODULE:FUNCTION")
    sys.path.insert(0, "")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise ExportError(f"{name}: {_told_of(error)}") from error
    for part in function.split("."):
        if not hasattr(found, part):
            raise ExportError(f"{name}: there is no {function!r} in {module}")
        found = getattr(found, part)
    if not callable(found):
        raise ExportError(f"{name} is of type {type(found).__name__}, and no function or network")
    return found


def _loaded(make: Any, options: argparse.Namespace) -> Any:
    net = make if isinstance(make, gluon.Block) else _called(make, options.network)
    if not isinstance(net, gluon.Block):
        raise ExportError(
            f"{options.network} made no network but something of type {type(net).__name__}"
        )
    if options.params:
        try:
            net.load_parameters(options.params)
        except Exception as error:
            raise ExportError(f"--params {options.params}: {said(error)}") from error
    return net


def _called(make: Any, name: str) -> Any:
    try:
        return make()
    except ValueError as error:
        if REFUSED_CHILD in str(error):  # a finding of its own
            raise
        raise ExportError(f"{name} raised {_told_of(error)}") from error
    except Exception as error:
        raise ExportError(f"{name} raised {_told_of(error)}") from error


def _samples(options: argparse.Namespace) -> List[Any]:
    random = np.random.RandomState(0)
    if len(options.dtype) > len(options.shape):
        raise ExportError(f"{len(options.dtype)} times --dtype for {len(options.shape)} inputs")
    types: Dict[int, str] = dict(enumerate(options.dtype))
    return [
        mx.nd.array(random.uniform(size=_shape(text)), dtype=known_dtype(types.get(at, "float32")))
        for at, text in enumerate(options.shape)
    ]


def _shape(text: str) -> Tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ExportError(f"{text!r} is not a shape like 1,3,224,224")
    return shape


def _version(text: str) -> int:
    """What the server takes for a version: a positive whole number."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
