"""The body of a GCS answer as a stream that other threads read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from metamlflow.backend.paced import PacedBody
from metamlflow_gcs.connection import GCSConnection


class GCSStream:
    """The bytes of one media request, read on the event loop of the connection that asked.

    Args:
        connection: whose event loop the answer belongs to.
        body: the response.
    """

    def __init__(self, connection: GCSConnection, body: Any) -> None:
        self._connection = connection
        self._body = PacedBody(body)

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` as far as the answer goes."""
        return self._connection.run(_fill, self._body, view)

    def close(self) -> None:
        """Give up what was not read."""
        with suppress(RuntimeError):  # the loop is gone: Python is shutting down
            self._connection.filesystem.loop.call_soon_threadsafe(self._body.close)


async def _fill(body: PacedBody, view: memoryview) -> int:
    """Fill ``view`` as far as the answer goes: one hop between threads for it, and not one for each packet."""
    filled = 0
    while filled < len(view):
        chunk = await body.read(len(view) - filled)
        if not chunk:
            break
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return filled
