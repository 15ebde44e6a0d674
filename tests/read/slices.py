"""A third kind of content, as another module would add it: files that are slices of one larger blob, their pack."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

from metamlflow.backend.seeking import SeekableReader
from metamlflow.errors import ObjectNotFoundError
from metamlflow.format.entries import Special
from metamlflow.model.findings import Finding
from metamlflow.model.json_lines import encode_line
from metamlflow.model.manifests import Entry
from metamlflow.store.catalog.fetching import absent, compare, damaged, range_fetcher
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.read.content import Content
from metamlflow.store.transfer.ranges import write_all


@dataclass(frozen=True)
class SliceEntry:
    """One file: so many bytes of a pack, from ``start`` on."""

    path: str
    size: int
    sha256: str
    start: int
    pack: Entry
    key: None = None
    uri: None = None
    crc32c: None = None
    executable: bool = False
    only_whole_is_verified: bool = False
    storage_path: None = None
    extra: Mapping | None = None

    def objects(self):
        return (self.pack,)

    def to_json(self):
        names = ("path", "size", "sha256", "crc32c", "key", "executable")
        return {name: getattr(self, name) for name in names}

    def digest_line(self):
        return encode_line([self.path, self.size, self.sha256])

    def located(self, url_of, allows):
        return self

    def without_keys(self):
        return replace(self, pack=replace(self.pack, key=""))


class SliceContent(Content):
    """A slice is asked for as a range of its pack, and compared with its own digest."""

    __slots__ = ()

    @property
    def place(self):
        return self.entry.pack.key

    @property
    def expected(self):
        return f"sha256:{self.entry.sha256}"

    def url(self):
        return self.store.backend.url_of(self.entry.pack.key)

    def raw(self):
        return _Reader(self)

    def read(self):
        entry = self.entry
        try:
            data = bytes(range_fetcher(self.store, entry.pack.key)(entry.start, entry.start + entry.size))
        except ObjectNotFoundError:
            raise absent(entry.pack) from None
        compare(Entry(entry.path, entry.size, entry.sha256, "", entry.pack.key), len(data), _sha256(data))
        return data

    def copy(self, target, on_bytes):
        data = self.read()
        if target is not None:
            write_all(target, data)
        on_bytes(len(data))

    @classmethod
    def overview(cls, survey):
        """Look at each pack once, however many files it holds."""
        looked = {}

        def of(entry):
            key = entry.pack.key
            if key not in looked:
                looked[key] = _size_of(survey.store, key)
            return looked[key]

        return of

    def check(self, level, shown, on_bytes, before_request):
        if level == "full":
            before_request()
            return self.copy(None, on_bytes)
        if shown is None:
            raise absent(self.entry.pack)
        if shown != self.entry.pack.size:
            raise damaged(self.entry.pack, f"{shown} bytes")
        if level == "stat":
            return None
        return Finding(self.entry.path, "unverifiable", self.place, self.expected, "slices have no checksums")


class _Reader(SeekableReader):
    """Fetches its slice, and nothing around it, when the first of it is read."""

    def __init__(self, content):
        super().__init__(content.entry.size)
        self._content, self._data = content, None

    def readinto(self, buffer):
        if self._data is None:
            self._data = io.BytesIO(self._content.read())
        self._data.seek(self._position)
        read = self._data.readinto(buffer)
        self._position += read
        return read


def _size_of(store, key):
    try:
        return with_retries(lambda: store.backend.stat(key), store.clock).size
    except ObjectNotFoundError:
        return None


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def slices_of(pack: Entry, files: Mapping[str, bytes]) -> list[SliceEntry]:
    """Return the entries of files that lie in a pack one after another, in path order."""
    entries, start = [], 0
    for path, data in files.items():
        entries.append(SliceEntry(path, len(data), _sha256(data), start, pack))
        start += len(data)
    return entries


def _to_json(entry):
    pack = entry.pack
    return {
        "size": entry.size,
        "sha256": entry.sha256,
        "start": entry.start,
        "pack": {"key": pack.key, "size": pack.size, "sha256": pack.sha256, "crc32c": pack.crc32c},
    }


def _from_fields(fields, path):
    pack = fields.mapping("pack")
    return SliceEntry(
        path,
        fields.integer("size", 0),
        fields.text("sha256"),
        fields.integer("start", 0),
        Entry(pack["key"], pack["size"], pack["sha256"], pack["crc32c"], pack["key"]),
    )


DOCUMENT = Special("pack", "slices", "slices of packs", _to_json, _from_fields)
