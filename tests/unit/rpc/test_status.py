"""Every kind of error has its gRPC status."""

from __future__ import annotations

import grpc
import pytest
from structlog.testing import capture_logs

from gluonserve.errors import ErrorKind, ExecutionFailed, Overloaded
from gluonserve.rpc.status import STATUS, status_of


def test_every_kind_of_error_has_a_status_of_its_own() -> None:
    assert STATUS.keys() == set(ErrorKind)
    assert len(set(STATUS.values())) == len(STATUS)


def test_text_of_our_own_errors_reaches_the_client() -> None:
    assert status_of(Overloaded("8 rows wait"), "ModelInfer") == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "8 rows wait",
    )


@pytest.mark.parametrize("error", [KeyError("secret"), ZeroDivisionError()], ids=repr)
def test_unforeseen_error_says_nothing_on_the_wire_and_all_in_the_log(error: Exception) -> None:
    with capture_logs() as logs:
        status = status_of(error, "ModelInfer")

    assert status == (grpc.StatusCode.INTERNAL, "internal error")
    assert logs == [
        {"event": "rpc failed", "rpc": "ModelInfer", "log_level": "error", "exc_info": error}
    ]


def test_foreseen_error_is_not_logged() -> None:
    with capture_logs() as logs:
        status_of(ExecutionFailed("failed"), "ModelInfer")

    assert logs == []
