"""The calls of a client that read and change notes."""

from __future__ import annotations

from collections.abc import Mapping

from metamlflow._session import Session
from metamlflow.given_versions import Version, noted_subject
from metamlflow.model.notes import Notes, NotesChange
from metamlflow.store.catalog.notes import annotate, history_on, notes_on


class _Annotating:
    """The part of a client that reads and changes notes."""

    _session: Session

    def annotate(
        self,
        target: Version,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> Notes:
        """Change the notes on a name or a version; return the notes after the change.

        Notes are texts for people and for search that may change at any time. They are no part of a version: its
        digests and signatures, and what a verification finds, stay the same. Each change is recorded with its time and
        author, and :meth:`notes_history` returns them all. Fields that are not given stay as they are, also if others
        change them at the same time. A call that changes nothing writes nothing.

        Args:
            target: a name (``"model"``) for the notes on the name; a reference (``"model@3"``, ``"model@production"``,
                ``"model@latest"``), an artifact, a dataset or an input for the notes on a version, which may be pruned.
            title: one line of at most 1,000 bytes; an empty text removes it.
            description: a text, such as Markdown, of at most 100,000 bytes; an empty text removes it.
            tags: values by tag, to set; None removes the tag. At most 100 tags of 250 bytes with values of 5,000 bytes.
                The value of a plain label is an empty text.

        Raises:
            InvalidInputError: there is nothing to change, or a text is invalid or too long; nothing was written.
            ArtifactNotFoundError: the name or version does not exist.
            StoreNotFoundError: the store does not exist.
            StoreFormatError: the newest record of the notes is damaged.
            OutcomeUnknownError: the storage did not say whether the change was recorded; calling again is safe.
        """
        change = NotesChange.parse(title, description, tags)
        store = self._session.store
        return annotate(store, noted_subject(store, target), change)

    def notes(self, target: Version) -> Notes:
        """Return the notes on a name or a version as they are now; without a title, description or tags if none exist.

        Costs two listings, and a read if there are any. ``artifact.notes`` costs one listing less.

        Args:
            target: as for :meth:`annotate`.

        Raises:
            ArtifactNotFoundError: the name or version does not exist.
            StoreNotFoundError: the store does not exist.
            StoreFormatError: the newest record of the notes is damaged.
        """
        store = self._session.store
        subject = noted_subject(store, target)
        store.marker()
        return notes_on(store, subject)

    def notes_history(self, target: Version) -> list[Notes]:
        """Return the notes after each change, the oldest first. Costs two listings, and a read of each record.

        A damaged record is left out with a :class:`~metamlflow.errors.DamagedRecordWarning`.

        Args:
            target: as for :meth:`annotate`.

        Raises:
            ArtifactNotFoundError: the name or version does not exist.
            StoreNotFoundError: the store does not exist.
        """
        store = self._session.store
        subject = noted_subject(store, target)
        store.marker()
        return history_on(store, subject)
