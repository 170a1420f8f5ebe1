"""What the tests of the gRPC service share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gluonserve.rpc.fronts import FrontOptions, Fronts
from gluonserve.rpc.local import LocalCalls
from gluonserve.rpc.server import LARGEST_MESSAGE, RpcServer, build_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakeplane import FakeDataPlane

    GrpcOver = Callable[[FakeDataPlane], RpcServer | Fronts]


@pytest.fixture(params=["here", "front"])
def grpc_over(request: pytest.FixtureRequest) -> GrpcOver:
    """Makes a gRPC server over a data plane: in this process, or in one in front of it."""
    if request.param == "here":
        return lambda plane: build_server(LocalCalls(plane))
    return lambda plane: Fronts(plane, FrontOptions(LARGEST_MESSAGE), 1)
