"""A port that cannot be had is told with its setting and what to do."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from gluonserve.errors import InvalidConfig
from gluonserve.ports import addresses, bound, check_ports

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def complaint(host: str, **ports: int) -> str:
    with pytest.raises(InvalidConfig) as caught:
        check_ports(host, ports)
    return str(caught.value)


def test_every_taken_port_is_told_with_its_setting(taken) -> None:
    told = complaint("127.0.0.1", grpc_port=taken, http_port=0)

    assert told == (
        f"grpc_port: 127.0.0.1:{taken} is in use by another program; stop it, or choose another "
        "with --grpc-port NUMBER, or --grpc-port 0 for any free one"
    )


def test_free_port_is_free_afterwards(taken) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]

    check_ports("127.0.0.1", {"grpc_port": free})
    check_ports("127.0.0.1", {"grpc_port": free})


def test_one_port_for_two_purposes(taken) -> None:
    told = complaint("127.0.0.1", http_port=taken, metrics_port=taken)

    assert f"http_port and metrics_port: both are {taken}; choose another with" in told


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.1", "host: 192.0.2.1 is no address of this machine"), ("no.such.invalid", "host: ")],
    ids=["address", "name"],
)
def test_wrong_host_is_told_once(host, told) -> None:
    text = complaint(host, http_port=18001, grpc_port=18002)

    assert text.startswith(told)
    assert text.count("host:") == 1


def test_wrong_host_is_told_where_any_port_would_do() -> None:
    assert complaint("192.0.2.1", http_port=0) == "host: 192.0.2.1 is no address of this machine"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_of_both_families(host) -> None:
    held = bound(host, 0)

    assert [one.getsockname()[0] for one in held] == addresses(host) == every_address()
    assert len({one.getsockname()[1] for one in held}) == 1
    for one in held:
        one.close()


def every_address() -> list[str]:
    """Those of this machine, which may have no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return ["0.0.0.0"]
    return ["0.0.0.0", "::"]


def test_addresses_of_a_name_are_those_that_are_bound() -> None:
    known = {one[4][0] for one in socket.getaddrinfo("localhost", 0)}

    assert set(addresses("localhost")) <= known


def test_connections_of_an_earlier_server_do_not_keep_a_shared_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as earlier:
        port = earlier.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = earlier.accept()
            accepted.close()  # first, so that its end of the connection lingers
            assert client.recv(1) == b""

    for held in bound("127.0.0.1", port, shared=True):
        held.close()


def test_shared_port_is_bound_again_by_who_shares_it_and_by_nobody_else() -> None:
    (held,) = bound("127.0.0.1", 0, shared=True)
    port = held.getsockname()[1]
    with held:
        (again,) = bound("127.0.0.1", port, shared=True)
        again.close()
        with pytest.raises(OSError, match="in use"):
            bound("127.0.0.1", port)
