"""Protections in a migration: what is protected at the source is protected at the destination as well."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from metamlflow.format.layout import PROTECTIONS, all_protections_prefix, parse_protection_key, protection_key
from metamlflow.model.names import ArtifactName
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import copy_record, listed, read_or_none
from metamlflow.store.transfer.scheduler import in_parallel


def bring_protections(ends: StorePair, names: Iterable[ArtifactName], *, every: bool) -> None:
    """Copy the protections of these names, and then what ends them; of a whole store with one listing.

    The destination may have another protection of the same number. That one stays, and the source's end of it does not
    end it.
    """
    wanted = set(names)
    prefixes = [PROTECTIONS] if every else [all_protections_prefix(name) for name in sorted(wanted)]
    keys = [info.key for prefix in prefixes for info in listed(ends.source, prefix)]
    found = [parsed for key in keys if (parsed := parse_protection_key(key)) and parsed.name in wanted]
    there = {info.key for prefix in prefixes for info in listed(ends.destination, prefix)} if found else set()

    def missing(*, ended: bool) -> list[tuple[str, str]]:
        pairs = (
            (protection_key(p.name, p.version, p.number, ends=p.ends), protection_key(p.name, p.version, p.number))
            for p in found
            if p.ends is ended
        )
        return [(key, protection) for key, protection in pairs if key not in there]

    def end(keys: tuple[str, str]) -> None:
        key, protection = keys
        data = read_or_none(ends.destination, protection)
        if data is not None and data == read_or_none(ends.source, protection):
            copy_record(ends, key)

    for _ in in_parallel(partial(copy_record, ends), (key for key, _ in missing(ended=False))):
        pass
    for _ in in_parallel(end, missing(ended=True)):
        pass
