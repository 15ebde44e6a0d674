"""Temporary copies on this machine: their folder, how much stays in memory, and errors when the disk is full."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, cast

from metamlflow.backend import passing_failure
from metamlflow.errors import StorageError, StorageFullError

SMALL = 1024 * 1024  # bytes; a file up to this size is read once and kept in memory until it is stored
CHUNK = 256 * 1024
TEMP_DIR_VARIABLE = "METAMLFLOW_TMPDIR"
_PASSING = {errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ENOMEM}

OnBytes = Callable[[int], None]


def may_pass(error: OSError) -> bool:
    """Whether a read failed because of this process or the disk, rather than because of the file."""
    return error.errno in _PASSING


def new_spool(most_in_memory: int = SMALL) -> IO[bytes]:
    """Return an empty, anonymous file, in memory up to ``most_in_memory`` bytes; :func:`discard` removes it."""
    return cast("IO[bytes]", tempfile.SpooledTemporaryFile(most_in_memory, dir=place_of_temps()))


def discard(spool: IO[bytes]) -> None:
    """Close a spool, which removes it; ignore errors of writing its last bytes."""
    with suppress(OSError):
        spool.close()


@contextmanager
def temp_folder() -> Iterator[str]:
    """Yield a new folder in the temp folder for this process alone; remove it at the end.

    Raises:
        StorageError: the temp folder is missing or cannot be used.
    """
    with spool_errors():
        made = tempfile.TemporaryDirectory(prefix="metamlflow-", dir=place_of_temps())
    with made as folder:
        yield folder


@contextmanager
def spool_errors() -> Iterator[None]:
    """Translate failures of a spooled copy into errors that name the temp folder."""
    try:
        yield
    except OSError as error:
        folder = place_of_temps() or tempfile.tempdir or "of the system"
        if may_pass(error):
            raise passing_failure(error, f"the temp folder {folder}") from error
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageFullError(
                f"the temp folder {folder} has no room for the data being spooled ({error.strerror}{_free(folder)})",
                hint=f"Set {TEMP_DIR_VARIABLE} to a folder with more space.",
                key=folder,
            ) from error
        raise StorageError(
            f"the temp folder {folder} cannot be used: {error.strerror}",
            hint=f"Set {TEMP_DIR_VARIABLE} to a folder that exists and can be written to.",
            key=folder,
        ) from error


def place_of_temps() -> str | None:
    """Return the folder that is set for temporary files; None stands for that of the system."""
    return os.environ.get(TEMP_DIR_VARIABLE) or None


def _free(folder: str) -> str:
    try:
        return f"; {shutil.disk_usage(folder).free:,} bytes free"
    except OSError:
        return ""
