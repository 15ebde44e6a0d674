"""What a publish asks of an earlier version whose content it publishes again, without a source."""

from __future__ import annotations

from typing import Protocol

from metamlflow.store.publish.content import VersionContent
from metamlflow.store.publish.head import Newest


class Again(Protocol):
    """An earlier version that is published again."""

    def begin(self) -> float:
        """Begin an attempt; return the time before the first request that it relies on, in seconds of the clock."""

    def check(self, head: Newest) -> None:
        """Raise InvalidInputError if the newest version is this one itself."""

    def content(self) -> VersionContent:
        """Return its content, seen live in this attempt; called once in each.

        Raises:
            ArtifactPrunedError, ArtifactErasedError: it was given up.
            IntegrityError: content is missing.
        """

    def is_what(self, head: Newest) -> bool:
        """Whether the newest version is this one published again: then it is not published once more."""
