"""Manifests between bytes and values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from metamlflow.errors import InvalidInputError, InvalidMetadataError
from metamlflow.format.documents import (
    FORMAT,
    Fields,
    Problems,
    dump,
    format_instant,
    parse_json,
    parse_object,
    pattern,
    shown,
)
from metamlflow.format.entries import (
    MAX_INLINE_ITEMS,
    features,
    item_from_json,
    item_to_json,
    shard_from_json,
    shard_to_json,
    specials,
)
from metamlflow.format.pointers import pointed_from_json, pointed_to_json
from metamlflow.model.manifests import (
    WRITER,
    ContentDigest,
    EmptyFolder,
    Input,
    Item,
    Kind,
    Manifest,
    Shard,
    content_digest,
)
from metamlflow.model.names import MAX_VERSION, ArtifactName, name_problem
from metamlflow.model.paths import OrderCheck
from metamlflow.model.pointers import Pointed

is_digest = pattern(r"sha256:[0-9a-f]{64}", '"sha256:<64 hex>"')
is_record_id = pattern(r"[0-9a-f]{32}", "32 lower-case hex digits")
is_uuid = pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID in lower case")
_is_type = pattern(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}", "an artifact type of at most 100 letters, digits and . _ / -")


def artifact_type_problem(value: str) -> str | None:
    """Return what is wrong with ``value`` as an artifact type, or None."""
    return _is_type(value)


def digest_of(data: bytes) -> str:
    """Return the digest of a document: over its bytes as stored."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest together with its bytes as stored, over which its digest goes."""

    manifest: Manifest
    data: bytes

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest_of(self.data)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest as they are stored.

    Raises:
        InvalidMetadataError: they would be more than a reader accepts.
    """
    document: dict[str, Any] = dict(manifest.extra)
    document |= {
        "artifact_id": manifest.artifact_id,
        "code": manifest.code,
        "created_at": format_instant(manifest.created_at),
        "created_by": manifest.created_by,
        "digest": manifest.digest,
        "files": manifest.files,
        "folders": manifest.folders,
        "format": FORMAT,
        "inputs": [input_to_json(item) for item in manifest.inputs],
        "kind": manifest.kind,
        "metadata": manifest.metadata,
        "name": manifest.name,
        "previous": manifest.previous,
        "record_id": manifest.record_id,
        "requires": list(manifest.requires),
        "run": manifest.run,
        "schema": manifest.schema,
        "size": manifest.size,
        "type": manifest.artifact_type,
        "version": manifest.version,
    }
    if manifest.pointed:
        document["pointers"] = [pointed_to_json(pointed) for pointed in manifest.pointed]
    if manifest.shards is None:
        document["entries"] = [item_to_json(item) for item in manifest.items or ()]
    else:
        document["shards"] = [shard_to_json(shard) for shard in manifest.shards]
    try:
        return dump(document)
    except InvalidInputError as error:
        raise InvalidMetadataError(
            f"the manifest of {manifest.name}: {error.message}",
            hint="Metadata of this size is data: register it as a file of the artifact.",
            place="metadata",
        ) from None


def decode_manifest(data: bytes, key: str, name: ArtifactName, version: int) -> Manifest:
    """Read the manifest that was stored at ``key`` as version ``version`` of ``name``.

    Raises:
        StoreFormatError: it is not a well-formed manifest, speaks of another version, or needs a newer reader; the
            error lists everything that is wrong.
    """
    problems = Problems(key)
    document = parse_object(data, problems)
    if document is None:
        problems.raise_if_any("manifest")
    fields = Fields(document, "", problems)
    fields.format()
    requires = fields.requires(features())
    said_name = fields.text("name", name_problem)
    said_version = fields.integer("version", 1, MAX_VERSION)
    if said_name and said_name != name:
        fields.note("name", f"expected {shown(name)}, got {shown(said_name)}")
    if said_version != version and fields.value("version") == said_version:
        fields.note("version", f"expected {version}, got {said_version}")
    items, shards = _content(fields, problems)
    manifest = Manifest(
        record_id=fields.text("record_id", is_record_id),
        artifact_id=fields.text("artifact_id", is_uuid),
        name=name,
        version=version,
        artifact_type=fields.text("type", _is_type),
        kind=_kind(fields),
        created_at=fields.instant("created_at"),
        created_by=fields.text("created_by"),
        digest=fields.text("digest", is_digest),
        size=fields.integer("size", 0),
        files=fields.integer("files", 0),
        folders=fields.integer("folders", 0),
        items=items,
        shards=shards,
        metadata=fields.mapping("metadata"),
        schema=fields.optional_mapping("schema"),
        pointed=_pointed(fields, problems),
        inputs=tuple(input_from_json(item, place, problems) for place, item in fields.items("inputs")),
        run=fields.optional_text("run", is_record_id),
        code=fields.optional_mapping("code"),
        previous=previous_digest(fields, version),
        requires=requires,
        extra=_kept(fields),
    )
    if not problems.found:
        _check_sums(manifest, problems)
    problems.raise_if_any("manifest")
    return manifest


def _kept(fields: Fields) -> dict[str, Any]:
    """Return the fields that nothing depends on."""
    writer = fields.optional_text(WRITER)
    return fields.unknown() | ({} if writer is None else {WRITER: writer})


def previous_digest(fields: Fields, version: int) -> str | None:
    """Read the digest of the manifest before: each version has one but the first."""
    if (version == 1) == (fields.value("previous") is None):
        return fields.optional_text("previous", is_digest)
    fields.note("previous", f"expected {'none' if version == 1 else 'a digest'} in version {version}")
    return None


def _kind(fields: Fields) -> Kind:
    kind = fields.text("kind", lambda value: None if value in {"file", "folder"} else 'expected "file" or "folder"')
    return cast("Kind", kind)


def _content(fields: Fields, problems: Problems) -> tuple[tuple[Item, ...] | None, tuple[Shard, ...] | None]:
    inline, sharded = fields.value("entries") is not None, fields.value("shards") is not None
    if inline == sharded:
        fields.note("entries", "expected either entries or shards" + (", got both" if inline else ", got neither"))
        return (), None
    if inline:
        order = OrderCheck()
        items = tuple(item_from_json(item, place, order, problems) for place, item in fields.items("entries"))
        if len(items) > MAX_INLINE_ITEMS:
            fields.note("entries", f"{len(items)} entries inline, more than {MAX_INLINE_ITEMS}")
        return items, None
    shards: list[Shard] = []
    for place, item in fields.items("shards"):
        shard = shard_from_json(item, place, problems)
        if shard.first and shards and shard.first <= shards[-1].first:
            problems.note(f"{place}.first", f"out of order after {shown(shards[-1].first)}, got {shown(shard.first)}")
        shards.append(shard)
    if fields.value("shards") == []:
        fields.note("shards", "expected one or more, got none")
    return None, tuple(shards)


def _pointed(fields: Fields, problems: Problems) -> tuple[Pointed, ...]:
    if fields.value("pointers") is None:
        return ()
    return tuple(pointed_from_json(item, place, problems) for place, item in fields.items("pointers"))


def _check_sums(manifest: Manifest, problems: Problems) -> None:
    """Check what a manifest says of its content against the content that it lists."""
    items, shards = manifest.items, manifest.shards
    count = sum(shard.count for shard in shards) if shards is not None else len(items or ())
    if manifest.files + manifest.folders != count:
        problems.note("files", f"expected {count} with the folders, got {manifest.files} + {manifest.folders}")
    if manifest.kind == "file" and (manifest.files, manifest.folders) != (1, 0):
        problems.note("kind", f'"file" with {manifest.files} files and {manifest.folders} folders')
    if items is None or problems.found:
        return
    _check_features({type(item) for item in items}, manifest, problems)
    size = sum(item.size for item in items if not isinstance(item, EmptyFolder))
    if manifest.size != size:
        problems.note("size", f"expected {size}, the sum of the entries, got {manifest.size}")
    files = sum(not isinstance(item, EmptyFolder) for item in items)
    if manifest.files != files:
        problems.note("files", f"expected {files}, got {manifest.files}")
    if manifest.digest != (digest := content_digest(items)):
        problems.note("digest", f"expected {digest}, the digest of the entries, got {manifest.digest}")


class ShardedSums:
    """What the items of all shards add up to, against what their manifest says of them. Fed in the order of paths."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._digest = ContentDigest()
        self._size = self._files = self._folders = 0
        self._kinds: set[type[Item]] = set()

    def add(self, items: Iterable[Item]) -> None:
        """Take in the items of the next shard, as they were registered."""
        for item in items:
            self._digest.add(item)
            self._kinds.add(type(item))
            if isinstance(item, EmptyFolder):
                self._folders += 1
            else:
                self._files += 1
                self._size += item.size

    def check(self, key: str) -> None:
        """Compare, after the last shard.

        Raises:
            StoreFormatError: the manifest at ``key`` says something else.
        """
        manifest, problems = self._manifest, Problems(key)
        for field, said, found in (
            ("size", manifest.size, self._size),
            ("files", manifest.files, self._files),
            ("folders", manifest.folders, self._folders),
            ("digest", manifest.digest, str(self._digest)),
        ):
            if said != found:
                problems.note(field, f"expected {found}, as its shards have it, got {said}")
        _check_features(self._kinds, manifest, problems)
        problems.raise_if_any("manifest")


def _check_features(kinds: Iterable[type[Item]], manifest: Manifest, problems: Problems) -> None:
    for special in specials(kinds):
        if special.feature not in manifest.requires:
            problems.note("requires", f"expected {special.feature!r}, since there are {special.what}")


def input_to_json(item: Input) -> dict[str, Any]:
    """Return the JSON object of an artifact version that was used."""
    document: dict[str, Any] = {
        "manifest_digest": item.manifest_digest,
        "name": item.name,
        "version": item.version,
    }
    if item.role is not None:
        document["role"] = item.role
    return document


def input_from_json(value: Any, place: str, problems: Problems) -> Input:
    """Read an artifact version that was used."""
    fields = Fields(value, place, problems)
    return Input(
        name=ArtifactName(fields.text("name", name_problem)),
        version=fields.integer("version", 1, MAX_VERSION),
        manifest_digest=fields.text("manifest_digest", is_digest),
        role=fields.optional_text("role"),
    )


def record_id_of(data: bytes) -> str | None:
    """Return the ``record_id`` of any document, or None if it has none that can be read: whose record is this?"""
    document = parse_json(data, Problems(""))
    value = document.get("record_id") if isinstance(document, Mapping) else None
    return value if isinstance(value, str) else None
