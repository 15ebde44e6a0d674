"""Put right what an examination found: name records and edges from the store itself, the rest from a copy.

A record is created where it is missing. It is replaced only where its bytes are not those that its key promises, as
a repair does with content. Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

from metamlflow._looks import counted
from metamlflow.backend import replace_content
from metamlflow.errors import (
    AlreadyExistsError,
    ArtifactPrunedError,
    MetaMLFlowError,
    SourceNotFoundError,
    StoreFormatError,
)
from metamlflow.format.layout import manifest_key, name_of_key
from metamlflow.format.listed_keys import listed_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.records import check_name_record, encode_name
from metamlflow.format.runs import EDGE
from metamlflow.model.manifests import Entry
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.bounded import kept, read_record
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.records import patiently, with_retries
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.ingest.hashing import stage_bytes
from metamlflow.store.migrate.blobs import shard_content
from metamlflow.store.repair.donors import Donor
from metamlflow.store.repair.repair import good_manifest, put_objects_back, repair_version
from metamlflow.store.repair.report import RepairReport
from metamlflow.store.retain.fsck.report import FsckFinding, FsckReport
from metamlflow.store.transfer.progress import ProgressCallback

_NO_SOURCE = "it takes a good copy, and no source was given"
_MANIFESTS = frozenset({"manifest-unreadable", "manifest-altered", "version-missing"})
_DISTRIBUTIONS = frozenset({"distributions-missing", "distributions-altered"})


class Mending:
    """One attempt to put right what was found.

    Args:
        store: the store.
        donor: has good bytes; None for none.
        progress: the progress callback.
        dry_run: only find out what would be put right.
    """

    def __init__(self, store: Store, donor: Donor | None, progress: ProgressCallback | None, *, dry_run: bool) -> None:
        self._store = store
        self._donor = donor
        self._progress = progress
        self._dry_run = dry_run
        self._whole: dict[tuple[str, int], MetaMLFlowError | None] = {}

    def of(self, report: FsckReport) -> FsckReport:
        """Return the report with what became of each finding."""
        outcomes: dict[int, FsckFinding] = {}
        numbered = list(enumerate(report.findings))
        for number, finding in numbered:
            if finding.derivable:
                outcomes[number] = self._tried(finding, self._derive)
            elif finding.mendable and self._donor is None:
                outcomes[number] = replace(finding, reason=_NO_SOURCE)
        if self._donor is not None:
            left = [(number, finding) for number, finding in numbered if finding.mendable and number not in outcomes]
            outcomes |= self._from_copy(left, self._donor)
        findings = tuple(outcomes.get(number, finding) for number, finding in numbered)
        return replace(report, findings=findings, dry_run=self._dry_run)

    def _tried(self, finding: FsckFinding, mend: Callable[[FsckFinding], None]) -> FsckFinding:
        try:
            mend(finding)
        except MetaMLFlowError as error:
            return finding.as_mended(error.message)
        return finding.as_mended(None)

    # --- from the store itself ----------------------------------------------------------------------------------------

    def _derive(self, finding: FsckFinding) -> None:
        if self._dry_run:
            return
        store, key = self._store, finding.key
        store.recheck_if_due()
        name = name_of_key(key)
        data = EDGE if name is None else encode_name(name, store.clock.new_id(), store.clock.now())
        if finding.kind.endswith("-missing"):
            with suppress(AlreadyExistsError):  # somebody else has written it meanwhile: as good
                patiently(lambda: store.backend.create(key, data), store.clock)
            return
        if not with_retries(lambda: _is_sound(store, key, name), store.clock):
            self._replace(key, data)

    def _replace(self, key: str, data: bytes) -> None:
        blob = stage_bytes(data)
        patiently(lambda: replace_content(self._store.backend, key, blob), self._store.clock)

    # --- from a copy --------------------------------------------------------------------------------------------------

    def _from_copy(self, left: list[tuple[int, FsckFinding]], donor: Donor) -> dict[int, FsckFinding]:
        outcomes: dict[int, FsckFinding] = {}
        # The newest manifest first: it holds the digest of the one before it.
        manifests = [(number, finding) for number, finding in left if finding.kind in _MANIFESTS]
        for number, finding in sorted(manifests, key=lambda item: (item[1].name, -(item[1].version or 0))):
            outcomes[number] = self._tried(finding, lambda finding: self._manifest(finding, donor))
        for number, finding in left:
            if finding.kind in _DISTRIBUTIONS:
                outcomes[number] = self._tried(finding, lambda finding: self._distributions(finding, donor))
            elif finding.kind == "list-damaged":
                outcomes[number] = self._tried(finding, lambda finding: self._list_of_files(finding, donor))
        blobs = [(number, finding) for number, finding in left if number not in outcomes]
        # By path, too: neighbours are in the same list of files, so each of these is read once.
        blobs.sort(key=lambda item: (item[1].name, item[1].version or 0, item[1].path))
        for (name, version), group in groupby(blobs, key=lambda item: (item[1].name, item[1].version)):
            outcomes |= self._blobs(ArtifactName(name), version or 0, list(group), donor)
        return outcomes

    def _manifest(self, finding: FsckFinding, donor: Donor) -> None:
        if finding.version is None:
            raise SourceNotFoundError("these are too many numbers: somebody forged the version above them")
        name, version = ArtifactName(finding.name), finding.version
        if self._dry_run:
            good_manifest(self._store, name, version, donor)
            return
        with suppress(ArtifactPrunedError):  # its manifest is back, and its bytes need not be there
            self._all_of(name, version, donor)
            return
        load_manifest(self._store, name, version)

    def _all_of(self, name: ArtifactName, version: int, donor: Donor) -> None:
        """Put back all of a version, once however many findings are of it; raise an error if anything is left.

        A manifest or a list of files tells only when it is back which content the version has.
        """
        this = (str(name), version)
        if this not in self._whole:
            try:
                report = repair_version(self._store, Reference(name, version), donor, self._progress)
                self._whole[this] = _left(report)
            except MetaMLFlowError as error:
                self._whole[this] = kept(error)
        if (failure := self._whole[this]) is not None:
            raise failure

    def _distributions(self, finding: FsckFinding, donor: Donor) -> None:
        at = listed_key(finding.key)
        data = donor.record(finding.key, f"sha256:{at.of if at else ''}")
        if self._dry_run:
            return
        self._store.recheck_if_due()
        if finding.kind == "distributions-altered":
            self._replace(finding.key, data)
        else:
            with suppress(AlreadyExistsError):
                patiently(lambda: self._store.backend.create(finding.key, data), self._store.clock)

    def _list_of_files(self, finding: FsckFinding, donor: Donor) -> None:
        name, version = ArtifactName(finding.name), finding.version or 0
        if not self._dry_run:
            self._all_of(name, version, donor)
            return
        for shard in load_manifest(self._store, name, version).manifest.shards or ():
            if shard.key == finding.key:
                donor.blob(shard_content(shard), lambda _: None)

    def _blobs(
        self, name: ArtifactName, version: int, found: list[tuple[int, FsckFinding]], donor: Donor
    ) -> dict[int, FsckFinding]:
        try:
            loaded = load_manifest(self._store, name, version)
            contents = dict(_contents(self._store, loaded, [finding for _, finding in found]))
            reasons = self._put_back(loaded, contents, donor)
        except MetaMLFlowError as error:
            return {number: finding.as_mended(error.message) for number, finding in found}
        unknown = f"{manifest_key(name, version)} does not name it any more"
        return {number: finding.as_mended(reasons.get(finding.key, unknown)) for number, finding in found}

    def _put_back(self, loaded: StoredManifest, contents: dict[str, Entry], donor: Donor) -> dict[str, str | None]:
        if not self._dry_run:
            return put_objects_back(self._store, loaded, contents.values(), donor, self._progress)
        reasons: dict[str, str | None] = {}
        for key, content in contents.items():
            try:
                donor.blob(content, lambda _: None)
                reasons[key] = None
            except MetaMLFlowError as error:
                reasons[key] = error.message
        return reasons


def _left(report: RepairReport) -> SourceNotFoundError | None:
    """Return the error for a version of which something is still damaged."""
    for damaged in report.damaged:
        more = len(report.damaged) - 1
        also = f"; and {counted(more, 'more object')}" if more else ""
        return SourceNotFoundError(f"{damaged.key}: {damaged.reason}{also}")
    return None


def _is_sound(store: Store, key: str, name: str | None) -> bool:
    """Whether a record that can be derived is as it should be: another repair may have been faster."""
    try:
        data = read_record(store.backend, key)  # one that is too large is not
        if name is None:
            return data == EDGE
        check_name_record(data, key, name)
    except StoreFormatError:
        return False
    return True


def _contents(store: Store, loaded: StoredManifest, findings: list[FsckFinding]) -> Iterator[tuple[str, Entry]]:
    """Yield the content that findings are about, by its key."""
    entries = Entries(store, loaded.manifest)
    for finding in findings:
        entry = entries.find(finding.path) if finding.path else None
        for held in entry.objects() if entry is not None else ():
            if held.key == finding.key:
                yield finding.key, held
