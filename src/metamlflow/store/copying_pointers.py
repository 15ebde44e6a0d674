"""Copying what artifacts only point to into another lake, and recording where it is now."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from metamlflow.backend import translated_errors
from metamlflow.backend.lakes import shown
from metamlflow.errors import ConflictError, InvalidInputError, MetaMLFlowError
from metamlflow.format.layout import RELOCATIONS, parse_relocation_key
from metamlflow.format.manifests import record_id_of
from metamlflow.format.records import Relocation
from metamlflow.model.names import ArtifactName
from metamlflow.model.pointers import Evidence, Pointed, PointerEntry
from metamlflow.model.uris import WEB, split_uri
from metamlflow.store.carrying import listed, read_or_none
from metamlflow.store.moving import Ends
from metamlflow.store.pointer_reading import PointerReader, copy_pointer, read_pointer
from metamlflow.store.pointing import fixed_prefix, full_uri
from metamlflow.store.progress import Counter, ProgressCallback
from metamlflow.store.relocating import append_relocation, expected_there, live_versions, pointers_of, relocate
from metamlflow.store.relocations import covers
from metamlflow.store.transfer import in_parallel

_AT_ONCE_BYTES = 1024 * 1024
_BLOCK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NewLake:
    """Where pointed-to data is copied to: each object below the name of its bucket, under its own name.

    Args:
        uri: of the lake, ending in a slash.
    """

    uri: str

    @classmethod
    def parse(cls, uri: str) -> NewLake:
        """Read what a user gave.

        Raises:
            InvalidInputError: it is no place that can be written to.
        """
        full = f"{full_uri(uri).rstrip('/')}/"
        if full.partition("://")[0] in WEB:
            raise InvalidInputError(f"{shown(full)} is no place to copy to", hint="Give a bucket or a folder.")
        return cls(full)

    def place(self, uri: str) -> str:
        """Return where an object, or a folder, is copied to."""
        root, name = split_uri(uri)
        authority = root.partition("://")[2]
        return f"{self.uri}{authority}/{name}" if authority else f"{self.uri}{name}"


def copy_pointers(
    ends: Ends, names: Iterable[ArtifactName], lake: NewLake, progress: ProgressCallback | None
) -> list[str]:
    """Copy what the destination's live versions of some names point to, and record it there; return what went wrong.

    Each object is read as it was registered, and every byte of the copy is read again before its place is recorded.
    What was registered without a digest is not copied, and nothing that lies at the new place is overwritten.
    """
    names = list(names)
    places: dict[str, None] = {}
    for loaded in live_versions(ends.destination, names):
        for place in ends.destination.relocations.pointed(loaded.manifest.pointed):
            places.setdefault(_base(place))
    problems: list[str] = []
    pointers = [entry for entry in pointers_of(ends.destination, names) if not covers(lake.uri, entry.uri)]
    # Of places one in another the outer one holds the inner.
    outer = [old for old in places if not any(other != old and covers(other, old) for other in places)]
    for old in sorted(outer):
        relocation = Relocation(old, lake.place(old))
        try:
            if expected_there(pointers, relocation):
                entries = [entry for entry in pointers if covers(old, entry.uri)]
                _copy(ends, entries, lake, progress)
                relocate(ends.destination, relocation.old, relocation.new, progress)
        except MetaMLFlowError as error:
            problems.append(f"{shown(old)}: {error.message}")
    return problems


def _base(place: Pointed) -> str:
    """Return the object, or the folder, that a relocation of a place speaks of."""
    if place.kind != "glob":
        return place.uri
    root, name = split_uri(place.uri)
    folder, slash, _ = fixed_prefix(name).rpartition("/")
    return f"{root}/{folder}{slash}"


def _copy(ends: Ends, entries: list[PointerEntry], lake: NewLake, progress: ProgressCallback | None) -> None:
    total = sum(entry.size for entry in entries)
    counter = Counter("copy", progress, total_files=len(entries), total_bytes=total)

    def copy(entry: PointerEntry) -> None:
        target = lake.place(entry.uri)
        filesystem, path = ends.destination.lakes.filesystem_of(target)
        with translated_errors(shown(target)):
            if filesystem.exists(path):
                _compare(ends, entry, target)
            else:
                filesystem.makedirs(filesystem._parent(path), exist_ok=True)  # noqa: SLF001 (what fsspec itself calls it)
                _write(ends, entry, filesystem, path, counter)
        counter.add(files=1)

    for _ in in_parallel(copy, entries, size_of=lambda _: None, cancel=counter.cancel):
        pass


def _compare(ends: Ends, entry: PointerEntry, target: str) -> None:
    evidence = Evidence(held=entry.evidence.held, computed=entry.evidence.computed)
    there = replace(entry, uri=target, version=None, evidence=evidence)
    try:
        copy_pointer(ends.destination, there, None, lambda _: None)
    except MetaMLFlowError as error:
        raise ConflictError(
            f"{shown(target)} exists, and is not what was to be copied there: {error.message}",
            hint="Nothing is overwritten. Give another lake, or remove it.",
        ) from error


def _write(ends: Ends, entry: PointerEntry, filesystem: Any, path: str, counter: Counter) -> None:
    """Write an object, verified before it is there."""
    if entry.size <= _AT_ONCE_BYTES:
        filesystem.pipe_file(path, bytes(read_pointer(ends.source, entry)))
        counter.add(size=entry.size)
        return
    file = filesystem.open(path, "wb", autocommit=False, block_size=_BLOCK_BYTES)
    try:
        with io.BufferedReader(PointerReader(ends.source, entry), _BLOCK_BYTES) as reader:
            while chunk := reader.read(_BLOCK_BYTES):
                file.write(chunk)
                counter.add(size=len(chunk))
        file.close()
        file.commit()
    except BaseException:
        file.discard()
        raise


def bring_relocations(ends: Ends) -> None:
    """Append the relocations of the source that the destination does not have, in their order and as they are."""
    ours = sorted(
        (info.key for info in listed(ends.source, RELOCATIONS) if parse_relocation_key(info.key)), reverse=True
    )
    if not ours:
        return
    found = [info.key for info in listed(ends.destination, RELOCATIONS)]
    there = {record_id_of(data) for key in found if (data := read_or_none(ends.destination, key))}
    for key in ours:
        data = read_or_none(ends.source, key)
        record_id = record_id_of(data) if data else None
        if data and record_id and record_id not in there:
            append_relocation(ends.destination, data, record_id)
