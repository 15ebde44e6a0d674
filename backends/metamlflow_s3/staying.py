"""Requests stay with the server that they are for: aiohttp follows a redirect to any host, headers and all.

botocore never does. It understands the redirects of S3 by itself, which tell a region, and asks again where that is.
"""

from __future__ import annotations

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession


class StayingSession(AIOHTTPSession):  # type: ignore[misc] # it has no types
    """aiobotocore's session of HTTP, without the redirects that aiohttp follows."""

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _Staying(await super()._get_session(proxy_url))


class _Staying:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **options: Any) -> Any:
        return await self._session.request(method, **{**options, "allow_redirects": False})
