"""Which record of the format lies at a listed key, whatever it is a record of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import (
    ARTIFACTS,
    COLLECTIONS,
    DISTRIBUTIONS,
    EDGES,
    FEATURES,
    NAMES,
    POLICIES,
    PROTECTIONS,
    RELOCATIONS,
    RUNS,
    SIGNATURES,
    alias_of_key,
    distributions_key,
    idempotency_prefix,
    name_of_artifact_key,
    name_of_key,
    note_of_key,
    parse_alias_key,
    parse_collection_key,
    parse_edge_key,
    parse_features_key,
    parse_hidden_key,
    parse_idempotency_key,
    parse_policies_key,
    parse_protection_key,
    parse_relocation_key,
    parse_run_input_key,
    parse_version_key,
    run_key,
    signature_key,
    unescape_name,
)
from metamlflow.model.names import MAX_VERSION, ArtifactName, alias_problem, name_problem

RecordKind = Literal[
    "manifest", "state", "tomb", "alias", "note", "claim", "name", "hiding", "edge", "signature", "start", "end",
    "input", "distributions", "relocation", "features", "policies", "protection", "unprotection", "collection",
]  # fmt: skip
_HEX64 = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class ListedKey:
    """What a key says of its record.

    Attributes:
        kind: which record it is.
        name: the name that it belongs to; None for a record of the store or of a run.
        version: the version that it belongs to; None for a record of a name.
        number: its number in its series; 0 if it is in none.
        of: the series or thing: an alias, the digest of an idempotency key, a key id, a run, a digest.
        consumer: of an edge, the version that it leads to.
    """

    kind: RecordKind
    name: ArtifactName | None = None
    version: int | None = None
    number: int = 0
    of: str = ""
    consumer: tuple[ArtifactName, int] | None = None


def listed_key(key: str) -> ListedKey | None:
    """Return what a key says, or None if format 1 does not spell it, or content lies there."""
    for prefix, parse in (
        (ARTIFACTS, _of_artifact),
        (NAMES, _of_name),
        (EDGES, _edge),
        (SIGNATURES, _signature),
        (RUNS, _of_run),
        (RELOCATIONS, _relocation),
        (FEATURES, _features),
        (POLICIES, _policies),
        (PROTECTIONS, _protection),
        (COLLECTIONS, _collection),
    ):
        if key.startswith(prefix):
            return parse(key)
    return None


def _of_artifact(key: str) -> ListedKey | None:
    text = name_of_artifact_key(key)
    if text is None:
        return None
    name = ArtifactName(text)
    return _of_version(name, key) or _alias(name, key) or _note(name, key) or _claim(name, key)


def _of_version(name: ArtifactName, key: str) -> ListedKey | None:
    try:
        found = parse_version_key(name, key)
    except StoreFormatError:  # as it was spelled before
        return None
    if found is None:
        return None
    if found.is_tomb:
        return ListedKey("tomb", name, found.version)
    return ListedKey("manifest" if found.state is None else "state", name, found.version, found.state or 0)


def _alias(name: ArtifactName, key: str) -> ListedKey | None:
    alias = alias_of_key(name, key)
    if alias is None or alias_problem(alias) is not None:
        return None
    return ListedKey("alias", name, None, parse_alias_key(name, alias, key) or 0, alias)


def _note(name: ArtifactName, key: str) -> ListedKey | None:
    note = note_of_key(name, key)
    return None if note is None else ListedKey("note", name, note.version, note.number)


def _claim(name: ArtifactName, key: str) -> ListedKey | None:
    folder = idempotency_prefix(name, "").removesuffix("/")
    digest = key.removeprefix(folder).partition("/")[0]
    if not key.startswith(folder) or not _HEX64.fullmatch(digest):
        return None
    number = parse_idempotency_key(name, digest, key)
    return None if number is None else ListedKey("claim", name, None, number, digest)


def _of_name(key: str) -> ListedKey | None:
    hiding = parse_hidden_key(key)
    if hiding is not None:
        return ListedKey("hiding", ArtifactName(hiding[0]), None, hiding[1])
    text = name_of_key(key)
    return None if text is None else ListedKey("name", ArtifactName(text))


def _version_of(key: str, prefix: str) -> tuple[ArtifactName, int] | None:
    """Read ``<prefix><name>/_v<n>/…``: no segment of a name begins with an underscore."""
    escaped, separator, rest = key.removeprefix(prefix).partition("/_v")
    text, number = unescape_name(escaped), rest.partition("/")[0]
    if not separator or name_problem(text) is not None or not _NUMBER.fullmatch(number) or int(number) > MAX_VERSION:
        return None
    return ArtifactName(text), int(number)


def _edge(key: str) -> ListedKey | None:
    source = _version_of(key, EDGES)
    consumer = None if source is None else parse_edge_key(source, key)
    if source is None or consumer is None:
        return None
    return ListedKey("edge", source[0], source[1], consumer=consumer)


def _signature(key: str) -> ListedKey | None:
    signed = _version_of(key, SIGNATURES)
    key_id = key.rpartition("/")[2].removesuffix(".json")
    if signed is None or not _HEX64.fullmatch(key_id) or signature_key(*signed, key_id) != key:
        return None
    return ListedKey("signature", signed[0], signed[1], of=key_id)


def _of_run(key: str) -> ListedKey | None:
    if key.startswith(DISTRIBUTIONS):
        digest = key.removeprefix(DISTRIBUTIONS).removesuffix(".txt")
        is_list = _HEX64.fullmatch(digest) and distributions_key(digest) == key
        return ListedKey("distributions", of=digest) if is_list else None
    run = key.removeprefix(RUNS).partition("/")[0]
    if not _ID.fullmatch(run):
        return None
    if key == run_key(run, "start"):
        return ListedKey("start", of=run)
    if key == run_key(run, "end"):
        return ListedKey("end", of=run)
    return ListedKey("input", of=run) if parse_run_input_key(run, key) is not None else None


def _relocation(key: str) -> ListedKey | None:
    number = parse_relocation_key(key)
    return None if number is None else ListedKey("relocation", number=number)


def _features(key: str) -> ListedKey | None:
    number = parse_features_key(key)
    return None if number is None else ListedKey("features", number=number)


def _policies(key: str) -> ListedKey | None:
    number = parse_policies_key(key)
    return None if number is None else ListedKey("policies", number=number)


def _protection(key: str) -> ListedKey | None:
    at = parse_protection_key(key)
    return (
        None if at is None else ListedKey("unprotection" if at.ends else "protection", at.name, at.version, at.number)
    )


def _collection(key: str) -> ListedKey | None:
    number = parse_collection_key(key)
    return None if number is None else ListedKey("collection", number=number)
