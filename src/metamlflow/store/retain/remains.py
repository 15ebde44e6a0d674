"""What stays of a version that is erased: whoever erases for a person's sake has to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from metamlflow._looks import bytes_text, counted, one_line
from metamlflow.backend.retention import retention_notes
from metamlflow.errors import MetaMLFlowError
from metamlflow.format.layout import MARKER, edges_prefix, runs_prefix, state_number_of_key, version_prefix
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.records import decode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import pages
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.kept import NamedKeys, Owners, Scratch, split_key
from metamlflow.store.retain.collecting.moment import moment_of
from metamlflow.store.retain.collecting.naming import NamesOfVersions
from metamlflow.store.retain.erasure_report import Remaining
from metamlflow.store.transfer.progress import Counter

_SHOWN = 3
_ELSEWHERE = (
    Remaining(
        "copies in other stores", "a migration that is run again carries the erasure on; a copying tool does not"
    ),
    Remaining(
        "copies on machines that read it",
        "caches (`client.clear_cache()`), downloads and frames are not known to the store",
    ),
)
_RECORDS = Remaining(
    "its state records, edges and idempotency claims, and the record that it was erased",
    "they hold numbers, digests, names and who wrote them; its number stays taken, and the history checkable",
)
_MOST_NOTED = 100


def remains_of(store: Store, name: ArtifactName, version: int, loaded: StoredManifest | None) -> list[Remaining]:
    """Return what stays of a version: content that others share, runs, edges, copies. Reads all that is kept."""
    found = list(_content(store, name, version, loaded))
    found += _records_of_runs(store, name, version, loaded)
    found.append(_RECORDS)
    found += _noted_states(store, name, version)
    found += [Remaining("in the storage", note) for note in retention_notes(store.backend, MARKER)]
    return [*found, *_ELSEWHERE]


def _content(store: Store, name: ArtifactName, version: int, loaded: StoredManifest | None) -> Iterable[Remaining]:
    if loaded is None:
        yield Remaining("its content", "unless other versions share it, the next collection frees it (`metamlflow gc`)")
        return
    try:
        keys = _keys_of(store, loaded)
        shared = _shared(store, f"{name}@{version}", keys)
    except MetaMLFlowError as error:
        yield Remaining("its content", f"what other versions share of it is not known: {error.message}")
        return
    own = keys.keys() - shared.keys()
    if own:
        size = bytes_text(sum(keys[key] for key in own))
        what = f"{counted(len(own), 'object')} with content of its own, {size}"
        yield Remaining(what, "the next collection frees them (`metamlflow gc`)")
    if shared:
        who = ", ".join(sorted(set(shared.values()))[:_SHOWN])
        yield Remaining(f"{counted(len(shared), 'object')} with content that others share", f"kept for {who}")


def _keys_of(store: Store, loaded: StoredManifest) -> dict[str, int]:
    """Return the keys of a version's content with their sizes. Shards that are gone are left out."""
    keys = {shard.key: shard.size for shard in loaded.manifest.shards or ()}
    try:
        for item in Entries(store, loaded.manifest, as_registered=True).items():
            keys |= {held.key: held.size for held in item.objects()}
    except MetaMLFlowError:
        pass  # it was collected already
    return keys


@dataclass(frozen=True, slots=True)
class _Sought:
    key: str
    parts: tuple[bytes, bytes]


def _shared(store: Store, own: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the keys that another version needs, each with one that does."""
    sought: dict[bytes, list[_Sought]] = {}
    for key in keys:
        if parts := split_key(key):
            sought.setdefault(parts[0], []).append(_Sought(key, parts))
    with Scratch() as folder:
        moment = moment_of(store, None, unsafe=True)
        named = NamesOfVersions(store, moment, folder, Counter("erase", None))
        named.read(kept_alone=True)
        return dict(_found(named.keys, named.owners, sought, own))


def _found(named: NamedKeys, owners: Owners, sought: dict[bytes, list[_Sought]], own: str) -> Iterable[tuple[str, str]]:
    for part in sorted({digest[0] >> 4 for digest in sought}):
        for digest, rests in named.of_part(part):
            for one in sought.get(digest, ()):
                naming = rests.get(one.parts[1])
                if naming is not None:
                    reference = owners.get(naming.owner).reference
                    if reference != own:
                        yield one.key, reference


def _noted_states(store: Store, name: ArtifactName, version: int) -> Iterable[Remaining]:
    """Tell each state record with a note: who listed the version a moment ago may still go by its state."""
    states = (info.key for info in pages(store, version_prefix(name, version), 1000) if state_number_of_key(info.key))
    for key in islice(states, _MOST_NOTED):
        try:
            note = decode_state(with_retries(partial(read_record, store.backend, key), store.clock), key).note
        except MetaMLFlowError as error:
            yield Remaining(f"the state record {key}", f"it cannot be read, and may hold a note: {error.message}")
            continue
        if note is not None:
            yield Remaining(
                f"the note on the state record {key}: {one_line(note, 200)}",
                "the record cannot go: an older listing must not take the version for a live one",
            )


def _records_of_runs(
    store: Store, name: ArtifactName, version: int, loaded: StoredManifest | None
) -> Iterable[Remaining]:
    consumers = sum(1 for _ in pages(store, edges_prefix(name, version), 1000))
    if consumers:
        yield Remaining(
            f"up to {counted(consumers, 'version')} that were made from it",
            "their manifests, and the records of their runs, name it as an input",
        )
    run = loaded.manifest.run if loaded else None
    if run is not None:
        yield Remaining(
            f"the record of the run that registered it: {runs_prefix(run)}",
            "it holds parameters, metrics and notes of the run; delete it by hand if they are to go too",
        )
