"""Hold the listing of ``blobs/`` against what is named: sixteen parts at a time, each a merge of two sorted streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from metamlflow.backend import ObjectInfo
from metamlflow.format.layout import CONTENT
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.kept import PARTS, NamedKeys, Naming, Owners, split_key
from metamlflow.store.retain.collecting.moment import Moment
from metamlflow.store.retain.collecting.reading import Reader
from metamlflow.store.retain.collecting.spreading import PAGE, Spreading
from metamlflow.store.retain.collecting.wrong import Wrong, Wrongs, refuse_wrong
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.scheduler import in_parallel

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob that no version needs.

    Attributes:
        info: its object, as listed.
        owner: the version that it was given up with, as :class:`~metamlflow.store.retain.collecting.kept.Owners` knows
            it; :data:`NOBODY` if no version names it.
    """

    info: ObjectInfo
    owner: int


@dataclass
class Tally:
    """How many objects, and their bytes."""

    blobs: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count an object."""
        self.blobs += 1
        self.bytes += size

    def merge(self, other: Tally) -> None:
        """Count those of another tally too."""
        self.blobs += other.blobs
        self.bytes += other.bytes


@dataclass
class Swept:
    """What a listing of ``blobs/`` shows.

    Attributes:
        kept: blobs that a version needs.
        waiting: blobs that are deletable later, by the day (UTC).
        foreign: objects below ``blobs/sha256/`` that are no blobs, and are left alone.
        wrong: what a live version names and the listing does not show, or shows with another size.
    """

    kept: Tally = field(default_factory=Tally)
    waiting: dict[str, Tally] = field(default_factory=dict)
    foreign: int = 0
    wrong: Wrongs = field(default_factory=Wrongs)

    def merge(self, other: Swept) -> None:
        """Take in what another part shows."""
        self.kept.merge(other.kept)
        self.foreign += other.foreign
        self.wrong.merge(other.wrong)
        for day, tally in other.waiting.items():
            self.waiting.setdefault(day, Tally()).merge(tally)


class Candidates:
    """The garbage that was found, in files: in the order of the keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def part(self, part: int) -> Path:
        """Return the file of a part."""
        return self._folder / f"garbage-{part}"

    def __iter__(self) -> Iterator[Candidate]:
        for part in range(PARTS):
            with self.part(part).open("rb") as lines:
                yield from map(read_candidate, lines)


def written(candidate: Candidate) -> bytes:
    """Return the line of a candidate."""
    info = candidate.info
    said = [info.key, info.size, info.modified.timestamp(), info.etag, info.version, candidate.owner]
    return json.dumps(said).encode() + b"\n"


def read_candidate(line: bytes) -> Candidate:
    """Read the line of a candidate."""
    key, size, modified, etag, version, owner = json.loads(line)
    info = ObjectInfo(key, size, datetime.fromtimestamp(modified, UTC), etag=etag, version=version)
    return Candidate(info, owner)


class Sweep:
    """One look at all blobs.

    Args:
        store: the store.
        moment: what ages are judged by.
        keys: what versions name.
        owners: the versions.
        found: takes the garbage.
        counter: counts objects.
        executor: lists in other processes; None for this one.
    """

    def __init__(
        self,
        store: Store,
        moment: Moment,
        keys: NamedKeys,
        owners: Owners,
        found: Candidates,
        counter: Counter,
        executor: Executor | None = None,
    ) -> None:
        self._store = store
        self._moment = moment
        self._keys = keys
        self._owners = owners
        self._found = found
        self._counter = counter
        self._spreading = Spreading(Reader(store, moment), executor, counter.add)

    def run(self) -> Swept:
        """List all blobs; return what they are.

        Raises:
            IntegrityError: a blob that a live version names is not there, or has another size.
        """
        swept = Swept()
        for part in in_parallel(self._part, range(PARTS), cancel=self._counter.cancel):
            swept.merge(part)
        refuse_wrong(self._store, self._owners, swept.wrong)
        return swept

    def _part(self, part: int) -> Swept:
        swept, named = Swept(), _Named(self._keys.of_part(part))
        listing = self._listed(part)
        with self._found.part(part).open("wb") as garbage:
            for info in listing:
                parts = split_key(info.key)
                if parts is None:
                    swept.foreign += 1
                elif candidate := self._judge(info, named.of(*parts, info.size), swept):
                    garbage.write(written(candidate))
        named.finish()
        swept.wrong = named.wrong
        return swept

    def _listed(self, part: int) -> Iterator[ObjectInfo]:
        """Yield the objects whose digests begin with one hex digit; the first and the last part have all others too."""
        after = f"{CONTENT}{part - 1:x}~" if part else ""
        last = f"{CONTENT}{part:x}~" if part < PARTS - 1 else None
        for number, info in enumerate(self._spreading.listed(CONTENT, after)):
            if last is not None and info.key > last:
                return
            if number % PAGE == 0:
                self._counter.add(files=PAGE if number else 0)
            yield info

    def _judge(self, info: ObjectInfo, naming: Naming | None, swept: Swept) -> Candidate | None:
        """Count an object; return it if it is garbage."""
        standing = naming.standing if naming else None
        if standing in {"live", "held"}:
            swept.kept.add(info.size)
            return None
        if naming is not None and standing == "waiting":
            given_up = self._owners.get(naming.owner).until or self._moment.now
            until = max(given_up, self._moment.blob_deletable_from(info.modified))
        elif info.modified >= self._moment.blob_cutoff:
            until = self._moment.blob_deletable_from(info.modified)
        else:
            return Candidate(info, naming.owner if naming else NOBODY)
        swept.waiting.setdefault(f"{until:%Y-%m-%d}", Tally()).add(info.size)
        return None


class _Named:
    """The keys that versions name, in the order of their digests, beside a listing in that order."""

    def __init__(self, groups: Iterator[tuple[bytes, dict[bytes, Naming]]]) -> None:
        self._groups = groups
        self._digest: bytes | None = b""
        self._left: dict[bytes, Naming] = {}
        self._seen: set[bytes] = set()
        self.wrong = Wrongs()

    def of(self, digest: bytes, rest: bytes, size: int) -> Naming | None:
        """Return what names a key that is listed with a size. Digests come in ascending order."""
        while self._digest is not None and self._digest < digest:
            self._advance()
        if self._digest != digest:
            return None
        self._seen.add(rest)
        naming = self._left.get(rest)
        if naming is not None and naming.standing == "live" and (naming.size != size or naming.others):
            self._note(naming, size)
        return naming

    def finish(self) -> None:
        """Note what was named and not listed."""
        while self._digest is not None:
            self._advance()

    def _advance(self) -> None:
        for rest, naming in self._left.items():
            if naming.standing == "live" and rest not in self._seen:
                self._note(naming, None)
        self._digest, self._left = next(self._groups, (None, {}))
        self._seen = set()

    def _note(self, naming: Naming, actual: int | None) -> None:
        digest = (self._digest or b"").hex()
        for each in (naming, *naming.others):
            if each.size != actual:
                self.wrong.note(Wrong(each.owner, digest, each.size, actual))
