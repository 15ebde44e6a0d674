"""Files that were opened by their address."""

from __future__ import annotations

import os
from threading import get_ident
from typing import Any

from fsspec.spec import AbstractBufferedFile

from metamlflow.store.read.ranged import Ranges
from metamlflow.store.transfer.windows import BUFFER


class OpenedFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file that was opened by its address: seekable, in binary. A pickle opens it anew, at the same position.

    DuckDB seeks and reads one file in several threads at once, and takes for granted that nobody comes between its two
    calls. Python does not promise that, so once calls have overlapped, a read begins where its own thread has seeked.
    As long as calls come one after another, from whichever threads, there is one position, as of any file.

    Args:
        fs: the file system.
        path: the address, without its scheme.
        ranges: the parts of the file.
        size: of the file, in bytes.
    """

    def __init__(self, fs: Any, path: str, ranges: Ranges, size: int) -> None:
        super().__init__(fs, path, "rb", BUFFER, cache_type="none", size=size)
        self.cache = (
            None  # the ranges cache; and with it, a file that nobody closes would live until the next collection
        )
        self._ranges = ranges
        self._busy: set[int] = set()  # threads whose read is under way
        self._sought: dict[int, int] = {}  # where the next read of a thread begins, if it has seeked
        self._has_overlapped = False

    def seek(self, loc: int, whence: int = os.SEEK_SET) -> int:
        """Set where the next read begins; costs nothing."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}[whence]
        if start + loc < 0:
            raise OSError(22, "cannot seek to before the start")
        self._note_overlap()
        self._sought[get_ident()] = self.loc = start + loc
        return int(start + loc)

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._sought.get(get_ident(), self.loc) if self._has_overlapped else int(self.loc)

    def read(self, length: int | None = -1) -> bytes:
        """Return so many bytes, fewer at the end; all that remain if it is negative."""
        if self.closed:
            raise ValueError("the file is closed")
        self._note_overlap()
        me = get_ident()
        sought = self._sought.pop(me, None)
        start = sought if sought is not None and self._has_overlapped else self.loc
        remaining = max(self.size - start, 0)
        size = remaining if length is None or length < 0 else min(length, remaining)
        self.loc = start + size  # before the read, during which other threads may seek
        self._busy.add(me)
        try:
            return self._ranges.read_at(start, size)
        except BaseException:
            self.loc = start
            raise
        finally:
            self._busy.discard(me)

    def _note_overlap(self) -> None:
        if self._busy and self._busy != {get_ident()}:
            self._has_overlapped = True

    def close(self) -> None:
        """Release what it holds."""
        if not self.closed:
            self._ranges.close()
        super().close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.fs, self.path, self.tell())


def _reopened(fs: Any, path: str, position: int) -> OpenedFile:
    file: OpenedFile = fs.open(path, "rb")
    file.seek(position)
    return file
