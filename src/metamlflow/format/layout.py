"""The one module that spells keys. All keys are relative to the store's root and ``/``-separated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from metamlflow.errors import StoreFormatError
from metamlflow.model.names import MAX_VERSION, ArtifactName, alias_problem, name_problem

MARKER = "metamlflow.json"
NAMES = "names/"
BLOBS = "blobs/"
CONTENT = f"{BLOBS}sha256/"
"""Where the keys of all content begin; the digest, in hex, follows."""
ARTIFACTS = "artifacts/"
EDGES = "edges/"
RUNS = "runs/"
DISTRIBUTIONS = f"{RUNS}distributions/"
SIGNATURES = "signatures/"
RELOCATIONS = "relocations/"
FEATURES = "features/"
POLICIES = "policies/"
PROTECTIONS = "protections/"
COLLECTIONS = "collections/"
CACHE = "cache/"
LONGEST_KEY = 900
"""No key of format 1 is longer, in bytes: two names of 200 capitals each and the fixed parts around them."""

_INVERSE_OF = MAX_VERSION + 1  # 9,999,999,999 - n is ten digits for every n, so that the newest lists first
_VERSION_FILE = re.compile(r"([0-9]{10})_v([1-9][0-9]{0,9})(?:\.state-([0-9]{10})|(\.tomb))?\.json")
_STATE_OF_BEFORE = re.compile(r"[0-9]{10}_v[1-9][0-9]{0,9}\.state-[1-9][0-9]{0,8}\.json")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_INPUT_FILE = re.compile(r"([0-9a-f]{32})\.json")
_NUMBERED_FILE = re.compile(r"([0-9]{10})\.json")
_PROTECTION_FILE = re.compile(r"([0-9]{10})(\.end)?\.json")
_NOTE_FILE = re.compile(r"(?:v([1-9][0-9]{0,9})/)?[0-9]{10}\.json")
_UPPER = re.compile(r"[A-Z]")
_ESCAPED = re.compile(r"!([a-z.])")
_EXTENSION_PART = re.compile(r"[a-z0-9]{1,8}")


def escape_name(name: str) -> str:
    """Spell a name for use in a key: an upper-case letter becomes ``!`` and its lower case.

    So names that differ only in case stay apart on disks that fold case. A folder segment that ends in ``.json`` is
    spelled ``!.json``, or the name ``a.json/b`` and the record of the name ``a`` would need a folder and a file of one
    name.
    """
    escaped = _UPPER.sub(lambda match: "!" + match[0].lower(), name)
    return escaped.replace(".json/", "!.json/")


def unescape_name(escaped: str) -> str:
    """Undo :func:`escape_name`."""
    return _ESCAPED.sub(lambda match: match[1].upper(), escaped)


def _inverse(number: int) -> str:
    """Spell the number of a version or of a record in a series: the newest lists first, and none is longer."""
    return f"{_INVERSE_OF - number:010d}"


def _number_of(inverse: str) -> int | None:
    number = _INVERSE_OF - int(inverse)
    return number if 1 <= number <= MAX_VERSION else None


def name_key(name: ArtifactName) -> str:
    """Key of the record that makes a name listable."""
    return f"{NAMES}{escape_name(name)}.json"


def name_of_key(key: str) -> str | None:
    """The name that the record at ``key`` stands for, or None if no name has this key."""
    if not (key.startswith(NAMES) and key.endswith(".json")):
        return None
    name = unescape_name(key.removeprefix(NAMES).removesuffix(".json"))
    return name if name_problem(name) is None and f"{NAMES}{escape_name(name)}.json" == key else None


def hidden_prefix(name: ArtifactName) -> str:
    """Where the records that hide a name from listings, or show it again, lie, newest first.

    They lie among the names, so that one listing tells of all of them. No name is spelled with ``!`` and a slash.
    """
    return f"{NAMES}{escape_name(name)}!/"


def hidden_key(name: ArtifactName, number: int) -> str:
    """Key of record ``number`` (1, 2, …) of those that hide a name (odd ones) and show it again (even ones)."""
    _check_number(number, f"{name}: hiding record")
    return f"{hidden_prefix(name)}{_inverse(number)}.json"


def parse_hidden_key(key: str) -> tuple[str, int] | None:
    """The name that the record at ``key`` hides or shows, and its number; None for another key."""
    escaped, separator, _ = key.removeprefix(NAMES).rpartition("!/")
    name = unescape_name(escaped)
    if not separator or name_problem(name) is not None:
        return None
    number = _number_below(hidden_prefix(ArtifactName(name)), key)
    return (name, number) if number else None


def versions_prefix(name: ArtifactName) -> str:
    """Where a name's manifests and state records lie, newest first."""
    return f"{ARTIFACTS}{escape_name(name)}/_versions/"


def name_of_versions_key(key: str) -> str | None:
    """The name under whose versions ``key`` lies, or None if it lies under none."""
    escaped, separator, _ = key.removeprefix(ARTIFACTS).partition("/_versions/")
    name = unescape_name(escaped)
    if not separator or name_problem(name) is not None:
        return None
    return name if versions_prefix(ArtifactName(name)) == f"{ARTIFACTS}{escaped}/_versions/" else None


def artifact_prefix(name: ArtifactName) -> str:
    """Where all records of a name lie but those that make it listable; also those of names that begin with it."""
    return f"{ARTIFACTS}{escape_name(name)}/_"


def name_of_artifact_key(key: str) -> str | None:
    """The name under whose :func:`artifact_prefix` ``key`` lies, or None if it lies under none."""
    name = unescape_name(key.removeprefix(ARTIFACTS).partition("/_")[0])
    return name if name_problem(name) is None and key.startswith(artifact_prefix(ArtifactName(name))) else None


def version_prefix(name: ArtifactName, version: int) -> str:
    """What the keys of one version's manifest and states begin with; no other version's do."""
    return f"{versions_prefix(name)}{_inverse(version)}_v{version}."


def manifest_key(name: ArtifactName, version: int) -> str:
    """Key of a version's manifest. Creating it is the commit.

    Raises:
        StoreFormatError: no version has this number, so that no reader would find it.
    """
    _check_number(version, f"{name}: version")
    return f"{version_prefix(name, version)}json"


def state_key(name: ArtifactName, version: int, number: int) -> str:
    """Key of a version's state record ``number`` (1, 2, …), the highest of which holds. It lists after the manifest.

    Raises:
        StoreFormatError: no reader knows records with this number.
    """
    _check_number(number, f"{name}@{version}: state")
    return f"{version_prefix(name, version)}state-{_inverse(number)}.json"


def tomb_key(name: ArtifactName, version: int) -> str:
    """Key of the record that a version was erased. It lists after the manifest and the states.

    Raises:
        StoreFormatError: no version has this number.
    """
    _check_number(version, f"{name}: version")
    return f"{version_prefix(name, version)}tomb.json"


@dataclass(frozen=True, slots=True)
class VersionKey:
    """What a key under :func:`versions_prefix` says: of a state its number, else it is a tomb's or the manifest's."""

    version: int
    state: int | None
    is_tomb: bool = False


def parse_version_key(name: ArtifactName, key: str) -> VersionKey | None:
    """Read a listed key, or return None for one that format 1 does not know.

    Raises:
        StoreFormatError: it is that of a state record from before format 1 was settled. To ignore it would be to take a
            pruned version for a live one.
    """
    prefix = versions_prefix(name)
    if not key.startswith(prefix):
        return None
    match = _VERSION_FILE.fullmatch(key, len(prefix))
    if match is None:
        if _STATE_OF_BEFORE.fullmatch(key, len(prefix)):
            raise _state_of_before(key)
        return None
    version, state = _number_of(match[1]), match[3] and _number_of(match[3])
    if version != int(match[2]) or (match[3] and not state):
        return None
    return VersionKey(version, state or None, is_tomb=match[4] is not None)


def _state_of_before(key: str) -> StoreFormatError:
    return StoreFormatError(
        f"{key} is a state record as a metamlflow from before format 1 was settled spelled it",
        hint="Such versions are not read any more: register what is live in a new store.",
        key=key,
        problems=("the number of a state record takes ten digits",),
    )


def state_number_of_key(key: str) -> int | None:
    """The number of the state record at ``key``, whichever version's, or None for another key."""
    match = _VERSION_FILE.fullmatch(key.rpartition("/")[2])
    return _number_of(match[3]) if match and match[3] else None


def aliases_prefix(name: ArtifactName, alias: str) -> str:
    """Where the records of one alias lie, newest first."""
    return f"{ARTIFACTS}{escape_name(name)}/_aliases/{escape_name(alias)}/"


def every_alias_prefix(name: ArtifactName) -> str:
    """Where the records of all aliases of a name lie."""
    return f"{ARTIFACTS}{escape_name(name)}/_aliases/"


def alias_of_key(name: ArtifactName, key: str) -> str | None:
    """The alias whose record lies at ``key``, or None for a key that format 1 does not know."""
    alias = unescape_name(key.removeprefix(every_alias_prefix(name)).rpartition("/")[0])
    return alias if parse_alias_key(name, alias, key) is not None else None


def alias_of_any_key(key: str) -> tuple[str, str, int] | None:
    """The name, the alias and the number of the record at ``key``, or None for a key of anything else."""
    escaped, separator, _ = key.removeprefix(ARTIFACTS).partition("/_aliases/")
    name = unescape_name(escaped)
    if not separator or name_problem(name) is not None or escape_name(name) != escaped:
        return None
    known = ArtifactName(name)
    alias = alias_of_key(known, key)
    if alias is None or alias_problem(alias) is not None:
        return None
    return name, alias, parse_alias_key(known, alias, key) or 0


def alias_key(name: ArtifactName, alias: str, number: int) -> str:
    """Key of an alias's record ``number`` (1, 2, …)."""
    _check_number(number, f"{name}@{alias}: record")
    return f"{aliases_prefix(name, alias)}{_inverse(number)}.json"


def parse_alias_key(name: ArtifactName, alias: str, key: str) -> int | None:
    """The number of the alias record at ``key``, or None for a key that format 1 does not know."""
    return _number_below(aliases_prefix(name, alias), key)


def idempotency_prefix(name: ArtifactName, key_digest: str) -> str:
    """Where the claims under one idempotency key lie, newest first."""
    return f"{ARTIFACTS}{escape_name(name)}/_idempotency/{key_digest}/"


def idempotency_key(name: ArtifactName, key_digest: str, number: int) -> str:
    """Key of claim ``number`` (1, 2, …) made under the idempotency key with this SHA-256 (64 hex digits)."""
    _check_number(number, f"{name}: idempotency claim")
    return f"{idempotency_prefix(name, key_digest)}{_inverse(number)}.json"


def parse_idempotency_key(name: ArtifactName, key_digest: str, key: str) -> int | None:
    """The number of the claim at ``key``, or None for a key that format 1 does not know."""
    return _number_below(idempotency_prefix(name, key_digest), key)


def notes_prefix(name: ArtifactName, version: int | None = None) -> str:
    """Where the notes on a name or on one of its versions lie, newest first.

    Those on versions lie below those on the name, and list after them.
    """
    of_version = "" if version is None else f"v{version}/"
    return f"{ARTIFACTS}{escape_name(name)}/_notes/{of_version}"


def note_key(name: ArtifactName, version: int | None, number: int) -> str:
    """Key of note record ``number`` (1, 2, …) on a version, or on the name if that is None."""
    _check_number(number, f"{name}: note" if version is None else f"{name}@{version}: note")
    return f"{notes_prefix(name, version)}{_inverse(number)}.json"


def parse_note_key(name: ArtifactName, version: int | None, key: str) -> int | None:
    """The number of the note record at ``key``, or None for a key that format 1 does not know."""
    return _number_below(notes_prefix(name, version), key)


def may_precede_note(name: ArtifactName, version: int | None, key: str) -> bool:
    """Whether a listing that has come to ``key`` may still show note records on this very name or version."""
    return key <= f"{notes_prefix(name, version)}{_INVERSE_OF}.json"


@dataclass(frozen=True, slots=True)
class NoteKey:
    """What the key of a note record says; ``version`` is None for a note on the name."""

    version: int | None
    number: int


def note_of_key(name: ArtifactName, key: str) -> NoteKey | None:
    """Which of a name's note records lies at ``key``, or None for a key that format 1 does not know."""
    prefix = notes_prefix(name)
    match = _NOTE_FILE.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    if match is None:
        return None
    version = int(match[1]) if match[1] else None
    number = parse_note_key(name, version, key)
    if number is None or (version is not None and version > MAX_VERSION):
        return None
    return NoteKey(version, number)


def _number_below(prefix: str, key: str) -> int | None:
    match = _NUMBERED_FILE.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    return _number_of(match[1]) if match else None


def _check_number(number: int, what: str) -> None:
    """Refuse to spell a key that no reader would take: a writer refuses what a reader does."""
    if not 1 <= number <= MAX_VERSION:
        raise StoreFormatError(
            f"{what} {number:,} is out of range: numbers go from 1 to {MAX_VERSION:,}",
            hint="If the store has a record with a number near the end of that range, this library did not write it: "
            "somebody forged or damaged it. Look at it, and remove it.",
            problems=(f"number: expected 1 to {MAX_VERSION}, got {number}",),
        )


def relocation_key(number: int) -> str:
    """Key of relocation ``number`` (1, 2, …). The newest lists first."""
    _check_number(number, "relocation")
    return f"{RELOCATIONS}{_inverse(number)}.json"


def parse_relocation_key(key: str) -> int | None:
    """The number of the relocation at ``key``, or None for a key that format 1 does not know."""
    return _number_below(RELOCATIONS, key)


def features_key(number: int) -> str:
    """Key of list ``number`` (1, 2, …) of a store's features. The newest lists first."""
    _check_number(number, "list of features")
    return f"{FEATURES}{_inverse(number)}.json"


def parse_features_key(key: str) -> int | None:
    """The number of the list of features at ``key``, or None for a key that format 1 does not know."""
    return _number_below(FEATURES, key)


def policies_key(number: int) -> str:
    """Key of list ``number`` (1, 2, …) of a store's retention policies. The newest lists first."""
    _check_number(number, "list of policies")
    return f"{POLICIES}{_inverse(number)}.json"


def parse_policies_key(key: str) -> int | None:
    """The number of the list of policies at ``key``, or None for a key that format 1 does not know."""
    return _number_below(POLICIES, key)


def all_protections_prefix(name: ArtifactName) -> str:
    """Where the protections of all versions of a name lie."""
    return f"{PROTECTIONS}{escape_name(name)}/_v"


def protections_prefix(name: ArtifactName, version: int) -> str:
    """Where the protections of one version lie, newest first."""
    return f"{all_protections_prefix(name)}{version}/"


def protection_key(name: ArtifactName, version: int, number: int, *, ends: bool = False) -> str:
    """Key of protection ``number`` (1, 2, …) of a version, or of the record that ends it, which lists before it."""
    _check_number(number, f"{name}@{version}: protection")
    return f"{protections_prefix(name, version)}{_inverse(number)}{'.end' if ends else ''}.json"


@dataclass(frozen=True, slots=True)
class ProtectionKey:
    """What the key of a protection says, or that of the record which ends it."""

    name: ArtifactName
    version: int
    number: int
    ends: bool


def parse_protection_key(key: str) -> ProtectionKey | None:
    """Which protection, or end of one, lies at ``key``; None for a key that format 1 does not know."""
    escaped, separator, rest = key.removeprefix(PROTECTIONS).rpartition("/_v")
    name, (digits, _, file) = unescape_name(escaped), rest.partition("/")
    match = _PROTECTION_FILE.fullmatch(file)
    if not separator or match is None or not _NUMBER.fullmatch(digits) or name_problem(name) is not None:
        return None
    number, version = _number_of(match[1]), int(digits)
    if number is None or version > MAX_VERSION:
        return None
    found = ProtectionKey(ArtifactName(name), version, number, ends=match[2] is not None)
    return found if protection_key(found.name, version, number, ends=found.ends) == key else None


def collection_key(number: int) -> str:
    """Key of record ``number`` (1, 2, …) of the collections of a store. The newest lists first."""
    _check_number(number, "record of a collection")
    return f"{COLLECTIONS}{_inverse(number)}.json"


def parse_collection_key(key: str) -> int | None:
    """The number of the record of a collection at ``key``, or None for a key that format 1 does not know."""
    return _number_below(COLLECTIONS, key)


def edges_prefix(name: ArtifactName, version: int) -> str:
    """Where the edges from one version to those that were made from it lie."""
    return f"{EDGES}{escape_name(name)}/_v{version}/"


def edge_key(source: tuple[ArtifactName, int], consumer: tuple[ArtifactName, int]) -> str:
    """Key of the hint that version ``consumer`` may have version ``source`` among its inputs."""
    name, version = consumer
    return f"{edges_prefix(*source)}{escape_name(name)}@{version}"


def parse_edge_key(source: tuple[ArtifactName, int], key: str) -> tuple[ArtifactName, int] | None:
    """The consumer that an edge speaks of, or None for a key that format 1 does not know."""
    escaped, separator, version = key.removeprefix(edges_prefix(*source)).rpartition("@")
    name = unescape_name(escaped)
    if not separator or not _NUMBER.fullmatch(version) or name_problem(name) is not None:
        return None
    consumer = ArtifactName(name), int(version)
    return consumer if consumer[1] <= MAX_VERSION and edge_key(source, consumer) == key else None


def all_signatures_prefix(name: ArtifactName) -> str:
    """Where the signatures over all versions of a name lie."""
    return f"{SIGNATURES}{escape_name(name)}/_v"


def signatures_prefix(name: ArtifactName, version: int) -> str:
    """Where the signatures over one version's manifest lie."""
    return f"{all_signatures_prefix(name)}{version}/"


def signature_key(name: ArtifactName, version: int, key_id: str) -> str:
    """Key of the signature that the key with this id (64 hex digits) made over a version's manifest."""
    return f"{signatures_prefix(name, version)}{key_id}.json"


def key_id_of_signature_key(key: str) -> str:
    """The id of the public key that a key names, one below :func:`signatures_prefix` of whichever version."""
    return key.rpartition("/")[2].removesuffix(".json")


def runs_prefix(run_id: str) -> str:
    """Where the records of one run lie."""
    return f"{RUNS}{run_id}/"


def run_of_key(key: str) -> str:
    """The run whose record lies at ``key``, one below :data:`RUNS`."""
    return key.removeprefix(RUNS).partition("/")[0]


def run_key(run_id: str, record: Literal["start", "end"]) -> str:
    """Key of the record that begins or ends a run."""
    return f"{RUNS}{run_id}/{record}.json"


def distributions_key(digest: str) -> str:
    """Key of a list of installed distributions with this SHA-256 (64 hex digits)."""
    return f"{DISTRIBUTIONS}{digest}.txt"


def run_inputs_prefix(run_id: str) -> str:
    """Where the records of what a run used lie, in their order."""
    return f"{RUNS}{run_id}/inputs/"


def run_input_key(run_id: str, input_id: str) -> str:
    """Key of the record that a run used something; the id (32 hex digits) is that of what was used."""
    return f"{run_inputs_prefix(run_id)}{input_id}.json"


def parse_run_input_key(run_id: str, key: str) -> str | None:
    """The id of what was used according to the record at ``key``, or None for a key that format 1 does not know."""
    prefix = run_inputs_prefix(run_id)
    match = _INPUT_FILE.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    return match[1] if match else None


def input_id_of_key(key: str) -> str:
    """The id of what was used that a key names, one below :func:`run_inputs_prefix` of whichever run."""
    return key.rpartition("/")[2].removesuffix(".json")


STATES = f"{ARTIFACTS}*.state-*.json"
"""The keys of all state records, and no others, with ``*`` for any characters: for a policy of who may prune."""


def blob_key(sha256: str, extension: str = "", publish_id: str | None = None) -> str:
    """Key of the content with this digest (64 hex digits).

    Args:
        sha256: the digest.
        extension: as :func:`extension_of` gives it.
        publish_id: makes the key a fresh one, where the content lies in the store already and cannot be relied on.
    """
    fresh = f"-{publish_id}" if publish_id else ""
    return f"{CONTENT}{sha256[:2]}/{sha256}{fresh}{extension}"


def sha256_and_rest_of_blob_key(key: str) -> tuple[str, str] | None:
    """The digest that a blob key speaks of and what comes after it, or None if this is no blob key."""
    match = _BLOB_KEY.fullmatch(key)
    return (match[2], key[match.end(2) :]) if match else None


_BLOB_KEY = re.compile(r"blobs/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})(-[0-9a-f]{32})?(\.[a-z0-9]{1,8}){0,2}")
_BLOB_FILE = re.compile(
    r"[0-9a-f]{64}(?![0-9a-z])(?:-[0-9a-f]{32}(?![0-9a-z]))?(?:\.[a-z0-9]{1,8}(?![0-9a-z])){0,2}", re.ASCII
)


def blob_keys_in_uri(uri: str) -> set[str]:
    """The keys of all blobs that a URI may lead to if it leads into this store, whatever it calls the store's root.

    One bucket or folder has many URIs: by another endpoint, through a link, below a mount. The name of the file alone
    tells the key, so only that is compared: as it is spelled, percent-decoded, and in lower case, as a disk that folds
    case finds it too. Whatever stands before it may run into it (``%252f``); what follows may look like an extension.
    """
    decoded = unquote(uri)
    texts = {uri, decoded, uri.lower(), decoded.lower()}
    return {key for text in texts for found in _BLOB_FILE.finditer(text) for key in _blob_keys_within(found[0])}


def _blob_keys_within(file: str) -> Iterator[str]:
    """Yield the key of a blob's file name, and of each shorter name that it begins with."""
    folder = f"{CONTENT}{file[:2]}/"
    yield folder + file[:64]
    bare, *extensions = file.split(".")
    for count in range(len(extensions) + 1):
        yield folder + ".".join((bare, *extensions[:count]))


def sha256_of_blob_key(key: str) -> str | None:
    """The digest that a blob key speaks of, or None if this is no blob key."""
    match = _BLOB_KEY.fullmatch(key)
    return match[2] if match else None


def extension_of_blob_key(key: str) -> str:
    """The extension of a blob key, with its dots, or an empty string."""
    return "".join(f".{part}" for part in key.split(".")[1:])


def extension_of(path: str) -> str:
    """The extension that readers look for (``.csv``, ``.csv.gz``), with its dots, or an empty string.

    It is the last one or two parts of the file name after its stem that are 1 to 8 letters and digits, in lower case.
    """
    parts = path.rpartition("/")[2].lower().lstrip(".").split(".")[1:][-2:]
    if not parts or not _EXTENSION_PART.fullmatch(parts[-1]):
        return ""
    if len(parts) > 1 and not _EXTENSION_PART.fullmatch(parts[0]):
        parts = parts[1:]
    return "".join(f".{part}" for part in parts)
