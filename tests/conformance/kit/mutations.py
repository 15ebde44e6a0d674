"""Random changes of good documents: of any field, of any byte. The same seed gives the same changes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reader.json_text import Refused
from reader.keys import inverse, record_of

from kit import originals, shard_rules
from kit.cases import as_document
from kit.uri_rules import REFUSED, TAKEN
from kit.values import TYPES

POOL: list[Any] = [value for said in TYPES.values() for value in (*said.good, *said.bad)]
POOL += [*TAKEN.values(), *(uri for _, uri in REFUSED.values())]
POOL += [None, True, False, 0, 1, -1, 2**53, 2**63, 0.5, 1e300, "", "null", [], {}, [None], [[]], {"": None}]
POOL += [
    "file",
    "folder",
    "object",
    "glob",
    "full",
    "checksum",
    "stat",
    "pruned",
    "restored",
    "absent",
    "failed",
    "hidden",
    "shown",
    "begun",
    "ended",
    "a/**",
]
POOL += [
    originals.INPUT,
    originals.PLACE,
    originals.POLICY,
    originals.POINTER,
    originals.SHARDS[0],
    originals.INLINE["entries"][0],
    {"md5": "0" * 32},
]
WORDS = ["key", "folder", "uri", "stored", "parts", "offset", "length", "data", "executable", "version", "x-unknown"]
WORDS += ["held", "computed", "entries", "shards", "pointers", "requires", "previous", "path", "etag", "Size"]
WORDS += ["policies", "pattern", "where", "keep_last", "phase", "unclear", "note", "created_by"]
WORDS += ["title", "tags", "description", "read", "write", "manifest_digest", "state", "reason"]


def records_of(stores: Path) -> Iterator[tuple[str, bytes]]:
    """Every record of the kit's stores that is read for itself, with its key."""
    for path in sorted(stores.rglob("*.json")):
        store = path.relative_to(stores).parts[0]
        key = path.relative_to(stores / store).as_posix()
        if record_of(key)["kind"] not in {"ignored", "refused", "name", "edge", "blob"}:
            yield key, path.read_bytes()


def mutants(stores: Path, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Changed documents, each with the key that it lies at."""
    chance = random.Random(seed)
    known = [(key, as_document(document)) for key, document in originals.DOCUMENTS.values()]
    known += records_of(stores)
    for _ in range(count):
        key, data = chance.choice(known[: len(originals.DOCUMENTS)] if chance.random() < 0.7 else known)
        yield key, _changed(chance, data)


def shard_mutants(seed: int, count: int) -> Iterator[bytes]:
    """Changed shards, all of them said to begin with ``a`` and to have three lines."""
    chance = random.Random(seed)
    for _ in range(count):
        lines = shard_rules.GOOD.splitlines(keepends=True)
        place = chance.randrange(len(lines))
        lines[place] = _changed(chance, lines[place])
        yield b"".join(lines)


def damage_store(root: Path, chance: random.Random) -> list[str]:
    """Remove, change, mix up and add records of a store in place; say what was done."""
    told = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        keys = [key for key in keys if not key.startswith("blobs/")]
        if keys:
            told.append(chance.choice((_lose, _change_one, _mix_up, _state_or_tomb))(root, chance, keys))
    return told


def _lose(root: Path, chance: random.Random, keys: list[str]) -> str:
    key = chance.choice(keys)
    (root / key).unlink()
    return f"{key} is gone"


def _change_one(root: Path, chance: random.Random, keys: list[str]) -> str:
    key = chance.choice(keys)
    (root / key).write_bytes(_changed(chance, (root / key).read_bytes()))
    return f"{key} is changed"


def _mix_up(root: Path, chance: random.Random, keys: list[str]) -> str:
    key = chance.choice(keys)
    other = chance.choice([one for one in keys if record_of(one)["kind"] == record_of(key)["kind"]])
    (root / key).write_bytes((root / other).read_bytes())
    return f"{key} is what {other} is"


def _state_or_tomb(root: Path, chance: random.Random, keys: list[str]) -> str:
    """Beside a version, with the bytes of another one's."""
    versions = [key for key in keys if record_of(key)["kind"] in {"manifest", "state", "tomb"}]
    if not versions:
        return "nothing"
    key = chance.choice(versions)
    said = chance.choice(["tomb.json", *(f"state-{inverse(number)}.json" for number in (1, 2, 3, 4))])
    new = key.partition(f"_v{record_of(key)['version']}.")[0] + f"_v{record_of(key)['version']}.{said}"
    other = chance.choice([one for one in versions if record_of(one)["kind"] != "manifest"] or versions)
    (root / new).write_bytes((root / other).read_bytes())
    return f"{new} is what {other} was"


def _changed(chance: random.Random, data: bytes) -> bytes:
    if chance.random() < 0.2:
        return _bytes_changed(chance, data)
    try:
        document = json.loads(data)
    except ValueError:
        return data
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _change(chance, document)
    if isinstance(document, dict) and isinstance(document.get("entries"), list) and chance.random() < 0.7:
        document = _sealed(document)
    return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass") + b"\n"


def _sealed(document: dict[str, Any]) -> dict[str, Any]:
    """With the sums of what was changed, so that more than these are looked at."""
    try:
        return originals.sealed(document)
    except (Refused, UnicodeEncodeError):
        return document


def _bytes_changed(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    rest = data[place + chance.choice((0, 0, 1, 1, 5)) :]
    new = bytes(
        chance.choice(b'{}[]",:\\-+.0123456789eEuxtfn \n\x00\x1f\x7f\xc3\xff')
        for _ in range(chance.choice((0, 1, 1, 2)))
    )
    return data[:place] + new + rest


def _change(chance: random.Random, document: Any) -> None:
    """One change at a place that is chosen among all of the document."""
    holders = list(_holders(document))
    holder = chance.choice(holders)
    if isinstance(holder, dict):
        _change_object(chance, holder)
    elif isinstance(holder, list):
        _change_array(chance, holder)


def _holders(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def _change_object(chance: random.Random, holder: dict[str, Any]) -> None:
    names = sorted(holder)
    way = chance.random()
    if way < 0.15 or not names:
        holder[chance.choice(WORDS)] = copy.deepcopy(chance.choice(POOL))
    elif way < 0.25:
        del holder[chance.choice(names)]
    elif way < 0.3:
        holder[chance.choice(WORDS)] = holder.pop(chance.choice(names))
    elif way < 0.5:
        name = chance.choice(names)
        holder[name] = _near(chance, holder[name])
    else:
        holder[chance.choice(names)] = copy.deepcopy(chance.choice(POOL))


def _near(chance: random.Random, value: Any) -> Any:
    """Nearly the same: one more, one less, another spelling."""
    if isinstance(value, bool) or value is None:
        return chance.choice((None, True, False, 0, 1))
    if isinstance(value, int):
        return chance.choice((value + 1, value - 1, float(value), str(value), -value))
    if isinstance(value, str):
        middle = len(value) // 2
        return chance.choice(
            (value.upper(), value[1:], value + "0", value + "\n", value[:middle] + "/" + value[middle:])
        )
    return [value]


def _change_array(chance: random.Random, holder: list[Any]) -> None:
    way = chance.random()
    if way < 0.3 or not holder:
        holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(chance.choice(POOL)))
    elif way < 0.5:
        holder.append(copy.deepcopy(chance.choice(holder)))
    elif way < 0.65:
        chance.shuffle(holder)
    elif way < 0.8:
        del holder[chance.randrange(len(holder))]
    else:
        holder[chance.randrange(len(holder))] = copy.deepcopy(chance.choice(POOL))
