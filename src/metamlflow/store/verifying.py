"""Looking whether what a version names is there, and is what was registered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from metamlflow.errors import IntegrityError, ObjectNotFoundError, StorageError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import digest_of
from metamlflow.model.manifests import Entry, Manifest
from metamlflow.store.claiming import retried
from metamlflow.store.entries import Entries
from metamlflow.store.opening import Store
from metamlflow.store.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.reading import bytes_in_memory, copy_entry, damaged, missing
from metamlflow.store.transfer import in_parallel
from metamlflow.store.versions import Loaded

Level = Literal["full", "checksum", "stat"]
LEVELS: tuple[Level, ...] = ("full", "checksum", "stat")
Status = Literal["modified", "missing", "unreadable", "unverifiable"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was registered.

    Attributes:
        path: the file's logical path; empty for the manifest or its list of files.
        status: ``modified``, ``missing``, ``unreadable`` (the storage failed) or ``unverifiable`` (not at this level).
        key: the object in the store.
        expected: what was registered.
        actual: what was found.
    """

    path: str
    status: Status
    key: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found. True in a condition if all is well.

    Attributes:
        name: of the artifact.
        version: its number.
        level: that was asked for.
        files: how many the version has.
        bytes: how many were read.
        findings: everything that is not as registered, in path order.
    """

    name: str
    version: int
    level: Level
    files: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as it was registered."""
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_failed(self) -> None:
        """Raise IntegrityError for the first finding, the others named in its message, if there is any."""
        if self.ok:
            return
        first = self.findings[0]
        lines = "\n  ".join(
            f"{f.path or f.key}: {f.status}, expected {f.expected}, got {f.actual}" for f in self.findings
        )
        raise IntegrityError(
            f"{self.name}@{self.version} is not as it was registered:\n  {lines}",
            hint="Restore these objects from a copy of the store, or use another version.",
            expected=first.expected,
            actual=first.actual,
            path=first.path,
            key=first.key,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "level": self.level,
            "ok": self.ok,
            "files": self.files,
            "bytes": self.bytes,
            "findings": [
                {"path": f.path, "status": f.status, "key": f.key, "expected": f.expected, "actual": f.actual}
                for f in self.findings
            ],
        }


@callback_errors()
def verify(store: Store, loaded: Loaded, level: Level, progress: ProgressCallback | None = None) -> VerifyReport:
    """Check a version: its manifest, its lists of files, and each file at ``level``. Goes on after a finding."""
    manifest = loaded.manifest
    to_read = manifest.size if level == "full" else 0
    counter = Counter("verify", progress, total_files=manifest.files, total_bytes=to_read)
    findings = _check_manifest(store, loaded)
    read = 0
    try:
        work = partial(_check, store, manifest, level, counter)
        size_of = bytes_in_memory if level == "full" else lambda _: 0
        for finding, size in in_parallel(work, Entries(store, manifest), size_of=size_of, cancel=counter.cancel):
            findings += [finding] if finding else []
            read += size
    except IntegrityError as error:  # of a shard: the files that it lists cannot be known
        status: Status = "missing" if error.actual == "missing" else "modified"
        findings.append(Finding("", status, error.key or "", error.expected, error.actual))
    return VerifyReport(manifest.name, manifest.version, level, manifest.files, read, tuple(findings))


def _check_manifest(store: Store, loaded: Loaded) -> list[Finding]:
    key = manifest_key(loaded.manifest.name, loaded.manifest.version)
    try:
        actual = digest_of(retried(lambda: store.backend.read(key), store.clock))
    except ObjectNotFoundError:
        return [Finding("", "missing", key, loaded.digest, "missing")]
    return [] if actual == loaded.digest else [Finding("", "modified", key, loaded.digest, actual)]


def _check(
    store: Store, manifest: Manifest, level: Level, counter: Counter, entry: Entry
) -> tuple[Finding | None, int]:
    """Return what is wrong with a file, and how many bytes of it were read."""
    finding, read = None, 0
    try:
        if level == "full":
            copy_entry(store, manifest, entry, None, lambda size: counter.add(size=size))
            read = entry.size
        else:
            finding = _check_stat(store, manifest, entry, level)
    except IntegrityError as error:
        status: Status = "missing" if error.actual == "missing" else "modified"
        finding = Finding(entry.path, status, entry.key, error.expected, error.actual)
    except StorageError as error:
        finding = Finding(entry.path, "unreadable", entry.key, f"sha256:{entry.sha256}", error.message)
    counter.add(files=1)
    return finding, read


def _check_stat(store: Store, manifest: Manifest, entry: Entry, level: Level) -> Finding | None:
    try:
        info = retried(lambda: store.backend.stat(entry.key), store.clock)
    except ObjectNotFoundError:
        raise missing(store, manifest, entry) from None
    if info.size != entry.size:
        raise damaged(entry, info.size, "")
    if level == "stat":
        return None
    recorded = {"sha256": entry.sha256, "crc32c": entry.crc32c}
    held = {name: value for name, value in info.checksums.items() if name in recorded}
    if not held:
        return Finding(
            entry.path,
            "unverifiable",
            entry.key,
            f"sha256:{entry.sha256}",
            "the storage holds no checksum; use level full",
        )
    name, value = max(held.items())  # sha256 before crc32c
    if value == recorded[name]:
        return None
    return Finding(entry.path, "modified", entry.key, f"{name}:{recorded[name]}", f"{name}:{value}")
