"""Whether the pages of a listing follow one another: what a server says of where it goes on is not believed alone."""

from __future__ import annotations

from collections.abc import Iterable

from metamlflow.errors import StorageError

_EMPTY_PAGES = 100  # in a row, that say that more follows
_REMEDY = "The server, or something on the way to it, lists wrongly. Use another one, or a newer version of it."


class Course:
    """Where a listing has come to, and whether it may go there.

    Args:
        url: of what is listed, for messages.
        prefix: that each key begins with.
        after: the key that the listing begins after.
    """

    def __init__(self, url: str, prefix: str, after: str = "") -> None:
        self._url = url
        self._prefix = prefix
        self.last = after  # key that was listed, or what the listing begins after
        self._versions: set[str | None] | None = None  # of that key that were listed; None: it is not to be listed
        self._empty = 0
        self._markers: set[str] = set()

    def follow(self, found: Iterable[tuple[str, str | None]]) -> None:
        """Take in the keys of a page, which are to go on from those before; each with its version, or None.

        A key may come again with another version.

        Raises:
            StorageError: they do not go on, or leave the prefix.
        """
        for key, version in found:
            if key < self.last or (key == self.last and (self._versions is None or version in self._versions)):
                what = key if version is None else f"{key} (version {version})"
                raise self._refused(f"after {self.last!r} it tells {what!r}")
            if not key.startswith(self._prefix):
                raise self._refused(f"it tells {key!r}, which is outside of it")
            if key != self.last or self._versions is None:
                self.last, self._versions = key, set()
            self._versions.add(version)
            self._empty = 0

    def marker(self, told: str | None) -> str:
        """Return what a page without keys says to go on from.

        Raises:
            StorageError: it says nothing new, or no key has come for many pages.
        """
        self._empty += 1
        if not told or told in self._markers:
            raise self._refused("it is cut off, and does not tell where it goes on")
        if self._empty > _EMPTY_PAGES:
            raise self._refused(f"{_EMPTY_PAGES} pages without a key, and no end")
        self._markers.add(told)
        return told

    def _refused(self, what: str) -> StorageError:
        return StorageError(f"the listing of {self._url} cannot be relied on: {what}", hint=_REMEDY, key=self._url)
