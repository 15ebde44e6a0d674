"""Files that were opened by their address."""

from __future__ import annotations

from typing import Any

from fsspec.spec import AbstractBufferedFile

from metamlflow.store.read.ranged import Ranges
from metamlflow.store.read.shared_files import SharedPosition
from metamlflow.store.transfer.windows import BUFFER


class OpenedFile(SharedPosition, AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file that was opened by its address: seekable, in binary. A pickle opens it anew, at the same position.

    Args:
        fs: the file system.
        path: the address, without its scheme.
        ranges: the parts of the file.
        size: of the file, in bytes.
    """

    def __init__(self, fs: Any, path: str, ranges: Ranges, size: int) -> None:
        AbstractBufferedFile.__init__(self, fs, path, "rb", BUFFER, cache_type="none", size=size)
        self.cache = (
            None  # the ranges cache; and with it, a file that nobody closes would live until the next collection
        )
        self._share(ranges, size)

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
