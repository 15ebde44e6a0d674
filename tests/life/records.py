"""What lies in a bucket, read past the library, and what must hold of it after each request that wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stage import GRACE, Request, Time

from metamlflow.testing import MemoryBucket, StoredObject

LAST = 9_999_999_999
Version = tuple[str, int]


@dataclass
class Found:
    """One version as its records say it."""

    manifest: dict[str, Any] | None = None
    digest: str = ""
    keys: frozenset[str] = frozenset()
    states: dict[int, tuple[dict[str, Any], StoredObject]] = field(default_factory=dict)
    tomb: dict[str, Any] | None = None

    @property
    def newest(self) -> tuple[dict[str, Any], StoredObject] | None:
        return self.states[max(self.states)] if self.states else None

    @property
    def holding_state(self) -> tuple[dict[str, Any], StoredObject] | None:
        """The odd state that hides it, or None: one that speaks of another manifest hides nothing."""
        if not self.states or max(self.states) % 2 == 0 or self.newest is None:
            return None
        return self.newest if self.newest[0]["manifest_digest"] == self.digest else None

    @property
    def is_live(self) -> bool:
        return self.manifest is not None and self.tomb is None and self.holding_state is None


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Records:
    """One store: its bucket, what was ever seen in it, and what clients were told of it."""

    def __init__(self, label: str, time: Time, source: Records | None = None) -> None:
        """``source``: the store that migrations bring versions and erasures from."""
        self.label, self.time, self.source = label, time, source
        self.bucket = MemoryBucket(clock=lambda: time.now)
        self.first: dict[Version, str] = {}
        self.was_live: set[Version] = set()
        self.tombs: dict[Version, str] = {}
        self.acknowledged: dict[Version, str] = {}
        self.aliased: dict[tuple[str, str], tuple[int, int]] = {}  # the number of the record, and the version
        self.protected: set[tuple[str, int, int]] = set()
        self.pruned_ids: set[str] = set()  # records of prunes that told their success
        self.may_be_given_up: set[str] = set()
        self.refused_ids: set[str] = set()
        self._parsed: dict[str, tuple[StoredObject, Any]] = {}

    # --- reading ------------------------------------------------------------------------------------------------------

    def document(self, key: str) -> Any:
        stored = self.bucket.objects[key]
        known = self._parsed.get(key)
        if known is None or known[0] is not stored:
            known = self._parsed[key] = stored, json.loads(stored.data)
        return known[1]

    def versions(self) -> dict[Version, Found]:
        found: dict[Version, Found] = {}
        for key, stored in self.bucket.objects.items():
            name, slash, rest = key.removeprefix("artifacts/").partition("/_versions/")
            if not slash or not key.startswith("artifacts/"):
                continue
            version = found.setdefault((name, LAST - int(rest[:10])), Found())
            document = self.document(key)
            if ".state-" in rest:
                version.states[LAST - int(rest[-15:-5])] = document, stored
            elif ".tomb" in rest:
                version.tomb = document
            else:
                version.manifest, version.digest = document, digest_of(stored.data)
                version.keys = frozenset(entry["key"] for entry in document["entries"])
        return found

    def alias(self, name: str, alias: str) -> tuple[int, int | None]:
        """The number of the newest record of an alias, and what it stands for."""
        prefix = f"artifacts/{name}/_aliases/{alias}/"
        keys = sorted(key for key in self.bucket.objects if key.startswith(prefix))
        if not keys:
            return 0, None
        return LAST - int(keys[0].removeprefix(prefix)[:10]), self.document(keys[0])["version"]

    def protections(self) -> Iterator[tuple[str, int, int]]:
        """Those in force."""
        for key in self.bucket.objects:
            if key.startswith("protections/") and not key.endswith(".end.json"):
                if key.replace(".json", ".end.json") in self.bucket.objects:
                    continue
                name, _, rest = key.removeprefix("protections/").rpartition("/_v")
                version, _, number = rest.partition("/")
                yield name, int(version), LAST - int(number[:10])

    def newest_number(self, name: str) -> int:
        return max(
            (v for (n, v), found in self.versions().items() if n == name and (found.manifest or found.tomb)), default=0
        )

    # --- what must hold -----------------------------------------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise AssertionError if anything is lost, or stands for something else than before."""
        versions, objects = self.versions(), self.bucket.objects
        for at, found in versions.items():
            self._check_number(at, found)
            if found.manifest is None or found.tomb is not None:
                continue
            missing = [key for key in found.keys if key not in objects]
            if found.is_live:
                assert not missing, f"{self.label}: {at} is live without {missing}"
                self.was_live.add(at)
            elif at in self.was_live and (state := found.holding_state) and state[0]["state"] == "pruned":
                young = self.time.now - state[1].modified <= GRACE
                assert not (missing and young), f"{self.label}: {at} is in its grace and lost {missing}"
        for at in self.first:
            found = versions.get(at, Found())
            assert found.manifest or found.tomb, f"{self.label}: {at} is gone"
        for at, digest in self.tombs.items():
            tomb = versions[at].tomb
            assert tomb, f"{self.label}: the tomb of {at} is gone"
            assert tomb["manifest_digest"] == digest, f"{self.label}: another tomb of {at}"
        self._check_what_was_told(versions)
        if request.verb == "delete":
            self._check_held(versions)

    def _check_number(self, at: Version, found: Found) -> None:
        if found.tomb is not None:
            digest = self.tombs.setdefault(at, found.tomb["manifest_digest"])
            assert self.first.get(at, digest) == digest, f"{self.label}: the tomb of {at} speaks of another"
        if found.manifest is None:
            return
        assert found.tomb is not None or self.first.setdefault(at, found.digest) == found.digest, (
            f"{self.label}: {at} has another manifest than before"
        )
        assert found.manifest["record_id"] not in self.refused_ids, f"{self.label}: {at} was told to have failed"
        before = at[0], at[1] - 1
        if at[1] > 1:
            assert before in self.first or before in self.tombs, f"{self.label}: there is no version before {at}"

    def _check_what_was_told(self, versions: dict[Version, Found]) -> None:
        for at, digest in self.acknowledged.items():
            found = versions[at]
            assert self.first.get(at, digest) == digest, f"{self.label}: {at} is another than was told"
            if at[0] not in self.may_be_given_up:
                assert found.is_live, f"{self.label}: {at} was published and is hidden"

    def check_holders(self) -> None:
        """Of a prune and of who names or protects the version, one at least notices, and does not tell success."""
        versions = self.versions()
        current = {
            (name, version, f"the alias {alias}")
            for (name, alias), (number, version) in self.aliased.items()
            if self.alias(name, alias)[0] == number
        }
        current |= {(n, v, f"protection {number}") for n, v, number in set(self.protections()) & self.protected}
        for name, version, holder in current:
            state = versions[name, version].holding_state
            pruned = state is not None and state[0]["record_id"] in self.pruned_ids
            assert not pruned, f"{self.label}: {name}@{version} was pruned although {holder} holds it"

    def _check_held(self, versions: dict[Version, Found]) -> None:
        for (name, alias), (number, version) in self.aliased.items():
            if self.alias(name, alias)[0] == number:
                self._assert_whole(versions, (name, version), f"the alias {alias} names it")
        for name, version, number in set(self.protections()) & self.protected:
            self._assert_whole(versions, (name, version), f"protection {number} holds it")

    def _assert_whole(self, versions: dict[Version, Found], at: Version, why: str) -> None:
        found = versions[at]
        if found.tomb is not None and self.source is not None and at in self.source.tombs:
            return  # an erasure of the source holds here, whatever names the version
        assert found.manifest is not None, f"{self.label}: {at} was erased although {why}"
        assert found.tomb is None, f"{self.label}: {at} was erased although {why}"
        missing = [key for key in found.keys if key not in self.bucket.objects]
        assert not missing, f"{self.label}: {at} lost {missing} although {why}"

    def check_deletion(self, key: str) -> None:
        """What is deleted from the content is old; that nobody needs it, the other checks tell."""
        stored = self.bucket.objects.get(key)
        if stored is not None and key.startswith("blobs/"):
            age = self.time.now - stored.modified
            assert age > GRACE, f"{self.label}: {key} was deleted at an age of {age}"
