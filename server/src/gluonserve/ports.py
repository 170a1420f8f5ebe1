"""Whether ports can be had, told before anything listens: which not, why, what to do."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from gluonserve.errors import InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EVERY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared
"""Hosts that mean every address of this machine. To gRPC each of them is both."""
_LACKING = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Bind each port for a moment; ``ports`` are by their settings' names, 0 is any free one.

    Raises:
        InvalidConfig: listing every port that cannot be had, or the host that is none.
    """
    wanted = {name: port for name, port in ports.items() if port}
    problems = [*_doubles(wanted), *_refusals(host, ports)]
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
            for held in bound(host, port):
                held.close()
        except socket.gaierror as error:  # noqa: PERF203 - every mistake at once
            yield f"host: {host!r} is no address or known name: {error.strerror}"
        except OSError as error:
            yield _refusal(name, host, port, error)


def address(host: str, port: int) -> str:
    """As gRPC reads it: an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses(host: str) -> list[str]:
    """The addresses that a host stands for, as far as this machine has them.

    Raises:
        socket.gaierror: the host is no address or known name.
        OSError: this machine has none of them.
    """
    found = []
    for one in bound(host, 0):
        found.append(str(one.getsockname()[0]))
        one.close()
    return found


def bound(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Sockets that hold the port and do not listen, one for each address of the host.

    ``0.0.0.0`` and ``::`` are both every address, of either family. Families that this machine has
    not are left out. Where any port would do, it is the same for every address. ``shared`` ports
    may be bound again by processes of this user that share them too; connections of an earlier
    server that are still ending are in nobody's way.

    Raises:
        socket.gaierror: the host is no address or known name.
        OSError: an address cannot be bound.
    """
    take = _shared if shared else _alone
    held: list[socket.socket] = []
    lacking: OSError | None = None
    for family, _, _, _, address in _known(host, port):
        wanted = held[0].getsockname()[1] if held else port
        try:
            held.append(take(family, (address[0], wanted, *address[2:])))
        except OSError as error:
            if error.errno not in _LACKING:
                for one in held:
                    one.close()
                raise
            lacking = error
    if lacking is not None and not held:
        raise lacking
    return held


def _known(host: str, port: int) -> Iterator[tuple[int, int, int, str, tuple[Any, ...]]]:
    for one in sorted(EVERY) if host in EVERY else [host]:
        yield from socket.getaddrinfo(one, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)


def _shared(family: int, address: tuple[object, ...]) -> socket.socket:
    """Bound so that only those who share it may bind it again.

    Only where connections of an earlier server are still ending it takes less: until somebody
    listens, whoever reuses addresses could come in between.
    """
    try:
        return _one_bound(family, address, socket.SO_REUSEPORT)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return _one_bound(family, address, socket.SO_REUSEPORT, socket.SO_REUSEADDR)


def _alone(family: int, address: tuple[object, ...]) -> socket.socket:
    return _one_bound(family, address, socket.SO_REUSEADDR)


def _one_bound(family: int, address: tuple[object, ...], *options: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            one.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


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
