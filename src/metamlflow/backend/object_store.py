"""The whole seam over an object store: what s3, gcs and the next one need alike, once.

A storage brings its requests (:class:`~metamlflow.backend.object_requests.ObjectRequests`) and the table of its errors.
Here are prefixes, pickling, forks, retries, conditions, streams, listings that are not believed alone, and the words of
errors. ``docs/backends.md`` shows one from beginning to end.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, BinaryIO, ClassVar, Self, TypeVar, cast

from metamlflow.backend.budget import content_budget
from metamlflow.backend.course import Course
from metamlflow.backend.deleting import looked_again, told_once
from metamlflow.backend.object_requests import ObjectRequests, PageRequest, StreamsObjects, Upload, UploadsInParts
from metamlflow.backend.patience import Patience
from metamlflow.backend.per_process import PerProcess
from metamlflow.backend.seam import Blob, DeleteFailure, ObjectInfo
from metamlflow.backend.streaming import Stream, StreamedObject
from metamlflow.backend.threads import ThreadPool
from metamlflow.backend.translation import Table, placed, translated_errors
from metamlflow.backend.uploading import content_of, read_exactly
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)

_BUFFER_BYTES = 1024 * 1024
T = TypeVar("T")
Telling = Callable[[str], AbstractContextManager[None]]


class ObjectStoreBackend:
    """The backend seam over requests to an object store; every promise is in :class:`metamlflow.backend.Backend`.

    A subclass calls this constructor from its own, which takes positional arguments alone: a pickle holds them, and
    nothing else.

    Args:
        root: where names begin, such as ``s3://bucket``.
        prefix: of the store below it; slashes at its ends do not count.
        connect: makes the client. It is called when the first request is made, and again in a forked child.
        options: those that fsspec is given to open ``url_of``.
    """

    own_errors: Table | None = None
    """The table of the client's errors, as a static method: which error of ours each is, its place left out."""
    patience: ClassVar[Patience] = Patience(attempts=4, seconds=4.0, first_pause=0.2)
    """With requests that fail and may pass. A record is always sent once."""
    max_name_bytes: ClassVar[int] = 1024
    """How long a name may be, the prefix included."""
    page_size: ClassVar[int] = 1000
    """How many names are asked for in a page, and deleted with a request."""

    _arguments: tuple[Any, ...]

    def __new__(cls, *arguments: Any) -> Self:
        """Note what a copy in another process is made from."""
        new = super().__new__(cls)
        new._arguments = tuple(dict(each) if isinstance(each, Mapping) else each for each in arguments)
        return new

    def __init__(
        self,
        root: str,
        prefix: str,
        connect: Callable[[], ObjectRequests],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        prefix = prefix.strip("/")
        self._root = root
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = dict(options or {})
        self._client = PerProcess(connect)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._arguments

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._arguments = state
        self.__init__(*state)  # type: ignore[misc]

    # --- where --------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The root, as a URL."""
        return f"{self._root}/{self._prefix}".rstrip("/")

    @property
    def filesystem(self) -> Any:
        """The file system that fsspec has for the scheme, its listings cache off."""
        import fsspec

        return fsspec.filesystem(self._root.partition("://")[0], use_listings_cache=False, **self._options)

    @property
    def max_key_bytes(self) -> int:
        """What the prefix leaves of a name."""
        return self.max_name_bytes - len(self._prefix.encode())

    @property
    def requests(self) -> ObjectRequests:
        """The client of this process."""
        return self._client.get()

    def url_of(self, key: str) -> str:
        """Return the object's URL."""
        return f"{self._root}/{self._prefix}{key}"

    def name_of(self, key: str) -> str:
        """Return the object's whole name."""
        return self._prefix + key

    def translated(self, key: str) -> AbstractContextManager[None]:
        """Return the context manager that turns the client's errors into ours, which name ``key``."""
        where = self.url_of(key)

        def own(error: Exception) -> MetaMLFlowError | None:
            found = self.own_errors(error) if self.own_errors else None
            return found and placed(found, where, self.url)

        return translated_errors(where, own=own)

    def looking(self, key: str) -> AbstractContextManager[None]:
        """As :meth:`translated`, for a request that looks: some storages refuse that where nothing is."""
        return self.translated(key)

    # --- writing ------------------------------------------------------------------------------------------------------

    def create(self, key: str, data: bytes) -> None:
        """Create a record with one conditional request, sent once: a conflict is never one with itself."""
        with self.translated(key):
            self.requests.put(self.name_of(key), data, None, over=False)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content with one conditional request, or in parts and a conditional end."""
        if (requests := self._in_parts(key, blob)) is not None:
            # A refusal would come after all of it was sent: so look first.
            return not self.exists(key) and self._upload(requests, key, blob, over=False)
        with content_of(blob, self.url_of(key)) as data:
            try:
                self._ask(key, lambda: self.requests.put(self.name_of(key), data, blob, over=False))
            except AlreadyExistsError:
                return False
            except StorageUnavailableError as error:
                # Others store the same content just now, and only so many writes of a name are let through. Looks are
                # not limited; and what lies under the key is the content.
                if error.throttled and self.exists(key):
                    return False
                raise
        return True

    def replace(self, key: str, blob: Blob) -> None:
        """Store content with one request, or in parts and an end, whatever lies there."""
        if (requests := self._in_parts(key, blob)) is not None:
            self._upload(requests, key, blob, over=True)
            return
        with content_of(blob, self.url_of(key)) as data:
            self._ask(key, lambda: self.requests.put(self.name_of(key), data, blob, over=True))

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete objects, as many with a request as the storage takes."""
        failures: list[DeleteFailure] = []
        left = iter(keys)
        while batch := list(islice(left, self.page_size)):
            names = [self.name_of(key) for key in batch]
            try:
                failed = self._ask(batch[0], lambda names=names: list(self.requests.delete(names)))  # type: ignore[misc]
            except MetaMLFlowError as error:
                failures += [DeleteFailure(key, error) for key in batch]
                continue
            told = (self._failure(name.removeprefix(self._prefix), error) for name, error in failed)
            failures += [failure for failure in told if failure is not None]
        return failures

    def delete_seen(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Look at the objects again, and delete those that are the same with one request for as many as it takes."""
        failures: list[DeleteFailure] = []
        for start in range(0, len(infos), self.page_size):
            same, changed = looked_again(self.stat, infos[start : start + self.page_size])
            failures += changed
            if same:
                failures += self.delete_once(same)
        return failures

    def delete_once(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Delete objects that were looked at just now, at most a page of them, with a request that is not repeated."""
        try:
            with self.translated(infos[0].key):
                failed = list(self.send_deletion(infos))
        except MetaMLFlowError as error:
            return [DeleteFailure(info.key, told_once(info.key, error)) for info in infos]
        told = (self._failure(name.removeprefix(self._prefix), error) for name, error in failed)
        return [DeleteFailure(each.key, told_once(each.key, each.error)) for each in told if each is not None]

    def send_deletion(self, infos: Sequence[ObjectInfo]) -> Iterable[tuple[str, Exception]]:
        """Make the request of :meth:`delete_once`; a subclass names versions in it, and tells its client to send once.

        Returns:
            The whole names of those that were not deleted, each with the client's error.
        """
        return self.requests.delete([self.name_of(info.key) for info in infos])

    def exists(self, key: str) -> bool:
        """Whether there is such an object, as far as these credentials may know; a put that follows will tell."""
        try:
            self.stat(key)
        except (ObjectNotFoundError, AccessDeniedError):
            # Without the right to list, a storage answers 403 for what is not there: not known.
            return False
        return True

    # --- reading ------------------------------------------------------------------------------------------------------

    def open(self, key: str) -> BinaryIO:
        """Return a seekable reader that streams from where it is, of the object as it is now."""
        stream, size, pin = self._stream_at(key, 0, None)
        if size is None:
            info = self.stat(key)
            size, pin = info.size, info.version or info.etag

        def stream_at(start: int) -> Stream:
            """Return a stream, from a byte on, of the very object that was opened."""
            try:
                again, _, found = self._stream_at(key, start, pin)
            except AlreadyExistsError as error:  # what "the condition does not hold" means elsewhere
                raise self._replaced(key) from error
            if pin is not None and found is not None and found != pin:
                again.close()
                raise self._replaced(key)
            return again

        reader = StreamedObject(stream_at, size, self.url_of(key), stream)
        return cast("BinaryIO", io.BufferedReader(reader, _BUFFER_BYTES))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range with one request."""
        if end is not None and end <= start:
            self.stat(key)  # a range of HTTP cannot be empty
            return b""
        return self._ask(key, lambda: self.requests.get(self.name_of(key), start, end, None), self.looking)

    def stat(self, key: str) -> ObjectInfo:
        """Return what the server knows of the object."""
        info = self._ask(key, lambda: self.requests.head(self.name_of(key)), self.looking)
        return _told(info, key, info.observed or datetime.now(UTC))

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the listing page by page; a page is fetched when its first key is asked for."""
        return islice(self._listed(prefix, after, self.page_size if limit is None else max(1, limit)), limit)

    def list_after(self, after: str, limit: int) -> list[ObjectInfo]:
        """Return the objects that follow a key, with one request."""
        return list(self.list_objects(after=after, limit=limit))

    # --- how ----------------------------------------------------------------------------------------------------------

    def _ask(self, key: str, request: Callable[[], T], telling: Telling | None = None) -> T:
        """Make a request that may be repeated, patiently; its failure is told as one of ``key``."""
        telling = telling or self.translated

        def told() -> T:
            with telling(key):
                return request()

        return self.patience.call(told, lambda error: isinstance(error, StorageUnavailableError))

    def _in_parts(self, key: str, blob: Blob) -> UploadsInParts | None:
        """Return what takes this content in parts; None if it goes in one request."""
        with self.translated(key):
            requests = self.requests
        # Not isinstance(), which takes longer than all the rest of a small put here.
        if blob.size <= getattr(requests, "one_request_bytes", blob.size):
            return None
        return cast("UploadsInParts", requests)

    def _upload(self, requests: UploadsInParts, key: str, blob: Blob, *, over: bool) -> bool:
        """Send content in parts; return False if the key existed. Leaves no unfinished upload behind."""
        size, upload = requests.part_bytes(blob.size), None
        # Two parts are in memory at a time: one is sent while the next is read.
        with content_budget().hold(2 * size), ThreadPool(1, "metamlflow-part") as pool:
            try:
                upload = self._ask(key, lambda: requests.begin_upload(self.name_of(key), blob, over=over))
                self._send_parts(key, upload, blob, size, pool)
                with self.translated(key):
                    upload.finish()
            except BaseException as error:
                if upload is not None:
                    with suppress(Exception):  # the first error is the one to tell
                        upload.cancel()  # before the pool waits for the part that is on its way
                # A source may be another storage: its errors have another key.
                if not isinstance(error, AlreadyExistsError | StorageUnavailableError):
                    raise
                if error.key not in {"", self.url_of(key)}:
                    raise
                # The answer got lost, perhaps, and the object is there: then it has this content.
                if isinstance(error, StorageUnavailableError) and (over or not self.exists(key)):
                    raise
                return False
        return True

    def _send_parts(self, key: str, upload: Upload, blob: Blob, size: int, pool: ThreadPool) -> None:
        sending = None
        with blob.open() as source:
            for start in range(0, blob.size, size):
                length = min(size, blob.size - start)
                data = read_exactly(source, length, self.url_of(key), last=start + length == blob.size)
                if sending is not None:
                    sending.result()
                sending = pool.submit(self._send_part, key, upload, data, start)
                del data  # the sender has it; else three parts would be in memory
        assert sending is not None  # noqa: S101 (what goes in parts is not empty)
        sending.result()

    def _send_part(self, key: str, upload: Upload, data: bytes, start: int) -> None:
        self._ask(key, lambda: upload.send(data, start))

    def _failure(self, key: str, error: Exception) -> DeleteFailure | None:
        try:
            with self.translated(key):
                raise error
        except ObjectNotFoundError:
            return None
        except MetaMLFlowError as told:
            return DeleteFailure(key, told)

    def _stream_at(self, key: str, start: int, pin: str | None) -> tuple[Stream, int | None, str | None]:
        name, telling = self.name_of(key), self.looking if pin is None else self.translated
        with telling(key):
            streams = hasattr(self.requests, "stream")
        if streams:
            opened = self._ask(key, lambda: cast("StreamsObjects", self.requests).stream(name, start, pin), telling)
            return _ToldStream(opened.stream, lambda: self.translated(key)), opened.size, opened.pin
        size = None
        if pin is None:
            info = self.stat(key)
            size, pin = info.size, info.version or info.etag

        def get(begin: int, end: int) -> bytes:
            try:
                return self._ask(key, lambda: self.requests.get(name, begin, end, pin))
            except AlreadyExistsError as error:
                raise self._replaced(key) from error

        return _Ranges(get, start), size, pin

    def _replaced(self, key: str) -> StorageError:
        return StorageError(
            f"{self.url_of(key)} is another object than when it was opened",
            hint="Something writes into the store past this library, or the server ignores ranges.",
            key=self.url_of(key),
        )

    def _listed(self, prefix: str, after: str, limit: int) -> Iterator[ObjectInfo]:
        whole, beyond, cut = self.name_of(prefix), after and self.name_of(after), len(self._prefix)
        course = Course(self.url_of(prefix), whole, beyond)
        token: str | None = ""
        while token is not None:
            asked = PageRequest(whole, beyond, course.last, token, min(limit, self.page_size))
            page = self._ask(prefix, lambda asked=asked: self.requests.page(asked))  # type: ignore[misc]
            found = [info for info in page.objects if info.key != beyond]
            course.follow((info.key, None) for info in found)
            for info in found:
                yield _told(info, info.key[cut:], info.observed)
            token = page.token if found or page.token is None else course.marker(page.token)


class _ToldStream:
    """A stream of a client, whose errors are told as ours."""

    def __init__(self, stream: Stream, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._translated = translated

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` as far as the answer goes."""
        with self._translated():
            return self._stream.fill(view)

    def close(self) -> None:
        """Give the connection back."""
        self._stream.close()


class _Ranges:
    """A stream of a client that has none: a request for each range that is asked for."""

    def __init__(self, get: Callable[[int, int], bytes], start: int) -> None:
        self._get = get
        self._position = start

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` as far as the object goes."""
        data = self._get(self._position, self._position + len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Do nothing: no answer is kept open."""


def _told(info: ObjectInfo, key: str, observed: datetime | None) -> ObjectInfo:
    return ObjectInfo(key, info.size, info.modified, observed, info.etag, info.version, info.checksums)
