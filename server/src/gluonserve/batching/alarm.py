"""One timer for many moments: it rings at the earliest that was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm:
    """Calls ``ring`` with the moment it was set to, on the running event loop's clock."""

    def __init__(self, ring: Callable[[float], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._when = 0.0

    def by(self, when: float) -> None:
        """Ring at ``when`` at the latest; a timer that is set already and earlier will do."""
        if self._timer is not None:
            if self._when <= when:
                return
            self._timer.cancel()
        self._when = when
        self._timer = asyncio.get_running_loop().call_at(when, self._on_time, when)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self, when: float) -> None:
        self._timer = None
        self._ring(when)  # never before its time, even where the loop's clock is coarser
