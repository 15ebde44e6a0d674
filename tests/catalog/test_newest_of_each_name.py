"""One listing finds the newest version of each name, and passes over what lies between them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metamlflow.backend import Blob
from metamlflow.format import layout
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog import newest
from metamlflow.store.catalog.newest import newest_of_each
from metamlflow.store.catalog.statuses import list_versions
from metamlflow.store.catalog.store import Store
from metamlflow.testing.memory import MemoryBackend

NAMES = ["a", "a/b", "a.json/b", "A", "a-b", "b", "a/b/c", "z"]
BEGINNINGS = ["", "a", "a/", "a/b", "a/b/", "a.json/", "A/"]


class CountingBackend(MemoryBackend):
    pages = shown = 0

    def list_objects(self, prefix="", *, after="", limit=None):
        self.pages += 1
        for info in super().list_objects(prefix, after=after, limit=limit):
            self.shown += 1
            yield info


def version_keys(name: ArtifactName, version: int, states: int, kind: str) -> list[str]:
    keys = [layout.state_key(name, version, number) for number in range(1, states + 1)]
    if kind != "no manifest":
        keys.append(layout.manifest_key(name, version))
    if kind == "erased":
        keys.append(layout.tomb_key(name, version))
    return keys


VERSION = st.tuples(st.integers(1, 6), st.integers(0, 2), st.sampled_from(["plain", "plain", "erased", "no manifest"]))
RECORDS = st.builds(
    lambda name, versions, aliases, notes, claims: [
        *(key for version in versions for key in version_keys(ArtifactName(name), *version)),
        *(layout.alias_key(ArtifactName(name), "best", number) for number in range(1, aliases + 1)),
        *(layout.note_key(ArtifactName(name), 1, number) for number in range(1, notes + 1)),
        *(layout.idempotency_key(ArtifactName(name), f"{number:064x}", 1) for number in range(claims)),
    ],
    st.sampled_from(NAMES),
    st.lists(VERSION, max_size=5, unique_by=lambda version: version[0]),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(0, 6),
)
FOREIGN = st.sampled_from(["artifacts/", "artifacts/a/x", "artifacts/a/_versions/x.json", "artifacts/_x/y", "blobs/x"])


def store_of(keys) -> Store:
    backend = CountingBackend()
    for key in keys:
        backend.put(key, Blob(1, "0" * 64, "0" * 8, lambda: __import__("io").BytesIO(b"x")))
    return Store("memory://x", {}, backend=backend)


def by_name(store: Store, name: ArtifactName):
    """The newest version of one name as its own listing shows it, if that is certainly live."""
    first = next(list_versions(store, name), None)
    return first.version if first is not None and first.available else None


@settings(deadline=None)
@given(st.lists(RECORDS, max_size=6), st.lists(FOREIGN, max_size=3), st.integers(1, 7))
def test_it_is_what_a_listing_of_each_name_would_show(records, foreign, page):
    store = store_of({key for keys in records for key in keys} | set(foreign))
    before = newest._IDLE
    newest._IDLE = page
    try:
        found = {
            beginning: {name: status and status.version for name, status in newest_of_each(store, beginning)}
            for beginning in BEGINNINGS
        }
    finally:
        newest._IDLE = before
    for beginning, name in product(BEGINNINGS, map(ArtifactName, NAMES)):
        if name.startswith(beginning):
            assert found[beginning].get(name) == by_name(store, name), (beginning, name)


def test_older_versions_and_claims_are_passed_over(monkeypatch):
    names = [ArtifactName(f"name{number}") for number in range(10)]
    keys = [layout.manifest_key(name, version) for name in names for version in range(1, 301)]
    keys += [layout.idempotency_key(name, f"{number:064x}", 1) for name in names for number in range(300)]
    store = store_of(keys)
    monkeypatch.setattr(newest, "_IDLE", 10)
    assert {status.version for _, status in newest_of_each(store)} == {300}
    assert store.backend.pages <= 2 * len(names) + 1
    assert store.backend.shown <= 25 * len(names)  # and not 600


@pytest.mark.full
@pytest.mark.parametrize("count", [250, 300])
def test_many_names_are_listed_by_two_listings_and_then_from_the_catalog(count, tmp_path):
    pytest.importorskip("pyarrow")
    from metamlflow import MetaMLFlowClient
    from metamlflow._session import Session
    from metamlflow.store.cache.file_cache import FileCache

    backend = CountingBackend()
    store = Store("memory://x", {}, backend=backend)
    client = MetaMLFlowClient._on(store)
    client._session = Session(store, FileCache(tmp_path / "cache"))
    for number in range(count):
        client.register_artifact(f"name{number:03}", b"x", "file", {"n": number})
    reads = []
    backend.read = lambda key, start=0, end=None: (reads.append(key), MemoryBackend.read(backend, key, start, end))[1]
    for turn in range(2):
        reads.clear()
        before = backend.pages
        assert [artifact.metadata["n"] for artifact in client.list_artifacts()] == list(range(count))
        assert backend.pages - before == 2
        assert len(reads) == (0 if turn and count >= 256 else count)
