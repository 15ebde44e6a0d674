"""Open files that may have been replaced by something else, without waiting for a pipe or opening a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_SMALL_FILE_BYTES = 64 * 1024


class NotAFileError(OSError):
    """The path leads to something other than a regular file."""


def open_regular(path: str | Path, *, follow: bool = True) -> int:
    """Return a descriptor of a file, open for reading.

    Raises:
        NotAFileError: the path is a folder, pipe, socket or device, or a link and ``follow`` is False.
        OSError: the file cannot be opened.
    """
    # Check before opening: merely opening some devices has effects.
    _require_file(Path(path).stat(follow_symlinks=follow), path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        _require_file(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_file(status: os.stat_result, path: str | Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotAFileError(f"{os.fspath(path)!r} is not a file")


def read_small(path: Path, *, below: Path | None = None, most: int = _SMALL_FILE_BYTES) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: the file is missing, larger than ``most`` bytes, outside of the folder ``below``, or not a regular
            file.
    """
    if below is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(below)):
        raise OSError(f"{os.fspath(path)!r} leads out of its folder")
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"{os.fspath(path)!r} takes more than {most:,} bytes")
    return data
