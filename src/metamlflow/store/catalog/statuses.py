"""Tell of a version whether it is live, pruned, absent or erased, from the keys beside its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from metamlflow._looks import minute_text, one_line
from metamlflow.backend import CheapStat, GathersListings, ObjectInfo
from metamlflow.errors import ArtifactErasedError, ArtifactPrunedError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.layout import (
    manifest_key,
    parse_version_key,
    state_key,
    tomb_key,
    version_prefix,
    versions_prefix,
)
from metamlflow.format.manifests import StoredManifest, decode_manifest, digest_of
from metamlflow.format.records import State, StateRecord, decode_state, encode_state
from metamlflow.format.tombs import Tomb, decode_tomb
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.authors import user_name
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import create_exclusively, looked_again, with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.scheduler import in_parallel

RESTORED_WITHIN = 1 / 2
"""Of the grace: a restore is sent within this of the pruning."""
_PAGE = 100  # keys: enough for the newest version and its states in one small response
_PROVEN_AFTER = 1 / 8  # of the grace: a state written so long after its manifest speaks of that one
_CLOCKS_AGREE = 1 / 16  # of the grace
_SHOWN = 500  # characters of each text of a tomb


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """A version as a listing shows it.

    Attributes:
        version: its number.
        state: the number of its newest state record, or 0 for none.
        committed: whether it has a manifest or was erased. If not, a migration is about to create the manifest.
        info: its listed manifest; None if there is none.
        state_info: its newest state record, as listed.
        erased: whether it has a tomb. Then nothing else counts that lies under its number.
        tomb_info: its tomb, as listed.
    """

    version: int
    state: int = 0
    committed: bool = True
    info: ObjectInfo | None = field(default=None, compare=False)
    state_info: ObjectInfo | None = field(default=None, compare=False)
    erased: bool = False
    tomb_info: ObjectInfo | None = field(default=None, compare=False)

    @property
    def available(self) -> bool:
        """Whether it is certainly live: odd state records take the bytes away, even ones bring them back.

        If not, it may be live all the same: an odd record may speak of another manifest. :func:`is_live` tells.
        """
        return self.state % 2 == 0 and not self.erased


# --- listings ---------------------------------------------------------------------------------------------------------


def list_versions(store: Store, name: ArtifactName) -> Iterator[VersionStatus]:
    """Yield the versions of a name, newest first, lazily: the first page has the newest, however many there are."""
    listed = merged(name, pages(store, versions_prefix(name), _PAGE))
    return (status for status in listed if status.committed)


def version_status(store: Store, name: ArtifactName, version: int) -> VersionStatus:
    """Return the state of one version. One listing of its few keys."""
    return next(merged(name, pages(store, version_prefix(name, version), _PAGE)), VersionStatus(version))


def is_listed(store: Store, name: ArtifactName, version: int) -> bool:
    """Return whether the manifest of a version is listed now: one listing."""
    return version_status(store, name, version).info is not None


def pages(store: Store, prefix: str, page: int, after: str = "") -> Iterator[ObjectInfo]:
    """Yield the objects below a prefix, lazily: a first page of so many keys, then larger ones."""
    full = True
    while full:
        found = page_of(store, prefix, after, page)
        yield from found
        full = len(found) == page
        after, page = found[-1].key if full else "", max(page, 1000)


def page_of(store: Store, prefix: str, after: str, limit: int) -> list[ObjectInfo]:
    """Return the first objects below a prefix whose keys are greater than ``after``."""
    return with_retries(lambda: list(store.backend.list_objects(prefix, after=after, limit=limit)), store.clock)


def merged(name: ArtifactName, infos: Iterable[ObjectInfo]) -> Iterator[VersionStatus]:
    """Combine a manifest, and the states and the tomb that follow it in the listing, into one status."""
    current: VersionStatus | None = None
    for info in infos:
        key = parse_version_key(name, info.key)
        if key is None:
            continue
        if current is None or key.version != current.version:
            if current is not None:
                yield current
            current = VersionStatus(key.version, committed=False)
        if key.is_tomb:
            current = replace(current, erased=True, committed=True, tomb_info=info)
        elif key.state is None:
            current = replace(current, info=info, committed=True)
        elif key.state > current.state:
            current = replace(current, state=key.state, state_info=info)
    if current is not None:
        yield current


def load_manifest(store: Store, name: ArtifactName, version: int, *, seen: ObjectInfo | None = None) -> StoredManifest:
    """Read and check a manifest, whatever its state; use the cached one if its object is the one ``seen`` now."""
    store.check_features()
    key = manifest_key(name, version)
    if seen is not None and (held := store.manifests.get(key, seen)) is not None:
        return held
    data = with_retries(lambda: read_record(store.backend, key), store.clock)
    loaded = StoredManifest(decode_manifest(data, key, name, version), data)
    if seen is not None:
        store.manifests.keep(key, loaded, seen)
    return loaded


# --- live, or not -----------------------------------------------------------------------------------------------------


def is_live(store: Store, name: ArtifactName, status: VersionStatus, *, by_times: bool = True) -> bool:
    """Whether a version's bytes are present: no request unless its newest state is odd and rather new.

    Without ``by_times`` every odd state is read, however new: for whoever relies on the answer. A store that was copied
    by a tool has other times.
    """
    if status.state % 2 == 0 or status.erased or (by_times and _is_proven(store, status)):
        return status.available
    return state_that_holds(store, name, status, None) is None


def live_among(
    store: Store, name: ArtifactName, statuses: Iterable[VersionStatus], *, by_times: bool = True
) -> list[VersionStatus]:
    """Return those that are live, in their order; what has to be read is read in parallel. See :func:`is_live`.

    Raises:
        StoreFormatError: the record that would tell is damaged, of one of them.
    """
    live, damaged = live_or_damaged(store, name, statuses, by_times=by_times)
    for error in damaged.values():
        raise error
    return live


def live_or_damaged(
    store: Store, name: ArtifactName, statuses: Iterable[VersionStatus], *, by_times: bool = True
) -> tuple[list[VersionStatus], dict[int, StoreFormatError]]:
    """Return those that are live as :func:`live_among` does, and by their numbers why it cannot be told of others.

    For lists and reports, in which a damaged record hides no other.
    """

    def judged(status: VersionStatus) -> tuple[int, bool | StoreFormatError]:
        try:
            return status.version, is_live(store, name, status, by_times=by_times)
        except StoreFormatError as error:
            return status.version, error

    found = list(statuses)
    doubtful = [status for status in found if not status.available and not status.erased]
    said = dict(in_parallel(judged, doubtful))
    damaged = {version: what for version, what in said.items() if isinstance(what, StoreFormatError)}
    return [status for status in found if status.available or said.get(status.version) is True], damaged


def newest_live_among(store: Store, name: ArtifactName, statuses: Iterable[VersionStatus]) -> VersionStatus | None:
    """Return the first that is live, in their order, or None; what has to be read is read in parallel.

    Raises:
        StoreFormatError: the record that would tell is damaged, of one before the first that is live. Of those behind
            that it does not matter.
    """

    def judged(status: VersionStatus) -> bool | StoreFormatError:
        try:
            return is_live(store, name, status)
        except StoreFormatError as error:
            return error

    found = list(statuses)
    for status, said in zip(found, in_parallel(judged, found), strict=True):
        if isinstance(said, StoreFormatError):
            raise said
        if said:
            return status
    return None


def check_available(store: Store, name: ArtifactName, status: VersionStatus, digest: str | None = None) -> None:
    """Raise an error unless the version is live.

    Args:
        store: the store.
        name: the name.
        status: the version as listed.
        digest: of its manifest, where that is known; otherwise the manifest is read, if a state could speak of it.

    Raises:
        ArtifactPrunedError: it was pruned, or left out by a migration.
        ArtifactErasedError: it was erased.
        StoreFormatError: the record that says so is damaged. It is never taken as live.
    """
    known = [status]

    def look() -> tuple[VersionStatus, StateRecord] | None:
        seen = known.pop() if known else version_status(store, name, status.version)
        if seen.erased:
            raise erased_error(read_tomb(store, name, seen.version))
        record = None if seen.available else state_that_holds(store, name, seen, digest)
        return None if record is None else (seen, record)

    found = looked_again(look, store.clock)
    if found is not None:
        raise pruned_error(store, name, *found)


def pruned_error(store: Store, name: ArtifactName, status: VersionStatus, record: StateRecord) -> ArtifactPrunedError:
    """Return the error for a version that is pruned or absent: when and by whom, and until when it can be restored."""
    ref = f"{name}@{status.version}"
    if record.state == "absent":
        return ArtifactPrunedError(
            f"{ref} was left out when this store was migrated: its bytes are not in this store",
            hint="Migrate again with this version selected, or use another version.",
            name=name,
            version=status.version,
        )
    info = status.state_info
    pruned_at = info.modified if info else None
    until = pruned_at + store.marker().grace * RESTORED_WITHIN if pruned_at else None
    remedy = "Restore it within half the store's grace"
    if status.info and pruned_at and pruned_at < status.info.modified:
        # Only a migration creates a state before the manifest that it speaks of, and then it brings no bytes.
        until, remedy = None, "It was pruned before it was migrated to this store, and its bytes were left out"
    if info and until:
        if (info.observed or store.clock.now()) < until:
            remedy = f'`client.restore("{ref}")` brings it back until {minute_text(until)}'
        else:
            remedy = f"It could be restored until {minute_text(until)}: register its files again"
    when = f" on {minute_text(pruned_at)}" if pruned_at else ""
    by = f" by {one_line(record.created_by)}" if record.created_by else ""
    why = f" ({one_line(record.note, 200)})" if record.note else ""
    return ArtifactPrunedError(
        f"{ref} was pruned{when}{by}{why}: its bytes are given up",
        hint=f"{remedy}, or use another version.",
        name=name,
        version=status.version,
        pruned_at=pruned_at,
        pruned_by=record.created_by,
        reason=record.note,
        restorable_until=until,
    )


def state_that_holds(store: Store, name: ArtifactName, status: VersionStatus, digest: str | None) -> StateRecord | None:
    """Return the record of the odd state that a version is in, or None if the record speaks of another manifest."""
    key = state_key(name, status.version, status.state)
    record = decode_state(with_retries(lambda: read_record(store.backend, key), store.clock), key)
    if digest is None:
        manifest = manifest_key(name, status.version)
        try:
            digest = digest_of(with_retries(lambda: read_record(store.backend, manifest), store.clock))
        except ObjectNotFoundError:  # a state without a manifest means nothing, but nothing is live either
            return record
    return record if record.manifest_digest == digest else None


def _is_proven(store: Store, status: VersionStatus) -> bool:
    """Whether the listing alone tells that the newest state speaks of this manifest.

    Who creates a state before its manifest does it soon after having seen that there is none. So a state that speaks of
    another one is not much younger than the manifest that took the number.
    """
    if status.info is None or status.state_info is None or not store.is_open:
        return False
    return status.state_info.modified - status.info.modified > store.marker().grace * _PROVEN_AFTER


def lists_in_order(store: Store) -> bool:
    """Whether listings come in key order in time as well, so that no state is missed whose manifest is shown."""
    return not isinstance(store.backend, CheapStat | GathersListings)


def stays_live(store: Store, name: ArtifactName, status: VersionStatus, began: float) -> bool:
    """Whether a version that a listing shows as live may be relied on, though the listing may be in no order.

    A state that was created before its manifest can be missed if both came while the listing was made. A manifest from
    before that time proves that there was none to miss; else the version is listed again.

    Args:
        store: the store.
        name: the name.
        status: the version as listed.
        began: before the listing, in seconds since 1970 by this machine's clock: on a disk it is the storage's.
    """
    if not status.available or lists_in_order(store):
        return status.available
    if isinstance(store.backend, CheapStat) and store.is_open and status.info is not None:
        margin = store.marker().grace.total_seconds() * _CLOCKS_AGREE
        if status.info.modified.timestamp() < began - margin:
            return True
    return version_status(store, name, status.version).available


def claim_state(
    store: Store,
    name: ArtifactName,
    version: int,
    number: int,
    state: State,
    manifest_digest: str,
    *,
    note: str | None = None,
    in_time: Callable[[], bool] = lambda: True,
) -> bool:
    """Claim a state record of the version whose manifest has this digest; return whether it is ours.

    Args:
        store: the store.
        name: the name.
        version: the version's number.
        number: the record's number.
        state: the state.
        manifest_digest: of the manifest that the record speaks of.
        note: why, for people.
        in_time: called before each further attempt; if it returns False, no attempt follows.
    """
    key, record_id = state_key(name, version, number), store.clock.new_id()
    data = encode_state(state, manifest_digest, record_id, store.clock.now(), user_name(), note)
    return create_exclusively(store.backend, key, data, record_id, store.clock, in_time=in_time) is not None


# --- erased -----------------------------------------------------------------------------------------------------------


def read_tomb(store: Store, name: ArtifactName, version: int) -> Tomb:
    """Read the record that a version was erased.

    Raises:
        ObjectNotFoundError: there is none.
        StoreFormatError: it is damaged, or speaks of another version.
    """
    key = tomb_key(name, version)
    return decode_tomb(with_retries(lambda: read_record(store.backend, key), store.clock), key, name, version)


def tomb_of(store: Store, name: ArtifactName, version: int) -> Tomb | None:
    """Return the record that a version was erased, or None: one read. For whoever misses the manifest.

    The tomb is created before the manifest is deleted, so who looks for it afterwards finds it.
    """
    try:
        return read_tomb(store, name, version)
    except ObjectNotFoundError:
        return None


def refuse_erased(store: Store, name: ArtifactName, version: int) -> None:
    """Raise ArtifactErasedError if a version was erased: one read."""
    if tomb := tomb_of(store, name, version):
        raise erased_error(tomb)


def erased_error(tomb: Tomb) -> ArtifactErasedError:
    """Return the error for a version that was erased."""
    why = f": {one_line(tomb.reason, _SHOWN)}" if tomb.reason else ""  # the attribute of the error has all of it
    return ArtifactErasedError(
        f"{tomb.name}@{tomb.version} was erased by {tomb.created_by:.{_SHOWN}} on {tomb.created_at:%Y-%m-%d}{why}",
        hint="It cannot be brought back. Use another version.",
        name=tomb.name,
        version=tomb.version,
        manifest_digest=tomb.manifest_digest,
        reason=tomb.reason,
    )
