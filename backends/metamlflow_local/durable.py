"""Writing so that what was acknowledged is on the disk after a crash, names of files and folders included."""

from __future__ import annotations

import os
from pathlib import Path

from metamlflow.errors import AccessDeniedError, StorageError


def finish(descriptor: int) -> None:
    """Make a temp file read-only and durable."""
    # Created under the umask, so its mode says what the umask leaves.
    os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o444)
    os.fsync(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however often that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def make_folders(folder: Path) -> None:
    """Create a folder and its missing parents, each durably.

    Raises:
        StorageError: something else lies there, or no folder can be made.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir(exist_ok=True)
        except FileNotFoundError as error:  # not a missing parent, but a place such as /proc that takes no folders
            raise AccessDeniedError(
                f"{path}: no folder can be made here", hint="Choose another place for the store.", key=str(path)
            ) from error
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(
                f"{path}: what is not a folder lies where a folder belongs",
                hint="Remove it, and try again.",
                key=str(path),
            ) from error
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        # A folder that may be written but not read (-wx) cannot be synced; the file itself is.
        if os.access(folder, os.W_OK):
            return
        raise AccessDeniedError(f"{folder}: access is denied", key=str(folder)) from None
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
