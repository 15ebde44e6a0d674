"""Pointers: data that stays where it is, and the evidence by which a change of it is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from metamlflow._looks import bytes_text, one_line
from metamlflow._moved import fill_fields
from metamlflow.errors import redact
from metamlflow.model.json_lines import encode_line

Strength = Literal["stat", "checksum", "full"]
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
"""From the weakest to the strongest."""

PointedKind = Literal["object", "prefix", "glob"]
POINTED_KINDS: tuple[PointedKind, ...] = get_args(PointedKind)

DIGEST_HEX = {"sha256": 64, "sha1": 40, "md5": 32, "crc64nvme": 16, "crc32c": 8, "crc32": 8}
"""The digests that evidence may hold, from the strongest on, and their hex digits."""
COMPOSITE = "-composite"
"""Ends the name of a digest over the digests of an upload's parts; its value ends in ``-<number of parts>``."""
DIGEST_ORDER = (*DIGEST_HEX, *(name + COMPOSITE for name in DIGEST_HEX))
"""All names of digests; the first of them that is known stands for the content."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an object's content, by which a later look tells whether it is still the same.

    Attributes:
        etag: the server's tag of the content; no digest by itself.
        modified_ns: when it was last written, in nanoseconds since 1970, UTC, by the clock of where it lies.
        held: digests that the server holds, by name, in hex; ``<name>-composite`` is one over the parts of an upload.
        computed: digests that were computed from every byte when it was registered.
    """

    etag: str | None = None
    modified_ns: int | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as JSON values, with its strength."""
        return {
            "strength": self.strength,
            "etag": self.etag,
            "modified_ns": self.modified_ns,
            "held": dict(self.held),
            "computed": dict(self.computed),
        }

    def __repr__(self) -> str:
        known = ", ".join(self.digests) or ("etag" if self.etag else "size and time")
        return f"<Evidence {self.strength}: {one_line(known)}>"

    @property
    def strength(self) -> Strength:
        """``full`` if every byte was read, ``checksum`` if the server holds a digest, else ``stat``."""
        if self.computed:
            return "full"
        return "checksum" if self.held else "stat"

    @property
    def digests(self) -> dict[str, str]:
        """All digests; computed ones go before those that are held."""
        return {**self.held, **self.computed}

    def digest(self) -> tuple[str, str] | None:
        """Return name and value of the strongest digest over the content alone, by which reads are checked, or None."""
        known = self.digests
        return next(((name, known[name]) for name in DIGEST_HEX if name in known), None)


@dataclass(frozen=True, slots=True)
class PointerEntry:
    """One file of an artifact that lies outside of the store.

    Attributes:
        path: logical path, relative and ``/``-separated.
        size: in bytes.
        uri: where it lies.
        version: the version id or generation that reads go to, where the server names one.
        evidence: what is known of its content.
        extra: fields of the document that this version of the library does not know.
        storage_path: where it lies, for tools that read in place and compare nothing; in ``artifact.entries`` alone,
            and only if the client's ``pointer_policy`` allows the place; otherwise None.
    """

    path: str
    size: int
    uri: str
    version: str | None = None
    evidence: Evidence = Evidence()
    extra: Mapping[str, Any] | None = None
    storage_path: str | None = field(default=None, compare=False)

    def __setstate__(self, state: list[Any]) -> None:
        fill_fields(self, state)

    def to_json(self) -> dict[str, Any]:
        """Return what is known of the file as JSON values; ``key`` is null, since it has none in the store."""
        names = ("path", "size", "sha256", "crc32c", "key", "executable", "uri", "version")
        return {**{name: getattr(self, name) for name in names}, "evidence": self.evidence.to_json()}

    def __repr__(self) -> str:
        place = one_line(redact(self.uri), 40)
        return f"<PointerEntry '{one_line(self.path, 24)}': {bytes_text(self.size)} at {place}, {self.strength}>"

    @property
    def strength(self) -> Strength:
        """How strong its evidence is: ``stat``, ``checksum`` or ``full``."""
        return self.evidence.strength

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the content in hex, if it was computed or the server holds it."""
        return self.evidence.digests.get("sha256")

    @property
    def crc32c(self) -> str | None:
        """CRC32C of the content in hex, if it was computed or the server holds it."""
        return self.evidence.digests.get("crc32c")

    @property
    def key(self) -> None:
        """None: it has no key in the store."""
        return

    @property
    def executable(self) -> bool:
        """False: what lies elsewhere is data."""
        return False

    @property
    def only_whole_is_verified(self) -> bool:
        """Whether a digest is known that only a read of all of it is compared with, and no jump in it."""
        return self.evidence.digest() is not None

    def objects(self) -> tuple[()]:
        """Return the objects of the store that hold its content: none."""
        return ()

    def located(self, url_of: Callable[[str], str], allows: Callable[[str], bool]) -> PointerEntry:  # noqa: ARG002 (of blobs)
        """Return it with its storage path, if the place may be opened."""
        return replace(self, storage_path=self.uri if allows(self.uri) else None)

    def moved_to(self, uri: str) -> PointerEntry:
        """Return the entry of the same content at another place, where its digests are all that is known of it."""
        evidence = Evidence(held=self.evidence.held, computed=self.evidence.computed)
        return replace(self, uri=uri, version=None, evidence=evidence)

    def identity(self) -> list[Any]:
        """Return, as JSON values, what stands for its content where no digest does: a look at it finds the same."""
        known = self.evidence.digests
        for name in DIGEST_ORDER:
            if name in known:
                return [self.path, self.size, known[name] if name == "sha256" else f"{name}:{known[name]}"]
        modified = None if self.evidence.modified_ns is None else str(self.evidence.modified_ns)
        return [self.path, self.size, None, self.uri, self.version, self.evidence.etag, modified]

    def digest_line(self) -> str:
        """Return what the digest of an artifact's content takes in of it."""
        return encode_line(self.identity())

    def without_keys(self) -> PointerEntry:
        """Return it."""
        return self


@dataclass(frozen=True, slots=True)
class Pointed:
    """A place that an artifact points to, as its registrant gave it: what a refresh looks at again.

    Attributes:
        path: the logical path at which its files stand; empty for the artifact's root.
        uri: where it is; a glob with its wildcards.
        kind: ``object``, ``prefix`` or ``glob``.
        evidence: the strength that was asked for; None for what costs nothing.
    """

    path: str
    uri: str
    kind: PointedKind
    evidence: Strength | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the place as JSON values."""
        return {name: getattr(self, name) for name in ("path", "uri", "kind", "evidence")}


@dataclass(frozen=True, slots=True)
class Pointer:
    """Data that is to be registered without being copied, for a mapping given to ``register_artifact``.

    Args:
        uri: an object, a prefix (ending in ``/``) or a glob, such as ``s3://lake/events/2026/``; or a path.
        evidence: ``stat``, ``checksum`` or ``full``; None takes what costs nothing more than finding the data.
        expected: of one object: its digest as the caller knows it, such as ``sha256:<64 hex>``; compared on
            registration.
    """

    uri: str | os.PathLike[str]
    evidence: Strength | None = None
    expected: str | None = None

    def __repr__(self) -> str:
        # Whatever a caller wrote may hold a secret until it is refused.
        asked = f", evidence={self.evidence!r}" if self.evidence else ""
        return f"Pointer('{one_line(redact(os.fspath(self.uri)))}'{asked}{', expected=…' if self.expected else ''})"
