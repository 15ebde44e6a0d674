"""Sources with a location: local files and folders, and every file system that fsspec opens."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from metamlflow._arguments import absolute_path, local_path
from metamlflow.backend.external import is_folder_marker
from metamlflow.backend.translation import web_failure
from metamlflow.errors import (
    InvalidInputError,
    MetaMLFlowError,
    MissingDependencyError,
    ObjectNotFoundError,
    UnsupportedSourceError,
    redact,
)
from metamlflow.model.manifests import EmptyFolder
from metamlflow.model.uris import WEB, plain_scheme, secret_problem
from metamlflow.redaction import quotes_secret, secrets_in
from metamlflow.store.ingest.originals import BUCKETS, Look, Original, bucket_at, changed, looked_at
from metamlflow.store.ingest.sources import (
    OptionsOf,
    SingleFile,
    Source,
    SourceFile,
    SourceItem,
    SourceProblems,
    printable,
    source_error,
)
from metamlflow.store.transfer.download_staging import is_staging_folder
from metamlflow.store.transfer.regular_files import open_regular
from metamlflow.store.transfer.spooling import may_pass

_MOST_WAYS = 100
"""How many ways of links may lead to one folder: a few folders of links could hold more paths than can be walked."""

_SPECIAL = (
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def place_source(place: str | bytes, store_url: str, options_of: OptionsOf) -> Source:
    """Return the file or folder at a path or fsspec URL; a URL is opened with the options that apply to it."""
    if isinstance(place, bytes):
        place = os.fsdecode(place)
    if not place:
        raise InvalidInputError("the path is empty", hint="Use '.' for the current folder.")
    if "\0" in place:
        raise InvalidInputError(f"{place!r:.200} is not a valid path: it holds a NUL character")
    here = local_path(place)
    if here is None:
        return _remote_source(place, options_of)
    path = Path(here)
    try:
        status = path.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise source_error(str(path), cast("Exception", error)) from error
    if stat.S_ISDIR(status.st_mode):
        _refuse_own_store(path, store_url)
        return LocalFolder(path, store_url)
    if special := _special(status.st_mode):
        raise UnsupportedSourceError(
            f"{printable(str(path))} is {special}, not a file",
            hint="Open it and register the file object.",
            problems=(printable(str(path)),),
        )
    return SingleFile(_local_file(path.name or path.resolve().name, path, status))


def _refuse_own_store(folder: Path, store_url: str) -> None:
    if not store_url.startswith("file://"):
        return
    store = os.path.realpath(store_url.removeprefix("file://"))
    own = os.path.realpath(absolute_path(os.fspath(folder)))
    if os.path.commonpath([store, own]) == own:
        raise UnsupportedSourceError(
            f"{printable(str(folder))} contains the store itself ({printable(store)})",
            hint="Keep the store outside of the folders that you register.",
            problems=(printable(store),),
        )


def _special(mode: int) -> str | None:
    return next((name for test, name in _SPECIAL if test(mode)), None)


def _local_file(logical: str, path: Path | str, status: os.stat_result) -> SourceFile:
    return SourceFile(
        logical,
        status.st_size,
        partial(_open_local, os.fspath(path)),
        local=os.fspath(path),
        executable=bool(status.st_mode & stat.S_IXUSR),
    )


def _open_local(path: str) -> BinaryIO:
    return open(open_regular(path), "rb", buffering=0)  # noqa: PTH123 (a descriptor)


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that a walk reaches: its path, logical path and identity, and whether a link leads to it."""

    path: str
    logical: str
    identity: tuple[int, int]
    linked: bool


@dataclass(slots=True)
class _Level:
    """A folder that a walk is inside of: its remaining items, and whether anything was found in it."""

    logical: str
    items: Iterator[SourceItem | _Folder]
    identity: tuple[int, int]
    linked: bool = False
    found: bool = False


class LocalFolder(Source):
    """A folder on this machine. Links are followed; empty folders and executable bits are kept."""

    def __init__(self, root: Path, store_url: str = "") -> None:
        self._root = root
        self._store_url = store_url
        self._store: tuple[int, int] | None = None

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:
        """Yield the folder's files, in path order."""
        try:
            status = self._root.stat()
        except OSError as error:
            problems.note_kind(os.fspath(self._root), f"the folder cannot be read ({error.strerror})")
            return
        if self._store_url.startswith("file://"):
            with suppress(OSError):
                self._store = _identity(Path(self._store_url.removeprefix("file://")).stat())
        inside = {_identity(status)}  # the folders that contain the current one
        levels = [_Level("", self._children(os.fspath(self._root), "", problems), _identity(status))]
        entered: Counter[tuple[int, int]] = Counter()
        while levels:  # no recursion: folders may be nested deeper than Python's stack
            level = levels[-1]
            for item in level.items:
                if not isinstance(item, _Folder):
                    level.found = True
                    yield item
                    continue
                linked = level.linked or item.linked
                if linked:
                    entered[item.identity] += 1
                if problem := self._refused(item, inside, entered):
                    problems.note_kind(item.path, problem)
                    continue
                inside.add(item.identity)
                children = self._children(item.path, f"{item.logical}/", problems)
                levels.append(_Level(item.logical, children, item.identity, linked))
                break
            else:
                inside.discard(levels.pop().identity)
                if levels and not level.found and not problems.kinds:
                    yield EmptyFolder(level.logical)
                    level.found = True
                if levels:
                    levels[-1].found |= level.found

    def _refused(
        self, folder: _Folder, inside: set[tuple[int, int]], entered: Mapping[tuple[int, int], int]
    ) -> str | None:
        if folder.identity in inside:
            return "a link to a folder that contains it"
        if folder.identity == self._store:
            return "the store itself"
        if entered.get(folder.identity, 0) > _MOST_WAYS:
            return f"links lead to this folder in more than {_MOST_WAYS} ways"
        return None

    def _children(self, folder: str, prefix: str, problems: SourceProblems) -> Iterator[SourceItem | _Folder]:
        try:
            with os.scandir(folder) as entries:
                # Only names: with sizes and times, a folder of a million files would take a gigabyte.
                # A folder is sorted as its name and a slash, so that paths come in their order.
                children = sorted(
                    f"{entry.name}/" if _is_folder(entry) else entry.name
                    for entry in entries
                    if not is_staging_folder(f"{folder}/{entry.name}")
                )
        except OSError as error:
            if may_pass(error):
                raise source_error(folder, error) from error
            problems.note_kind(folder, f"the folder cannot be read ({error.strerror})")
            return
        for name in children:
            inner = f"{folder}/{name.rstrip('/')}"
            status = self._status(inner, problems)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode) != name.endswith("/"):
                problems.note_kind(inner, "it became something else while it was read")
            elif name.endswith("/"):
                yield _Folder(inner, prefix + name[:-1], _identity(status), linked=os.path.islink(inner))  # noqa: PTH114
            else:
                yield _local_file(prefix + name, inner, status)

    @staticmethod
    def _status(path: str, problems: SourceProblems) -> os.stat_result | None:
        try:
            status = os.stat(path)  # noqa: PTH116 (a Path for each of a million files would take longer than the call)
        except OSError as error:
            if may_pass(error):
                raise source_error(path, error) from error
            what = str(error.strerror)
            with suppress(OSError):
                what = f"a dangling link to {Path(path).readlink()}"
            problems.note_kind(path, what)
            return None
        if not stat.S_ISREG(status.st_mode) and (special := _special(status.st_mode)):
            problems.note_kind(path, f"{special}, not a file")
            return None
        return status


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class RemoteFolder(Source):
    """A folder that fsspec reads. It is listed once and the listing is kept; empty folders are not seen."""

    def __init__(self, filesystem: Any, root: str, url: str, look: Look | None) -> None:
        self._filesystem = filesystem
        self._url = url
        with _source_errors(url):
            found = filesystem.find(root, detail=True)
        # Do not assume the root's length and a slash: the root of an archive is empty.
        start = len(root.rstrip("/"))
        inside = {path[start:].lstrip("/"): path for path in found}
        self._files = [
            (logical, path, _original(_shown(url, logical), found[path], look))
            for logical, path in sorted(inside.items())
            if not is_folder_marker(path, found[path].get("size"))
        ]

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:  # noqa: ARG002 (scan() checks the paths)
        """Yield the folder's files, in path order."""
        for logical, path, original in self._files:
            opener = _opener(self._filesystem, path, self._url)
            yield SourceFile(logical, original.size, opener, compare=original.compare)


def _remote_source(url: str, options_of: OptionsOf) -> Source:
    if url.partition("://")[0].lower() in BUCKETS and (problem := secret_problem(url)):
        raise InvalidInputError(  # not even redacted: the client would take the secret for the name of a bucket
            f"the URL to register cannot be accepted: {problem}",
            hint="Give credentials in the environment or in source_options.",
        )
    import fsspec

    # In a chain (zip://…::s3://…) each part has its own options.
    parts = [_plain(part) for part in url.split("::")]
    options = {part.partition("://")[0]: dict(options_of(part)) for part in parts if "://" in part}
    # Check the parts of a chain too: fsspec drops unknown options, and would then read from another server.
    external_stores = [bucket_at(part, options) for part in parts]
    with _source_errors(url):
        filesystem, path = fsspec.core.url_to_fs("::".join(parts), **options)
        filesystem.invalidate_cache()  # its cached listing may be outdated
        info = filesystem.info(path)
    look = None if len(external_stores) > 1 or external_stores[0] is None else partial(looked_at, external_stores[0])
    if info["type"] == "directory":
        return RemoteFolder(filesystem, path, url, look)
    # Remove the query first: a signature may hold slashes, and no part of it may become a name.
    name = path.partition("?")[0].rstrip("/").rpartition("/")[2] or "data"
    original = _original(url, info, look)
    return SingleFile(SourceFile(name, original.size, _opener(filesystem, path, url), compare=original.compare))


def _shown(url: str, logical: str) -> str:
    """Return the location of a file in a folder, for messages."""
    return f"{logical!r} of {url}" if "::" in url else f"{url.rstrip('/')}/{logical}"


def _original(url: str, info: Mapping[str, Any], look: Look | None) -> Original:
    return Original(printable(redact(url)), info, None if look is None else partial(look, info))


def _is_web(url: str) -> bool:
    return any(part.partition("://")[0].lower() in WEB for part in url.split("::"))


def _plain(part: str) -> str:
    """Return a part of a URL with the scheme that its options are given for; a part may lack a scheme."""
    scheme, separator, rest = part.partition("://")
    return f"{plain_scheme(scheme)}://{rest}" if separator else part


@contextmanager
def _source_errors(url: str) -> Iterator[None]:
    """Translate exceptions of an fsspec file system into errors about this source."""
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"{redact(url)} needs a package that is not installed: {error}", hint="Install what the message names."
        ) from error
    except Exception as error:  # archives, HTTP clients and plug-ins have their own exceptions
        # s3fs raises EBUSY when a read on condition of an ETag failed.
        is_replaced = isinstance(error, OSError) and error.errno == errno.EBUSY
        ours: MetaMLFlowError | None = changed(printable(redact(url)), "it was replaced") if is_replaced else None
        if ours is None and _is_web(url):
            ours = web_failure(error, printable(redact(url)))
        if ours is None or isinstance(ours, ObjectNotFoundError):
            ours = source_error(url, error)
        if not secrets_in(url) and not quotes_secret(error):
            raise ours from error
        try:
            raise ours from None
        finally:
            ours.__context__ = None  # it quotes the URL, and a traceback of our error would show it too


def _opener(filesystem: Any, path: str, url: str) -> Callable[[], BinaryIO]:
    def open_source() -> BinaryIO:
        with _source_errors(url):
            return cast("BinaryIO", _SourceReader(filesystem.open(path, "rb"), url))

    return open_source


class _SourceReader(io.RawIOBase):
    """A plain reader of a file that fsspec opened; it raises our errors."""

    def __init__(self, file: Any, url: str) -> None:
        self._file = file
        self._url = url

    def read(self, size: int | None = -1) -> bytes:
        with _source_errors(self._url):
            return bytes(self._file.read(size))

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
