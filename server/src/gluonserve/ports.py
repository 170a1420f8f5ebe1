"""Whether ports can be listened on, told before anything listens: which not, why, what to do."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LACKING = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Bind each port for a moment; ``ports`` are by their settings' names, 0 is any free one.

    Raises:
        InvalidConfig: listing every port that cannot be had, or the host that is none.
    """
    wanted = {name: port for name, port in ports.items() if port}
    problems = [*_doubles(wanted), *_refusals(host, wanted)]
    if problems:
        raise InvalidConfig("\n".join(dict.fromkeys(problems)))


def _doubles(ports: Mapping[str, int]) -> Iterator[str]:
    for port in sorted(set(ports.values())):
        names = [name for name, other in ports.items() if other == port]
        if len(names) > 1:
            yield f"{' and '.join(names)}: both are {port}; {_other(names[-1])}"


def _refusals(host: str, ports: Mapping[str, int]) -> Iterator[str]:
    for name, port in ports.items():
        try:
            _bind(host, port)
        except socket.gaierror as error:  # noqa: PERF203 - every mistake at once
            yield f"host: {host!r} is no address or known name: {error.strerror}"
        except OSError as error:
            yield _refusal(name, host, port, error)


def _bind(host: str, port: int) -> None:
    """Bind every address of the host but those of a family that this machine has not."""
    lacking: OSError | None = None
    bound = 0
    kind = socket.SOCK_STREAM
    for family, _, protocol, _, address in socket.getaddrinfo(
        host, port, type=kind, flags=socket.AI_PASSIVE
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                bound += 1
        except OSError as error:  # noqa: PERF203 - a handful of addresses
            if error.errno not in _LACKING:
                raise
            lacking = error
    if lacking is not None and not bound:
        raise lacking


def _refusal(name: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{name}: {host}:{port} is in use by another program; stop it, or {_other(name)}"
    if error.errno in _LACKING:
        return f"host: {host} is no address of this machine"
    if error.errno == errno.EACCES:
        return f"{name}: this user may not listen on {host}:{port}; {_other(name)}"
    return f"{name}: cannot listen on {host}:{port}: {error.strerror}"


def _other(name: str) -> str:
    flag = "--" + name.replace("_", "-")
    return f"choose another with {flag} NUMBER, or {flag} 0 for any free one"
