"""What the small records say that change what is known of versions: aliases, notes and odd states, each read once."""

from __future__ import annotations

import gzip
import json
import secrets
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from metamlflow.backend import ObjectInfo
from metamlflow.errors import ObjectNotFoundError, StoreFormatError
from metamlflow.format.notes import decode_notes
from metamlflow.format.records import decode_alias, decode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import kept, read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.find.columns import Identity, identity_of
from metamlflow.store.transfer.scheduler import in_parallel

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record that is the newest of its series.

    Attributes:
        info: as listed.
        kind: ``alias``, ``note`` or ``state``.
        name: the artifact's name.
        version: of a note on a version, and of a state.
        number: in its series.
        alias: of an alias.
    """

    info: ObjectInfo
    kind: str
    name: ArtifactName
    version: int | None = None
    number: int = 0
    alias: str = ""


class HeldRecords:
    """The records that were read, by key; kept in a file between processes. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: dict[str, tuple[Identity, Any]] = {}
        with suppress(OSError, ValueError, TypeError, LookupError, EOFError, RecursionError, zlib.error):
            document = json.loads(gzip.decompress(path.read_bytes()))
            if document["format"] == _FORMAT:
                self._said = {key: (_identity(identity), said) for key, identity, said in document["records"]}

    def read(self, store: Store, wanted: Iterable[Wanted]) -> list[tuple[Wanted, Any]]:
        """Return what records say; those that are new, or other objects by now, are read, in parallel.

        A damaged record says its error. One that is gone by now is left out. What is not wanted any more is forgotten.
        """
        kept_ones: dict[str, tuple[Identity, Any]] = {}
        found: list[tuple[Wanted, Any]] = []
        unread: list[Wanted] = []
        for one in wanted:
            known = self._said.get(one.info.key)
            if known is not None and known[0] == identity_of(one.info):
                kept_ones[one.info.key] = known
                found.append((one, known[1]))
            else:
                unread.append(one)
        for one, said in zip(unread, in_parallel(partial(_read, store), unread), strict=True):
            if said is not None:
                found.append((one, said))
                if not isinstance(said, StoreFormatError):
                    kept_ones[one.info.key] = (identity_of(one.info), said)
        if kept_ones.keys() != self._said.keys() or unread:
            self._said = kept_ones
            self._save()
        return found

    def _save(self) -> None:
        document = {"format": _FORMAT, "records": [[key, *said] for key, said in self._said.items()]}
        temp = self._path.with_name(f"records.{secrets.token_hex(4)}.temp")
        with suppress(OSError):  # the next process reads them from the store
            temp.write_bytes(gzip.compress(json.dumps(document).encode(), 1))
            temp.rename(self._path)


def _identity(value: Any) -> Identity:
    size, modified, tag, version = value
    return size, modified, tag, version


def _read(store: Store, wanted: Wanted) -> Any:
    key = wanted.info.key
    try:
        data = with_retries(lambda: read_record(store.backend, key), store.clock)
        match wanted.kind:
            case "alias":
                return {"version": decode_alias(data, key)}
            case "state":
                record = decode_state(data, key)
                return {"state": record.state, "manifest_digest": record.manifest_digest}
        notes = decode_notes(data, key, wanted.name, wanted.version, wanted.number).notes
        return {"title": notes.title, "description": notes.description, "tags": dict(notes.tags)}
    except ObjectNotFoundError:
        return None
    except StoreFormatError as error:
        return kept(error)
