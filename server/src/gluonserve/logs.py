"""How the process logs: configured once, by the command line; everything goes to one stream.

Modules call ``structlog.get_logger`` and nothing else. Records of the standard library's loggers
(gRPC's, an engine's) pass through the same renderer.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


_CALLER_GONE = "ExecuteBatchError raised in core"


class _CallersLeave(logging.Filter):
    """Tells without alarm and trace what gRPC calls an error: that nobody took an answer.

    Callers whose process ends, or whose time is up, are no failure of the server.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Lower the record to debug, which is seldom looked at."""
        if str(record.msg).startswith(_CALLER_GONE):
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            record.msg, record.args, record.exc_info = "caller gone before its answer", (), None
            return logging.getLogger().isEnabledFor(logging.DEBUG)
        return True


def configure(
    level: str = "info",
    style: Literal["auto", "console", "json"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Log from ``level`` on, as lines for people on a terminal and as JSON elsewhere."""
    stream = sys.stderr if stream is None else stream
    console = style == "console" or (style == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(_CallersLeave())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(console=console, colors=stream.isatty()),
            ],
            foreign_pre_chain=_SHARED,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def _rendering(*, console: bool, colors: bool) -> tuple[Processor, ...]:
    """Traces leave out local variables: those hold tensors, which are long and not for logs."""
    if console:
        traces = structlog.dev.RichTracebackFormatter(show_locals=False)
        return (structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=traces),)
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return (structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer())
