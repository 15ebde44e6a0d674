"""Copy relocations with a migration: only those that its versions use, and none that moves other data unproven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metamlflow.backend.external import shown
from metamlflow.errors import InvalidInputError, MetaMLFlowError, PointerPolicyError
from metamlflow.format.layout import RELOCATIONS, parse_relocation_key
from metamlflow.format.manifests import record_id_of
from metamlflow.format.records import Relocation, decode_relocation
from metamlflow.model.names import ArtifactName
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.relocations import covers
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import listed, read_or_none
from metamlflow.store.pointers.registering import full_uri
from metamlflow.store.pointers.relocating import append_relocation, expected_there, live_versions, verify_moved


@dataclass(frozen=True, slots=True)
class _Record:
    data: bytes
    record_id: str
    rule: Relocation


def asked_relocations(olds: Iterable[str]) -> frozenset[str]:
    """Return the places of relocations that a user asked for, in the form of records.

    Raises:
        InvalidInputError: one of them is malformed.
    """
    if isinstance(olds, str):
        raise InvalidInputError("relocations is a list of URIs, not one text", hint="Write [uri].")
    full = [full_uri(old) for old in olds]
    return frozenset(spelled for uri in full for spelled in (uri, f"{uri.rstrip('/')}/"))


def bring_relocations(ends: StorePair, names: Iterable[ArtifactName], asked: frozenset[str] = frozenset()) -> list[str]:
    """Append relocations of the source to those of the destination, in their order and unchanged.

    A relocation is copied if it moves a pointer of the migrated names, as the destination knows it. The destination's
    other pointers must not be moved to unverified data: where a relocation would move some of them, every byte must be
    found at the new place, as for :func:`relocate`.

    Args:
        ends: both stores.
        names: the migrated names.
        asked: the old places of relocations to copy in any case, unproven.

    Returns:
        The relocations that were not copied, each with the reason.
    """
    due = list(_missing(ends))
    if not due:
        return []
    destination, brought = ends.destination, set(names)
    migrated = list(_registered(destination, brought))
    others: list[PointerEntry] | None = None
    problems: list[str] = []
    for record in due:
        rule = record.rule
        if rule.old not in asked:
            if not any(covers(rule.old, destination.relocations.entry(entry).uri) for entry in migrated):
                continue
            try:
                ends.check_carried(rule.new)
            except PointerPolicyError as error:
                problems.append(f"the relocation from {shown(rule.old)} was not copied: {error.message}")
                continue
            if others is None:
                others = list(_registered(destination, set(names_in_use(destination)) - brought))
            try:
                now = (destination.relocations.entry(entry) for entry in others)
                verify_moved(destination, expected_there(now, rule), None)
            except MetaMLFlowError as error:
                problems.append(_not_brought(rule, error))
                continue
        append_relocation(destination, record.data, record.record_id)
    return problems


def _not_brought(rule: Relocation, error: MetaMLFlowError) -> str:
    return (
        f"the relocation from {shown(rule.old)} to {shown(rule.new)} was not copied, because the destination's own "
        f"pointers lead there too: {error.message}. If it is right for them, ask for it: "
        f"relocations=[{shown(rule.old)!r}] (--relocation)."
    )


def _missing(ends: StorePair) -> Iterator[_Record]:
    """Yield the relocations of the source that the destination does not have, the oldest first."""
    keys = sorted((info.key for info in listed(ends.source, RELOCATIONS)), reverse=True)  # the oldest key sorts last
    ours = [key for key in keys if parse_relocation_key(key)]
    if not ours:
        return
    found = [info.key for info in listed(ends.destination, RELOCATIONS)]
    there = {record_id_of(data) for key in found if (data := read_or_none(ends.destination, key))}
    for key in ours:
        data = read_or_none(ends.source, key)
        record_id = record_id_of(data) if data else None
        if data and record_id and record_id not in there:
            yield _Record(data, record_id, decode_relocation(data, key))


def _registered(store: Store, names: Iterable[ArtifactName]) -> Iterator[PointerEntry]:
    """Yield the pointers of live versions of some names as registered, if a relocation could move them."""
    seen: set[tuple[str, str]] = set()
    for loaded in live_versions(store, names):
        for entry in Entries(store, loaded.manifest, as_registered=True):
            if entry.uri is not None and entry.evidence.digest() is not None:
                identity = entry.uri, repr(entry.evidence.digest())
                if identity not in seen:
                    seen.add(identity)
                    yield entry
