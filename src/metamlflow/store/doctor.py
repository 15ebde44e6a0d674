"""Examine a store and its location, check by check; and report the permissions that a role needs.

Nothing is created and nothing is written, except for the probe that every writer makes too: it tries to create the
marker of an existing store again with its own bytes, which the storage must refuse.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

from metamlflow._looks import counted, grid_of
from metamlflow.backend import Backend
from metamlflow.backend.diagnosis import (
    AccessPolicy,
    AdvisesAccess,
    Create,
    Diagnosable,
    Examination,
    Observation,
    Role,
    StoreKeys,
    Verdict,
    installed_versions,
)
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    redact,
)
from metamlflow.format.documents import FORMAT
from metamlflow.format.layout import (
    ARTIFACTS,
    BLOBS,
    CACHE,
    COLLECTIONS,
    EDGES,
    FEATURES,
    MARKER,
    NAMES,
    POLICIES,
    PROTECTIONS,
    RELOCATIONS,
    RUNS,
    SIGNATURES,
    STATES,
    name_key,
    name_of_versions_key,
)
from metamlflow.format.records import decode_marker
from metamlflow.model.names import ArtifactName
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.features import newest_features
from metamlflow.store.catalog.store import Store, lists_marker

_KEYS = StoreKeys(
    MARKER,
    (NAMES, ARTIFACTS, EDGES, RUNS, SIGNATURES, RELOCATIONS, FEATURES, POLICIES, PROTECTIONS, COLLECTIONS),
    BLOBS,
    STATES,
    COLLECTIONS,
    (ARTIFACTS, SIGNATURES, CACHE, PROTECTIONS),
    (POLICIES, PROTECTIONS),
)

_NEWER = "A newer metamlflow turned them on; update yours."
_LITTLE_ROOM = 1024**3
_SOME_KEYS, _MANY_KEYS = 1000, 10_000  # keys that a check reads at most, however many the store has
_SHOWN = 5
_CACHE_ELSEWHERE = "Set METAMLFLOW_CACHE_DIR to another folder."
_UNHONOURED = (
    "Do not write here. Use a storage that honours conditional writes (If-None-Match, ifGenerationMatch, link); "
    "reading works as before."
)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: the name of the check: the same in every release.
        verdict: ``ok``, ``warning`` (a cost, or a future risk), ``failed`` or ``unknown`` (could not be determined).
        found: the facts, without secrets.
        remedy: the recommended action; None if all is well.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the check as JSON values."""
        return {"name": self.name, "verdict": self.verdict, "found": self.found, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of examining a store. True in a condition if no check failed.

    Attributes:
        uri: the URI of the store.
        checks: the checks that were made, in order.
    """

    uri: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not any(check.verdict == "failed" for check in self.checks)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        worst = [f"{check.verdict}: {check.name}" for check in self.checks if check.verdict in {"failed", "warning"}]
        return f"<Diagnosis of {self.uri}: {', '.join(worst) or counted(len(self.checks), 'check') + ', all well'}>"

    def _repr_html_(self) -> str:
        rows = ((check.name, check.verdict, check.found, check.remedy or "") for check in self.checks)
        return grid_of(f"Diagnosis of {self.uri}", ("check", "verdict", "found", "remedy"), rows)

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values."""
        return {"uri": self.uri, "ok": self.ok, "checks": [check.to_json() for check in self.checks]}


def examine(store: Store, cache: FileCache) -> Iterator[Check]:
    """Run every check in order, whatever the checks find; yield each as it completes.

    Args:
        store: the store to examine. It need not exist.
        cache: the local cache that a client would use.
    """
    examined = _Examined(store.backend)
    yield _made(Examination("versions", _versions, remote=False), examined)
    yield _made(Examination("cache", partial(_cache, cache), vital=True, remote=False), examined)
    for examination in examined.own():
        yield _made(examination, examined)
    if isinstance(examined.backend, Diagnosable):
        for examination in examined.backend.examinations(MARKER):
            yield _made(examination, examined)


def access_policy(store: Store, role: Role) -> AccessPolicy:
    """Return the smallest set of permissions that ``role`` needs for a store. No request.

    Raises:
        InvalidInputError: the role is unknown, or the backend does not offer a policy.
    """
    if role not in get_args(Role):
        raise InvalidInputError(f"unknown role {role!r:.80}: use {', '.join(map(repr, get_args(Role)))}")
    if not isinstance(store.backend, AdvisesAccess):
        raise InvalidInputError(
            f"the backend of {store.url} does not offer a policy", hint="docs/doctor.md says what each role does."
        )
    return store.backend.access_policy(role, _KEYS)


def _made(examination: Examination, examined: _Examined) -> Check:
    """Run one check; an error in it becomes its finding and does not prevent the others."""
    name = examination.name
    if examination.remote and not examined.answers:
        return Check(name, "unknown", "not asked, since the storage does not answer")
    trouble: Verdict = "failed" if examination.vital else "unknown"
    try:
        finding = examination.look()
    except MetaMLFlowError as error:
        return Check(name, trouble, error.message, error.hint)
    except Exception as error:  # noqa: BLE001 (an unexpected error of a client must not hide the other checks)
        return Check(name, trouble, redact(f"{type(error).__name__}: {error}"))
    return Check(name, finding.verdict, finding.found, finding.remedy)


@dataclass
class _Examined:
    """The facts found so far that later checks need."""

    backend: Backend
    answers: bool = True
    marker: bytes | None = None
    permitted: dict[str, bool] = field(default_factory=dict)
    features_are_known: bool = False

    def own(self) -> Iterator[Examination]:
        """Yield the checks that apply to every backend, in order."""
        yield Examination("store", self._note("get", self._store), vital=True)
        yield Examination("features", self._note("list", self._features), vital=True)
        yield Examination("listing", self._note("list", self._listing), vital=True)
        yield Examination("reading", self._note("get", self._reading), vital=True)
        if isinstance(self.backend, Diagnosable):
            for engine, create in self.backend.creators().items():
                yield Examination(f"conditional-writes-{engine}", partial(self._probe, create))
        else:
            yield Examination("conditional-writes", partial(self._probe, self.backend.create))
        yield Examination("permissions", self._permissions)

    def _note(self, permission: str, look: Callable[[], Observation]) -> Callable[[], Observation]:
        def noting() -> Observation:
            """Run the check and record whether these credentials have the permission."""
            try:
                finding = look()
            except AccessDeniedError:
                self.permitted[permission] = False
                raise
            self.permitted.setdefault(permission, True)
            return finding

        return noting

    def _store(self) -> Observation:
        try:
            self.marker = read_record(self.backend, MARKER)
        except ObjectNotFoundError:
            return self._no_store()
        except StorageUnavailableError:
            self.answers = False
            raise
        marker = decode_marker(self.marker)
        grace = str(marker.grace).removesuffix(", 0:00:00")
        return Observation(
            "ok",
            f"format {FORMAT}, id {marker.store_id}, created {marker.created_at:%Y-%m-%d}, grace {grace}",
        )

    def _no_store(self) -> Observation:
        other = next(iter(self.backend.list_objects("", limit=1)), None)
        if other is not None:
            return Observation(
                "failed",
                f"{self.backend.url} holds something that is not a metamlflow store: {other.key}",
                "Choose an empty or new place for the store.",
            )
        return Observation(
            "warning",
            f"there is no store at {self.backend.url} yet",
            "Check the URI. The first registration creates a store, and so does `metamlflow init`.",
        )

    def _features(self) -> Observation:
        if self.marker is None:
            return Observation("unknown", "none turned on: there is no store")
        features = newest_features(self.backend, Clock())
        self.features_are_known = not features.unknown_to_writers()
        if not features:
            return Observation("ok", "none turned on")
        told = f"for readers: {', '.join(features.read) or 'none'}; for writers: {', '.join(features.write) or 'none'}"
        if features.unknown_to_readers():
            return Observation("failed", f"{told}; this library can neither read nor write here", _NEWER)
        if features.unknown_to_writers():
            return Observation("warning", f"{told}; this library can read here, and not write", _NEWER)
        return Observation("ok", told)

    def _listing(self) -> Observation:
        listed = lists_marker(self.backend)
        if self.marker is not None and not listed:
            return Observation(
                "failed",
                "the marker can be read, but the listing does not show it",
                "Use a storage whose listings are complete at once: versions are found by listing.",
            )
        if self.marker is not None and (nameless := self._nameless()):
            return nameless
        return Observation("ok", "the marker is listed" if listed else "an empty listing came back")

    def _reading(self) -> Observation:
        if self.marker is None:
            return Observation("unknown", "nothing to read: there is no store")
        blob = next(iter(self.backend.list_objects(BLOBS, limit=1)), None)
        if blob is None:
            return Observation("ok", "the marker was read; there is no content yet")
        self.backend.stat(blob.key)
        self.backend.read(blob.key, 0, 1)
        return Observation("ok", f"the first byte of {blob.key}")

    def _nameless(self) -> Observation | None:
        """Report names that have versions but no record: lists of names omit them."""
        listed = self.backend.list_objects(ARTIFACTS, limit=_SOME_KEYS)
        names = dict.fromkeys(name for info in listed if (name := name_of_versions_key(info.key)))
        recorded = {info.key for info in self.backend.list_objects(NAMES, limit=_MANY_KEYS)} if names else set()
        lost = [name for name in names if not self._has_record(ArtifactName(name), recorded)]
        if not lost:
            return None
        some = ", ".join(lost[:_SHOWN]) + (" and others" if len(lost) > _SHOWN else "")
        return Observation(
            "warning",
            f"{len(lost)} of {len(names)} names that were looked at have versions and no record, so lists of names "
            f"leave them out: {some}",
            "Their versions can be read as before. A client that gets such an artifact and then registers its next "
            "version writes the record again.",
        )

    def _has_record(self, name: ArtifactName, recorded: set[str]) -> bool:
        key = name_key(name)
        if key in recorded or len(recorded) < _MANY_KEYS:
            return key in recorded
        try:
            self.backend.stat(key)
        except ObjectNotFoundError:
            return False
        return True

    def _probe(self, create: Create) -> Observation:
        """Try to create the marker again with its own bytes: the storage must refuse; acceptance changes nothing."""
        if self.marker is None:
            return Observation("unknown", "not probed, because no store exists and doctor creates none")
        if not self.features_are_known:
            return Observation("unknown", "not probed: whoever does not know the store's features writes nothing there")
        try:
            create(MARKER, self.marker)
        except AlreadyExistsError:
            self.permitted["put"] = True
            return Observation("ok", "a second creation of the marker was refused")
        except AccessDeniedError as error:
            self.permitted["put"] = False
            return Observation(
                "warning",
                f"not probed, because these credentials may not create objects: {error.message}",
                "Enough for a reader. `metamlflow policy --role writer` prints the permissions of a writer.",
            )
        except StorageUnavailableError:
            raise
        except StorageError as error:  # permanent: nothing can ever be registered here
            return Observation("failed", error.message, error.hint or _UNHONOURED)
        return Observation(
            "failed", "a second creation of one key was accepted: two writers could both win", _UNHONOURED
        )

    def _permissions(self) -> Observation:
        words = {True: "yes", False: "no", None: "not known"}
        told = ", ".join(f"{name}: {words[self.permitted.get(name)]}" for name in ("get", "list", "put"))
        found = f"{told}, delete: not tested, because a test could delete"
        if not all(self.permitted.get(name, True) for name in ("get", "list")):
            return Observation("failed", found, "`metamlflow policy --role reader` prints the permissions for reading.")
        if not self.permitted.get("put", True):
            return Observation("warning", found, "`metamlflow policy --role writer` prints a writer's permissions.")
        return Observation("ok" if len(self.permitted) == 3 else "unknown", found)  # noqa: PLR2004 (get, list and put)


def _versions() -> Observation:
    python = ".".join(map(str, sys.version_info[:3]))
    return Observation("ok", f"python {python}, {installed_versions('metamlflow', 'fsspec')}")


def _cache(cache: FileCache) -> Observation:
    place = cache.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    used = f"{cache.size():,} bytes used" if place == cache.root else "not made yet"
    found = f"{cache.root}: {used}, {cache.max_bytes:,} allowed, {free:,} free on its disk"
    if place == cache.root and place.stat().st_uid != os.geteuid():
        return Observation("warning", f"{found}; it belongs to another user", _CACHE_ELSEWHERE)
    if not os.access(place, os.W_OK | os.X_OK):
        return Observation("warning", f"{found}; {place} cannot be written", _CACHE_ELSEWHERE)
    if free < _LITTLE_ROOM:
        return Observation("warning", f"{found}; that is little", f"Free some space. {_CACHE_ELSEWHERE}")
    return Observation("ok", found)
