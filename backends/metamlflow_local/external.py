"""Files that an artifact points to: told apart by size and time of writing, looked at before and after each read."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from metamlflow.backend.external import ObjectMeta, drift_error
from metamlflow.backend.translation import translated_errors
from metamlflow.errors import InvalidInputError, ObjectNotFoundError, StorageError, UnsupportedSourceError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SHOWN = 20
_PASSING = {errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ENOMEM}  # no fault of the folder's
_MOST_WAYS = 100  # a few folders of links would else hold more paths than can be walked


def open_external(root: str, options: Mapping[str, Any]) -> LocalExternalStore:
    """Open this machine's files, network folders included; names are absolute paths without their first slash."""
    if options or root != "file://":
        raise InvalidInputError(
            "local files take no source options" if options else f"{root!r} names files of another machine",
            hint="Write local files as file:///absolute/path.",
        )
    return LocalExternalStore()


class LocalExternalStore:
    """This machine's files; every promise is in :class:`metamlflow.backend.external.ExternalStore`."""

    def url_of(self, name: str) -> str:
        """Return the URI of a file."""
        return f"file:///{name}"

    def head(self, name: str, version: str | None = None) -> ObjectMeta:
        """Return size and time of a file; links are followed."""
        try:
            with translated_errors(self.url_of(name)):
                status = os.stat(f"/{name}")  # noqa: PTH116 (a name is no path of this platform's yet)
        except StorageError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ELOOP:
                raise _unsupported(self.url_of(name), "a loop of links") from None
            raise
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise _unsupported(self.url_of(name), "neither a file nor a folder")
        if stat.S_ISDIR(status.st_mode) or version is not None:
            raise ObjectNotFoundError(f"there is no file {self.url_of(name)}", key=self.url_of(name))
        return _sighting(name, status)

    def list_objects(self, prefix: str, *, after: str = "", older: bool = False) -> Iterator[ObjectMeta]:  # noqa: ARG002 (there are none)
        """Yield the files below a folder; what is no file is refused, all of it, at the end."""
        problems: list[str] = []
        yield from _walk(prefix, after, problems)
        if problems:
            shown = "\n  ".join(problems[:_SHOWN])
            more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise UnsupportedSourceError(
                f"what is no file cannot be pointed to; nothing was registered:\n  {shown}{more}",
                hint="Remove or replace them, or point to what is beside them.",
                problems=tuple(problems),
            )

    def read(self, seen: ObjectMeta, start: int, end: int) -> Buffer:
        """Return a range, if the file is what was seen before it is read and after."""
        where = self.url_of(seen.name)
        try:
            self.head(seen.name)  # first: to open a pipe or a device may do something to it
            with translated_errors(where):
                descriptor = os.open(f"/{seen.name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except ObjectNotFoundError:
            raise drift_error(where, seen, None) from None
        except UnsupportedSourceError as error:
            raise drift_error(where, seen, error.message.removeprefix(f"{where} is ")) from None
        try:
            self._check(seen, descriptor)
            with translated_errors(where):
                data = _read(descriptor, start, min(end, seen.size))
            self._check(seen, descriptor)
        finally:
            os.close(descriptor)
        return data

    def _check(self, seen: ObjectMeta, descriptor: int) -> None:
        found = _sighting(seen.name, os.fstat(descriptor))
        if seen.difference(found):
            raise drift_error(self.url_of(seen.name), seen, found)


def _unsupported(url: str, what: str) -> UnsupportedSourceError:
    return UnsupportedSourceError(f"{url} is {what}", hint="Point to a file or a folder.", problems=(f"{url}: {what}",))


def _sighting(name: str, status: os.stat_result) -> ObjectMeta:
    return ObjectMeta(name, status.st_size, modified_ns=status.st_mtime_ns)


def _read(descriptor: int, start: int, end: int) -> bytearray:
    data = bytearray(max(0, end - start))
    view, at = memoryview(data), start
    while view and (count := os.preadv(descriptor, [view], at)):
        view, at = view[count:], at + count
    return data


def _walk(folder: str, after: str, problems: list[str]) -> Iterator[ObjectMeta]:
    """Yield the files below ``folder``, which ends in a slash or is empty, in the order of their names."""
    inside: list[tuple[int, int]] = []
    entered: Counter[tuple[int, int]] = Counter()
    levels: list[tuple[Iterator[str], bool]] = []
    todo: str | None = folder
    while todo is not None or levels:  # not by recursion: folders may lie deeper than Python's stack
        if todo is not None:
            linked = (levels[-1][1] if levels else False) or os.path.islink(f"/{todo}".rstrip("/"))  # noqa: PTH114
            if (opened := _children(todo, inside, entered if linked else None, problems)) is not None:
                inside.append(opened[0])
                levels.append((opened[1], linked))
            todo = None
            if not levels:
                return
        for name in levels[-1][0]:
            if name.endswith("/"):
                if name > after or after.startswith(name):
                    todo = name
                    break
            elif name > after and (seen := _seen(name, problems)):
                yield seen
        else:
            levels.pop()
            inside.pop()


def _children(
    folder: str, inside: list[tuple[int, int]], entered: Counter[tuple[int, int]] | None, problems: list[str]
) -> tuple[tuple[int, int], Iterator[str]] | None:
    """Return which folder it is, and the names in it in order; None, with its problem noted, if it is not walked."""
    try:
        status = os.stat(f"/{folder}")  # noqa: PTH116 (as above)
        own = status.st_dev, status.st_ino
        if own in inside:
            problems.append(f"/{folder}: a link to a folder that contains it")
            return None
        if entered is not None:
            entered[own] += 1
            if entered[own] > _MOST_WAYS:
                problems.append(f"/{folder}: links lead to this folder in more than {_MOST_WAYS} ways")
                return None
        with os.scandir(f"/{folder}") as found:
            # A folder sorts as its name and a slash: so names come in the order of their bytes.
            names = sorted((f"{entry.name}/" if _leads_on(entry) else entry.name for entry in found), key=os.fsencode)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _PASSING:
            with translated_errors(f"file:///{folder}"):
                raise
        problems.append(f"/{folder}: the folder cannot be read ({error.strerror})")
        return None
    return own, (folder + name for name in names)


def _leads_on(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder. What cannot be looked at is not: its own look says why."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _seen(name: str, problems: list[str]) -> ObjectMeta | None:
    try:
        status = os.stat(f"/{name}")  # noqa: PTH116 (as above)
    except OSError as error:
        problems.append(f"/{name}: {error.strerror}")
        return None
    if stat.S_ISREG(status.st_mode):
        return _sighting(name, status)
    problems.append(f"/{name}: no file")
    return None
