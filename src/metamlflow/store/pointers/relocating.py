"""Record that pointed data has moved, after every byte of it was found at the new place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metamlflow.backend.external import shown
from metamlflow.errors import (
    ConflictError,
    EvidenceUnavailableError,
    InvalidInputError,
    MetaMLFlowError,
    PointerDriftError,
)
from metamlflow.format.layout import relocation_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.records import Relocation, encode_relocation, relocation_problem
from metamlflow.model.names import ArtifactName
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.records import Losses, create_exclusively
from metamlflow.store.catalog.relocations import MAX_RELOCATIONS, covers
from metamlflow.store.catalog.statuses import list_versions, live_among, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.pointers.reading import copy_pointer
from metamlflow.store.pointers.registering import full_uri
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.scheduler import in_parallel

_SHOWN = 20


@callback_errors()
def relocate(store: Store, old: str, new: str, progress: ProgressCallback | None = None) -> int:
    """Record that the data below ``old`` has moved to ``new``; return the number of files for which this was verified.

    Raises:
        InvalidInputError: the URIs are malformed, or no pointer in the store leads below ``old``.
        EvidenceUnavailableError: some of the data was registered without a digest of its content.
        ConflictError: pinned versions of one object have different contents.
        PointerDriftError: the data at the new place is not the registered data.
    """
    store.marker()  # must fail for a mistyped URI instead of creating a store
    store.writable_marker()
    pointers = list(pointers_of(store, names_in_use(store)))
    relocation = _meant(old, new, pointers)
    moved = expected_there(pointers, relocation)
    record_relocation(store, relocation, moved, progress)
    return len(moved)


def record_relocation(
    store: Store, relocation: Relocation, moved: list[PointerEntry], progress: ProgressCallback | None
) -> None:
    """Record a relocation after every byte of the entries in ``moved`` was found at the new place.

    Raises:
        PointerDriftError: the data there is not the registered data. Nothing was recorded.
    """
    verify_moved(store, moved, progress)
    record_id = store.clock.new_id()
    append_relocation(store, encode_relocation(relocation, record_id, store.clock.now()), record_id)


def live_versions(store: Store, names: Iterable[ArtifactName]) -> Iterator[StoredManifest]:
    """Yield all versions of some names whose bytes are present; of each name the newest first.

    What is done by this is wrong if one is left out, so no state is believed by its time.
    """
    found = (
        (name, status)
        for name in names
        for status in live_among(store, name, list_versions(store, name), by_times=False)
    )
    yield from in_parallel(lambda item: load_manifest(store, item[0], item[1].version, seen=item[1].info), found)


def pointers_of(store: Store, names: Iterable[ArtifactName]) -> Iterator[PointerEntry]:
    """Yield the pointers of the live versions of some names, with relocations applied.

    Each content of each object is yielded once. The newest version of a name comes first. Pointers without a digest
    that only older versions have are left out: relocations do not apply to them, so they lead where they did.
    """
    seen: set[tuple[str, str | None, str]] = set()
    begun: set[ArtifactName] = set()
    for loaded in live_versions(store, names):
        is_newest = loaded.manifest.name not in begun
        begun.add(loaded.manifest.name)
        for entry in Entries(store, loaded.manifest):
            if entry.uri is not None and (is_newest or entry.evidence.digest()):
                identity = entry.uri, entry.version, repr(entry.evidence.digest())
                if identity not in seen:
                    seen.add(identity)
                    yield entry


def _meant(old: str, new: str, pointers: list[PointerEntry]) -> Relocation:
    """Return the relocation with both URIs complete. The URI of a folder may be given without its slash."""
    relocation = Relocation(full_uri(old), full_uri(new))
    if not any(entry.uri == relocation.old for entry in pointers):
        relocation = Relocation(*(f"{uri.rstrip('/')}/" for uri in (relocation.old, relocation.new)))
    if problem := relocation_problem(relocation):
        raise InvalidInputError(f"invalid relocation: {problem}", hint="Give two URIs, such as s3://lake/a/.")
    if not any(covers(relocation.old, entry.uri) for entry in pointers):
        raise InvalidInputError(
            f"no artifact points to anything at {shown(relocation.old)}",
            hint="Give the place that the artifacts' entries point to now.",
        )
    return relocation


def expected_there(pointers: Iterable[PointerEntry], relocation: Relocation) -> list[PointerEntry]:
    """Return the entries that a relocation covers, in the state that they must have at the new place.

    Raises:
        EvidenceUnavailableError: some were registered without a digest of their content.
        ConflictError: pinned versions of one object have different contents.
    """
    entries = [entry for entry in pointers if covers(relocation.old, entry.uri)]
    if weak := [shown(entry.uri) for entry in entries if entry.evidence.digest() is None]:
        raise EvidenceUnavailableError(
            f"{len(weak):,} files were registered without a digest of their content, so nothing can prove that "
            f"the files at the new place are the same: {', '.join(weak[:_SHOWN])}",
            hint="Strengthen them (`metamlflow pointer strengthen`) while the data is where it was registered.",
            asked="checksum",
            choices=("full",),
            problems=tuple(weak),
        )
    moved: dict[str, PointerEntry] = {}
    pinned: dict[str, bool] = {}
    for entry in entries:
        uri = relocation.new + entry.uri[len(relocation.old) :]
        there = entry.moved_to(uri)
        before = moved.setdefault(uri, there)
        # Without a pin, the content of an older version is gone at the old place as well.
        if not _agree(before, there) and (entry.version or pinned.get(uri)):
            raise ConflictError(
                f"{shown(entry.uri)}: versions of it with different contents are pinned, and the new place can "
                "hold only one of them",
                hint="Materialize the artifact versions that must keep the others, or leave this object where it is.",
            )
        pinned[uri] = pinned.get(uri) or bool(entry.version)
    return list(moved.values())


def _agree(one: PointerEntry, other: PointerEntry) -> bool:
    """Whether two entries may have the same content."""
    ours, theirs = one.evidence.digests, other.evidence.digests
    both = ours.keys() & theirs.keys()
    return one.size == other.size and bool(both) and all(ours[name] == theirs[name] for name in both)


def verify_moved(store: Store, moved: list[PointerEntry], progress: ProgressCallback | None) -> None:
    """Read every byte of the entries at their new place and compare it with their evidence.

    Raises:
        PointerDriftError: some of the data there is missing or is not the registered data.
    """
    size = sum(entry.size for entry in moved)
    counter = Counter("relocate", progress, total_files=len(moved), total_bytes=size)

    def problem(entry: PointerEntry) -> str | None:
        """Compare one file at its new place; return the problem, if there is one."""
        try:
            copy_pointer(store, entry, None, lambda count: counter.add(size=count))
        except MetaMLFlowError as error:
            return error.message
        counter.add(files=1)
        return None

    problems = [text for text in in_parallel(problem, moved, cancel=counter.cancel) if text]
    if problems:
        raise PointerDriftError(
            f"{len(problems):,} of {len(moved):,} files are not at the new place as they were registered:\n  "
            + "\n  ".join(problems[:_SHOWN]),
            hint="Nothing was recorded. Copy the missing files, and relocate again.",
            expected=f"{len(moved)} files",
            actual=f"{len(moved) - len(problems)} files",
        )


def append_relocation(store: Store, data: bytes, record_id: str) -> None:
    """Create a relocation's record under the next free number."""
    store.recheck_if_due()  # every byte at the new place was read since the store was opened, which may take days
    losses = Losses(store.clock)
    while True:
        rules = store.relocations.rules(fresh=True)
        if len(rules) >= MAX_RELOCATIONS:
            raise ConflictError(
                f"the store holds {len(rules):,} relocations, the most that a reader accepts",
                hint="Migrate to a new store and register the pointed data there.",
            )
        number = max((number for number, _ in rules), default=0) + 1
        key = relocation_key(number)
        if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
            store.relocations.rules(fresh=True)
            return
        losses.note(key)
