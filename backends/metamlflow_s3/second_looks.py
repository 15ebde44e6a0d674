"""The look at objects right before they are deleted: by pages of a listing where they lie close together, else by HEAD.

A page tells the size, the time of writing and the ETag of a thousand objects, as a HEAD does of one, and both tell them
as they are at that moment. A page tells no versions: in a bucket that has some, each object is asked for its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from metamlflow.backend.deleting import another, gone, is_same, looked_again
from metamlflow.backend.seam import DeleteFailure, ObjectInfo
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import MetaMLFlowError

WORTH = 12
"""Objects of a page that make it worth its request: S3 charges as much for a page as for twelve looks."""
_LOOKS = 32  # at a time
_RUN = 128  # objects that are looked at one page after the other; such runs are looked at side by side
_PAGES = 8  # at a time
_PAGE = 1_000

Listing = Callable[[str, str, int], Iterator[ObjectInfo]]


@dataclass(frozen=True, slots=True)
class SecondLooks:
    """Looks at objects again.

    Attributes:
        head: looks at one object; its version is told if it has one, ``null`` included.
        listed: yields the first objects below a prefix (all of a folder) after a key, at most so many.
    """

    head: Callable[[str], ObjectInfo]
    listed: Listing

    def at(self, infos: Sequence[ObjectInfo]) -> tuple[list[ObjectInfo], list[DeleteFailure]]:
        """Return those that are the same still, as they are now, and why the others are not."""
        ordered = sorted(infos, key=lambda info: info.key)
        if len(ordered) <= WORTH:
            return looked_again(self.head, ordered, at_a_time=_LOOKS)
        # A HEAD of the newest tells whether any has a version: once a bucket keeps versions, each new object has one.
        newest = max(ordered, key=lambda info: info.modified)
        ordered.remove(newest)
        same, failures = looked_again(self.head, [newest])
        if not same or same[0].version:
            found, others = looked_again(self.head, ordered, at_a_time=_LOOKS)
            return same + found, failures + others
        runs = [ordered[start : start + _RUN] for start in range(0, len(ordered), _RUN)]
        left: list[ObjectInfo] = []
        with ThreadPool(_PAGES, "metamlflow-look") as pool:
            for seen, unseen, rest in pool.map(self._by_pages, runs):
                same += seen
                failures += unseen
                left += rest
        found, others = looked_again(self.head, left, at_a_time=_LOOKS) if left else ([], [])
        return same + found, failures + others

    def _by_pages(
        self, infos: Sequence[ObjectInfo]
    ) -> tuple[list[ObjectInfo], list[DeleteFailure], Sequence[ObjectInfo]]:
        """Look at objects while each page shows enough of them; return the rest as well."""
        same, failures = list[ObjectInfo](), list[DeleteFailure]()
        shared = os.path.commonprefix([infos[0].key, infos[-1].key])  # noqa: RUF071 (cut at a slash below)
        prefix = shared[: shared.rfind("/") + 1]
        while len(infos) >= WORTH:
            try:
                # From just before the first of them: nothing but it begins with all of its key but the last character.
                page = {info.key: info for info in self.listed(prefix, infos[0].key[:-1], _PAGE)}
            except MetaMLFlowError:  # who may not list, or sees a listing that goes astray, may look
                break
            last = max(page, default="") if len(page) == _PAGE else infos[-1].key
            shown = sum(1 for info in infos if info.key <= last)
            for info in infos[:shown]:
                now = page.get(info.key)
                if now is None:
                    failures.append(DeleteFailure(info.key, gone(info.key)))
                elif is_same(info, now):
                    same.append(now)
                else:
                    failures.append(DeleteFailure(info.key, another(info.key)))
            infos = infos[shown:]
            if shown < WORTH:
                break
        return same, failures, infos
