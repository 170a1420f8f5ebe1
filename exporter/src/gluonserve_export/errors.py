"""What can stop an export.

ExportError
├── ExportRefused    the network cannot be exported as it is; ``findings`` say why and where
├── NotProven        what was written answers otherwise than the network does
└── NotInferred      files leave something open that the caller has to say
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Sequence

    from gluonserve_export.findings import Finding


class ExportError(Exception):
    """Nothing was written."""


class ExportRefused(ExportError):
    """The network cannot be exported as it is."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class NotProven(ExportError):
    """What was written answers otherwise than the network does."""


class NotInferred(ExportError):
    """The files leave something open; the message says how to tell it."""
