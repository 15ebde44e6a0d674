"""Repair a version: put missing or damaged objects back under the same keys, and read them again.

SPEC.md, "Repair", explains why a concurrent collection does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from metamlflow.backend import replace_content
from metamlflow.errors import (
    IntegrityError,
    MetaMLFlowError,
    ObjectNotFoundError,
    SourceNotFoundError,
    StoreFormatError,
)
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.findings import Finding
from metamlflow.model.manifests import Entry
from metamlflow.model.names import LATEST, ArtifactName, Reference
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.records import patiently
from metamlflow.store.catalog.statuses import (
    check_available,
    is_live,
    list_versions,
    load_manifest,
    refuse_erased,
    tomb_of,
    version_status,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import load_reference, not_found
from metamlflow.store.ingest.hashing import stage_bytes
from metamlflow.store.migrate.blobs import bytes_in_memory, shard_content
from metamlflow.store.read.healing import put_back
from metamlflow.store.read.verified import copy_blob
from metamlflow.store.repair.donors import Donor
from metamlflow.store.repair.report import RepairedObject, RepairReport
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.store.transfer.spooling import OnBytes
from metamlflow.store.verify.verify import verify

_UNKNOWN = (
    "this store has no record of its digest, so a copy cannot be told from a forgery: a later version, or an artifact "
    "that was loaded before, would have it"
)


@callback_errors()
def repair_version(
    store: Store, wanted: Reference | StoredManifest, donor: Donor, progress: ProgressCallback | None = None
) -> RepairReport:
    """Put back the objects that a full verification of a version finds missing or modified.

    Args:
        store: the damaged store.
        wanted: the version; if it was loaded before the damage, its manifest's digest is known.
        donor: has good bytes.
        progress: the progress callback.

    Raises:
        NotFoundError: the version does not exist.
        ArtifactPrunedError: the version is pruned or absent.
        ArtifactErasedError: the version was erased: nothing of it is put back.
        StoreFormatError, IntegrityError: its manifest is damaged and the donor does not have a good one.
    """
    repair = _Repair(store, donor, progress)
    loaded = repair.manifest(wanted)
    return repair.content(loaded)


def put_objects_back(
    store: Store, loaded: StoredManifest, contents: Iterable[Entry], donor: Donor, progress: ProgressCallback | None
) -> dict[str, str | None]:
    """Put back objects of a live version that are known to be missing or damaged; return by key why one still is."""
    store.marker_looked_at_again()
    return _Repair(store, donor, progress).objects(loaded, contents)


def good_manifest(store: Store, name: ArtifactName, version: int, donor: Donor) -> bytes:
    """Return the manifest that a repair would put back. Nothing is written.

    Raises:
        ArtifactErasedError: the version was erased: nothing of it is put back.
        SourceNotFoundError: its digest is not known, or the donor does not have it.
    """
    refuse_erased(store, name, version)
    digest = _recorded_digest(store, name, version)
    if digest is None:
        raise SourceNotFoundError(f"it cannot be put back: {_UNKNOWN}")
    return donor.record(manifest_key(name, version), digest)


class _Repair:
    """One repair call, with the objects put back so far."""

    def __init__(self, store: Store, donor: Donor, progress: ProgressCallback | None) -> None:
        self._store = store
        self._donor = donor
        self._progress = progress
        self._repaired: list[RepairedObject] = []
        self._seen = store.clock.elapsed()

    # --- the manifest -------------------------------------------------------------------------------------------------

    def manifest(self, wanted: Reference | StoredManifest) -> StoredManifest:
        """Return the manifest, put back if it is damaged and its digest is known."""
        store = self._store
        store.marker_looked_at_again()
        held: StoredManifest | None = wanted if isinstance(wanted, StoredManifest) else None
        if isinstance(wanted, StoredManifest):
            name, version = wanted.manifest.name, wanted.manifest.version
        else:
            name, version = wanted.name, self._number(wanted)
        chained = _recorded_digest(store, name, version)
        if held and chained and held.digest != chained:
            raise _other_manifest(manifest_key(name, version), chained, held.digest)
        failure: MetaMLFlowError
        try:
            found = load_manifest(store, name, version)
        except (StoreFormatError, ObjectNotFoundError) as error:
            failure = error
        else:
            digest = chained or (held.digest if held else found.digest)
            if found.digest == digest:
                check_available(store, name, version_status(store, name, version))
                return found
            # Altered bytes keep their record id. Another id means another version, which nobody may overwrite.
            failure = _other_manifest(manifest_key(name, version), digest, found.digest)
            if not chained and held and held.manifest.record_id != found.manifest.record_id:
                raise failure
        refuse_erased(store, name, version)
        loaded = self._manifest_from_donor(name, version, chained or (held.digest if held else None), failure)
        check_available(store, name, version_status(store, name, version))
        return loaded

    def _number(self, wanted: Reference) -> int:
        if isinstance(wanted.version, int):
            return wanted.version
        if wanted.version == LATEST:
            number = next(
                (s.version for s in list_versions(self._store, wanted.name) if is_live(self._store, wanted.name, s)),
                None,
            )
            if number is not None:
                return number
        return load_reference(self._store, wanted).manifest.version

    def _manifest_from_donor(
        self, name: ArtifactName, version: int, digest: str | None, failure: MetaMLFlowError
    ) -> StoredManifest:
        key, store = manifest_key(name, version), self._store
        if digest is None:
            if isinstance(failure, ObjectNotFoundError):  # in most cases the version never existed
                failure = not_found(store, name, version)
                raise failure.with_hint(f"{failure.hint} If it was lost, it cannot be put back: {_UNKNOWN}.") from None
            raise failure.with_hint(f"It cannot be put back: {_UNKNOWN}.") from None
        blob = stage_bytes(self._donor.record(key, digest))
        if not patiently(lambda: store.backend.put(key, blob), store.clock):
            patiently(lambda: replace_content(store.backend, key, blob), store.clock)
        loaded = load_manifest(store, name, version)
        if loaded.digest != digest:
            raise IntegrityError(
                f"{key} does not read back as it was written", expected=digest, actual=loaded.digest, key=key
            )
        self._repaired.append(RepairedObject("", key))
        return loaded

    # --- lists of files, and files ------------------------------------------------------------------------------------

    def content(self, loaded: StoredManifest) -> RepairReport:
        """Put back the lists of files first, because they tell which files exist; then put back the files."""
        manifest = loaded.manifest
        shards = {shard.key: shard_content(shard) for shard in manifest.shards or ()}
        report = verify(self._store, loaded, "full", self._progress)
        still: list[RepairedObject] = []
        if any(finding.key in shards for finding in report.findings):
            lost = [finding for finding in report.findings if finding.key in shards]
            still = self._put_all_back(loaded, [(finding, shards[finding.key]) for finding in lost])
            if len(still) < len(lost):
                report = verify(self._store, loaded, "full", self._progress)
        entries = Entries(self._store, manifest)
        due: list[tuple[Finding, Entry]] = []
        for finding in report.findings:
            entry = entries.find(finding.path) if finding.path and finding.status in {"missing", "modified"} else None
            if entry and (objects := [held for held in entry.objects() if held.key == finding.key]):
                due += [(finding, held) for held in objects]
            elif finding.key not in shards:
                still.append(RepairedObject(finding.path, finding.key, _not_repairable(finding)))
        still += self._put_all_back(loaded, due)
        return RepairReport(str(manifest.name), manifest.version, tuple(self._repaired), tuple(still))

    def _put_all_back(self, loaded: StoredManifest, due: list[tuple[Finding, Entry]]) -> list[RepairedObject]:
        """Put objects back, each once however many files share it; return those that are still damaged."""
        outcomes = self.objects(loaded, (content for _, content in due))
        still: list[RepairedObject] = []
        for finding, content in due:
            reason = outcomes[content.key]
            found = RepairedObject(finding.path, content.key, reason or "")
            (still if reason else self._repaired).append(found)
        return still

    def objects(self, loaded: StoredManifest, contents: Iterable[Entry]) -> dict[str, str | None]:
        """Put objects back, each once; return by key why one is still damaged, or None."""
        objects = {content.key: content for content in contents}
        counter = Counter("repair", self._progress, total_files=len(objects))
        work = partial(self._put_one_back, loaded, counter)
        return dict(in_parallel(work, objects.values(), size_of=bytes_in_memory, cancel=counter.cancel))

    def _put_one_back(self, loaded: StoredManifest, counter: Counter, content: Entry) -> tuple[str, str | None]:
        """Return the key, and why its object is still damaged."""
        on_bytes: OnBytes = lambda size: counter.add(size=size)  # noqa: E731 (a callback)
        try:
            self._check_live(loaded)
            if put_back(self._store, content, self._donor.blob(content, on_bytes)):
                copy_blob(self._store, content, None, lambda _: None)
        except MetaMLFlowError as error:
            return content.key, error.message
        finally:
            counter.add(files=1)
        return content.key, None

    def _check_live(self, loaded: StoredManifest) -> None:
        """Check again that the version is live if the last check is old: blobs of a dead version may be collected."""
        store, now = self._store, self._store.clock.elapsed()
        store.recheck_if_due()
        if now - self._seen > store.marker().grace.total_seconds() * 3 / 8:
            manifest = loaded.manifest
            check_available(store, manifest.name, version_status(store, manifest.name, manifest.version))
            self._seen = now


def _not_repairable(finding: Finding) -> str:
    if "://" in finding.key and finding.status == "unreadable":
        return f"unreadable: it is outside of the store, and its state is unknown: {finding.actual}"
    if "://" in finding.key:
        return f"{finding.status}: it is outside of the store; restore it at its place"
    return f"{finding.status}: expected {finding.expected}, got {finding.actual}"


def _recorded_digest(store: Store, name: ArtifactName, version: int) -> str | None:
    """Return the digest of this version's manifest that the next version recorded, or its tomb, if there is one."""
    try:
        if tomb := tomb_of(store, name, version + 1):
            return tomb.known_previous
        return load_manifest(store, name, version + 1).manifest.previous
    except (ObjectNotFoundError, StoreFormatError):
        return None


def _other_manifest(key: str, expected: str, actual: str) -> IntegrityError:
    return IntegrityError(
        f"{key} is not the registered manifest: expected {expected}, got {actual}",
        hint="Nothing was written.",
        expected=expected,
        actual=actual,
        key=key,
    )
