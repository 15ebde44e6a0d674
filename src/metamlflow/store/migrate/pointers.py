"""Copy pointed data to another external store, and record its new place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamlflow.backend import translated_errors
from metamlflow.backend.budget import content_budget
from metamlflow.backend.external import shown
from metamlflow.errors import ConflictError, InvalidInputError, MetaMLFlowError
from metamlflow.format.records import Relocation
from metamlflow.model.names import ArtifactName
from metamlflow.model.pointers import Pointed, PointerEntry
from metamlflow.model.uris import split_uri
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.relocations import covers
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.report import MigrationReport
from metamlflow.store.pointers.reading import PointerReader, copy_pointer, read_pointer
from metamlflow.store.pointers.registering import fixed_prefix, full_uri
from metamlflow.store.pointers.relocating import expected_there, live_versions, pointers_of, record_relocation
from metamlflow.store.transfer.progress import Counter, ProgressCallback
from metamlflow.store.transfer.scheduler import in_parallel

_WRITABLE = ("file", "s3", "gs")
_AT_ONCE_BYTES = 1024 * 1024
_BLOCK_BYTES = 8 * 1024 * 1024
_HELD_BYTES = 4 * _BLOCK_BYTES  # a window of the reader, the part read from it, and the writer's blocks


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """The destination of pointed data: each object is copied below the name of its bucket, under its own name.

    Args:
        uri: the URI of the external store, ending in a slash.
    """

    uri: str

    @classmethod
    def parse(cls, ends: StorePair, uri: str) -> CopyTarget:
        """Parse the user's URI, and check that it can be used.

        Raises:
            InvalidInputError: the place cannot be written to, or overlaps with a store.
        """
        if not uri:
            raise InvalidInputError(
                "copy_pointers: the place to copy to is empty", hint="Give a bucket, a prefix or a folder."
            )
        target = cls(f"{full_uri(uri).rstrip('/')}/")
        scheme = target.uri.partition("://")[0]
        if scheme not in _WRITABLE:
            raise InvalidInputError(
                f"copy_pointers: {shown(target.uri)} is not a place to copy to",
                hint="Give a folder, or a bucket of S3 or GCS.",
            )
        for store in (ends.source, ends.destination):
            if f"{store.url}/".startswith(target.uri) or target.uri.startswith(f"{store.url}/"):
                raise InvalidInputError(
                    f"{shown(target.uri)} overlaps with the store {store.url}", hint="Give a place beside the stores."
                )
        target.check(ends.destination)
        return target

    def check(self, store: Store) -> None:
        """Raise InvalidInputError unless the bucket exists, or the folder can be written to."""
        filesystem, path = store.external.filesystem_of(self.uri)
        if self.uri.startswith("file://"):
            folder = next(place for place in (Path(path), *Path(path).parents) if place.exists())
            if not folder.is_dir() or not os.access(folder, os.W_OK):
                raise InvalidInputError(f"{path} cannot be written to", hint="Give another folder.")
            return
        bucket = path.partition("/")[0]
        with translated_errors(self.uri):
            if not filesystem.exists(bucket):
                raise InvalidInputError(f"the bucket {bucket} does not exist", hint="Create it, or give another one.")

    def place(self, uri: str) -> str:
        """Return the destination of an object, or of a folder."""
        root, name = split_uri(uri)
        authority = root.partition("://")[2]
        return f"{self.uri}{authority}/{name}" if authority else f"{self.uri}{name}"


@dataclass(frozen=True, slots=True)
class _Copy:
    """An object to copy: the entry to read, and its target."""

    entry: PointerEntry
    target: str

    @property
    def there(self) -> PointerEntry:
        """The entry with its target as the place."""
        return self.entry.moved_to(self.target)


def copy_pointers(
    ends: StorePair, target: CopyTarget, report: MigrationReport, progress: ProgressCallback | None
) -> None:
    """Copy the pointed data of the destination's live versions, and record its new place; report errors.

    Each object is read as it was registered, from its place according to the source, and every byte of the copy is read
    back. Data registered without a digest is not copied, and existing objects at the new place are not overwritten.
    Objects that were copied before are only examined.
    """
    destination = ends.destination
    names = names_in_use(destination)
    pointers = list(pointers_of(destination, names))
    pairs = list(_pairs(destination, names))
    for old in _outer(_places(destination, names)):
        if not covers(target.uri, old):
            relocation = Relocation(old, target.place(old))
            with _told(report, old):
                if moved := expected_there(pointers, relocation):
                    due = [
                        _Copy(ends.source.relocations.entry(registered), target.place(there.uri))
                        for registered, there in pairs
                        if covers(old, there.uri)
                    ]
                    _copy(ends, due, report, progress, reads_back=False)  # record_relocation reads all of it
                    record_relocation(destination, relocation, moved, progress)
    # Objects that were added below a place that was recorded before.
    later = [
        _Copy(ends.source.relocations.entry(registered), there.uri)
        for registered, there in pairs
        if covers(target.uri, there.uri)
    ]
    with _told(report, target.uri):
        _copy(ends, later, report, progress, reads_back=True)


@contextmanager
def _told(report: MigrationReport, where: str) -> Iterator[None]:
    """Add an error to the report's problems, and continue."""
    try:
        yield
    except MetaMLFlowError as error:
        report.problems.append(f"{shown(where)}: {error.message}{f' {error.hint}' if error.hint else ''}")


def expect_copies(ends: StorePair, names: Iterable[ArtifactName], target: CopyTarget, report: MigrationReport) -> None:
    """Add to a report the data that would be copied for some names of the source, assuming that no copy exists yet."""
    source = ends.source
    pointers = [entry for entry in pointers_of(source, names) if not covers(target.uri, entry.uri)]
    for entry in pointers:
        if entry.evidence.digest() is None:
            report.problems.append(f"{shown(entry.uri)}: it was registered without a digest, and would not be copied")
        else:
            report.copied_objects += 1
            report.copied_bytes += entry.size


def _places(store: Store, names: Iterable[ArtifactName]) -> set[str]:
    """Return the current objects and folders that live versions point to."""
    found = {place for loaded in live_versions(store, names) for place in loaded.manifest.pointed}
    return {store.relocations.place(_base(place)) for place in found}


def _outer(places: set[str]) -> list[str]:
    """Return the places that are inside no other one."""
    return sorted(old for old in places if not any(other != old and covers(other, old) for other in places))


def _base(place: Pointed) -> str:
    """Return the object, or the folder, that a relocation of a place covers."""
    if place.kind != "glob":
        return place.uri
    root, name = split_uri(place.uri)
    folder, slash, _ = fixed_prefix(name).rpartition("/")
    return f"{root}/{folder}{slash}"


def _pairs(store: Store, names: Iterable[ArtifactName]) -> Iterator[tuple[PointerEntry, PointerEntry]]:
    """Yield each object that live versions point to, as registered and as relocated; one for each current place."""
    seen: set[str] = set()
    for loaded in live_versions(store, names):
        for registered in Entries(store, loaded.manifest, as_registered=True):
            if registered.uri is not None and registered.evidence.digest() is not None:
                there = store.relocations.entry(registered)
                if there.uri not in seen:
                    seen.add(there.uri)
                    yield registered, there


def _copy(
    ends: StorePair, due: list[_Copy], report: MigrationReport, progress: ProgressCallback | None, *, reads_back: bool
) -> None:
    total = sum(copy.entry.size for copy in due)
    counter = Counter("copy", progress, total_files=len(due), total_bytes=total)

    def bring(copy: _Copy) -> int | None:
        """Copy one file; return its size in bytes, or None if it is there already."""
        filesystem, path = ends.destination.external.filesystem_of(copy.target)
        with translated_errors(shown(copy.target)):
            if filesystem.exists(path):
                size = int(filesystem.info(path)["size"])
                if size != copy.entry.size:
                    raise _in_the_way(copy, size)
                counter.add(files=1, size=size)
                return None
            _write(ends, copy, filesystem, path)
        if reads_back:
            copy_pointer(ends.destination, copy.there, None, lambda _: None)
        counter.add(files=1, size=copy.entry.size)
        return copy.entry.size

    for size in in_parallel(bring, due, size_of=lambda _: None, cancel=counter.cancel):
        report.copied_objects += size is not None
        report.copied_bytes += size or 0


def _in_the_way(copy: _Copy, size: int) -> ConflictError:
    return ConflictError(
        f"{shown(copy.target)} exists, and is not what was to be copied there: it has {size:,} bytes, not "
        f"{copy.entry.size:,}",
        hint="Nothing is overwritten. Give another external store, or remove it.",
    )


def _write(ends: StorePair, copy: _Copy, filesystem: Any, path: str) -> None:
    """Write an object: completely, or not at all."""
    is_local = copy.target.startswith("file://")
    if is_local:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    if copy.entry.size <= _AT_ONCE_BYTES and not is_local:
        filesystem.pipe_file(path, bytes(read_pointer(ends.source, copy.entry)))
        return
    held = min(copy.entry.size, _HELD_BYTES)
    with content_budget().hold(held):
        # Until it is committed, it is a temporary file on a disk, or an unfinished upload in a bucket.
        file = filesystem.open(path, "wb", autocommit=False, block_size=_BLOCK_BYTES)
        try:
            with PointerReader(ends.source, copy.entry) as reader:
                while chunk := reader.read(_AT_ONCE_BYTES):
                    file.write(chunk)
            file.close()
            file.commit()
        except BaseException:
            file.discard()
            raise
