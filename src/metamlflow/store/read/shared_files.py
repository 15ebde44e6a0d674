"""Files over the parts of content, which several threads may share."""

from __future__ import annotations

import io
import os
from threading import Lock, get_ident
from typing import Any

from metamlflow.store.read.ranged import Ranges


class SharedPosition:
    """The reading methods of a seekable file that several threads may use at the same time.

    DuckDB seeks and reads one file in several threads at once, and takes for granted that nobody comes between its two
    calls. Python does not promise that, so once calls have overlapped, a read begins where its own thread has seeked.
    Calls overlap if one comes during another's read, or if two threads have seeked and none has read since. As long as
    seeks and reads come one after another, from whichever threads, there is one position, as of any file.
    """

    def _share(self, ranges: Ranges, size: int) -> None:
        """Begin: to be called once, by the constructor, with the parts of the file and its size in bytes."""
        self._ranges = ranges
        self.size = size
        self.loc = 0
        self._busy: set[int] = set()  # threads whose read is under way
        self._sought: dict[int, int] = {}  # where the next read of a thread begins, if it has seeked
        self._has_overlapped = False
        self._placing = Lock()

    def seek(self, loc: int, whence: int = os.SEEK_SET) -> int:
        """Set where the next read begins; costs nothing."""
        me = get_ident()
        with self._placing:
            start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}[whence]
            if start + loc < 0:
                raise OSError(22, "cannot seek to before the start")
            self._note_overlap()
            # Another thread is between its seek and its read; whoever seeks to the end only asks for the size.
            if any(place < self.size for thread, place in self._sought.items() if thread != me):
                self._has_overlapped = True
            self._sought[me] = self.loc = start + loc
        return int(start + loc)

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._sought.get(get_ident(), self.loc) if self._has_overlapped else int(self.loc)

    def read(self, length: int | None = -1) -> bytes:
        """Return so many bytes, fewer at the end; all that remain if it is negative."""
        if self.closed:  # type: ignore[attr-defined]  # of the class that this is mixed into
            raise ValueError("the file is closed")
        me = get_ident()
        with self._placing:
            self._note_overlap()
            if not self._has_overlapped:
                self._sought.clear()  # whoever has seeked: there is one position, and this read begins there
            start = self._sought.pop(me, self.loc)
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


class RangesFile(SharedPosition, io.RawIOBase):
    """A file over the parts of content; closed with its last reference, since Arrow does not close what it reads."""

    def __init__(self, ranges: Ranges, size: int) -> None:
        self._share(ranges, size)

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can be moved in: yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as :meth:`read` does."""
        data = self.read(len(buffer))
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return all that remains."""
        return self.read()

    def close(self) -> None:
        """Release what it holds."""
        if not self.closed:
            self._ranges.close()
        super().close()
