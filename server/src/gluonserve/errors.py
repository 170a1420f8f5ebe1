"""What can go wrong, and whose fault it is.

GluonserveError
├── InvalidRequest       the client's tensors do not fit the model        INVALID
├── InvalidModel         a symbol or params file is broken                INVALID
├── InvalidConfig        a settings file, flag or variable is wrong       INVALID
├── ModelNotFound        no such name or version                          NOT_FOUND
├── ModelNotReady        loading, unloading or failed (says which)        NOT_READY
├── ServerNotReady       starting or draining                             NOT_READY
├── Overloaded           the queue is full; try again later               OVERLOADED
├── DeadlineExceeded     it waited too long                               TIMED_OUT
├── RequestCancelled     the caller has gone                              CANCELLED
├── UnsupportedModel     the importer met what it cannot lower            UNSUPPORTED
├── UnsupportedFeature   a request asks for what this server has not      UNSUPPORTED
├── BackendUnavailable   the executor's package or device is not there    UNSUPPORTED
├── AnswersDiffer        recorded answers are not reproduced              FAILED
└── ExecutionFailed      the engine raised                                FAILED
    └── ShapesRefused    no network of this kind takes such shapes        INVALID
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class ErrorKind(Enum):
    """Whose fault it is and whether to try again; each transport maps every kind to its status."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    NOT_READY = "not_ready"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


class GluonserveError(Exception):
    """The root of every error that gluonserve raises on purpose; its text is fit for a client."""

    kind: ClassVar[ErrorKind] = ErrorKind.FAILED


class InvalidRequest(GluonserveError):
    """The client's tensors do not fit the model; the text names input, expected and got."""

    kind = ErrorKind.INVALID


class InvalidModel(GluonserveError):
    """A symbol or params file is broken; the text names file, place and what was expected."""

    kind = ErrorKind.INVALID


class InvalidConfig(GluonserveError):
    """A settings file, flag or variable is wrong; the text lists every mistake with its key."""

    kind = ErrorKind.INVALID


class ModelNotFound(GluonserveError):
    """No model of this name, or not in this version."""

    kind = ErrorKind.NOT_FOUND

    def __init__(self, name: str, version: str | None = None) -> None:
        self.name, self.version = name, version
        super().__init__(
            f"no model {name!r}" + (f" version {version}" if version is not None else "")
        )

    def __reduce__(self) -> tuple[type[ModelNotFound], tuple[str, str | None]]:
        """Pickle what it was made of, not the text."""
        return type(self), (self.name, self.version)


class ModelNotReady(GluonserveError):
    """The model is known but does not serve now; says its state and why."""

    kind = ErrorKind.NOT_READY

    def __init__(self, name: str, version: int | None, state: str, reason: str = "") -> None:
        self.name, self.version, self.state, self.reason = name, version, state, reason
        place = f"model {name!r}" + (f" version {version}" if version is not None else "")
        super().__init__(f"{place} is {state}" + (f": {reason}" if reason else ""))

    def __reduce__(self) -> tuple[type[ModelNotReady], tuple[str, int | None, str, str]]:
        """Pickle what it was made of, not the text."""
        return type(self), (self.name, self.version, self.state, self.reason)


class ServerNotReady(GluonserveError):
    """The server is starting or draining."""

    kind = ErrorKind.NOT_READY


class Overloaded(GluonserveError):
    """The queue is full; nothing was started."""

    kind = ErrorKind.OVERLOADED


class DeadlineExceeded(GluonserveError):
    """The request waited longer than its caller allows."""

    kind = ErrorKind.TIMED_OUT


class RequestCancelled(GluonserveError):
    """The caller went away before the answer."""

    kind = ErrorKind.CANCELLED


class UnsupportedModel(GluonserveError):
    """The importer met what it cannot lower; the text lists every such operator and attribute."""

    kind = ErrorKind.UNSUPPORTED


class UnsupportedFeature(GluonserveError):
    """A request asks for a protocol feature that this server does not have."""

    kind = ErrorKind.UNSUPPORTED


class BackendUnavailable(GluonserveError):
    """The executor's package, or the device it needs, is not there; says how to get it."""

    kind = ErrorKind.UNSUPPORTED


class AnswersDiffer(GluonserveError):
    """The executor does not reproduce the recorded answers; names outputs, errors and tolerance."""

    kind = ErrorKind.FAILED


class ExecutionFailed(GluonserveError):
    """The engine failed on a batch; the cause is logged and in ``__cause__``, not in the text."""

    kind = ErrorKind.FAILED


class ShapesRefused(ExecutionFailed):
    """The network does not take inputs of these shapes, which its signature left open."""

    kind = ErrorKind.INVALID
