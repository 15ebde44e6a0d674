"""Collect evidence for pointed data: from its server, or by reading every byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from metamlflow.backend.external import shown
from metamlflow.errors import EvidenceUnavailableError, ObjectNotFoundError
from metamlflow.model.pointers import Evidence, PointerEntry
from metamlflow.model.uris import split_uri
from metamlflow.store.catalog.external import entry_of, seen_as
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.ingest.originals import not_as_told
from metamlflow.store.pointers.reading import digest_pointer, drifted_since
from metamlflow.store.transfer.digests import checkable
from metamlflow.store.transfer.spooling import OnBytes

Gather = Callable[[PointerEntry, OnBytes], PointerEntry]
"""Takes an entry and a callback that receives the number of bytes read; returns the entry with more evidence."""

COMPUTED = ("sha256", "crc32c")
_MD5_CHARACTERS = 32


def without_digests(entry: PointerEntry) -> PointerEntry:
    """Return the entry with the facts that reveal a change without any digest."""
    return replace(entry, evidence=replace(entry.evidence, held={}, computed={}))


def gather_held(store: Store, entry: PointerEntry, on_bytes: OnBytes) -> PointerEntry:  # noqa: ARG001 (nothing is read)
    """Return the entry with the digests that its server holds: one request.

    Raises:
        PointerDriftError: the object has changed or is gone.
        EvidenceUnavailableError: the server holds no digest.
    """
    seen = look_again(store, entry)
    if not seen.evidence.held:
        raise unavailable(entry)
    return replace(entry, evidence=replace(seen.evidence, computed=entry.evidence.computed))


def unavailable(entry: PointerEntry) -> EvidenceUnavailableError:
    """Return the error for an object whose server holds no digest of it."""
    return EvidenceUnavailableError(
        f"{shown(entry.uri)}: its server holds no digest of it, so evidence 'checksum' is not available; "
        "nothing was registered",
        hint="Use 'full', which reads every byte and computes the digests, or 'stat', which compares size and "
        "ETag or time.",
        asked="checksum",
        choices=("full", "stat"),
        problems=(f"{shown(entry.uri)}: no digest is held",),
    )


def look_again(store: Store, entry: PointerEntry) -> PointerEntry:
    """Return the entry with the current state of its object; one request.

    Raises:
        PointerDriftError: the object has changed or is gone.
    """
    external, name = store.external.external_of(entry.uri)
    known = seen_as(entry)
    try:
        seen = with_retries(lambda: external.head(name, entry.version), store.clock)
    except ObjectNotFoundError:
        raise drifted_since(entry, None) from None
    if known.difference(seen):
        raise drifted_since(entry, seen)
    return entry_of(entry.path, split_uri(entry.uri)[0], seen, entry.evidence.computed)


def gather_read(store: Store, entry: PointerEntry, on_bytes: OnBytes, more: tuple[str, ...] = ()) -> PointerEntry:
    """Return the entry with digests computed from every byte; the read is conditional on the recorded state.

    If the ETag equals the MD5 of the content, it is kept as a digest that the server holds.

    Raises:
        PointerDriftError: the object has changed or is gone.
        IntegrityError: the server holds a digest that does not match the content it sent.
    """
    evidence = entry.evidence
    tag = (evidence.etag or "").strip('"')
    names = [*COMPUTED, *more] + ["md5"] * (len(tag) == _MD5_CHARACTERS and "md5" not in more)
    known = checkable(entry)  # after a relocation only this digest identifies the content
    names += [known[0]] if known and known[0] not in names else []
    digester = digest_pointer(store, entry, names, on_bytes)
    found = digester.digests()
    if digester.size != entry.size:
        raise drifted_since(entry, None)
    _compare(entry, found)
    held = {**evidence.held, "md5": tag} if found.get("md5") == tag else dict(evidence.held)
    computed = {name: found[name] for name in (*COMPUTED, *more)}
    return replace(entry, evidence=Evidence(evidence.etag, evidence.modified_ns, held, computed))


def _compare(entry: PointerEntry, found: dict[str, str]) -> None:
    for name, value in entry.evidence.digests.items():
        if found.get(name, value) != value:
            raise not_as_told(shown(entry.uri), f"{name}:{value}", f"{name}:{found[name]}", entry.path)
