"""Requests that stay within bounds: each hop is checked, and what a host is told is told to no other.

fsspec takes this in place of aiohttp's session. Redirects are followed here, as aiohttp would send custom headers along
with them. Where only public addresses are allowed, a resolver leaves out all others: the addresses that are checked are
those that are connected to, whatever a name resolves to a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import aiohttp.abc
import yarl

from metamlflow.backend.addresses import address_of, is_public
from metamlflow.backend.external import Bounds
from metamlflow.errors import StorageUnavailableError, redact
from metamlflow_http.bodies import BoundedResponse

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_OF_HOST = ("headers", "auth", "cookies")  # options of a session that go with each of its requests
_CONDITIONS = frozenset({"accept-encoding", "if-match", "range"})  # headers of the library's own
_FOR_ANY_HOST = frozenset({"timeout", "proxy", "proxy_auth", "proxy_headers"})


@dataclass(frozen=True)
class BoundedClient:
    """What fsspec makes a session with.

    Args:
        bounds: how far it goes.
        own: the user's function for the same, if there is one.
    """

    bounds: Bounds
    own: Callable[..., Coroutine[Any, Any, aiohttp.ClientSession]] | None = None

    async def __call__(self, *, loop: asyncio.AbstractEventLoop, **options: Any) -> BoundedSession:
        """Return a session."""
        return BoundedSession(self, loop, options)


class _NotPublicError(Exception):
    """A name resolves to no public address. No OSError: aiohttp would take it for a failure of the network."""


class _PublicResolver(aiohttp.abc.AbstractResolver):
    """Leaves out addresses that are not public, but of the proxy: that one is the user's own."""

    def __init__(self, proxy: str) -> None:
        self._inner = aiohttp.DefaultResolver()
        self._proxy = proxy

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[aiohttp.abc.ResolveResult]:
        """Return the public addresses of a host: no other is connected to. Of the proxy, return all."""
        found = await self._inner.resolve(host, port, family)
        if host == self._proxy:
            return found
        public = [one for one in found if (address := address_of(one["host"])) is not None and is_public(address)]
        if found and not public:
            raise _NotPublicError(f"its name resolves to {found[0]['host']}, which is not of the public network")
        return public

    async def close(self) -> None:
        await self._inner.close()


class BoundedSession:
    """As much of ``aiohttp.ClientSession`` as fsspec uses to read."""

    def __init__(self, client: BoundedClient, loop: asyncio.AbstractEventLoop, options: Mapping[str, Any]) -> None:
        self._bounds = client.bounds
        self._make = client.own
        self._loop = loop
        self._defaults = {name: options[name] for name in _OF_HOST if options.get(name) is not None}
        self._options = {name: value for name, value in options.items() if name not in _OF_HOST}
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}

    def get(self, url: str | yarl.URL, **options: Any) -> _Answer:
        """Ask for content."""
        return _Answer(self._request("GET", yarl.URL(url), **options))

    def head(self, url: str | yarl.URL, **options: Any) -> _Answer:
        """Ask for headers."""
        return _Answer(self._request("HEAD", yarl.URL(url), **options))

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    @property
    def _connector(self) -> _Connectors:
        return _Connectors([session.connector for session in self._sessions.values()])  # for fsspec, at the end

    async def _request(
        self, method: str, url: yarl.URL, *, allow_redirects: bool = True, **options: Any
    ) -> aiohttp.ClientResponse:
        for hop in range(_MOST_REDIRECTS + 1):
            self._check(url)
            answer = await self._hop(method, url, options if hop == 0 else self._without_query(options))
            place = answer.headers.get("Location")
            if not allow_redirects or answer.status not in _REDIRECTS or place is None:
                return answer
            answer.release()
            url = url.join(yarl.URL(place)).with_fragment(None)
        raise StorageUnavailableError(
            f"{redact(str(url.origin()))}: more than {_MOST_REDIRECTS} redirects", hint="Check the address."
        )

    def _check(self, url: yarl.URL) -> None:
        if url.scheme not in {"http", "https"}:
            raise self._bounds.refusal(str(url), "a web server redirects to it")
        self._bounds.check(str(url))

    async def _hop(self, method: str, url: yarl.URL, options: Mapping[str, Any]) -> aiohttp.ClientResponse:
        at_home = self._bounds.is_at_home(str(url))
        if at_home:
            headers = {**self._defaults.get("headers", {}), **(options.get("headers") or {})}
            options = {**self._defaults, **options, "headers": headers}
        else:
            given = options.get("headers") or {}
            headers = {name: value for name, value in given.items() if name.lower() in _CONDITIONS}
            options = {name: value for name, value in options.items() if name in _FOR_ANY_HOST} | {"headers": headers}
        session = await self._session_for(url, options, at_home=at_home)
        try:
            return await session.request(method, url, allow_redirects=False, **options)
        except _NotPublicError as error:
            raise self._bounds.refusal(str(url), str(error)) from None

    @staticmethod
    def _without_query(options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name != "params"}

    async def _session_for(self, url: yarl.URL, options: Mapping[str, Any], *, at_home: bool) -> aiohttp.ClientSession:
        named = self._bounds.names_host(str(url))
        if (self._make is not None or "connector" in self._options) and not (named and at_home):
            raise self._bounds.refusal(
                str(url), "source_options bring a client of their own, which does not tell what a name resolves to"
            )
        proxy = None if named else self._proxy(url, options)
        if proxy not in self._sessions:
            self._sessions[proxy] = await self._made(proxy)
        return self._sessions[proxy]

    def _proxy(self, url: yarl.URL, options: Mapping[str, Any]) -> str:
        """Return the host of the proxy that connects in place of this machine, and resolves the name; else ``""``.

        aiohttp may take no notice of it and connect by itself, as it does where the proxy's own address begins with
        https. So being proxied lifts no bound: it lets one more host be resolved.
        """
        given = options.get("proxy") or self._options.get("proxy")
        if not given and self._options.get("trust_env") and not urllib.request.proxy_bypass(url.host or ""):
            given = urllib.request.getproxies().get(url.scheme)
        try:
            return yarl.URL(given or "").host or ""
        except ValueError:
            return ""  # aiohttp refuses it as well

    async def _made(self, proxy: str | None) -> aiohttp.ClientSession:
        """Return a session that connects to public addresses and this proxy; None: to any address."""
        if self._make is not None:
            return await self._make(loop=self._loop, **self._options)
        given: dict[str, Any] = {"response_class": BoundedResponse}
        if proxy is not None:
            given["connector"] = aiohttp.TCPConnector(resolver=_PublicResolver(proxy))
        return aiohttp.ClientSession(loop=self._loop, **{**self._options, **given})


@dataclass(frozen=True)
class _Connectors:
    connectors: list[aiohttp.BaseConnector | None]

    def _close(self) -> None:
        for connector in self.connectors:
            if connector is not None:
                with contextlib.suppress(RuntimeError):  # their loop has ended
                    connector._close()  # noqa: SLF001 (as fsspec does)


class _Answer:
    """An answer that is awaited, or entered, as one of aiohttp's."""

    def __init__(self, asked: Coroutine[Any, Any, aiohttp.ClientResponse]) -> None:
        self._asked = asked
        self._answer: aiohttp.ClientResponse | None = None

    def __await__(self) -> Generator[Any, Any, aiohttp.ClientResponse]:
        return self._asked.__await__()

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._answer = await self._asked
        return await self._answer.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            await self._answer.__aexit__(None, None, None)
