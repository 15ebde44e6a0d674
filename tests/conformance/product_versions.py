"""Everything that the kit asks of the versions of a name, answered by the product."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from product import accepts, record_of

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Artifact
from metamlflow.errors import (
    ArtifactErasedError,
    ArtifactPrunedError,
    DamagedRecordWarning,
    IntegrityError,
    ObjectNotFoundError,
    StoreFormatError,
)
from metamlflow.format import layout
from metamlflow.format.manifests import StoredManifest, digest_of
from metamlflow.format.records import decode_claim, decode_state
from metamlflow.model import metadata
from metamlflow.model.manifests import EmptyFolder, Input
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.notes import Notes
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.notes import history_on, notes_on
from metamlflow.store.catalog.statuses import (
    VersionStatus,
    is_live,
    list_versions,
    load_manifest,
    read_tomb,
    tomb_of,
)
from metamlflow.store.catalog.versions import newest_alias_record
from metamlflow.store.lineage.edges import consumers
from metamlflow.store.verify.signatures import signatures_of


def raw(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data)
    return found


def tagged(value: Any) -> Any:
    """A value of metadata as the product hands it out, with its type."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value) if math.isfinite(value) else str(value)}
    if isinstance(value, list):
        return {"list": [tagged(item) for item in value]}
    return {"object": {key: tagged(value[key]) for key in sorted(value)}}


def decoded(value: Any) -> Any:
    return tagged(metadata.decode(value))


def input_told(used: Input) -> dict[str, Any]:
    return {
        "name": str(used.name),
        "version": used.version,
        "manifest_digest": used.manifest_digest,
        "role": used.role,
    }


class Versions:
    """What is told of the versions of one store in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._client = MetaMLFlowClient(root.as_uri())
        self._store = self._client._store

    def _read(self, key: str) -> bytes:
        return bytes(self._store.backend.read(key))

    def _artifact(self, name: ArtifactName, keys: list[str]) -> Any:
        try:
            committed = {status.version: status for status in list_versions(self._store, name)}
        except StoreFormatError:
            return "refused"
        if not committed:
            return None
        own = [at for key in keys if (at := record_of(key)).get("name") == name]
        aliases = sorted({at["alias"] for at in own if at["kind"] == "alias"})
        hashes = sorted({at["hash"] for at in own if at["kind"] == "claim"})
        return {
            "latest": self._latest(name, committed),
            "aliases": {alias: self._alias(name, alias) for alias in aliases},
            "claims": {hashed: self._claim(name, hashed, own) for hashed in hashes},
            "notes": self._notes(name, None, own),
            "versions": {str(version): self._version(name, committed[version], own) for version in sorted(committed)},
        }

    def _live(self, name: ArtifactName, status: VersionStatus) -> Any:
        try:
            return is_live(self._store, name, status, by_times=False)
        except StoreFormatError:
            return "refused"

    def _latest(self, name: ArtifactName, committed: dict[int, VersionStatus]) -> Any:
        """By the public call; where it raises since something is damaged, by what tells whether a version is live."""
        live = ((version, self._live(name, committed[version])) for version in sorted(committed, reverse=True))
        version, said = next((one for one in live if one[1]), (None, None))
        try:
            newest = self._client.get_artifact(str(name)).version
        except (ArtifactPrunedError, ArtifactErasedError):
            assert (version, said) == (None, None)
            return None
        except StoreFormatError as error:
            damaged = error.key
        else:
            assert (newest, said) == (version, True)
            return newest
        number = version or max(committed)
        told_by = {layout.manifest_key(name, number), layout.tomb_key(name, max(committed))}
        assert damaged in {*told_by, layout.state_key(name, number, committed[number].state or 1)}
        return "refused" if said == "refused" else version

    def _alias(self, name: ArtifactName, alias: str) -> Any:
        try:
            _, version = newest_alias_record(self._store, name, alias)
        except StoreFormatError:
            return "refused"
        return version

    def _claim(self, name: ArtifactName, hashed: str, own: list[dict[str, Any]]) -> Any:
        """What a publish under this key would find."""
        number = max(at["number"] for at in own if at.get("hash") == hashed)
        key = layout.idempotency_key(name, hashed, number)
        try:
            claim = decode_claim(self._read(key), key)
        except StoreFormatError:
            return "refused"
        made: StoredManifest | None = None
        try:
            with suppress(ObjectNotFoundError):
                made = load_manifest(self._store, name, claim.version)
            tomb = tomb_of(self._store, name, claim.version)
        except StoreFormatError:
            standing = "refused"
        else:
            is_own = made is not None and made.manifest.record_id == claim.record_id
            if tomb and (is_own or made is None or made.digest != tomb.manifest_digest):
                standing = "spent"
            elif made is None:
                standing = "open"
            else:
                standing = "done" if is_own else "dead"
        return {"number": number, "version": claim.version, "standing": standing}

    def _notes(self, name: ArtifactName, version: int | None, own: list[dict[str, Any]]) -> dict[str, Any]:
        subject = name if version is None else Reference(name, version)
        numbers = [at["number"] for at in own if at["kind"] == "note" and at["version"] == version]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedRecordWarning)
            read = {notes.number: self._note(notes) for notes in history_on(self._store, subject)}
        try:
            newest = notes_on(self._store, subject)
        except StoreFormatError:
            told: Any = "refused"
        else:
            told = self._note(newest) if newest.number else None
        return {"newest": told, "history": {str(number): read.get(number, "refused") for number in numbers}}

    def _note(self, notes: Notes) -> dict[str, Any]:
        key = layout.note_key(ArtifactName(notes.name), notes.version, notes.number)
        said = {name: getattr(notes, name) for name in ("created_by", "writer", "title", "description")}
        return said | {"created_at": raw(self._read(key))["created_at"], "tags": dict(notes.tags)}

    def _version(self, name: ArtifactName, status: VersionStatus, own: list[dict[str, Any]]) -> dict[str, Any]:
        version = status.version
        made = (loaded.manifest for loaded in consumers(self._store, [(name, version)], problems={}))
        used = {"consumers": sorted(f"{manifest.name}@{manifest.version}" for manifest in made)}
        if status.erased:
            told = self._erased(name, version)
            return used | {"live": False, "erased": told, "manifest_lies_there": status.info is not None}
        digest = digest_of(self._read(layout.manifest_key(name, version)))
        standing = used | {
            "live": self._live(name, status),
            "state": self._state(name, status, digest),
            "manifest_digest": digest,
            "signatures": self._signatures(name, version, digest),
            "notes": self._notes(name, version, own),
        }
        try:
            return standing | {"manifest": self._manifest(name, version)}
        except (StoreFormatError, IntegrityError):
            return standing | {"manifest": "refused"}

    def _state(self, name: ArtifactName, status: VersionStatus, digest: str) -> Any:
        if not status.state:
            return None
        key = layout.state_key(name, status.version, status.state)
        try:
            said = decode_state(self._read(key), key)
        except StoreFormatError:
            return "refused"
        told = {field: getattr(said, field) for field in ("state", "created_by", "note")}
        return told | {"number": status.state, "speaks_of_it": said.manifest_digest == digest}

    def _erased(self, name: ArtifactName, version: int) -> Any:
        """By the error of the call, and by the record."""
        try:
            self._client.get_artifact(str(name), version)
        except ArtifactErasedError as error:
            named = (error.manifest_digest, error.reason)
        except StoreFormatError:
            return "refused"
        tomb = read_tomb(self._store, name, version)
        assert named == (tomb.manifest_digest, tomb.reason)
        said = {field: getattr(tomb, field) for field in ("created_by", "manifest_digest", "previous", "reason")}
        return said | {
            "created_at": raw(self._read(layout.tomb_key(name, version)))["created_at"],
            "previous_agrees": self._agrees(name, version, tomb.previous) if tomb.known_previous else None,
        }

    def _agrees(self, name: ArtifactName, version: int, previous: str | None) -> Any:
        """Whether the version before, or the tomb over it, has the digest that this one has as ``previous``."""
        if version == 1:
            return None
        try:
            if tomb := tomb_of(self._store, name, version - 1):
                agrees: Any = tomb.manifest_digest == previous
            else:
                agrees = digest_of(self._read(layout.manifest_key(name, version - 1))) == previous
        except StoreFormatError:
            agrees = "refused"
        except ObjectNotFoundError:
            agrees = False
        return agrees

    def _signatures(self, name: ArtifactName, version: int, digest: str) -> dict[str, Any]:
        prefix = layout.signatures_prefix(name, version)
        loaded = dataclasses.make_dataclass("Loaded", ["manifest", "digest"])(
            dataclasses.make_dataclass("Named", ["name", "version"])(name, version), digest
        )
        good = {signature.key_id for signature in signatures_of(self._store, loaded)}
        found: dict[str, Any] = {}
        for info in self._store.backend.list_objects(prefix):
            key_id = info.key.removeprefix(prefix).removesuffix(".json")
            read = accepts(self._read(info.key), info.key, {"kind": "signature"})
            found[key_id] = key_id in good if read else "refused"
        return found

    def _manifest(self, name: ArtifactName, version: int) -> dict[str, Any]:
        loaded = load_manifest(self._store, name, version)
        manifest = loaded.manifest
        items = list(Entries(self._store, manifest, as_registered=True).items())
        return {
            "name": str(manifest.name),
            "version": manifest.version,
            "record_id": manifest.record_id,
            "artifact_id": manifest.artifact_id,
            "type": manifest.artifact_type,
            "kind": manifest.kind,
            "created_at": raw(loaded.data)["created_at"],
            "created_by": manifest.created_by,
            "digest": manifest.digest,
            "size": manifest.size,
            "files": manifest.files,
            "folders": manifest.folders,
            "items": [self._item(loaded, item) for item in items],
            "metadata": decoded(manifest.metadata),
            "schema": manifest.schema,
            "inputs": [input_told(used) for used in manifest.inputs],
            "run": manifest.run,
            "code": manifest.code,
            "writer": manifest.extra.get("writer"),
            "previous": manifest.previous,
            "places": [dataclasses.asdict(place) for place in manifest.pointed],
            "previous_agrees": self._agrees(name, version, manifest.previous),
        }

    def _item(self, loaded: Any, item: Any) -> dict[str, Any]:
        if isinstance(item, EmptyFolder):
            return {"path": item.path, "folder": True}
        said = {"path": item.path, "size": item.size}
        if isinstance(item, PointerEntry):
            return said | self._pointer(item)
        stored = {name: getattr(item, name) for name in ("sha256", "key", "crc32c", "executable")}
        return said | stored | {"content": self._content(loaded, item)}

    def _content(self, loaded: Any, entry: Any) -> str:
        """By the call that reads a file, whatever the state of the version."""
        try:
            Artifact(self._client._session, loaded).read_bytes(entry.path)
        except IntegrityError as error:
            return "missing" if error.actual == "missing" else "not what it was"
        except ArtifactPrunedError:  # said of a missing file, where it is the better reason
            return "missing"
        except StoreFormatError as error:  # so too, where the state that would be the better reason cannot be read
            if ".state-" in (error.key or ""):
                return "missing"
            raise
        return "verified"

    def _pointer(self, item: PointerEntry) -> dict[str, Any]:
        evidence = item.evidence
        try:
            leads_to: Any = self._store.relocations.entry(item).uri
        except StoreFormatError:
            leads_to = "refused"
        return {
            "uri": item.uri,
            "version": item.version,
            "evidence": evidence.strength,
            "etag": evidence.etag,
            "modified_ns": None if evidence.modified_ns is None else str(evidence.modified_ns),
            "held": dict(evidence.held),
            "computed": dict(evidence.computed),
            "leads_to": leads_to,
        }
