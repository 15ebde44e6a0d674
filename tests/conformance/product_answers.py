"""Everything that the kit asks of a store, answered by the product."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

from product import accepts, record_of

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Artifact
from metamlflow.errors import (
    ArtifactPrunedError,
    IntegrityError,
    MetaMLFlowError,
    NotFoundError,
    ObjectNotFoundError,
    StoreFormatError,
)
from metamlflow.format import layout
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import decode_claim, decode_state
from metamlflow.format.runs import decode_end, decode_input, decode_start
from metamlflow.model import metadata
from metamlflow.model.manifests import EmptyFolder, Input
from metamlflow.model.names import ArtifactName
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.unknown import unknown_keys
from metamlflow.store.catalog.versions import all_statuses, load_manifest, newest_alias_record
from metamlflow.store.lineage.edges import consumers
from metamlflow.store.lineage.runs import load_run
from metamlflow.store.verify.signatures import signatures_of


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


def _decoded(value: Any) -> Any:
    return tagged(metadata.decode(value))


def _input(used: Input) -> dict[str, Any]:
    return {
        "name": str(used.name),
        "version": used.version,
        "manifest_digest": used.manifest_digest,
        "role": used.role,
    }


class Answers:
    """All answers of one store in a folder, by the product."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._client = MetaMLFlowClient(root.as_uri())
        self._store = self._client._store

    def all(self) -> dict[str, Any]:
        collector = self._collector
        try:
            marker = self._store.marker()
        except StoreFormatError:
            return {"marker": "refused", "collector": collector()}
        except NotFoundError:
            return {"marker": "missing"}
        keys = [info.key for info in self._store.backend.list_objects("")]
        names = sorted({name for key in keys if (name := layout.name_of_versions_key(key))})
        artifacts = {name: found for name in names if (found := self._artifact(ArtifactName(name), keys)) is not None}
        runs = sorted({record_of(key)["run"] for key in keys if record_of(key)["kind"] == "run start"})
        return {
            "marker": {"store_id": marker.store_id, "grace_seconds": int(marker.grace.total_seconds())},
            "names": sorted({name for key in keys if (name := layout.name_of_key(key))} & set(artifacts)),
            "relocations": self._relocations(),
            "artifacts": artifacts,
            "runs": {run: self._run(run) for run in runs},
            "distributions": self._distributions(keys),
            "collector": collector(),
        }

    def _read(self, key: str) -> bytes:
        return bytes(self._store.backend.read(key))

    def _collector(self) -> dict[str, Any]:
        unknown = sorted(unknown_keys(self._store))
        keys = sorted(info.key for info in self._store.backend.list_objects(""))
        unread = [key for key in keys if record_of(key)["kind"] == "manifest" and not self._is_read(key)]
        if layout.MARKER in keys and not accepts(self._read(layout.MARKER), layout.MARKER, {"kind": "marker"}):
            unread.insert(0, layout.MARKER)
        return {"deletes_nothing": bool(unknown or unread), "unknown": unknown, "unread": unread}

    def _is_read(self, key: str) -> bool:
        at = record_of(key)
        try:
            manifest = load_manifest(self._store, ArtifactName(at["name"]), at["version"]).manifest
            list(Entries(self._store, manifest, as_registered=True).items())
        except (StoreFormatError, IntegrityError):
            return False
        return True

    def _relocations(self) -> Any:
        try:
            rules = self._store.relocations.rules(fresh=True)
        except StoreFormatError:
            return "refused"
        found = []
        for number, rule in reversed(rules):
            key = layout.relocation_key(number)
            found.append({"record_id": _record_id(self._read(key)), "old": rule.old, "new": rule.new})
        return found

    def _distributions(self, keys: list[str]) -> dict[str, Any]:
        found = {}
        for key in keys:
            digest = key.rpartition("/")[2].removesuffix(".txt")
            if key == layout.distributions_key(digest) and len(digest) == 64:
                data = self._read(key)
                found[digest] = data.decode().splitlines() if hashlib.sha256(data).hexdigest() == digest else "refused"
        return found

    def _artifact(self, name: ArtifactName, keys: list[str]) -> Any:
        try:
            statuses = {status.version: status for status in all_statuses(self._store, name)}
        except StoreFormatError:
            return "refused"
        committed = {version: status for version, status in sorted(statuses.items()) if status.committed}
        if not committed:
            return None
        own = [record_of(key) for key in keys]
        aliases = sorted({at["alias"] for at in own if at["kind"] == "alias" and at["name"] == name})
        hashes = sorted({at["hash"] for at in own if at["kind"] == "claim" and at["name"] == name})
        return {
            "latest": self._latest(name, committed),
            "aliases": {alias: self._alias(name, alias) for alias in aliases},
            "claims": {hashed: self._claim(name, hashed, own) for hashed in hashes},
            "versions": {
                str(version): self._version(name, version, status.state) for version, status in committed.items()
            },
        }

    def _latest(self, name: ArtifactName, committed: dict[int, Any]) -> int | None:
        """By the public calls; where the newest manifest is damaged, by the listing alone."""
        live = self._client.list_versions(name)
        try:
            assert self._client.get_artifact(name).version == live[-1]
        except ArtifactPrunedError:
            assert not live
        except StoreFormatError:
            assert committed[live[-1]].available
        return live[-1] if live else None

    def _alias(self, name: ArtifactName, alias: str) -> Any:
        try:
            _, version = newest_alias_record(self._store, name, alias)
        except StoreFormatError:
            return "refused"
        return version

    def _claim(self, name: ArtifactName, hashed: str, own: list[dict[str, Any]]) -> Any:
        number = max(at["number"] for at in own if (at.get("name"), at.get("hash")) == (name, hashed))
        key = layout.idempotency_key(name, hashed, number)
        try:
            claim = decode_claim(self._read(key), key)
        except StoreFormatError:
            return "refused"
        try:
            made = load_manifest(self._store, name, claim.version).manifest
        except ObjectNotFoundError:
            standing = "open"
        else:
            standing = "done" if made.record_id == claim.record_id else "dead"
        return {"number": number, "version": claim.version, "standing": standing}

    def _version(self, name: ArtifactName, version: int, state: int) -> dict[str, Any]:
        said = None
        if state:
            key = layout.state_key(name, version, state)
            try:
                said = decode_state(self._read(key), key)
            except StoreFormatError:
                said = "refused"
        data = self._read(layout.manifest_key(name, version))
        made = (loaded.manifest for loaded in consumers(self._store, [(name, version)]))
        standing = {
            "live": state % 2 == 0,
            "state": said,
            "manifest_digest": digest_of(data),
            "signatures": self._signatures(name, version, digest_of(data)),
            "consumers": sorted(f"{manifest.name}@{manifest.version}" for manifest in made),
        }
        try:
            return standing | {"manifest": self._manifest(name, version)}
        except (StoreFormatError, IntegrityError):
            return standing | {"manifest": "refused"}

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
            "created_at": _raw(loaded.data)["created_at"],
            "created_by": manifest.created_by,
            "digest": manifest.digest,
            "size": manifest.size,
            "files": manifest.files,
            "folders": manifest.folders,
            "items": [self._item(loaded, item) for item in items],
            "metadata": _decoded(manifest.metadata),
            "schema": manifest.schema,
            "inputs": [_input(used) for used in manifest.inputs],
            "run": manifest.run,
            "code": manifest.code,
            "writer": manifest.extra.get("writer"),
            "previous": manifest.previous,
            "places": [dataclasses.asdict(place) for place in manifest.pointed],
            "previous_agrees": self._previous_agrees(manifest),
        }

    def _previous_agrees(self, manifest: Any) -> bool | None:
        if manifest.version == 1:
            return None
        key = layout.manifest_key(manifest.name, manifest.version - 1)
        try:
            return digest_of(self._read(key)) == manifest.previous
        except ObjectNotFoundError:
            return False

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

    def _run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = {"start": None, "end": None, "inputs": []}
        try:
            record = load_run(self._store, run)
        except MetaMLFlowError:
            return found | self._run_by_record(run)
        found["start"] = self._start(record.start)
        found["end"] = None if record.end is None else self._end(run, record.end)
        found["inputs"] = self._run_inputs(run)
        return found

    def _run_by_record(self, run: str) -> dict[str, Any]:
        """A run of which one record is damaged: the product refuses all of it, the kit tells which."""
        found: dict[str, Any] = {}
        for part, decode, shown in (("start", decode_start, self._start), ("end", decode_end, partial(self._end, run))):
            key = layout.run_key(run, part)
            try:
                data = self._read(key)
                found[part] = shown(decode(data, key, run) if part == "start" else decode(data, key))
            except ObjectNotFoundError:
                found[part] = None
            except StoreFormatError:
                found[part] = "refused"
        return found | {"inputs": self._run_inputs(run)}

    def _run_inputs(self, run: str) -> list[Any]:
        found: list[Any] = []
        for info in self._store.backend.list_objects(layout.run_inputs_prefix(run)):
            if not layout.parse_run_input_key(run, info.key):
                continue
            try:
                found.append(_input(decode_input(self._read(info.key), info.key)[1]))
            except StoreFormatError:
                found.append("refused")
        return found

    def _start(self, start: Any) -> dict[str, Any]:
        key = layout.run_key(start.run_id, "start")
        said = {name: getattr(start, name) for name in ("name", "parent", "user", "host", "code", "environment")}
        return said | {"created_at": _raw(self._read(key))["created_at"], "params": _decoded(start.params)}

    def _end(self, run: str, end: Any) -> dict[str, Any]:
        return {
            "created_at": _raw(self._read(layout.run_key(run, "end")))["created_at"],
            "outcome": end.outcome,
            "error_type": end.error_type,
            "metrics": _decoded(end.metrics),
            "notes": list(end.notes),
            "outputs": [_input(made) for made in end.outputs],
        }


def _raw(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data)
    return found


def _record_id(data: bytes) -> str:
    return str(_raw(data)["record_id"])
