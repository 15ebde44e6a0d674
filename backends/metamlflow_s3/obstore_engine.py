"""The fast engine: small objects, ranges and listings through obstore's native client.

It spends a tenth of the processor time of the s3fs client on a small object. It answers only what is plain: an object
that was created, that existed, that was read, that is missing. On anything else it raises :class:`NotPlainError`, and
the same request is made through s3fs, which repeats it, translates its failure, or succeeds. So both engines have the
same errors, and a defect of this one costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from metamlflow.backend.budget import content_budget
from metamlflow.errors import AlreadyExistsError, ObjectNotFoundError
from metamlflow.redaction import printable, without_secrets

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ClientConfig, S3Config

_log = logging.getLogger(f"metamlflow.backends.{__name__}")
_ASKED_AGAIN = timedelta(minutes=10)
"""obstore asks for credentials anew five minutes before they expire; the s3fs session renews them earlier than that."""
_PAGE = 1000
_PAGE_SECONDS = 1  # then s3fs lists, which sees each page; here a server might go on for ever, and all of it is held
_ASTRAY_SECONDS = 600
"""For which s3fs lists a bucket whose listing went astray, whichever client of this process meets it."""
_PATIENCE_SECONDS = 3.0
"""For the bytes of an answer, besides their number by the speed below; then s3fs asks, which has more patience."""
_BYTES_PER_SECOND = 16 * 1024
_LARGE_BYTES = 4 * 1024 * 1024
_QUICK_BYTES_PER_SECOND = 1024 * 1024
_RESERVED_BYTES = 32 * 1024 * 1024  # ahead of the bytes, whatever the server announces
_LETTING_GO_SECONDS = 0.02
"""After which no thread of obstore holds on to what it answered. One that does while Python ends aborts the process."""
_STATUS = re.compile(r"non-2xx status code: ([0-9]{3})")
_REFUSALS = frozenset({"400", "401", "403", "404", "405", "409", "429", "501", "503"})
_BEYOND_END = "416"
_MOST_SAID = 500
_FAILURES = 3  # in a row, after which it is not asked any more

_forked = False


def _note_fork() -> None:
    global _forked  # noqa: PLW0603 (a fact of the process)
    _forked = _forked or "obstore" in sys.modules


os.register_at_fork(after_in_child=_note_fork)

_astray_at: dict[tuple[str, str], float] = {}  # by endpoint and bucket
_last_page = 0.0


def _note_page() -> None:
    global _last_page  # noqa: PLW0603 (a fact of the process)
    _last_page = time.monotonic()


@atexit.register
def _let_go() -> None:
    time.sleep(max(0.0, _last_page + _LETTING_GO_SECONDS - time.monotonic()))


def usable_in_this_process() -> bool:
    """Whether obstore can run here: in a child that was forked after it was loaded, its calls would never return."""
    return not _forked


class NotPlainError(Exception):
    """The engine has no plain answer.

    Attributes:
        refused: whether the server said that it did nothing; else the request may have been carried out.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class FastEngine:
    """Requests to one bucket through obstore. Thread-safe.

    Args:
        bucket: its name.
        settings: of ``obstore.store.S3Store``.
        client_options: of its HTTP client.
        credentials: returns access key, secret key and token, or is None if requests are not to be signed.
        expiring: whether the credentials change with time.
    """

    def __init__(
        self,
        bucket: str,
        settings: Mapping[str, Any],
        client_options: Mapping[str, Any],
        credentials: Callable[[], tuple[str, str, str | None]] | None,
        *,
        expiring: bool = False,
    ) -> None:
        import obstore
        from obstore.store import S3Store

        def provide() -> dict[str, Any]:
            assert credentials is not None  # noqa: S101 (for the type checker)
            key, secret, token = credentials()
            expires = datetime.now(UTC) + _ASKED_AGAIN if expiring else None
            return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": expires}

        self._bucket = bucket
        self._place = str(settings.get("endpoint")), bucket
        self._obstore = obstore
        self._store = S3Store(
            bucket,
            config=cast("S3Config", settings),
            client_options=cast("ClientConfig", client_options),
            retry_config={"max_retries": 0},  # requests are repeated by the other engine
            credential_provider=provide if credentials else None,  # type: ignore[arg-type]
        )
        self._lock = threading.Lock()
        self._in_a_row = 0
        self.worked = False
        self._is_quick = False  # as its last large answer has shown, unless something failed since
        self._last_failure = ""

    @property
    def given_up(self) -> str | None:
        """Why it is not to be asked any more, or None."""
        return self._last_failure if self._in_a_row >= _FAILURES else None

    def create(self, key: str, data: bytes) -> str | None:
        """Create an object with one conditional PUT that carries its SHA-256; return its version, if it has one.

        Raises:
            AlreadyExistsError: the key existed.
            NotPlainError: anything else; it may have been created.
        """
        _log.debug("put (obstore) s3://%s/%s", self._bucket, key)
        try:
            made = self._obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except self._obstore.exceptions.AlreadyExistsError as error:
            if "412 Precondition Failed" not in str(error):  # it says the same of a 409, on which nothing was stored
                raise self._not_plain(error) from error
            self._worked()
            raise AlreadyExistsError(f"s3://{self._bucket}/{key} exists already", key=key) from error
        except Exception as error:  # whatever it is: see the top
            raise self._not_plain(error) from error
        self._worked()
        return made["version"]

    def read(self, key: str, start: int = 0, end: int | None = None) -> Any:
        """Return the bytes of a range as an object with Python's buffer protocol; one request.

        Raises:
            ObjectNotFoundError: there is no such object.
            NotPlainError: anything else.
        """
        options: Any = {"range": (start, end)} if end is not None else {"range": {"offset": start}} if start else None

        def get() -> Any:
            """Take in the answer; a range beyond the end is empty."""
            try:
                answer = self._obstore.get(self._store, key, options=options)
            except Exception as error:  # raised again, but for one
                status = _STATUS.search(str(error))
                if end is not None and status is not None and status[1] == _BEYOND_END:  # also of any range of nothing
                    return b""
                raise
            return self._range(answer)

        return self._get(key, get)

    def head(self, key: str) -> ObjectMeta:
        """Return size, last_modified, e_tag and version of an object; one request.

        Raises:
            NotPlainError: anything went wrong, a missing object included: the answer has no body that would tell it.
        """
        found: ObjectMeta = self._get(key, lambda: self._obstore.head(self._store, key))
        return found

    def _range(self, answer: GetResult) -> Any:
        """Return the bytes of a range; a large one in one piece from a server that has just proven to be quick.

        That is joined without holding up other threads: by small pieces a large download takes a third longer. But if
        it comes by drops, only the time limit of the whole request ends it; and while it is joined it is in memory
        twice, for which there must be room in the budget.
        """
        size = answer.range[1] - answer.range[0]
        if size < _LARGE_BYTES:
            return _taken(answer, None)
        budget = content_budget()
        twice = budget.take_at_once(size) if self._is_quick else None
        began = time.monotonic()
        try:
            data = _taken(answer, None, at_once=1 if twice is None else size)
        finally:
            budget.give_back(twice or 0)
        self._is_quick = size > _QUICK_BYTES_PER_SECOND * (time.monotonic() - began)
        return data

    def read_whole(self, key: str, most: int | None = None) -> tuple[bytes, str, str | None]:
        """Return all of an object, or its first ``most`` bytes, its ETag and its version, if it has one; one request.

        Raises:
            ObjectNotFoundError: there is no such object.
            NotPlainError: anything else.
        """

        def get() -> tuple[bytes, str, str | None]:
            answer = self._obstore.get(self._store, key)
            return bytes(_taken(answer, most)), answer.meta["e_tag"] or "", answer.meta["version"]

        found: tuple[bytes, str, str | None] = self._get(key, get)
        return found

    def _get(self, key: str, get: Callable[[], Any]) -> Any:
        _log.debug("get (obstore) s3://%s/%s", self._bucket, key)
        try:
            data = get()
        except FileNotFoundError as error:
            if "<Code>NoSuchKey</Code>" not in str(error):  # the bucket, perhaps
                raise self._not_plain(error) from error
            raise ObjectNotFoundError(f"there is no object s3://{self._bucket}/{key}", key=key) from error
        except Exception as error:  # whatever it is: see the top
            raise self._not_plain(error) from error
        self._worked()
        return data

    def list(self, folder: str, after: str) -> Iterator[ObjectMeta]:
        """Yield path, size, last_modified and e_tag of the objects below ``folder``, which ends in a slash or is empty.

        Raises:
            NotPlainError: anything went wrong; what was yielded holds.
        """
        from fsspec.asyn import get_loop, sync

        if time.monotonic() - _astray_at.get(self._place, -math.inf) < _ASTRAY_SECONDS:
            raise NotPlainError("a listing went astray before")
        last = after
        while True:
            _log.debug("list (obstore) s3://%s/%s after %s", self._bucket, folder, last)
            try:
                page = sync(get_loop(), self._page, folder, last)
            except TimeoutError as error:
                raise self._astray("the listing takes too long") from error
            except Exception as error:  # whatever it is: see the top
                raise self._not_plain(error) from error
            for item in page:
                # A name that ends in a slash is shortened on its way to the server: so what is before it comes again.
                if last == after and item["path"] <= after:
                    continue
                if item["path"] <= last or not item["path"].startswith(folder):
                    raise self._astray(f"the listing goes astray to {item['path']!r}")
                last = item["path"]
                yield item
            self._worked()
            if len(page) < _PAGE:
                return
            if page[-1]["path"] < last or last == after:
                raise self._astray("the listing does not go on")

    async def _page(self, folder: str, after: str) -> Sequence[ObjectMeta]:
        """Return the next page, which may be several of the server's; from the last key on, and not for ever."""
        pages = self._obstore.list(self._store, folder or None, offset=after or None, chunk_size=_PAGE)
        try:
            async with asyncio.timeout(_PAGE_SECONDS):
                async for page in pages:
                    return page
                return ()
        finally:
            del pages  # it holds what arrived, and an error that is kept would hold it
            _note_page()

    def _astray(self, what: str) -> NotPlainError:
        """Leave all listings of the bucket to the other engine for a while, which sees each page of the server."""
        _astray_at[self._place] = time.monotonic()
        return self._not_plain(ValueError(what))

    def _worked(self) -> None:
        self._in_a_row = 0
        self.worked = True

    def _not_plain(self, error: Exception) -> NotPlainError:
        said = printable(
            without_secrets(str(error).partition("\n\nDebug source:")[0])
        )  # of the endpoint and the server
        self._last_failure = said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}…"
        self._is_quick = False
        with self._lock:
            self._in_a_row += 1
        _log.debug("not plain (obstore): %s", self._last_failure)
        status = _STATUS.search(said)
        return NotPlainError(self._last_failure, refused=status is not None and status[1] in _REFUSALS)


def _taken(answer: GetResult, most: int | None, *, at_once: int = 1) -> Any:
    """Return the bytes of an answer: no more than it announces, or than ``most``, and not for as long as it likes.

    Neither is a matter of course: an answer in chunks may be longer than it announces, and none has to end.
    ``at_once`` is how many bytes are waited for at a time.

    Raises:
        TimeoutError: they come too slowly.
        ValueError: they are fewer.
    """
    start, end = answer.range
    size = end - start if most is None else min(end - start, most)
    data, received, began = bytearray(), 0, time.monotonic()
    for piece in answer.stream(min_chunk_size=at_once) if size else ():
        taken = memoryview(piece)[: size - received]
        if len(taken) == size:
            return taken
        data = data or bytearray(min(size, _RESERVED_BYTES))
        before, received = received, received + len(taken)
        if received <= len(data):
            memoryview(data)[before:received] = taken  # assigned without a view, it would be copied twice
        else:
            data[before:] = taken
        if received == size:
            break
        if time.monotonic() - began > _PATIENCE_SECONDS + received / _BYTES_PER_SECOND:
            raise TimeoutError(f"the answer arrives by drops: {received} of {size} bytes")
    if received < size:
        raise ValueError(f"the answer ends after {received} of {size} bytes")
    return data
