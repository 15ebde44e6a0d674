"""A file system of fsspec that reads through a backend, for schemes that fsspec does not know by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import fsspec

from metamlflow.backend.seam import Backend, ObjectInfo
from metamlflow.errors import ObjectNotFoundError

_AFTER_ALL = "~"  # greater than every character that a key may have


class ObjectFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Reads, lists and removes objects. A subclass names its ``protocol`` and ``open_backend``.

    pandas, pyarrow and the like find it by the entry-point group ``fsspec.specs``, and hand the user's storage options
    to its constructor.
    """

    open_backend: ClassVar[Callable[[str, Mapping[str, Any]], Backend]]
    """Opens the root of a URL; as a static method."""
    root_marker = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        own = {"skip_instance_cache", "use_listings_cache", "listings_expiry_time", "max_paths"}
        self._options = {name: value for name, value in options.items() if name not in own}
        self._opened: dict[str, Backend] = {}

    def split(self, path: str) -> tuple[str, str]:
        """Return the URL of the root that a path leads into, and the name below it; by default that is a host."""
        host, _, name = self._strip_protocol(path).lstrip("/").partition("/")
        return f"{self.protocol}://{host}", name

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe an object, or a folder that names imply."""
        backend, name = self._within(path)
        path = self._strip_protocol(path)
        try:
            return _entry(path, backend.stat(name))
        except ObjectNotFoundError as error:
            if not list(backend.list_objects(f"{name}/" if name else "", limit=1)):
                raise FileNotFoundError(path) from error
            return _folder(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 (fsspec's signature)
        """List what lies directly below a folder; a request for each folder that it holds."""
        backend, name = self._within(path)
        path, folder = self._strip_protocol(path).rstrip("/"), f"{name.rstrip('/')}/" if name else ""
        found: list[dict[str, Any]] = []
        after, more = "", True
        while more:
            more = False
            for info in backend.list_objects(folder, after=after):
                child, slash, _below = info.key.removeprefix(folder).partition("/")
                if slash:
                    found.append(_folder(f"{path}/{child}"))
                    after, more = f"{folder}{child}/{_AFTER_ALL}", True  # past all that it holds
                    break
                found.append(_entry(f"{path}/{child}", info))
        if not found:
            found = [self.info(path)]
        return found if detail else [entry["name"] for entry in found]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return a range of an object's bytes."""
        backend, name = self._within(path)
        try:
            if (start or 0) < 0 or (end or 0) < 0:  # counted from the end
                start, end, _step = slice(start, end).indices(backend.stat(name).size)
            return backend.read(name, start or 0, end)
        except ObjectNotFoundError as error:
            raise FileNotFoundError(path) from error

    def rm_file(self, path: str) -> None:
        """Remove an object."""
        backend, name = self._within(path)
        for failure in backend.delete([name]):
            raise failure.error

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise OSError(f"{path}: this file system is for reading")
        backend, name = self._within(path)
        try:
            return backend.open(name)
        except ObjectNotFoundError as error:
            raise FileNotFoundError(path) from error

    def _within(self, path: str) -> tuple[Backend, str]:
        root, name = self.split(path)
        if root not in self._opened:  # two threads at once open the same
            self._opened[root] = type(self).open_backend(root, self._options)
        return self._opened[root], name


def _entry(path: str, info: ObjectInfo) -> dict[str, Any]:
    return {"name": path, "size": info.size, "type": "file", "mtime": info.modified, "ETag": info.etag}


def _folder(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}
