"""Read listed records, in parallel and in their order; one that cannot be read is told, and the next one follows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from metamlflow.backend import ObjectInfo
from metamlflow.errors import IntegrityError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.collections import decode_collection
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.features import decode_features
from metamlflow.format.listed_keys import ListedKey, RecordKind, listed_key
from metamlflow.format.manifests import decode_manifest, digest_of
from metamlflow.format.notes import decode_notes
from metamlflow.format.records import (
    check_name_record,
    decode_alias,
    decode_claim,
    decode_relocation,
    decode_state,
)
from metamlflow.format.retention import decode_policies, decode_protection
from metamlflow.format.runs import decode_end, decode_input, decode_start
from metamlflow.format.signatures import decode_signature
from metamlflow.format.tombs import decode_tomb, decode_visibility
from metamlflow.model.manifests import Input, Shard
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import kept, read_record
from metamlflow.store.catalog.records import key_is_listed, listed_and_missing, with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.blob_index import naming_line, naming_lines
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.store.transfer.scheduler import in_parallel


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What is kept of a manifest that was read.

    Attributes:
        digest: over its bytes.
        previous: the digest that it holds of the version before.
        record_id: of its record.
        created_at: when the version was registered, by its writer's clock, in UTC.
        size: of all files, in bytes.
        files: how many there are.
        pointed: of those that lie elsewhere, the bytes.
        inputs: the versions that it was made from.
        shards: its lists of files.
        lines: what it says of each blob itself, as :func:`~metamlflow.store.retain.blob_index.naming_line` writes it.
    """

    digest: str
    previous: str | None
    record_id: str
    created_at: datetime
    size: int
    files: int
    pointed: int
    inputs: tuple[Input, ...]
    shards: tuple[Shard, ...]
    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A listed record, and what became of reading it.

    Attributes:
        info: the object as listed.
        at: what its key says.
        value: the record; None if it could not be read, or need not be.
        error: why it could not be read.
        digest: of a manifest's bytes, also if it is not well formed; empty if that is not known.
        gone: whether it does not exist any more.
    """

    info: ObjectInfo
    at: ListedKey
    value: Any = None
    error: MetaMLFlowError | None = None
    digest: str = ""
    gone: bool = False


def known_records(
    infos: Iterable[ObjectInfo], on_unknown: Callable[[ObjectInfo], None] = lambda _: None
) -> Iterator[tuple[ObjectInfo, ListedKey]]:
    """Yield the listed objects that are records, with what their keys say; hand over the others."""
    for info in infos:
        at = listed_key(info.key)
        if at is not None:
            yield info, at
        else:
            on_unknown(info)


def read_each(
    store: Store, records: Iterable[tuple[ObjectInfo, ListedKey]], pace: RateLimit, *, unread: frozenset[str]
) -> Iterator[Read]:
    """Yield what each record says, in order; those of the kinds ``unread`` without a request."""

    def read(record: tuple[ObjectInfo, ListedKey]) -> Read:
        info, at = record
        if at.kind in unread:
            return Read(info, at)
        pace.take(objects=1)
        data = b""
        try:
            data = with_retries(lambda: read_record(store.backend, info.key), store.clock)
            value = _DECODERS[at.kind](data, info.key, at)
        except ObjectNotFoundError:
            # Manifests that are listed and missing are judged with the others of their name.
            is_denied = at.kind != "manifest" and key_is_listed(store.backend, info.key, store.clock)
            error = listed_and_missing(info.key) if is_denied else None
            return Read(info, at, error=error, gone=not is_denied)
        except MetaMLFlowError as error:  # damaged, too large, or the storage refused: the next record is read
            return Read(info, at, error=kept(error), digest=digest_of(data) if data else "")
        finally:
            pace.take(size=len(data))
        return Read(info, at, value, digest=value.digest if isinstance(value, ManifestFacts) else "")

    return in_parallel(read, records, size_of=lambda record: min(record[0].size, MAX_DOCUMENT_BYTES))


def _manifest(data: bytes, key: str, at: ListedKey) -> ManifestFacts:
    manifest = decode_manifest(data, key, _name(at), at.version or 0)
    lines, pointed = naming_lines(manifest.items or ())
    shards = manifest.shards or ()
    return ManifestFacts(
        digest=digest_of(data),
        previous=manifest.previous,
        record_id=manifest.record_id,
        created_at=manifest.created_at,
        size=manifest.size,
        files=manifest.files,
        pointed=pointed,
        inputs=manifest.inputs,
        shards=shards,
        lines=(*lines, *map(naming_line, shards)),
    )


def _distributions(data: bytes, key: str, at: ListedKey) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != at.of:
        raise IntegrityError(
            f"{key} has other bytes than its digest says",
            expected=f"sha256:{at.of}",
            actual=f"sha256:{actual}",
            key=key,
        )


def _name(at: ListedKey) -> ArtifactName:
    assert at.name is not None  # noqa: S101 (for the type checker: the kinds that ask have one)
    return at.name


_Decoder = Callable[[bytes, str, ListedKey], Any]
_DECODERS: Mapping[RecordKind, _Decoder] = MappingProxyType(
    {
        "manifest": _manifest,
        "state": lambda data, key, _: decode_state(data, key),
        "tomb": lambda data, key, at: decode_tomb(data, key, _name(at), at.version or 0),
        "alias": lambda data, key, _: decode_alias(data, key),
        "note": lambda data, key, at: decode_notes(data, key, _name(at), at.version, at.number),
        "claim": lambda data, key, _: decode_claim(data, key),
        "name": lambda data, key, at: check_name_record(data, key, _name(at)),
        "hiding": lambda data, key, at: decode_visibility(data, key, at.number),
        "signature": lambda data, key, _: decode_signature(data, key),
        "start": lambda data, key, at: decode_start(data, key, at.of),
        "end": lambda data, key, _: decode_end(data, key),
        "input": lambda data, key, _: decode_input(data, key)[1],
        "distributions": _distributions,
        "relocation": lambda data, key, _: decode_relocation(data, key),
        "features": lambda data, key, _: decode_features(data, key),
        "policies": lambda data, key, at: decode_policies(data, key, at.number),
        "protection": lambda data, key, at: decode_protection(data, key, _name(at), at.version or 0, at.number),
        "unprotection": lambda data, key, at: decode_protection(data, key, _name(at), at.version or 0, at.number),
        "collection": lambda data, key, _: decode_collection(data, key),
    }
)
