"""Requests to the JSON API with the session, the credentials and the options of a gcsfs file system.

gcsfs's own request method drops the answer's headers (the server's clock), its reason and its message, and repeats a
failing request for half a minute: so requests are made here, and the file system lends what its users have set up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import google_crc32c

from metamlflow.backend.paced import PacedBody
from metamlflow.backend.patience import Patience
from metamlflow.backend.per_process import PerProcess
from metamlflow.backend.threads import keep_resolving
from metamlflow.errors import StorageError, StorageUnavailableError
from metamlflow_gcs.error_table import Refusal, UnreadableAnswer, credentials_error, gcs_error, number_in, refusal_of
from metamlflow_gcs.options import OURS, is_emulator

PATIENCE = Patience(attempts=3, seconds=4.0, first_pause=1.0, least=0.5)
"""With a request that fails and may pass; the store above goes on trying."""
_CONNECT_SECONDS, _SILENCE_SECONDS = 10.0, 60.0
API = "/storage/v1"
_COMPLETE, _PARTIAL = 200, 206
_MOST_BYTES = 8 * 1024 * 1024  # of an answer that is no content: more than a page of the longest names takes
_PIECE = 256 * 1024
_NO_HTTP = "The server, or something on the way to it, does not answer ranges as HTTP says. Check the endpoint."

_log = logging.getLogger(f"metamlflow.backends.{__name__}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the JSON API.

    Attributes:
        method: of HTTP.
        path: below the endpoint, quoted; or a whole URL that the server gave, such as an upload session's.
        params: of the query.
        headers: besides those of the credentials.
        body: in pieces, so that large ones are never joined.
        good: statuses that are no failure.
        as_stored: whether the bytes are wanted as they are stored: what was stored compressed then stays so.
        about: what has to be there for it: ``object``, ``bucket``, or the upload's ``session``.
        start, end: which bytes of the answer's body are kept, where the server sends all of an object.
        repeat: whether a failure that may pass is tried again here.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: tuple[bytes, ...] = ()
    good: tuple[int, ...] = (200, 204, 206)
    as_stored: bool = False
    about: str = "object"
    repeat: bool = True
    start: int = 0
    end: int = _MOST_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered. Header names have any case.

    Attributes:
        status: of HTTP.
        headers: as they came.
        body: what was wanted of it; empty where no content was asked for and it is longer than ``most``.
        whole: whether nothing of the body was left out.
        most: how many bytes of the body were wanted at most.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True
    most: int = _MOST_BYTES

    def json(self) -> Any:
        """Return the body's JSON object.

        Raises:
            UnreadableAnswer: it is none: a login page answers, or the answer was damaged on its way.
        """
        if not self.whole:
            raise UnreadableAnswer(f"more than {self.most:,} bytes")
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise UnreadableAnswer(f"no JSON: {error}") from error
        if not isinstance(value, dict):
            raise UnreadableAnswer("no JSON object")
        return value

    def check(self) -> None:
        """Compare a whole object with the CRC32C that the server states beside it.

        Raises:
            UnreadableAnswer: it was damaged on its way.
        """
        stated = re.search(r"crc32c=([A-Za-z0-9+/]{6}==)", self.headers.get("X-Goog-Hash", ""))
        if (
            not stated
            or not self.whole
            or self.status != _COMPLETE
            or self.headers.get("X-Goog-Stored-Content-Encoding") == "gzip"
        ):
            return  # of a range no checksum is stated; of what was decompressed on its way, another's
        held = base64.b64encode(google_crc32c.value(self.body).to_bytes(4, "big")).decode()
        if held != stated[1]:
            raise UnreadableAnswer(f"damaged on its way: its crc32c is {held}, and the server has {stated[1]}")


def object_path(bucket: str, name: str = "", *, kind: str = "") -> str:
    """Return the path of an object, or of a bucket's objects; ``kind`` is empty, ``/download`` or ``/upload``."""
    path = f"{kind}{API}/b/{quote(bucket, safe='')}/o"
    return f"{path}/{quote(name, safe='')}" if name else path


class GCSConnection:
    """A gcsfs file system made when it is first needed, anew in each process, and requests through it. Thread-safe."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._filesystem = PerProcess(self._make)

    @property
    def filesystem(self) -> Any:
        """The gcsfs file system of this process."""
        return self._filesystem.get()

    @property
    def endpoint(self) -> str:
        """Where the server is, as a URL without a slash at its end."""
        return str(self.filesystem._location).rstrip("/")  # noqa: SLF001 (gcsfs tells it nowhere else)

    def _make(self) -> Any:
        if is_emulator(self._options):
            from gcsfs.core import GCSFileSystem  # never the one that asks gRPC first, whoever imported gcsfs before
        else:
            from gcsfs import GCSFileSystem

        given = {name: value for name, value in self._options.items() if name not in OURS}
        # Never a cached instance: one that another thread closed, or that came through a fork, would hang.
        settings = {**given, "use_listings_cache": False, "skip_instance_cache": True}
        try:
            return GCSFileSystem(**settings)
        except Exception as error:  # noqa: BLE001 (logins fail in many ways, and some of their errors show the token)
            failure = credentials_error(error)
        raise failure  # outside of the handler: no chained error carries the token along

    def run(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine on the file system's event loop and wait for what it returns."""
        from fsspec.asyn import sync

        loop = self.filesystem.loop
        keep_resolving(loop)
        result: T = sync(loop, work, *args)
        return result

    def request(self, request: Request) -> Answer:
        """Make a request; raise what the server or the way to it answered instead."""
        return self.run(self.exchange, request)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin what goes on while the caller does something else."""
        return asyncio.run_coroutine_threadsafe(work, self.filesystem.loop)

    async def exchange(self, request: Request) -> Answer:
        """Make a request and read the answer to its end."""
        return await self._patiently(request, self._read)

    async def stream(self, request: Request) -> Any:
        """Make a request; return the client's response, whose body has still to be read."""
        return await self._patiently(request, self._granted)

    async def _patiently(self, request: Request, work: Callable[[Request], Coroutine[Any, Any, T]]) -> T:
        tries = PATIENCE.begin()
        while True:
            try:
                return await work(request)
            except Exception as error:  # the table knows those of all clients, which have no base in common
                pause = tries.pause()
                if pause is None or not request.repeat or not isinstance(gcs_error(error), StorageUnavailableError):
                    raise
            await asyncio.sleep(pause)

    async def _read(self, request: Request) -> Answer:
        async with await self._granted(request) as response:
            start = 0 if response.status == _PARTIAL else request.start
            most = request.end - request.start
            announced = number_in(response.headers.get("Content-Length", ""))
            # What comes after what is wanted is not waited for: it may never come.
            longer = announced is not None and announced > start + most
            if longer and response.status == _PARTIAL:
                response.close()
                raise StorageError(
                    f"the server announces {announced:,} bytes of the {most:,} that were asked for", hint=_NO_HTTP
                )
            body, cut = await _body(PacedBody(response), start, most, longer=longer)
            if cut and request.params.get("alt") != "media":
                body = b""  # nobody can use it, and an error that is kept would hold it
            answer = Answer(response.status, response.headers, body, not (start or cut), most)
        answer.check()
        return answer

    async def _granted(self, request: Request) -> Any:
        response = await self._send(request)
        _log.debug("%s %s: %d", request.method, request.path.partition("?")[0], response.status)
        if response.status in request.good:
            is_page = "html" in response.headers.get("Content-Type", "") and "X-Goog-Generation" not in response.headers
            if is_page and request.params.get("alt") == "media":
                response.close()
                raise Refusal(response.status, "", "answers with a web page")
            return response
        async with response:
            body, _ = await _body(PacedBody(response), 0, _PIECE)
            raise refusal_of(response.status, body, request.about)

    async def _send(self, request: Request) -> Any:
        """The one place where a request leaves."""
        from yarl import URL

        filesystem = self.filesystem
        if filesystem._session is not None and filesystem._session.closed:  # noqa: SLF001 (the same)
            filesystem._session = None  # noqa: SLF001 (at the interpreter's end gcsfs closes it, and others may go on)
        session = await filesystem._set_session()  # noqa: SLF001 (the session with the user's own settings)
        query = urlencode(filesystem._get_params(dict(request.params)), quote_via=quote)  # noqa: SLF001 (adds userProject)
        url = request.path if "://" in request.path else self.endpoint + request.path
        if query:
            url += ("&" if "?" in url else "?") + query
        headers = filesystem._get_headers(request.headers)  # noqa: SLF001 (adds the credentials, refreshed)
        if request.body:
            headers["Content-Length"] = str(sum(map(len, request.body)))
        timeout = self._timeout(filesystem)
        # The client's limit of silence begins anew with each byte of a header. What is sent takes its time besides.
        silence = None if request.body else timeout.sock_read
        async with asyncio.timeout(silence and silence + (timeout.connect or timeout.sock_connect or 0)):
            return await session.request(
                request.method,
                URL(url, encoded=True),  # as it is: keys may hold what yarl would write otherwise
                headers=headers,
                data=_pieces(request.body) if request.body else None,
                timeout=timeout,
                auto_decompress=not request.as_stored,
                allow_redirects=False,  # 308 is "go on with the upload" here
            )

    def _timeout(self, filesystem: Any) -> Any:
        from aiohttp import ClientTimeout

        given = filesystem.requests_timeout
        if given is None:
            return ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        # A total would cut a large object off in the midst of its stream.
        return ClientTimeout(total=None, connect=given, sock_read=given) if isinstance(given, int | float) else given


async def _body(response: PacedBody, start: int, most: int, *, longer: bool = False) -> tuple[bytes, bool]:
    """Return ``most`` bytes of an answer after the first ``start``, and whether more follow: that may have no end.

    Args:
        response: its body, unread.
        start: how many bytes are passed over.
        most: how many are wanted at most.
        longer: whether the answer announces more than that.
    """
    data = bytearray()
    while len(data) < most + (not longer) and (piece := await response.read(_PIECE)):
        passed = min(start, len(piece))
        start -= passed
        data += piece[passed:]
    cut = len(data) > most or (longer and len(data) == most)
    if cut:
        response.close()
        del data[most:]
    return bytes(data), cut


async def _pieces(body: tuple[bytes, ...]) -> AsyncIterator[memoryview]:
    for part in body:
        view = memoryview(part)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]
