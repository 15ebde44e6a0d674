"""Walking a file system of fsspec in the order of its paths' bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from metamlflow.errors import UnsupportedSourceError, redact

_DEEPEST = 200


def walk(
    filesystem: Any,
    root: str,
    folder: str,
    prefix: str,
    after: str,
    translated: Callable[[str], AbstractContextManager[None]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the files below ``folder`` (empty or ending in a slash), each with what the listing tells, in order.

    fsspec's own ``find`` would leave out every folder whose listing fails, and call what is left complete.

    Args:
        filesystem: of fsspec.
        root: the path that names are relative to.
        folder: where to begin.
        prefix: only names that begin with it.
        after: only names greater than this one.
        translated: gives the context in which a folder is listed.

    Raises:
        UnsupportedSourceError: folders lie in folders without end, as links and servers can make them.
    """
    if folder.count("/") > _DEEPEST:
        raise UnsupportedSourceError(
            f"folders lie in one another more than {_DEEPEST} deep: {redact(folder)[:200]}…",
            hint="Point to a folder further down, or to single objects.",
        )
    root = root.rstrip("/")
    path = f"{root}/{folder.rstrip('/')}".rstrip("/") or "/"
    with translated(folder):
        filesystem.invalidate_cache(path)
        try:
            listed = filesystem.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
    children = {}
    for info in listed:
        # A folder sorts as its name and a slash: so names come in the order of their bytes.
        name = info["name"].removeprefix(root).strip("/") + "/" * (info["type"] == "directory")
        if name.startswith(folder) and name != folder:  # some list a file, or the folder itself, as its own child
            children[name] = info
    for name in sorted(children, key=str.encode):
        if not name.endswith("/"):
            if name.startswith(prefix) and name > after:
                yield name, children[name]
        elif (name.startswith(prefix) or prefix.startswith(name)) and (name > after or after.startswith(name)):
            yield from walk(filesystem, root, name, prefix, after, translated)
