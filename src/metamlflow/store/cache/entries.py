"""The entries of the cache: a file, or the folder of a whole artifact, and how to tell that it is unchanged."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from metamlflow.errors import IntegrityError, InvalidInputError, InvalidPathError
from metamlflow.model.paths import path_problem
from metamlflow.store.cache.privacy import flush_disk_of, is_own, looks_of

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A requested file. Its stamp: size, modification time, and the name of its first request."""

    entry: str
    size: int
    name: str
    fetch: Callable[[BinaryIO], None]
    executable: bool

    def place(self, content: Path) -> Path:
        """Return its path in the entry."""
        return content / self.name

    def find(self, content: Path, stamp: dict[str, Any]) -> Path | None:
        """Return the path if the file matches its stamp."""
        first, path = content / stamp["name"], content / self.name
        if stamp["size"] != self.size or not is_as_stamped(first, stamp):
            return None
        if path != first:
            with suppress(FileExistsError):
                path.hardlink_to(first)
        return path if is_as_stamped(path, stamp) else None

    def fill(self, content: Path) -> None:
        """Fetch the file completely and durably."""
        # Created under the umask, so that its mode shows the bits that the umask leaves.
        mode, kept, least = (0o777, 0o555, 0o500) if self.executable else (0o666, 0o444, 0o400)
        descriptor = os.open(content / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w+b") as file:
            self.fetch(file)
            file.flush()
            status = os.fstat(descriptor)
            if status.st_size != self.size:
                raise IntegrityError(
                    f"{self.name!r} has a recorded size of {self.size} bytes, but {status.st_size} were read",
                    expected=str(self.size),
                    actual=str(status.st_size),
                    path=self.name,
                )
            os.fchmod(descriptor, status.st_mode & kept | least)
            # Otherwise a power loss could leave a file of this size and time, full of zeros.
            os.fsync(descriptor)

    def sealed(self, content: Path) -> dict[str, Any]:
        """Return its stamp."""
        # By path after the file was closed: some network disks set the time then.
        status = (content / self.name).lstat()
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "name": self.name}


@dataclass(frozen=True, slots=True)
class CachedFolder:
    """A requested folder of a whole artifact. Its stamp: a digest over all paths, sizes and modification times."""

    entry: str
    size: int
    fill: Callable[[Path], None]

    def place(self, content: Path) -> Path:
        """Return its path in the entry."""
        return content

    def find(self, content: Path, stamp: dict[str, Any]) -> Path | None:
        """Return the path if the folder matches its stamp."""
        return content if looks_of(content)[1] == stamp["looks"] else None

    def sealed(self, content: Path) -> dict[str, Any]:
        """Return its stamp."""
        folders = [content]
        while folders:  # no recursion: a tree may be deeper than Python's stack
            folder = folders.pop()
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    folders.append(path)
                elif not path.is_symlink():
                    path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555 | 0o400)
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) & 0o555 | 0o500)
        flush_disk_of(content)
        size, looks = looks_of(content)
        return {"size": size, "looks": looks}


def is_as_stamped(path: Path, stamp: dict[str, Any]) -> bool:
    """Return whether a file is a regular one of this user, with the size and time in its stamp."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or not is_own(status):
        return False
    return (status.st_size, status.st_mtime_ns) == (stamp["size"], stamp["mtime_ns"])


def parsed_digest(digest: str) -> str:
    """Return a digest of 64 hex digits, or raise InvalidInputError."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInputError(f"a digest has 64 hex digits, not {digest!r:.80}")
    return digest


def file_name(name: str) -> str:
    """Return the name of a file, or raise InvalidPathError."""
    problem = path_problem(name) or ("it holds a slash" if "/" in name else None)
    if not problem and len(name.encode()) > _LONGEST_NAME_BYTES:
        problem = f"it takes {len(name.encode())} bytes, more than a file system accepts ({_LONGEST_NAME_BYTES})"
    if problem:
        message = f"no file of the cache can be named {name!r:.300}: {problem}"
        raise InvalidPathError(message, hint="Read it with open() or read_bytes().", problems=(f"{name}: {problem}",))
    return name
