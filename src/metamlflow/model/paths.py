"""Logical paths: the names of files inside an artifact."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

MAX_PATH_BYTES = 4096
_LONGEST_NAME = 255


def path_problem(path: object) -> str | None:  # noqa: PLR0911 (one line for each rule)
    """Return why ``path`` cannot be a logical path, or None.

    A logical path is relative and ``/``-separated, has no empty, ``.`` or ``..`` segment and no control character, is
    valid Unicode (encodes as UTF-8) and takes at most 4,096 bytes.
    """
    if not isinstance(path, str):
        return f"a path is a string, not {type(path).__name__}"
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "it is no valid UTF-8"
    if not path:
        return "it is empty"
    if len(encoded) > MAX_PATH_BYTES:
        return f"it takes {len(encoded)} bytes, more than {MAX_PATH_BYTES}"
    if path.startswith("/"):
        return "it is absolute"
    if not path.isprintable() and any(unicodedata.category(c) == "Cc" for c in path):
        return "it holds a control character"
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            return "it holds an empty segment" if not segment else f"it holds a segment {segment!r}"
    return None


class OrderCheck:
    """Checks a stream of paths for the order that every list of entries has, in constant memory.

    The order is that of the UTF-8 bytes (which is Python's order of strings), each path once; and no path lies inside
    another one that is a file or an empty folder. ``problem(path)`` says what is wrong with the next path, or None.
    """

    def __init__(self) -> None:
        self._last: str | None = None
        # Every path between p and p + "/…" in this order begins with p: only prefixes of the last path can be parents.
        # Each stands with the parent that it lies inside itself, so that one look at the longest tells for all.
        self._prefixes: list[tuple[str, str | None]] = []

    def problem(self, path: str) -> str | None:
        """Return what is wrong with ``path`` where it stands, or None."""
        last, self._last = self._last, path
        if last is not None and path <= last:
            self._prefixes.clear()
            return "it stands twice" if path == last else f"it is out of order after {last!r:.200}"
        while self._prefixes and not path.startswith(self._prefixes[-1][0]):
            self._prefixes.pop()
        longest, parent = self._prefixes[-1] if self._prefixes else ("", None)
        if parent is None and longest and path[len(longest)] == "/":
            parent = longest
        self._prefixes.append((path, parent))
        return None if parent is None else f"it lies inside {parent!r:.200}, which is no folder with content"


def collisions(paths: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield each group of paths that a case-folding or Unicode-normalising disk cannot tell apart.

    Folders count too: ``A/x`` and ``a/y`` collide in ``A`` and ``a``. Time and memory follow the length of the paths,
    however deep they are: each folder is looked at by its own name, inside a folder that is known by a number.
    """
    numbers: dict[tuple[int, str], int] = {}  # (number of the folder that it lies in, name) -> its number
    spellings: defaultdict[tuple[int, str], list[int]] = defaultdict(list)  # the same, as a disk would take it
    places: list[tuple[int, str]] = [(0, "")]
    folded: list[int] = [0]  # number of a path -> number of the first one that a disk takes for the same
    for path in paths:
        inside = 0
        for name in path.split("/"):
            number = numbers.setdefault((inside, name), len(places))
            if number == len(places):
                places.append((inside, name))
                group = spellings[folded[inside], _folded(name)]
                group.append(number)
                folded.append(group[0])
            inside = number
    for group in spellings.values():
        if len(group) > 1:
            yield tuple(sorted(_path(places, number) for number in group))


def _path(places: list[tuple[int, str]], number: int) -> str:
    names = []
    while number:
        number, name = places[number]
        names.append(name)
    return "/".join(reversed(names))


def _folded(name: str) -> str:
    """Return a file's name as a disk takes it that folds case and normalises."""
    folded = name.casefold()
    # The time to put combining characters in order grows with the square of their number, and no such disk takes a
    # longer name.
    if name.isascii() or len(name) > _LONGEST_NAME:
        return folded
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
