"""Examine what versions say of each other: edges against inputs, and every recorded digest against the manifests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from metamlflow.backend import ObjectInfo
from metamlflow.errors import MetaMLFlowError
from metamlflow.format.layout import EDGES, edge_key, manifest_key
from metamlflow.format.listed_keys import ListedKey, listed_key
from metamlflow.format.runs import EDGE
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.statuses import load_manifest, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.fsck.doubts import REFUSALS, Doubts
from metamlflow.store.retain.fsck.report import FsckFinding, found
from metamlflow.store.retain.presence import stat_or_none
from metamlflow.store.retain.sorted_runs import SortedRuns
from metamlflow.store.retain.versions import NameRecords, Now

VersionId = tuple[ArtifactName, int]
_IS, _SAID = "0", "1"


@dataclass(slots=True)
class Links:
    """What versions, runs and signatures say of other versions, in bounded memory. A context manager.

    Attributes:
        doubts: notes what the storage refuses to say.
        doubtful: versions whose inputs are not known: erased, or with a manifest that cannot be read.
    """

    doubts: Doubts = field(default_factory=Doubts)
    doubtful: set[VersionId] = field(default_factory=set)
    _edges: SortedRuns = field(default_factory=SortedRuns)
    _digests: SortedRuns = field(default_factory=SortedRuns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._edges.__exit__(*failure)
        self._digests.__exit__(*failure)

    def add(self, records: NameRecords) -> None:
        """Take in what the versions of a name say."""
        for version in records.committed():
            this = records.name, version
            facts, tomb = records.facts_of(version), records.tombs.get(version)
            if facts is None:
                self.doubtful.add(this)
                if tomb is not None and tomb.value is not None and tomb.value.known_digest:
                    self._note(_IS, this, tomb.value.known_digest, tomb.info.key, "")
                continue
            key = records.manifests[version].info.key
            self._note(_IS, this, facts.digest, key, "")
            for used in facts.inputs:
                self._edges.add(edge_key((used.name, used.version), this).encode())
                self.say((used.name, used.version), used.manifest_digest, key, "input")

    def say(self, of: VersionId, digest: str, key: str, kind: str) -> None:
        """Note that the record at ``key`` says which manifest a version has: an ``input``, ``run`` or ``signature``."""
        self._note(_SAID, of, digest, key, kind)

    def _note(self, what: str, of: VersionId, digest: str, key: str, kind: str) -> None:
        self._digests.add(f"{of[0]}\t{of[1]}\t{what}\t{digest}\t{kind}\t{key}".encode())

    # --- digests ------------------------------------------------------------------------------------------------------

    def contradictions(self, store: Store) -> Iterator[FsckFinding]:
        """Yield the manifests that are not those that were used or signed."""
        rows = (line.decode().split("\t") for line in self._digests)
        for (name, number), group in itertools.groupby(rows, key=lambda row: (row[0], row[1])):
            this = ArtifactName(name), int(number)
            actual = ""
            told: set[str] = set()
            for _, _, what, digest, kind, key in group:
                if what == _IS:
                    actual = digest
                elif not actual:
                    if kind == "signature" and this not in self.doubtful:
                        yield from self._of_nothing(store, this, key)
                elif digest != actual and kind == "signature":
                    yield found(
                        "signature-of-another", key, f"the signature is over another manifest than {name}@{number} has",
                        name=name, version=this[1], expected=actual, actual=digest,
                    )  # fmt: skip
                elif digest != actual and digest not in told:
                    told.add(digest)
                    yield found(
                        "manifest-contradicted", manifest_key(*this),
                        f"{name}@{number} is not the version that {key} says was used",
                        name=name, version=this[1], expected=digest, actual=actual,
                    )  # fmt: skip

    def _of_nothing(self, store: Store, signed: VersionId, key: str) -> Iterator[FsckFinding]:
        name, version = str(signed[0]), signed[1]
        with self.doubts.about(manifest_key(*signed), name, version):
            if not _exists(store, signed):
                message = f"there is a signature over {name}@{version}, which does not exist"
                yield found("signature-of-nothing", key, message, name=name, version=version)

    # --- edges --------------------------------------------------------------------------------------------------------

    def edge_findings(self, store: Store, now: Now) -> Iterator[FsckFinding]:
        """Yield the edges that are missing, damaged, or lead to nothing; one listing."""
        expected = (key.decode() for key, _ in itertools.groupby(self._edges))
        listed = iter(listed_in_order(store, EDGES))
        info = next(listed, None)
        for key in expected:
            while info is not None and info.key < key:
                yield from self._unexpected(store, info, now)
                info = next(listed, None)
            if info is not None and info.key == key:
                yield from _of_edge(key, info)
                info = next(listed, None)
                continue
            with self.doubts.about(key):
                yield from _of_edge(key, stat_or_none(store, key))
        while info is not None:
            yield from self._unexpected(store, info, now)
            info = next(listed, None)

    def _unexpected(self, store: Store, info: ObjectInfo, now: Now) -> Iterator[FsckFinding]:
        at = listed_key(info.key)
        if at is None or at.consumer is None or at.name is None or at.version is None:
            if not info.key.endswith("/"):
                yield found("foreign-object", info.key, f"{info.key} is the key of no edge")
            return
        if at.consumer in self.doubtful or now.is_younger(info):
            return  # its consumer cannot tell, or is about to be published
        with self.doubts.about(manifest_key(*at.consumer), str(at.consumer[0]), at.consumer[1]):
            if _is_used(store, at):
                return  # it was published meanwhile
            yield _edge(info.key, "edge-to-nothing", "leads to a version that was not made from it, or does not exist")


def _of_edge(key: str, info: ObjectInfo | None) -> Iterator[FsckFinding]:
    if info is None:
        yield _edge(key, "edge-missing", "does not exist")
    elif info.size != len(EDGE):
        yield _edge(key, "edge-damaged", f"has {info.size} bytes, and not those of an edge")


def _edge(key: str, kind: str, what: str) -> FsckFinding:
    at = listed_key(key)
    if at is None or at.consumer is None:
        return found(kind, key, f"{key} {what}")
    name, version = at.consumer
    message = f"the edge from {at.name}@{at.version} to {name}@{version} {what}"
    return found(kind, key, message, name=str(name), version=version)


def _is_used(store: Store, at: ListedKey) -> bool:
    try:
        inputs = () if at.consumer is None else load_manifest(store, *at.consumer).manifest.inputs
    except REFUSALS:
        raise
    except MetaMLFlowError:
        return False
    return any((used.name, used.version) == (at.name, at.version) for used in inputs)


def _exists(store: Store, version: VersionId) -> bool:
    status = version_status(store, *version)
    return status.info is not None or status.erased
