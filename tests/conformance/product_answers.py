"""Everything that the kit asks of a store, answered by the product."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from product import accepts, record_of
from product_versions import Versions, decoded, input_told, raw

from metamlflow import MetaMLFlowClient
from metamlflow.backend import ObjectInfo
from metamlflow.errors import (
    DamagedRecordWarning,
    IntegrityError,
    MetaMLFlowError,
    NotFoundError,
    ObjectNotFoundError,
    StoreFormatError,
)
from metamlflow.format import layout
from metamlflow.format.documents import format_instant
from metamlflow.format.features import decode_features
from metamlflow.format.manifests import Manifest, decode_manifest
from metamlflow.format.runs import decode_end, decode_input, decode_start
from metamlflow.model.names import ArtifactName
from metamlflow.model.retention import Policy, Protection
from metamlflow.store.catalog.aliases import aliases_of
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.features import check_readable, check_writable, newest_features
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.policies import policies
from metamlflow.store.catalog.protections import protected, protections
from metamlflow.store.catalog.statuses import VersionStatus, is_live, list_versions, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_unknown, unknown_keys
from metamlflow.store.catalog.versions import list_names, newest_alias_record
from metamlflow.store.lineage.runs import load_run
from metamlflow.store.retain.collecting.series import newest_collection
from metamlflow.store.retain.gaps import missed_between, refuse_alias_of_nothing, refuse_protection_of_nothing

MONTH = 30 * 86_400


def copied(store: Path, to: Path) -> Path:
    """A copy of a store, all of whose files are of one time: by what is newer a reader may take a state unread."""
    return Path(shutil.copytree(store, to, copy_function=shutil.copyfile))


def newest_key(store: Store, name: str, alias: str) -> str:
    """The key of the record of an alias that holds."""
    prefix = layout.aliases_prefix(ArtifactName(name), alias)
    return min(info.key for info in store.backend.list_objects(prefix) if record_of(info.key)["kind"] == "alias")


def _refused_by(look: Callable[[], object]) -> str | None:
    """The version that has vanished, as the look says."""
    try:
        look()
    except IntegrityError as error:
        said = record_of(error.key or "")
        return f"{said['name']}@{said['version']}"
    return None


class Answers(Versions):
    """All answers of one store in a folder, by the product."""

    def all(self) -> dict[str, Any]:
        try:
            marker = self._store.marker()
        except NotFoundError:
            return {"marker": "missing"}
        except StoreFormatError:
            if not accepts(self._read(layout.MARKER), layout.MARKER, {"kind": "marker"}):
                return {"marker": "refused", "collector": self._collector()}
            return self._opened("nothing")
        assert marker.store_id == raw(self._read(layout.MARKER))["store_id"]
        try:
            check_writable(newest_features(self._store.backend, self._store.clock))
        except StoreFormatError:
            return self._opened("reading") | self._read_of_it()
        return self._opened("writing") | self._read_of_it()

    def _opened(self, opens_for: str) -> dict[str, Any]:
        marker = raw(self._read(layout.MARKER))
        try:
            found = newest_features(self._store.backend, self._store.clock)
        except StoreFormatError:
            features: Any = "refused"
        else:
            features = {"read": list(found.read), "write": list(found.write)} if found.key else None
            if opens_for != "nothing":
                check_readable(found)
        return {
            "marker": {field: marker[field] for field in ("store_id", "grace_seconds")},
            "features": features,
            "opens_for": opens_for,
            "collector": self._collector(),
        }

    def _read_of_it(self) -> dict[str, Any]:
        keys = [info.key for info in self._store.backend.list_objects("")]
        names = sorted({name for key in keys if (name := layout.name_of_versions_key(key))})
        artifacts = {name: found for name in names if (found := self._artifact(ArtifactName(name), keys)) is not None}
        runs = sorted({record_of(key)["run"] for key in keys if record_of(key)["kind"] == "run start"})
        listed = {str(name) for name in list_names(self._store)}
        every = {str(name) for name in list_names(self._store, include_hidden=True)}
        return {
            "names": sorted(listed & set(artifacts)),
            "hidden": sorted((every - listed) & set(artifacts)),
            "relocations": self._relocations(),
            "policies": self._policies(keys),
            "collection": self._collection(),
            "protections": self._protections(),
            "artifacts": artifacts,
            "runs": {run: self._run(run) for run in runs},
            "distributions": self._distributions(keys),
        }

    # --- what a collector does: by the parts that it is made of, and then by the call itself

    def _collector(self) -> dict[str, Any]:
        keys = sorted(info.key for info in self._store.backend.list_objects(""))
        unknown = sorted(unknown_keys(self._store))
        unread = [key for key in self._read_by_it(keys) if not self._is_read(key)]
        lists = [key for key in keys if layout.parse_features_key(key) and key not in unread]
        decoded = [decode_features(self._read(key), key) for key in lists]
        named = sorted({name for found in decoded for name in (*found.read, *found.write)})
        vanished = [] if unknown or unread or named else self._vanished()
        live = {} if unknown or unread or named or vanished else self._sizes_of_live(keys)
        missing = sorted(live.keys() - set(keys))
        not_whole = sorted(key for key in live.keys() & set(keys) if live[key] != {self._store.backend.stat(key).size})
        stops = bool(unknown or unread or named or vanished or missing or not_whole)
        if layout.MARKER in keys:
            self._refuses(unknown, named, unread)
        manifests = [] if stops else [key for key in keys if record_of(key)["kind"] == "manifest"]
        gone = [key for key in manifests if self._status_of(key).erased]
        kept = set() if stops else {blob for key in keys for blob, _ in self._kept_by(key)}
        frees = [key for key in keys if layout.sha256_of_blob_key(key) and key not in kept]
        self._does(None if stops else (frees, gone))
        found = {"deletes_nothing": stops, "unknown": unknown, "unread": unread, "features": named, "missing": missing}
        found |= {"vanished": vanished, "not_whole": not_whole}
        return found | {"frees": [] if stops else frees, "buries": gone}

    def _vanished(self) -> list[str]:
        store, gone = self._store, []
        for name in names_in_use(store):
            numbers = [status.version for status in list_versions(store, name)]
            gaps = zip([*numbers[1:], 0], numbers, strict=False)
            gone.append(_refused_by(lambda: [list(missed_between(store, name, *gap)) for gap in gaps]))  # noqa: B023
            for alias, version in aliases_of(store, name).items() if self._has_an_odd_state(name) else ():
                if version > numbers[0]:
                    gone.append(_refused_by(partial(refuse_alias_of_nothing, store, name, version, alias)))
        gone += [_refused_by(partial(refuse_protection_of_nothing, store, *at)) for at in protected(store)]
        return sorted({told for told in gone if told})

    def _sizes_of_live(self, keys: list[str]) -> dict[str, set[int]]:
        sizes: dict[str, set[int]] = {}
        for blob, size in (named for key in keys for named in self._kept_by(key, held=False)):
            sizes.setdefault(blob, set()).add(size)
        return sizes

    def _does(self, expected: tuple[list[str], list[str]] | None) -> None:
        """What the call does a month later."""
        if self._within_a_month():
            return
        for path in self._root.rglob("*"):
            os.utime(path, times=(time.time() - MONTH, time.time() - MONTH))
        client = MetaMLFlowClient(self._root.as_uri())
        try:
            plan = client.collect_garbage(dry_run=True, unsafe=True)
            newest_collection(client._store)  # which a plan need not wait for
        except MetaMLFlowError:
            assert expected is None
        else:
            assert (sorted(found.key for found in plan.objects()), sorted(plan.manifests)) == expected

    def _within_a_month(self) -> bool:
        """Whether the grace is longer, so that nothing is old enough; or there is no store that has a grace."""
        try:
            return self._store.marker().grace.total_seconds() >= MONTH
        except (NotFoundError, StoreFormatError):
            return True

    def _refuses(self, unknown: list[str], named: list[str], unread: list[str]) -> None:
        """The call that is there stops at all that needs no manifest."""
        small = {key for key in unread if not key.startswith((layout.ARTIFACTS, layout.COLLECTIONS))}
        try:
            refuse_unknown(self._store)
        except StoreFormatError:
            assert unknown or named or small
        else:
            assert [*unknown, *named, *small] == []

    def _status_of(self, key: str) -> VersionStatus:
        at = record_of(key)
        return version_status(self._store, ArtifactName(at["name"]), at["version"])

    def _read_by_it(self, keys: list[str]) -> list[str]:
        return [key for key in keys if self._has_to_be_read(key)]

    def _has_to_be_read(self, key: str) -> bool:
        at = record_of(key)
        if at["kind"] in {"manifest", "tomb", "state"}:
            return self._is_of_a_version_that_counts(at)
        if at["kind"] == "collection":
            return at["number"] == max(record_of(one.key).get("number", 0) for one in self._collections())
        if at["kind"] == "alias":
            is_newest = newest_key(self._store, at["name"], at["alias"]) == key
            return is_newest and self._has_an_odd_state(ArtifactName(at["name"]))
        return at["kind"] in {"marker", "features"}

    def _has_an_odd_state(self, name: ArtifactName) -> bool:
        try:
            return any(
                status.state % 2 and status.info and not status.erased for status in list_versions(self._store, name)
            )
        except StoreFormatError:  # of before format 1, so it stops anyway
            return False

    def _is_of_a_version_that_counts(self, at: dict[str, Any]) -> bool:
        name = ArtifactName(at["name"])
        try:
            list(list_versions(self._store, name))
        except StoreFormatError:  # of before format 1, so it stops anyway
            return False
        status = version_status(self._store, name, at["version"])
        if at["kind"] == "state":
            return bool(status.state == at["number"] and status.state % 2 and status.info and not status.erased)
        return at["kind"] == "tomb" or not status.erased

    def _collections(self) -> Iterator[ObjectInfo]:
        return self._store.backend.list_objects(layout.COLLECTIONS)

    def _is_read(self, key: str) -> bool:
        at, data = record_of(key), self._read(key)
        try:
            if at["kind"] == "manifest":
                list(self._entries(self._manifest_at(key)).items())
        except (StoreFormatError, IntegrityError):
            return False
        return accepts(data, key, at)

    def _manifest_at(self, key: str) -> Manifest:
        at = record_of(key)
        return decode_manifest(self._read(key), key, ArtifactName(at["name"]), at["version"])

    def _entries(self, manifest: Manifest) -> Entries:
        return Entries(self._store, manifest, as_registered=True)

    def _kept_by(self, key: str, *, held: bool = True) -> list[tuple[str, int]]:
        """The blobs, with their sizes, of the version at a key if it is live or, with ``held``, held otherwise."""
        if record_of(key)["kind"] != "manifest" or (status := self._status_of(key)).erased:
            return []
        manifest = self._manifest_at(key)
        if not is_live(self._store, manifest.name, status, by_times=False) and not (held and self._is_held(manifest)):
            return []
        content = [held for item in self._entries(manifest).items() for held in item.objects()]
        return [(named.key, named.size) for named in (*(manifest.shards or ()), *content)]

    def _is_held(self, manifest: Manifest) -> bool:
        if protected(self._store, manifest.name, manifest.version):
            return True
        listed = self._store.backend.list_objects(layout.every_alias_prefix(manifest.name))
        aliases = {alias for info in listed if (alias := layout.alias_of_key(manifest.name, info.key))}
        named = [newest_alias_record(self._store, manifest.name, alias)[1] for alias in aliases]
        return manifest.version in named

    def _policies(self, keys: list[str]) -> Any:
        number = max((number for key in keys if (number := layout.parse_policies_key(key))), default=None)
        try:
            found = policies(self._store)
        except StoreFormatError:
            return "refused"
        told = [self._policy(policy) for policy in found]
        assert number or not told
        return {"number": number, "policies": told} if number else None

    def _policy(self, policy: Policy) -> dict[str, Any]:
        rules = policy.rules
        seconds = None if rules.older_than is None else int(rules.older_than.total_seconds())
        return {
            "pattern": str(policy.pattern),
            "keep_last": rules.keep_last,
            "older_than_seconds": seconds,
            "where": rules.where,
            "note": policy.note,
            "created_at": format_instant(policy.created_at),
            "created_by": policy.created_by,
        }

    def _collection(self) -> Any:
        try:
            newest = newest_collection(self._store)
        except StoreFormatError:
            return "refused"
        if newest.record is None:
            return None
        said = {name: getattr(newest.record, name) for name in ("record_id", "created_by", "collection", "phase")}
        return said | {"unclear": newest.record.unclear, "number": newest.number}

    def _protections(self) -> list[dict[str, Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedRecordWarning)
            read = {(one.name, one.version, one.number): one for one in protections(self._store)}
        told = []
        for (name, version), numbers in sorted(protected(self._store).items()):
            for number in numbers:
                at = {"name": str(name), "version": version, "number": number}
                one = read.get((str(name), version, number))
                told.append(at | {"record": "refused" if one is None else self._protection(one)})
        return told

    def _protection(self, one: Protection) -> dict[str, Any]:
        key = layout.protection_key(ArtifactName(one.name), one.version, one.number)
        said = {"created_at": raw(self._read(key))["created_at"]}
        return said | {"created_by": one.created_by, "note": one.note}

    def _relocations(self) -> Any:
        try:
            rules = self._store.relocations.rules(fresh=True)
        except StoreFormatError:
            return "refused"
        found = []
        for number, rule in reversed(rules):
            key = layout.relocation_key(number)
            found.append({"record_id": raw(self._read(key))["record_id"], "old": rule.old, "new": rule.new})
        return found

    def _distributions(self, keys: list[str]) -> dict[str, Any]:
        found = {}
        for key in keys:
            digest = key.rpartition("/")[2].removesuffix(".txt")
            if key == layout.distributions_key(digest) and len(digest) == 64:
                data = self._read(key)
                found[digest] = data.decode().splitlines() if hashlib.sha256(data).hexdigest() == digest else "refused"
        return found

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
                found.append(input_told(decode_input(self._read(info.key), info.key)[1]))
            except StoreFormatError:
                found.append("refused")
        return found

    def _start(self, start: Any) -> dict[str, Any]:
        key = layout.run_key(start.run_id, "start")
        said = {name: getattr(start, name) for name in ("name", "parent", "user", "host", "code", "environment")}
        return said | {"created_at": raw(self._read(key))["created_at"], "params": decoded(start.params)}

    def _end(self, run: str, end: Any) -> dict[str, Any]:
        return {
            "created_at": raw(self._read(layout.run_key(run, "end")))["created_at"],
            "outcome": end.outcome,
            "error_type": end.error_type,
            "metrics": decoded(end.metrics),
            "series": {
                name: [[step, decoded(value)] for step, value in points] for name, points in sorted(end.series.items())
            },
            "notes": list(end.notes),
            "outputs": [input_told(made) for made in end.outputs],
        }
