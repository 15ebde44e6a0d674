"""Versioning that is switched on under live writers.

Some servers (radosgw 16.2) honour ``If-None-Match: *`` until a bucket keeps versions, and ignore it from then on: then
the later of two writers replaces the record of the earlier one, and both are told that they created it. The probe of a
client's first write does not see what happens later. But an answer of such a bucket carries a version id. So the first
creation whose answer has one is acknowledged only after a second one of the same key was refused. Where it is accepted,
what this client made is deleted again by its version ids, so that a record that was there before comes back.
"""

from __future__ import annotations

from collections.abc import Callable

from metamlflow.errors import AlreadyExistsError, MetaMLFlowError, UnsupportedStoreError

Create = Callable[[str, bytes], str | None]
"""Creates a record, and returns its version, if it has one."""
Remove = Callable[[str, str], None]
"""Deletes one version of a key."""

_REMEDY = (
    "Suspend the bucket's versioning and restart all writers, or move the store to a bucket that never kept versions. "
    "Reading works as before; nothing was registered."
)


class Vigilance:
    """What is known of conditions in a bucket that keeps versions. Thread-safe.

    Args:
        remove: for what was made in vain.
    """

    def __init__(self, remove: Remove) -> None:
        self._remove = remove
        self._kept = False  # an answer carried a version id
        self._proved = False  # and a second creation was refused

    def saw(self, version: str | None) -> None:
        """Take note of an answer; ``null`` is a version id too, of what was written before."""
        if version is not None:
            self._kept = True

    def refused(self) -> None:
        """Take note that a creation was refused: where versions are kept, that proves what is asked for here."""
        if self._kept:
            self._proved = True

    def created(self, url: str, key: str, data: bytes, version: str | None, create: Create) -> None:
        """Let a creation stand, if its answer has no version id or conditions are known to hold.

        Raises:
            UnsupportedStoreError: a second creation was accepted. What this client made is gone again, if it may.
        """
        self.saw(version)
        if version is not None and not self._proved:
            self._prove(url, key, data, [version], create)

    def found(self, url: str, key: str, data: bytes, create: Create) -> None:
        """As :meth:`created`, for a record whose creation had no answer, and that was found in place."""
        if self._kept and not self._proved:
            self._prove(url, key, data, [], create)

    def _prove(self, url: str, key: str, data: bytes, made: list[str], create: Create) -> None:
        try:
            again = create(key, data)
        except AlreadyExistsError:
            self._proved = True
            return
        left = []
        # The later one first. "null" is no version of its own: deleting it could take away what was there before.
        for version in (again, *made):
            if version is None or version == "null":
                continue
            try:
                self._remove(key, version)
            except MetaMLFlowError:
                left.append(version)
        kept = f"; its versions {', '.join(left)} are this client's, could not be deleted, and may hide an older one"
        raise UnsupportedStoreError(
            f"{url}: the bucket keeps versions now, and the storage accepted a second creation of one key, so two "
            f"writers could both get a version{kept if left else ''}",
            hint=_REMEDY,
            key=url,
        )
