"""The body of an S3 answer as a stream that other threads read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


class S3Stream:
    """The bytes of one GetObject, read on the event loop that asked for them.

    Args:
        loop: that event loop.
        body: of the answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, body: Any) -> None:
        self._loop = loop
        self._body = body

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` as far as the answer goes."""
        from fsspec.asyn import sync

        return int(sync(self._loop, _fill, self._body, view))

    def close(self) -> None:
        """Give up what was not read."""
        with suppress(RuntimeError):  # the loop is gone: Python is shutting down
            self._loop.call_soon_threadsafe(self._body.close)


async def _fill(body: Any, view: memoryview) -> int:
    """Fill ``view`` as far as the answer goes: one hop between threads for it, and not one for each packet."""
    filled = 0
    while filled < len(view):
        chunk = await body.read(len(view) - filled)
        if not chunk:
            break
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return filled
