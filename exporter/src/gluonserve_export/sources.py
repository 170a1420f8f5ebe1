"""Which line of the user's code is running, or failed."""

from __future__ import annotations

import importlib
import linecache
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mxnet as mx

if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType
    from typing import Iterable, Iterator, Optional, Tuple

_OTHERS = tuple(str(Path(one).parent) for one in (mx.__file__, importlib.__file__, __file__))


@dataclass(frozen=True)
class Where:
    """One line of source."""

    file: str
    line: int

    @property
    def code(self) -> str:
        """The line's text, without its indentation."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        code = self.code
        return f"{Path(self.file).name}:{self.line}" + (f": {code}" if code else "")


def running() -> Optional[Where]:
    """The user's line that is running now."""
    return _innermost(_callers(sys._getframe(1)))


def failing(error: BaseException) -> Optional[Where]:
    """The user's line that raised ``error``."""
    return _innermost(reversed(list(_steps(error.__traceback__))))


def said(error: BaseException) -> str:
    """What an error says, in one line; of MXNet's traces in C++ the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    line = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return re.sub(r"^(\w+Error: )\1", r"\1", line)


def _callers(frame: Optional[FrameType]) -> Iterator[Tuple[CodeType, int]]:
    while frame is not None:
        yield frame.f_code, frame.f_lineno
        frame = frame.f_back


def _steps(trace: Optional[TracebackType]) -> Iterator[Tuple[CodeType, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


def _innermost(steps: Iterable[Tuple[CodeType, int]]) -> Optional[Where]:
    for code, line in steps:
        file = code.co_filename
        if not file.startswith((*_OTHERS, "<string>", "<frozen")):
            return Where(file, line)
    return None
