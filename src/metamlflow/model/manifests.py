"""The values that a manifest is made of: frozen, free of any storage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, Literal

from metamlflow._looks import bytes_text, one_line
from metamlflow._moved import fill_fields
from metamlflow.model.json_lines import encode_line
from metamlflow.model.names import ArtifactName
from metamlflow.model.pointers import Pointed, PointerEntry

Kind = Literal["file", "folder"]
WRITER = "writer"
"""The field of a manifest that says which program wrote it."""
SAVED_AS = "saved_as"
"""The field of a manifest that says in which format an object was saved."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an artifact.

    Attributes:
        path: logical path, relative and ``/``-separated.
        size: in bytes.
        sha256: of the content, 64 hex digits.
        crc32c: of the content (Castagnoli), 8 hex digits of the big-endian value; None if it is not recorded.
        key: where the content lies in the store.
        executable: whether a download sets the executable bits.
        extra: fields of the document that this version of the library does not know.
        storage_path: the URL of its blob, for tools that read in place and verify nothing; in ``artifact.entries``
            alone, otherwise None.
    """

    path: str
    size: int
    sha256: str
    crc32c: str | None
    key: str
    executable: bool = False
    extra: Mapping[str, Any] | None = None
    storage_path: str | None = field(default=None, compare=False)

    def __setstate__(self, state: list[Any]) -> None:
        fill_fields(self, state)

    def to_json(self) -> dict[str, Any]:
        """Return what is known of the file as JSON values."""
        return {name: getattr(self, name) for name in ("path", "size", "sha256", "crc32c", "key", "executable")}

    def __repr__(self) -> str:
        return f"<Entry '{one_line(self.path)}': {bytes_text(self.size)}, sha256 {self.sha256[:12]}…>"

    @property
    def uri(self) -> None:
        """None: it lies in the store."""
        return

    @property
    def only_whole_is_verified(self) -> bool:
        """False: a reader that jumps gets verified bytes as well."""
        return False

    def objects(self) -> tuple[Entry, ...]:
        """Return the objects of the store that hold its content: its blob."""
        return (self,)

    def digest_line(self) -> str:
        """Return what the digest of an artifact's content takes in of it."""
        # As encode_line spells it; nearly all items are of this kind, and the encoder takes several times as long.
        return f'[{encode_basestring(self.path)},{self.size},"{self.sha256}"]'

    def located(self, url_of: Callable[[str], str], allows: Callable[[str], bool]) -> Entry:  # noqa: ARG002 (of pointers)
        """Return it with its storage path."""
        return replace(self, storage_path=url_of(self.key))

    def without_keys(self) -> Entry:
        """Return what it is, without where it lies in the store."""
        return replace(self, key="")


@dataclass(frozen=True, slots=True)
class EmptyFolder:
    """A folder of an artifact that holds nothing; other folders follow from the paths of the files."""

    path: str
    extra: Mapping[str, Any] | None = None

    @property
    def key(self) -> None:
        """None: it has no content."""
        return

    @property
    def uri(self) -> None:
        """None: it lies nowhere."""
        return

    def objects(self) -> tuple[()]:
        """Return the objects of the store that hold its content: none."""
        return ()

    def digest_line(self) -> str:
        """Return what the digest of an artifact's content takes in of it."""
        return encode_line([self.path])

    def located(self, url_of: Callable[[str], str], allows: Callable[[str], bool]) -> EmptyFolder:  # noqa: ARG002 (of files)
        """Return it."""
        return self

    def without_keys(self) -> EmptyFolder:
        """Return it."""
        return self


FileEntry = Entry | PointerEntry
"""One class for each kind of content. ``store/read/content.py`` tells what a further one takes."""
Item = FileEntry | EmptyFolder


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of a large artifact's items, kept as one content-addressed blob of JSON lines.

    Attributes:
        first: the path of its first item.
        count: how many items it has.
        size: of the blob, in bytes.
        sha256: of the blob.
        key: of the blob.
    """

    first: str
    count: int
    size: int
    sha256: str
    key: str

    @property
    def path(self) -> None:
        """None: it is no file of the artifact."""
        return


@dataclass(frozen=True, slots=True)
class Input:
    """An artifact version that another was made from, tied to the very manifest that was used."""

    name: ArtifactName
    version: int
    manifest_digest: str
    role: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the input as JSON values."""
        names = ("version", "manifest_digest", "role")
        return {"name": str(self.name), **{name: getattr(self, name) for name in names}}

    def __repr__(self) -> str:
        role = f" as '{one_line(self.role, 30)}'" if self.role else ""
        return f"<Input {self.name}@{self.version}{role}, manifest {self.manifest_digest[:19]}…>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The record whose creation is the commit of one version. SPEC.md gives each field's meaning.

    Exactly one of ``items`` and ``shards`` is a tuple; the other is None. ``metadata`` and ``schema`` are JSON values
    as stored; ``extra`` holds the fields that this version of the library keeps and does not use.
    """

    record_id: str
    artifact_id: str
    name: ArtifactName
    version: int
    artifact_type: str
    kind: Kind
    created_at: datetime
    created_by: str
    digest: str
    size: int
    files: int
    folders: int
    items: tuple[Item, ...] | None = None
    shards: tuple[Shard, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    pointed: tuple[Pointed, ...] = ()
    inputs: tuple[Input, ...] = ()
    run: str | None = None
    code: Mapping[str, Any] | None = None
    previous: str | None = None
    requires: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def saved_as(self) -> str | None:
        """The format of an object that was saved as this version; None where no object was, or none is said well."""
        value = self.extra.get(SAVED_AS)
        return value if isinstance(value, str) and _is_format(value) else None

    @property
    def writer(self) -> str | None:
        """The program that wrote it and its version, for people; None where it does not say."""
        value = self.extra.get(WRITER)
        return value if isinstance(value, str) else None


def _is_format(value: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9-]{0,63}(/[A-Za-z0-9._-]{1,64})?", value) is not None


class ContentDigest:
    """The digest of an artifact's content: equal wherever, whenever and under whatever name it is registered.

    It is the SHA-256 over one line per item, in path order: the compact JSON array ``[path,size,sha256]`` and a
    newline; for an empty folder ``[path]``; for a pointer without a SHA-256 what stands for it.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, item: Item) -> None:
        """Take in the next item, in path order."""
        self._hash.update(f"{item.digest_line()}\n".encode())

    def __str__(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def content_digest(items: Iterable[Item]) -> str:
    """Return the content digest of ``items``, which are in path order."""
    digest = ContentDigest()
    for item in items:
        digest.add(item)
    return str(digest)
