"""Which versions are kept, and why: one listing of ``artifacts/``, and each manifest and odd state read.

Whatever cannot be read stops the collection: what it names is not known.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from metamlflow.backend import ObjectInfo
from metamlflow.errors import ObjectNotFoundError
from metamlflow.format.known_keys import is_known
from metamlflow.format.layout import ARTIFACTS, alias_of_key, manifest_key, name_of_artifact_key, state_key
from metamlflow.format.manifests import StoredManifest, decode_manifest
from metamlflow.format.records import decode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.protections import ProtectedVersion, protected
from metamlflow.store.catalog.records import looked_again, with_retries
from metamlflow.store.catalog.statuses import VersionStatus, merged, pages, read_tomb, tomb_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_keys
from metamlflow.store.catalog.versions import newest_alias_record
from metamlflow.store.retain.collecting.kept import Standing
from metamlflow.store.retain.collecting.moment import BURY, Moment
from metamlflow.store.retain.gaps import missed_between, refuse_alias_of_nothing, refuse_protection_of_nothing

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Judged:
    """A version, and whether its content is kept.

    Attributes:
        name: the name of the artifact.
        version: its number.
        standing: as of :class:`~metamlflow.store.retain.collecting.kept.Owner`; None for one that was erased.
        reason: why.
        until: from when on its content is deletable, if it is in its grace.
        manifest: its manifest, unless it was erased.
        buried: the object of a manifest that lies under an old tomb, which is deleted too.
    """

    name: ArtifactName
    version: int
    standing: Standing | None
    reason: str
    until: datetime | None = None
    manifest: StoredManifest | None = None
    buried: ObjectInfo | None = None

    @property
    def reference(self) -> str:
        """The name and the number."""
        return f"{self.name}@{self.version}"


class Holders:
    """What holds versions of one name beside their states: its aliases, read once when first asked for; protections.

    Attributes:
        newest: the highest number that the listing shows, and that this name must have all numbers up to.
    """

    def __init__(
        self, store: Store, name: ArtifactName, aliases: set[str], protected: Container[ProtectedVersion], newest: int
    ) -> None:
        self._store = store
        self._name = name
        self._aliases = aliases
        self._protected = protected
        self.newest = newest
        self._lock = threading.Lock()
        self._held: dict[int, str] | None = None

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases of the name, as they were listed."""
        return tuple(sorted(self._aliases))

    def protects(self, version: int) -> bool:
        """Whether a version is protected."""
        return (self._name, version) in self._protected

    def of(self, version: int) -> str | None:
        """Return why a version is kept although it is not live, or None."""
        with self._lock:
            if self._held is None:
                self._held = self._read()
        return self._held.get(version) or ("it is protected" if self.protects(version) else None)

    def _read(self) -> dict[int, str]:
        held: dict[int, str] = {}
        for alias in sorted(self._aliases):
            version = looked_again(partial(self._target, alias), self._store.clock)
            if version is not None:
                if version > self.newest:
                    refuse_alias_of_nothing(self._store, self._name, version, alias)
                held.setdefault(version, f"the alias {alias} names it")
        return held

    def _target(self, alias: str) -> int | None:
        """Return what an alias stands for: by a listing of now, which may show a later record."""
        return newest_alias_record(self._store, self._name, alias)[1]


def listed_versions(store: Store) -> Iterator[tuple[ArtifactName, VersionStatus, Holders]]:
    """Yield every version of a store with its status, in the order of the names.

    One listing of ``artifacts/``, and one of ``protections/`` before it.

    Raises:
        StoreFormatError: a key is not known.
        IntegrityError: a version has vanished, as a later version or a protection shows.
    """
    # Whoever protects a version that is not live takes it back, so what is protected later needs no look.
    held = protected(store)
    unseen = set(held)
    # Of a name the aliases are listed before the versions.
    known = _known(pages(store, ARTIFACTS, _PAGE))
    for name, infos in itertools.groupby(known, key=lambda info: ArtifactName(name_of_artifact_key(info.key) or "")):
        aliases: set[str] = set()
        holders: Holders | None = None
        before = 0
        for status in merged(name, _without_aliases(name, infos, aliases)):
            if not status.committed:
                continue  # of a migration that is under way or was cut off; below a version it is a gap
            if holders is None:
                holders, before = Holders(store, name, aliases, held, status.version), status.version + 1
            for missed in missed_between(store, name, status.version, before):
                yield name, missed, holders
            before = status.version
            unseen.discard((name, before))
            yield name, status, holders
        if holders is not None:
            for missed in missed_between(store, name, 0, before):
                yield name, missed, holders
    for name, version in sorted(unseen):
        refuse_protection_of_nothing(store, name, version)


def _without_aliases(name: ArtifactName, infos: Iterable[ObjectInfo], aliases: set[str]) -> Iterator[ObjectInfo]:
    for info in infos:
        if alias := alias_of_key(name, info.key):
            aliases.add(alias)
        else:
            yield info


def _known(infos: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Yield the records; raise at the first key that is not known, with those that follow."""
    for info in infos:
        if not is_known(info.key):
            refuse_keys(itertools.chain([info.key], (i.key for i in infos if not is_known(i.key))))
        if not info.key.endswith("/"):
            yield info


def judged(store: Store, moment: Moment, name: ArtifactName, status: VersionStatus, holders: Holders) -> Judged:
    """Judge a version: its manifest is read, and its state if that may have taken it away.

    Raises:
        StoreFormatError: a record or the manifest cannot be understood.
        StorageError: one cannot be read; or the manifest of a version that the listing shows is gone.
    """
    version, tomb = status.version, status.tomb_info
    if tomb is not None:
        read_tomb(store, name, version)  # a damaged one says nothing
        if tomb.modified < moment.now:
            old = status.info is not None and tomb.modified < moment.now - moment.of_store * BURY
            return Judged(name, version, None, "it was erased", buried=status.info if old else None)
    if status.state % 2 == 0 or status.state_info is None:
        return Judged(name, version, "live", "it is live", manifest=_read_manifest(store, name, status))
    return _judged_by_state(store, moment, name, status, holders)


def _judged_by_state(
    store: Store, moment: Moment, name: ArtifactName, status: VersionStatus, holders: Holders
) -> Judged:
    assert status.state_info is not None  # noqa: S101 (as the caller made sure)
    version = status.version
    key = state_key(name, version, status.state)
    record = decode_state(with_retries(lambda: read_record(store.backend, key), store.clock), key)
    what = "left out by a migration" if record.state == "absent" else "pruned"
    when = status.state_info.modified
    what = f"it was {what} on {when:%Y-%m-%d}"
    young = when >= moment.cutoff
    reason = None if young else holders.of(version)
    manifest = _read_manifest(store, name, status, None if young or reason else record.manifest_digest)
    if manifest is None:
        return Judged(name, version, "dead", f"{what}, and erased meanwhile")
    if record.manifest_digest != manifest.digest:
        return Judged(name, version, "live", "its state speaks of another manifest", manifest=manifest)
    if young:
        return Judged(name, version, "waiting", what, moment.deletable_from(when), manifest)
    if reason:
        return Judged(name, version, "held", f"{what}, but {reason}", manifest=manifest)
    return Judged(name, version, "dead", what, manifest=manifest)


def _read_manifest(
    store: Store, name: ArtifactName, status: VersionStatus, given_up: str | None = None
) -> StoredManifest | None:
    """Read a manifest; None if it is gone, and its tomb has the digest ``given_up`` of one that is not kept anyway.

    Raises:
        ObjectNotFoundError: it is gone otherwise, although a tomb explains it: another version may rely on the same
            content, having seen this one live.
    """
    key = manifest_key(name, status.version)
    try:
        data = with_retries(lambda: read_record(store.backend, key), store.clock)
    except ObjectNotFoundError:
        tomb = tomb_of(store, name, status.version)
        if tomb is not None and given_up == tomb.manifest_digest:
            return None
        why = "it was erased meanwhile" if tomb else "nothing says why"
        raise ObjectNotFoundError(
            f"the manifest of {name}@{status.version} is gone since it was listed, and {why}",
            hint="Collect again." if tomb else "Put it back with `metamlflow repair`, or look at what deleted it.",
            key=key,
        ) from None
    return StoredManifest(decode_manifest(data, key, name, status.version), data)
