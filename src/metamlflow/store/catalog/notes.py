"""Notes on names and versions: read and changed, a numbered record for each change; the newest record counts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from metamlflow.errors import DamagedRecordWarning, StoreFormatError
from metamlflow.format.layout import may_precede_note, note_key, notes_prefix, parse_note_key
from metamlflow.format.notes import StoredNotes, decode_notes, encode_notes
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.notes import Notes, NotesChange
from metamlflow.store.catalog.authors import user_name, writer
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import Losses, create_exclusively, looked_again, read_if_listed, with_retries
from metamlflow.store.catalog.statuses import list_versions, page_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_version, not_found
from metamlflow.store.transfer.scheduler import in_parallel

_FEW, _PAGE = 16, 1_000  # keys: the newest record, with foreign objects before it

Subject = ArtifactName | Reference
"""What notes are on: a name, or a version of it."""


def annotate(store: Store, subject: Subject, change: NotesChange) -> Notes:
    """Change notes by a record after the newest one; return the notes after it. If nothing changes, write nothing.

    A record holds all fields, so a writer that loses the number to another applies its change to the winner's record.

    Raises:
        ArtifactNotFoundError: the name or version does not exist.
        StoreFormatError: the newest record is damaged, so that what it says would be lost.
        StoreNotFoundError, ConflictError: there is no store, or it was replaced since this client opened it.
    """
    name, version = store.meanwhile(partial(_found, store, subject), store.open_for_change)
    return _append(store, name, version, change.applied_to)


def _append(store: Store, name: ArtifactName, version: int | None, changed: Callable[[Notes], Notes]) -> Notes:
    record_id = store.clock.new_id()
    losses = Losses(store.clock)
    while True:
        before = looked_again(lambda: _newest(store, name, version), store.clock)
        after = changed(before.notes)
        if after == before.notes:
            return after
        number = after.number + 1
        after = replace(after, number=number, created_at=store.clock.now(), created_by=user_name(), writer=writer())
        key = note_key(name, version, number)
        data = encode_notes(replace(before, notes=after), record_id)
        if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
            return after
        losses.note(key)


def annotate_new(store: Store, name: ArtifactName, version: int, change: NotesChange) -> Notes:
    """Note on a version what its writer says of it: one request, unless it has notes already.

    If it has, the writer makes a call again that was cut off, and others may have changed what it said: what any record
    has said of a field stays. For a writer, whose store is open. Raises the errors of :func:`annotate`.
    """
    now, record_id = store.clock.now(), store.clock.new_id()
    first = Notes(str(name), version, 1, created_at=now, created_by=user_name(), writer=writer())
    first = change.applied_to(first)
    key, data = note_key(name, version, 1), encode_notes(StoredNotes(first), record_id)
    store.recheck_if_due()
    if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
        return first

    def changed(before: Notes) -> Notes:
        """Read the history each time: another writer may have said something since."""
        history = _history(store, name, version)
        said = [notes for notes in history if isinstance(notes, Notes)]
        unsaid = NotesChange(
            None if any(notes.title for notes in said) else change.title,
            None if any(notes.description for notes in said) else change.description,
            {tag: text for tag, text in change.tags.items() if not any(tag in notes.tags for notes in said)},
        )
        return unsaid.applied_to(before)

    return _append(store, name, version, changed)


def notes_on(store: Store, subject: Subject) -> Notes:
    """Return the notes on a name or version that exists, in whatever state: two listings, and a read if there are any.

    Raises:
        ArtifactNotFoundError: it does not exist.
        StoreFormatError: the newest record is damaged.
    """
    name, version = _found(store, subject)
    return looked_again(lambda: _newest(store, name, version), store.clock).notes


def notes_of(store: Store, name: ArtifactName, version: int | None) -> Notes:
    """Return the notes on something that is known to exist: one listing and one read.

    Raises:
        StoreFormatError: the newest record is damaged.
        StoreNotFoundError, ConflictError: nothing is noted, as the store is gone or was replaced.
    """
    notes = looked_again(lambda: _newest(store, name, version), store.clock).notes
    if not notes.number:
        if store.is_open:
            store.recheck()
        else:
            store.marker()
    return notes


def history_on(store: Store, subject: Subject) -> list[Notes]:
    """Return the notes after each change, ascending: two listings, and a read of each record.

    A damaged record is left out with a warning, and does not hide the others.

    Raises:
        ArtifactNotFoundError: the name or version does not exist.
        IntegrityError: the storage goes on listing a record that it says does not exist.
    """
    found = []
    for notes in _history(store, *_found(store, subject)):
        if isinstance(notes, StoreFormatError):
            warnings.warn(f"left out of the history: {notes}", DamagedRecordWarning, stacklevel=3)
        else:
            found.append(notes)
    return found


def _history(store: Store, name: ArtifactName, version: int | None) -> list[Notes | StoreFormatError]:
    """Return the notes after each change, ascending, or why a record cannot be read."""

    def noted(number: int) -> Notes | StoreFormatError | None:
        """Return the notes of a record, why it cannot be read, or None if its writer took it back."""
        key = note_key(name, version, number)
        try:
            return read_if_listed(
                key,
                lambda: _read(store, name, version, number).notes,
                lambda: number in with_retries(lambda: _numbers(store, name, version), store.clock),
                store.clock,
            )
        except StoreFormatError as error:
            return error

    numbers = sorted(with_retries(lambda: _numbers(store, name, version), store.clock))
    return [notes for notes in in_parallel(noted, numbers) if notes is not None]


def _found(store: Store, subject: Subject) -> tuple[ArtifactName, int | None]:
    """Return the name and number of what exists; None as the number stands for the name."""
    if isinstance(subject, Reference):
        return subject.name, known_version(store, subject)
    if next(list_versions(store, subject), None) is None:
        raise not_found(store, subject, None)
    return subject, None


def _newest(store: Store, name: ArtifactName, version: int | None) -> StoredNotes:
    number = _newest_number(store, name, version)
    return _read(store, name, version, number) if number else StoredNotes(Notes(str(name), version))


def _read(store: Store, name: ArtifactName, version: int | None, number: int) -> StoredNotes:
    key = note_key(name, version, number)
    data = with_retries(lambda: read_record(store.backend, key), store.clock)
    return decode_notes(data, key, name, version, number)


def _newest_number(store: Store, name: ArtifactName, version: int | None) -> int:
    """Return the number of the newest record, or 0. It is listed first, but for foreign objects."""
    prefix, after, limit = notes_prefix(name, version), "", _FEW
    while True:
        page = page_of(store, prefix, after, limit)
        if numbers := [number for info in page if (number := parse_note_key(name, version, info.key))]:
            return max(numbers)
        if len(page) < limit or not may_precede_note(name, version, page[-1].key):
            return 0
        after, limit = page[-1].key, _PAGE


def _numbers(store: Store, name: ArtifactName, version: int | None) -> set[int]:
    found = set()
    for info in store.backend.list_objects(notes_prefix(name, version)):
        if not may_precede_note(name, version, info.key):
            break  # those on the versions of a name follow, and may be many
        if number := parse_note_key(name, version, info.key):
            found.add(number)
    return found
