"""What is published, and the proof that it came back: files of random bytes, the same in every run; their SHA-256."""

from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path

MIB = 2**20
FILES_PER_FOLDER = 1000
AN_HOUR = 3600


class Input:
    """A file, or a folder of files, whose digests are known.

    Everything is dated an hour back: tools that compare times by the second would else take a file made in the second
    of its upload for a newer one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digests = digests_of(path)
        self._files = [path / name for name in self.digests]
        self._original: tuple[Path, bytes, os.stat_result] | None = None
        past = time.time() - AN_HOUR
        for file in self._files:
            os.utime(file, (past, past))

    def change_one_file(self) -> None:
        """Give one file other bytes of the same number, and the time of now."""
        file = self._files[len(self._files) // 2]
        self._original = file, file.read_bytes(), file.stat()
        file.write_bytes(random.randbytes(file.stat().st_size))
        self._digest_again(file)

    def restore(self) -> None:
        """Undo the change, its time included."""
        if self._original is not None:
            file, data, status = self._original
            file.write_bytes(data)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
            self._digest_again(file)
            self._original = None

    def difference(self, other: Path) -> str | None:
        """Return how the file or folder ``other`` differs from this one, None if it does not."""
        if not other.exists():
            return f"nothing was fetched: there is no {other.name}"
        found = digests_of(other)
        wrong = sorted(name for name in self.digests.keys() | found if self.digests.get(name) != found.get(name))
        return f"{len(wrong)} of {len(self.digests)} files differ, {wrong[0]!r} first" if wrong else None

    def _digest_again(self, file: Path) -> None:
        name = str(file.relative_to(self.path))
        self.digests[name] = digests_of(file)["."]


def make_file(path: Path, size: int) -> Input:
    """Make a file of ``size`` bytes."""
    source = random.Random(path.name)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(source.randbytes(min(MIB, size - start)))
    return Input(path)


def make_folder(path: Path, count: int, size: int, *, nested: bool = False) -> Input:
    """Make a folder of ``count`` files of ``size`` bytes: flat, or in folders of a thousand."""
    source = random.Random(path.name)
    for number in range(count):
        folder = path / f"{number // FILES_PER_FOLDER:03d}" if nested else path
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.bin").write_bytes(source.randbytes(size))
    return Input(path)


def digests_of(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below ``path`` by its relative path; of a file, by ``.``."""
    if path.is_file():
        return {".": _digest(path)}
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return {str(file.relative_to(path)): _digest(file) for file in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
