"""What may lie at a key of a store folder in place of an object, past all stores: pipes, sockets, devices, folders."""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISFIFO, S_ISSOCK

from metamlflow.errors import ObjectNotFoundError, StorageError


def not_an_object(status: os.stat_result, url: str) -> StorageError:
    """Return the error for what is not a file: a folder means that the object is missing, all else is damage."""
    if S_ISDIR(status.st_mode):
        return ObjectNotFoundError(f"there is no object {url}", key=url)
    what = f"{url}: {kind_of(status)} lies where an object belongs"
    return StorageError(what, hint="Remove it: no store makes such.", key=url)


def kind_of(status: os.stat_result) -> str:
    """Return what it is that is not a file."""
    for test, name in ((S_ISDIR, "a folder"), (S_ISFIFO, "a pipe"), (S_ISSOCK, "a socket")):
        if test(status.st_mode):
            return name
    return "a device"
