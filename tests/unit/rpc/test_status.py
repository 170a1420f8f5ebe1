"""Every kind of error has its gRPC status."""

from __future__ import annotations

from urllib.parse import quote

import grpc
import pytest
from structlog.testing import capture_logs

from gluonserve.errors import ErrorKind, ExecutionFailed, Overloaded
from gluonserve.rpc.status import STATUS, abort, shortened, status_of


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


async def test_call_that_nobody_waits_for_is_left_to_grpc() -> None:
    gone = grpc.aio.InternalError("the answer cannot be sent")

    with capture_logs() as logs, pytest.raises(grpc.aio.InternalError) as caught:
        await abort(Gone(), gone, "ModelStreamInfer")

    assert caught.value is gone
    assert logs == []


class Gone:
    """A call whose caller has left: gRPC takes nothing for it."""

    async def abort(self, *_: object) -> None:
        raise AssertionError("there is nobody to tell")


@pytest.mark.parametrize("text", ["", "no model 'x'", "é" * 600, "x" * 4096], ids=len)
def test_text_that_fits_into_a_header_is_sent_whole(text: str) -> None:
    assert shortened(text) == text


@pytest.mark.parametrize("letter", ["x", "%", "\n", "é", "数"], ids=ascii)
def test_text_that_repeats_a_long_name_is_cut_to_what_a_header_holds(letter: str) -> None:
    sent = shortened("no model '" + letter * 100_000)

    assert sent.startswith("no model '" + letter * 400)
    assert sent.endswith(letter + "...")
    assert len(quote(sent, safe=" ':!#$&()*+,/;=?@[]")) <= 4099
