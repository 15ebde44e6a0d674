"""Data on any file system of fsspec: what its listing tells, and a look before and after each read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metamlflow.backend.external import ObjectMeta, drift_error
from metamlflow.backend.translation import translated_errors
from metamlflow.backend.walking import walk
from metamlflow.errors import (
    InvalidInputError,
    MetaMLFlowError,
    MissingDependencyError,
    ObjectNotFoundError,
    StorageUnavailableError,
    UnsupportedSourceError,
    redact,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

_TAGS = ("ETag", "etag", "e_tag", "checksum", "version")
_TIMES = ("mtime", "modified", "last_modified", "LastModified", "Last-Modified", "created", "updated")


class FsspecExternalStore:
    """An external store on a file system that fsspec opens for the scheme; every promise is in :class:`ExternalStore`.

    What tells a change are the size, an ETag where the file system gives one, else the time of writing. It cannot be
    asked for one version of an object; so each read is between two looks, and a change in between is found.
    """

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        self._root = root
        self.options = dict(options)
        self._opened: Any = None

    def __getstate__(self) -> tuple[str, dict[str, Any]]:
        return self._root, self.options

    def __setstate__(self, state: tuple[str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def url_of(self, name: str) -> str:
        """Return the URI of an object."""
        return f"{self._root}/{name}"

    @property
    def filesystem(self) -> Any:
        """The file system of fsspec; it has its own cache of instances, which minds forks."""
        import fsspec

        try:
            # Not by the URL as a whole: fsspec would read a '::' in it as a chain of file systems.
            kind = fsspec.get_filesystem_class(self._root.partition("://")[0])
            return kind(**{**kind._get_kwargs_from_urls(f"{self._root}/"), **self.filesystem_options()})  # noqa: SLF001 (fsspec's name for it)
        except ImportError as error:
            raise MissingDependencyError(
                f"{redact(self._root)} needs a package that is not installed: {error}", hint="Install what it names."
            ) from error
        except (ValueError, TypeError) as error:
            raise InvalidInputError(
                f"fsspec cannot open {redact(self._root)}: {redact(str(error))}",
                hint="Check the scheme of the URI and source_options.",
            ) from None  # its arguments may hold secrets

    def head(self, name: str, version: str | None = None) -> ObjectMeta:
        """Return what ``info`` of the file system tells."""
        with self.translated(name):
            filesystem, path = self.filesystem, self._path(name)
            filesystem.invalidate_cache(path.rpartition("/")[0])
            info = filesystem.info(path)
        if info.get("type") != "file":
            raise ObjectNotFoundError(f"there is no object {redact(self.url_of(name))}", key=redact(self.url_of(name)))
        found = self._sighting(name, info)
        if version is not None and found.version != version:
            raise ObjectNotFoundError(f"there is no version {version} of {redact(self.url_of(name))}")
        return found

    def list_objects(self, prefix: str, *, after: str = "", older: bool = False) -> Iterator[ObjectMeta]:  # noqa: ARG002 (there are none)
        """Yield the files below a folder: a listing of each folder."""
        filesystem, base = self.filesystem, self._path("")
        for name, info in walk(filesystem, base, prefix, prefix, after, self.translated):
            yield self.head(name) if info.get("size") is None else self._sighting(name, info)

    def read(self, seen: ObjectMeta, start: int, end: int) -> Buffer:
        """Return a range, if a look before it and one after it show what was seen."""
        self._check(seen)
        if end <= start:
            return b""
        with self.translated(seen.name):
            data = self.range_of(seen, start, end)
        if len(data) == seen.size != end - start:  # the whole object: ranges are ignored
            data = data[start:end]
        self._check(seen)
        if len(data) != min(end, seen.size) - start:
            raise StorageUnavailableError(
                f"{redact(self.url_of(seen.name))}: {len(data):,} bytes were answered instead of {end - start:,}",
                hint="Try again.",
            )
        return data

    def filesystem_options(self) -> dict[str, Any]:
        """Return what the file system is opened with."""
        return self.options

    # --- for subclasses -----------------------------------------------------------------------------------------------

    def range_of(self, seen: ObjectMeta, start: int, end: int) -> bytes:
        """Ask for a range; more may come."""
        return bytes(self.filesystem.cat_file(self._path(seen.name), start=start, end=min(end, seen.size)))

    def translated(self, name: str) -> AbstractContextManager[None]:
        """Return the context manager that turns the file system's errors into ours."""
        return translated_errors(self.url_of(name), own=lambda error: self.own_error(name, error))

    def own_error(self, name: str, error: Exception) -> MetaMLFlowError | None:
        """Return our error for one that is no OSError: file systems have errors of their own."""
        if isinstance(error, OSError):
            return None
        return StorageUnavailableError(
            f"{redact(self.url_of(name))} cannot be read: {type(error).__name__}: {redact(str(error))[:300]}",
            hint="Check its address, source_options and the network; try again.",
        )

    def _check(self, seen: ObjectMeta) -> None:
        try:
            found = self.head(seen.name)
        except ObjectNotFoundError:
            raise drift_error(self.url_of(seen.name), seen, None) from None
        if seen.difference(found):
            raise drift_error(self.url_of(seen.name), seen, found)

    def _path(self, name: str) -> str:
        return str(self.filesystem._strip_protocol(self.url_of(name)))  # noqa: SLF001 (each scheme has its own rules)

    def _sighting(self, name: str, info: Mapping[str, Any]) -> ObjectMeta:
        size = info.get("size")
        if size is None:
            raise UnsupportedSourceError(
                f"{redact(self.url_of(name))}: the server does not tell its size",
                hint="Register the data itself instead of a pointer.",
            )
        tag = next((info[key] for key in _TAGS if info.get(key)), None)
        time = next((info[key] for key in _TIMES if info.get(key)), None)
        return ObjectMeta(name, int(size), etag=None if tag is None else str(tag), modified_ns=_nanoseconds(time))


def _nanoseconds(time: object) -> int | None:
    if isinstance(time, str):
        time = _parsed(time)
    if isinstance(time, datetime):
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        since = time - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    # A double holds a time of today to some tenths of a microsecond, and listings and looks may differ in them.
    return round(time * 10**6) * 1000 if isinstance(time, int | float) else None


def _parsed(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(text)
        except ValueError:
            continue
    return None
