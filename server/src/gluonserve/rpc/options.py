"""What a front process is told when it begins."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """How large messages may be, how to log, and where to listen."""

    max_message_bytes: int
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, data: bytes | bytearray) -> FrontOptions:
        """The options in ``data``."""
        return cls(**json.loads(data))

    def encode(self) -> bytes:
        """As ``parse`` takes them."""
        return json.dumps(asdict(self)).encode()
