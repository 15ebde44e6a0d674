"""The body of an answer that arrives on an event loop, as a stream that other threads read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from metamlflow.backend.threads import keep_resolving


class Body(Protocol):
    """What an asynchronous client hands out."""

    async def read(self, most: int, /) -> bytes:
        """Return at most so many bytes, as soon as there are some; none at the end."""

    def close(self) -> object:
        """Give up what was not read."""


class LoopStream:
    """The bytes of one answer, read on the event loop that asked for it; see :class:`metamlflow.backend.Stream`.

    Args:
        loop: that event loop.
        body: of the answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, body: Body) -> None:
        self._loop = loop
        self._body = body

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` as far as the answer goes."""
        from fsspec.asyn import sync

        keep_resolving(self._loop)
        return int(sync(self._loop, _fill, self._body, view))

    def close(self) -> None:
        """Give up what was not read."""
        with suppress(RuntimeError):  # the loop is gone: Python is shutting down
            self._loop.call_soon_threadsafe(self._body.close)


async def _fill(body: Body, view: memoryview) -> int:
    """Fill ``view`` as far as the answer goes: one hop between threads for it, and not one for each packet."""
    filled = 0
    while filled < len(view):
        chunk = await body.read(len(view) - filled)
        if not chunk:
            break
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return filled
