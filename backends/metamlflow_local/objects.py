"""What may lie at a key of a store folder in place of an object, past all stores: pipes, sockets, devices, folders."""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK

from metamlflow.errors import ObjectNotFoundError, StorageError


def require_object(status: os.stat_result, url: str) -> None:
    """Refuse what is not a file: a folder as an object that is missing, all else as a damage of the store."""
    if S_ISDIR(status.st_mode):
        raise ObjectNotFoundError(f"there is no object {url}", key=url)
    if not S_ISREG(status.st_mode):
        raise StorageError(
            f"{url}: {kind_of(status)} lies where an object belongs", hint="Remove it: no store makes such.", key=url
        )


def kind_of(status: os.stat_result) -> str:
    """Return what it is that is not a file."""
    for test, name in ((S_ISDIR, "a folder"), (S_ISFIFO, "a pipe"), (S_ISSOCK, "a socket")):
        if test(status.st_mode):
            return name
    return "a device"
