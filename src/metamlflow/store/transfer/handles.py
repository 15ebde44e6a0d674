"""Folders as open handles: operations below a handle stay there, even if another process replaces a folder.

Each call with a path looks it up again, and everyone who may write to a folder on the path can put a link there between
two calls. A handle keeps referring to the opened folder; below it, each step refuses links.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from metamlflow.errors import DestinationExistsError

# Passing through a folder needs no permission to list it; some systems do not distinguish the two.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_FOLDER = {errno.ENOTDIR, errno.ELOOP, errno.EMLINK}


def open_folder(folder: str | Path, *, inside: int | None = None) -> int:
    """Return a handle of a folder; inside another folder, links are refused."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if inside is None else os.O_NOFOLLOW)
    return os.open(folder, flags, dir_fd=inside)


class Inside:
    """Opens handles of the folders below one, and keeps the last one open. Not for several threads.

    Args:
        root: the handle of the folder.
        place: its path, for messages.
    """

    def __init__(self, root: int, place: Path) -> None:
        self._root = root
        self._place = place
        self._at, self._handle = "", root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def folder(self, path: str, made: Callable[[str], None] | None = None) -> int:
        """Return the handle of a folder below; it is valid until the next call.

        Args:
            path: its path, without a slash at its ends; empty for the root.
            made: called with each missing folder after it was created; None: missing folders are not created.

        Raises:
            DestinationExistsError: a link or a file is in the place of a folder.
            FileNotFoundError: the folder is missing and ``made`` is None.
        """
        if path == self._at:
            return self._handle
        self._leave()
        handle, passed = self._root, ""
        try:
            for name in path.split("/") if path else ():
                passed = f"{passed}/{name}".lstrip("/")
                inner = self._step(handle, name, passed, made)
                self._close(handle)
                handle = inner
        except BaseException:
            self._close(handle)
            raise
        self._at, self._handle = path, handle
        return handle

    def _step(self, handle: int, name: str, path: str, made: Callable[[str], None] | None) -> int:
        while True:
            try:
                return os.open(name, _PASS, dir_fd=handle)
            except FileNotFoundError:
                if made is None:
                    raise
            except OSError as error:
                if error.errno not in _NOT_A_FOLDER:
                    raise
                place = self._place / path
                raise DestinationExistsError(
                    f"{place} appeared while the download ran: a link or a file is in the place of a folder",
                    hint="Give another folder.",
                    paths=(str(place),),
                ) from None
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=handle)
                made(path)

    def _leave(self) -> None:
        self._close(self._handle)
        self._at, self._handle = "", self._root

    def _close(self, handle: int) -> None:
        if handle != self._root:
            os.close(handle)
