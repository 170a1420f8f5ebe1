"""One stream, one look, whoever logs."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from gluonserve import logs


@pytest.fixture(autouse=True)
def logging_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_and_foreign_records_are_json_lines() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    structlog.get_logger("a").info("model loaded", model='with "quotes"', seconds=1.5)
    logging.getLogger("grpc").warning("port %d", 8001)

    ours, theirs = lines(stream)
    assert (ours["event"], ours["model"], ours["level"]) == (
        "model loaded",
        'with "quotes"',
        "info",
    )
    assert (theirs["event"], theirs["level"]) == ("port 8001", "warning")
    assert ours["timestamp"].endswith("Z")


def test_trace_is_kept_in_the_line() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    try:
        {}["why"]
    except KeyError:
        structlog.get_logger("a").exception("failed")

    (line,) = lines(stream)
    assert line["exception"][0]["exc_type"] == "KeyError"


def test_less_severe_events_are_left_out() -> None:
    stream = io.StringIO()
    logs.configure("warning", stream=stream)

    structlog.get_logger("a").info("quiet")
    logging.getLogger("b").info("quiet")

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("style", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("console", io.StringIO(), False),
        ("json", Terminal(), True),
    ],
    ids=["auto elsewhere", "auto on a terminal", "console", "json"],
)
def test_look_follows_the_setting_and_the_terminal(style, stream, is_json) -> None:
    logs.configure(style=style, stream=stream)

    structlog.get_logger("a").info("hello")

    assert stream.getvalue().startswith("{") == is_json


@pytest.mark.parametrize("level", ["info", "debug"])
def test_caller_that_left_is_no_error(level) -> None:
    stream = io.StringIO()
    logs.configure(level, stream=stream)

    try:
        {}["why"]
    except KeyError:
        text = "ExecuteBatchError raised in core by servicer method [%s]"
        logging.getLogger("grpc._cython.cygrpc").exception(text, "/Infer")

    told = [(line["event"], line["level"], "exception" in line) for line in lines(stream)]
    assert told == ([("caller gone before its answer", "debug", False)] if level == "debug" else [])
