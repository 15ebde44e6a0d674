"""An fsspec file system that reads such an SQLite file, as ``<path of the file>/<key>``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractBufferedFile

from metamlflow_toy.database import Database, Row


class ToyFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read and remove objects. The file is the part of the path up to the first name that ends in ``.toy``."""

    protocol = "toy"
    root_marker = "/"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe an object, or a folder that keys imply."""
        database, key = self.split(path)
        try:
            return self._entry(path, database.find(key))
        except FileNotFoundError:
            if not database.below(f"{key}/"):
                raise
            return {"name": self._strip_protocol(path), "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 (fsspec's signature)
        """List what lies directly below a folder."""
        database, key = self.split(path)
        folder, path = f"{key}/" if key else "", self._strip_protocol(path)
        found = {}
        for row in database.below(folder):
            name, slash, _rest = row.key.removeprefix(folder).partition("/")
            name = f"{path}/{name}"
            found[name] = {"name": name, "size": 0, "type": "directory"} if slash else self._entry(name, row)
        if not found:
            return [self.info(path) if detail else path]
        return [found[name] if detail else name for name in sorted(found)]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return a range of an object's bytes."""
        database, key = self.split(path)
        return database.read(key, start or 0, end)

    def rm_file(self, path: str) -> None:
        """Remove an object."""
        database, key = self.split(path)
        database.remove(key)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> ToyFile:
        if mode != "rb":
            raise OSError(f"{path}: this file system is for reading")
        return ToyFile(self, path, mode, **options)

    def split(self, path: str) -> tuple[Database, str]:
        """Return the database that a path leads into, and the key in it."""
        path = self._strip_protocol(path)
        file, toy, rest = path.partition(".toy")
        if not toy or (rest and not rest.startswith("/")):
            raise FileNotFoundError(f"{path}: no part of it ends in .toy")
        return Database(Path(file + toy)), rest.lstrip("/")

    def _entry(self, path: str, row: Row) -> dict[str, Any]:
        return {"name": self._strip_protocol(path), "size": row.size, "type": "file", "mtime": row.modified}


class ToyFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A reader that fetches what is asked for."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start, end))


fsspec.register_implementation("toy", ToyFileSystem, clobber=True)  # for when the package is not installed
