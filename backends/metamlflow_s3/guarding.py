"""The HTTP session of the s3fs client: requests stay with their server, and no answer takes more than it may.

aiohttp follows a redirect to any host, headers and all. botocore never does: it understands the redirects of S3 by
itself, which tell a region, and asks again where that is. Both take in all of an answer that is not streamed, without a
bound, and wait for as long as now and then a byte arrives.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError

from metamlflow.backend.paced import PacedBody
from metamlflow.errors import MetaMLFlowError, StorageError

MOST_BYTES = 8 * 1024 * 1024
"""Of an answer that is taken in whole. A page of 1,000 keys, each as long as keys may be, takes half of it."""
PATIENCE_SECONDS = 10.0
"""For the bytes of an answer, besides a second for each KiB that arrived."""
_PIECE_BYTES = 1024 * 1024
_ENTITY = b"<!ENTITY"
_REMEDY = "The server, or something on the way to it, does not speak S3 as it should. Check the endpoint."


class GuardedSession(AIOHTTPSession):  # type: ignore[misc] # it has no types
    """aiobotocore's session of HTTP without redirects, and with bounds on what is answered."""

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _Guarded(await super()._get_session(proxy_url))

    async def send(self, request: Any) -> Any:
        """Send a request; return the answer, its body unread if it is to be streamed.

        Raises:
            StorageError: the answer is longer than an answer can be, or arrives by drops.
        """
        try:
            return await super().send(request)
        except HTTPClientError as error:  # in which it wraps whatever it does not know
            if isinstance(error.__context__, MetaMLFlowError):
                raise error.__context__ from None
            raise


class _Guarded:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **options: Any) -> Any:
        if method == "DELETE":
            # aiohttp repeats it where a connection breaks that was used before. A deletion is never repeated: the first
            # one may land when somebody has put the object again. (For other requests, who makes them tries again.)
            self._session._retry_connection = False  # noqa: SLF001 (it offers no other way)
        asks = method in {"GET", "HEAD"}  # and sends nothing, which would take its time as well
        async with asyncio.timeout(self._head_seconds(options.get("timeout")) if asks else None):
            response = await self._session.request(method, **{**options, "allow_redirects": False})
        # While a server joins parts or copies, it may send a blank now and then, for minutes.
        return _Answer(response, patience=PATIENCE_SECONDS if method == "GET" else math.inf)

    def _head_seconds(self, own: Any) -> float | None:
        """Return how long all of an answer's head may take: as long as a server may be silent."""
        times = own or self._session.timeout
        return times.sock_connect + times.sock_read if times.sock_connect and times.sock_read else None


class _Answer:
    """An answer of aiohttp."""

    def __init__(self, response: Any, patience: float) -> None:
        self._response = response
        self.content = _Content(response, _REMEDY, patience)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    async def read(self) -> bytes:
        """Return all of the body."""
        pieces, size = [], 0
        try:
            while piece := await self.content.read(_PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > MOST_BYTES:
                    raise StorageError(  # noqa: TRY301 (closed below)
                        f"the answer takes more than {MOST_BYTES:,} bytes", hint=_REMEDY
                    )
        except BaseException:
            self._response.close()  # else its connection stays open until it is collected
            raise
        data = b"".join(pieces)
        # The parser of botocore stops at some point, after seconds. (Without zeros: it reads UTF-16 as well.)
        if _ENTITY in (data.replace(b"\0", b"") if b"\0" in data else data):
            raise StorageError("the answer declares entities of XML, and none of S3 does", hint=_REMEDY)
        return data


class _Content(PacedBody):
    """The body of an answer as a stream, whose reader waits no longer than its length allows."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response.content, name)
