"""File objects as sources: read completely, from their beginning, whatever their position.

A position is rarely intended: after ``json.dump(x, stream)`` it is behind everything written, and reading from there
would register nothing. So a seekable object is read from its beginning, and its position is restored. An object that
cannot seek, such as a pipe, is read from the next byte, and refused if it reports that some bytes were read before.
Rejected alternative: to refuse every position but 0 would require ``seek(0)`` after every dump and protect nobody.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, cast

from metamlflow.errors import InvalidInputError
from metamlflow.store.ingest.sources import SingleFile, SourceFile

_FAILURES = (ValueError, TypeError, KeyError, AttributeError)
"""Exceptions of objects that are closed, or whose ``read`` is of another kind; an OSError is handled elsewhere."""


def file_object_source(value: Any, default_name: str) -> SingleFile | None:
    """Return a file object, or the result of ``fsspec.open``, as a source; None if ``value`` is neither.

    Raises:
        InvalidInputError: it gives text, is closed, is open for writing only, or was read in part and cannot seek.
    """
    if is_open_file(value):
        return _open_file_source(value, default_name)
    return _stream_source(value, default_name) if _is_stream(value) else None


def is_open_file(value: Any) -> bool:
    """Return whether a value is the result of ``fsspec.open``: a file that is yet to be opened."""
    kind = type(value)
    return kind.__name__ == "OpenFile" and kind.__module__.startswith("fsspec")


def refuse_shared(mapping: Mapping[Any, Any]) -> None:
    """Refuse a mapping with the same file object in two entries: each would consume bytes of the other.

    Raises:
        InvalidInputError: two entries share a file object.
    """
    places = list(_streams(mapping, ""))
    shared = {key for key, count in Counter(key for key, _ in places).items() if count > 1}
    if shared:
        named = ", ".join(repr(place) for key, place in places if key in shared)
        raise InvalidInputError(
            f"{named:.500} are one file object", hint="Give its content as bytes, or open the file once for each."
        )


def _stream_source(stream: Any, default_name: str) -> SingleFile:
    if isinstance(stream, io.TextIOBase):
        raise InvalidInputError("a text file object has no bytes", hint="Open the file with mode 'rb'.")
    with _readable(stream):
        given = getattr(stream, "name", None)
        if getattr(stream, "closed", False) is True:
            raise InvalidInputError("the file object is a closed file", hint="Open it again, or register its path.")
        if _only_writes(stream):
            place = f"its path, {given!r:.200}," if isinstance(given, str) else "its content"
            raise InvalidInputError(
                "the file object is open for writing only",
                hint=f"Close it and register {place} or open it with mode 'w+b'.",
            )
        seeks = _seeks(stream)
        if not seeks and (position := _position(stream)):
            raise InvalidInputError(
                f"the file object stands at byte {position:,} and cannot go back to its beginning",
                hint="Register it before it is read, or read the rest and register these bytes.",
            )
    return SingleFile(SourceFile(_base_name(given) or default_name, None, _opener(stream, seeks=seeks)))


def _open_file_source(file: Any, default_name: str) -> SingleFile:
    """Return the result of ``fsspec.open`` as a source: the bytes that it reads, decompressed if it decompresses."""
    if file.mode not in {"rb", "r"} or "b" not in file.mode:
        raise InvalidInputError(f"the file is to be opened with mode {file.mode!r}", hint="Use fsspec.open(…, 'rb').")
    name = _base_name(file.path)
    if file.compression and "." in name[1:]:  # the stored bytes are decompressed
        name = name.rpartition(".")[0]
    return SingleFile(SourceFile(name or default_name, None, lambda: cast("BinaryIO", _Opened(file.open()))))


def _streams(value: Any, place: str) -> Iterator[tuple[int, str]]:
    if isinstance(value, Mapping):
        for path, member in value.items():
            yield from _streams(member, f"{place}/{path}".lstrip("/"))
    elif _is_stream(value):
        yield id(value), place


def _is_stream(value: Any) -> bool:
    return callable(getattr(value, "read", None)) and not isinstance(value, type)


def _base_name(given: Any) -> str:
    """Return the last part of a file object's name, if the name is a path."""
    return given.rstrip("/").rpartition("/")[2] if isinstance(given, str) and not given.startswith("<") else ""


def _only_writes(stream: Any) -> bool:
    mode = getattr(stream, "mode", None)
    if isinstance(mode, str) and not isinstance(stream, io.BytesIO) and not set("r+") & set(mode):
        return True
    return not _says(stream, "readable") and _says(stream, "writable")  # custom objects may report neither


def _says(stream: Any, ability: str) -> bool:
    ask = getattr(stream, ability, None)
    return callable(ask) and bool(ask())


def _seeks(stream: Any) -> bool:
    seekable = getattr(stream, "seekable", None)
    if callable(seekable):
        return bool(seekable())
    return callable(getattr(stream, "seek", None)) and callable(getattr(stream, "tell", None))  # mmap, before 3.13


def _position(stream: Any) -> int:
    with suppress(OSError, *_FAILURES):
        position = stream.tell()
        return position if isinstance(position, int) else 0
    return 0


def _opener(stream: Any, *, seeks: bool) -> Callable[[], BinaryIO]:
    used = False

    def open_once() -> BinaryIO:
        nonlocal used
        if used and not seeks:
            raise InvalidInputError("the file object cannot be read a second time", hint="Register it again.")
        used = True
        return cast("BinaryIO", _Borrowed(stream, seeks=seeks))

    return open_once


class _readable:  # noqa: N801 (a context manager that reads as a word)
    """Translates the exceptions of a file object that cannot be read into an error of ours."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, InvalidInputError) or not isinstance(error, _FAILURES):
            return
        told = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
        raise InvalidInputError(
            f"the file object ({type(self._stream).__name__}) cannot be read: {told}",
            hint="Open the file again, with mode 'rb', or register its path.",
        ) from error


class _Borrowed(io.RawIOBase):
    """A caller's file object as a plain reader of all its bytes: closing it leaves the object open, where it was."""

    def __init__(self, stream: Any, *, seeks: bool) -> None:
        self._stream = stream
        self._position: int | None = None
        if seeks:
            with _readable(stream):
                self._position = stream.tell()
                stream.seek(0)  # this also flushes buffered writes

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes; raise InvalidInputError if the object returns something else."""
        with _readable(self._stream):
            chunk = self._stream.read(size)
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise InvalidInputError(
                f"the file object gave {type(chunk).__name__} instead of bytes", hint="Open it with mode 'rb'."
            )
        return bytes(chunk)

    def close(self) -> None:
        if not self.closed and self._position is not None:
            with suppress(OSError, *_FAILURES):
                self._stream.seek(self._position)
        super().close()


class _Opened(io.RawIOBase):
    """A file that fsspec opened, as a plain reader."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        return bytes(self._file.read(size))

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
