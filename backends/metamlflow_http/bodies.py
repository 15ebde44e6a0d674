"""Answers of web servers that are never read past what was asked for, however long or slowly they go on.

A manifest can name any public server, so its answers are a stranger's: without a bound, one that never ends, or a small
one that unpacks to a large one, would fill the memory.
"""

from __future__ import annotations

import re

import aiohttp

from metamlflow.backend.paced import PacedBody
from metamlflow.errors import StorageUnavailableError, redact

MOST_BYTES = 64 * 1024 * 1024
"""Of an answer that is not asked for by a range: a page with links, or a small object as a whole."""
_PIECE_BYTES = 1024 * 1024
_PARTIAL = 206
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class BoundedResponse(aiohttp.ClientResponse):
    """An answer whose ``read`` and ``text`` hold no more than was asked for."""

    async def read(self) -> bytes:
        """Return the content; where a whole object is answered for a range, that range, and one byte if more follows.

        Raises:
            StorageUnavailableError: more comes than was asked for.
            StorageError: it comes by drops.
        """
        if self._body is None:
            try:
                self._body = await self._bounded()
            except BaseException:
                self.close()
                raise
        return self._body

    async def _bounded(self) -> bytes:
        asked = _RANGE.fullmatch(self.request_info.headers.get("Range", ""))
        start, most = (int(asked[1]), int(asked[2]) + 1 - int(asked[1])) if asked else (0, MOST_BYTES)
        skipped = start if self.status != _PARTIAL else 0
        kept = bytearray()
        body = PacedBody(self)
        while chunk := await body.read(_PIECE_BYTES):
            passed = min(skipped, len(chunk))
            skipped -= passed
            kept += chunk[passed : passed + most + 1 - len(kept)]
            if len(kept) > most:
                break
        if len(kept) > most:
            if self.status == _PARTIAL or not asked:
                where = redact(str(self.url))
                raise StorageUnavailableError(
                    f"{where}: the server answers with more than {most:,} bytes, which is more than was asked for",
                    hint="Check the address: what answers there does not keep to HTTP, or is not the data.",
                    key=where,
                )
            self.close()  # the rest is not read
        return bytes(kept)
