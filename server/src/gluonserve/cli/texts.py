"""Texts on a command line that go over the wire: names of models, and addresses of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click import Context, Parameter

_LARGEST_PORT = 2**16 - 1
_OTHER_PROTOCOLS = ("http://", "https://", "grpc://", "grpcs://", "tcp://")


class Name(click.types.StringParamType):
    """A name that UTF-8 can hold; arguments may be any bytes."""

    name = "text"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> str:
        """The name, or a usage error."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!r} is not UTF-8.", param, ctx)
        return text


class Address(Name):
    """Where a server's gRPC listens."""

    name = "host:port"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> str:
        """The address, or a usage error."""
        text = super().convert(value, param, ctx)
        if not text or text.startswith(_OTHER_PROTOCOLS):
            self.fail(f"expected HOST:PORT, as in localhost:8001, not {text!r}.", param, ctx)
        port = text.rpartition(":")[2]
        if port.isdecimal() and int(port) > _LARGEST_PORT:  # gRPC would take another one
            self.fail(f"{text!r}: ports go up to {_LARGEST_PORT}.", param, ctx)
        return text


NAME, ADDRESS = Name(), Address()

address_option = click.option(
    "--address",
    type=ADDRESS,
    default="localhost:8001",
    show_default=True,
    help="gRPC of the server.",
)
