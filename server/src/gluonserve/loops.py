"""Which event loop a process runs on."""

from __future__ import annotations

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Uvloop's where it is installed, else asyncio's."""
    try:
        import uvloop  # noqa: PLC0415 - optional: there is none for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
