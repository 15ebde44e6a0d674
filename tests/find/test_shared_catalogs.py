"""The catalog below the store's ``cache/``: it spares requests, and nothing that lies there changes a result."""

from __future__ import annotations

import json

import pytest
from md5_bucket import Md5Backend, client_of

from metamlflow.errors import AccessDeniedError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

VERSIONS = 12
EVERY = "metadata.n >= 0"


@pytest.fixture(autouse=True)
def _shared_early(monkeypatch):
    """As of a store with thousands of versions."""
    monkeypatch.setattr("metamlflow.store.find.refresh.MUCH", 2)
    monkeypatch.setattr("metamlflow.store.find.shared._LEAST_ROWS", 2)


@pytest.fixture
def bucket() -> Md5Backend:
    return Md5Backend()


@pytest.fixture
def filled(bucket, tmp_path):
    client = client_of(bucket, tmp_path / "writer")
    for number in range(VERSIONS):
        client.register_artifact(f"data{number % 3}", b"%d" % number, "file", {"n": number})
    return client


def shared_keys(bucket) -> list[str]:
    return sorted(key for key in bucket.bucket.objects if key.startswith("cache/"))


def found(client) -> list[tuple[str, int, int]]:
    return [(artifact.name, artifact.version, artifact.metadata["n"]) for artifact in client.search(EVERY)]


EXPECTED = sorted((f"data{number % 3}", number // 3 + 1, number) for number in range(VERSIONS))


def test_a_reader_takes_from_it_what_a_listing_proves_and_reads_no_manifest(filled, bucket, tmp_path):
    assert found(filled) == EXPECTED
    (key,) = shared_keys(bucket)
    assert key.startswith("cache/catalog/9999999998-12-")
    assert key.endswith(".parquet")
    bucket.reads.clear()
    assert found(client_of(bucket, tmp_path / "reader")) == EXPECTED
    assert bucket.reads["artifacts"] == 0


def test_what_came_later_is_read_and_a_generation_is_written_when_there_is_much_of_it(filled, bucket, tmp_path):
    found(filled)
    reader = client_of(bucket, tmp_path / "reader")
    filled.register_artifact("later", b"x", "file", {"n": 99})
    bucket.reads.clear()
    assert found(reader) == sorted([*EXPECTED, ("later", 1, 99)])
    assert bucket.reads["artifacts"] == 1
    assert len(shared_keys(bucket)) == 1  # one version more is not worth a generation
    for number in range(60):
        filled.register_artifact("many", b"x%d" % number, "file", {"n": number})
        if number % 20 == 19:
            found(filled)
    generations = shared_keys(bucket)
    assert [key[:27] for key in generations] == ["cache/catalog/9999999995-73", "cache/catalog/9999999996-53"]


def test_who_may_not_write_keeps_it_on_the_own_machine(filled, bucket, tmp_path):
    bucket.closed = ("cache/", "metamlflow.json")
    assert found(filled) == EXPECTED
    assert shared_keys(bucket) == []
    bucket.reads.clear()
    assert found(client_of(bucket, tmp_path / "writer")) == EXPECTED  # another client with the same cache folder
    assert bucket.reads["artifacts"] == 0


def test_where_listings_show_no_md5_nothing_that_is_shared_is_used(filled, bucket, tmp_path):
    found(filled)
    bucket.tells_md5 = False
    bucket.reads.clear()
    assert found(client_of(bucket, tmp_path / "reader")) == EXPECTED
    assert bucket.reads["artifacts"] == VERSIONS


def test_a_search_of_a_store_on_a_disk_writes_nothing_there(client, raw):
    for number in range(4):
        client.register_artifact("data", b"%d" % number, "file", {"n": number})
    before = raw.keys()
    assert len(client.search(EVERY)) == 4
    assert raw.keys() == before


def write_tomb(bucket) -> None:
    """Write the tomb of data2@4, the version with the number 11."""
    text = bucket.bucket.get("artifacts/data2/_versions/9999999995_v4.json").data
    tomb = json.loads(text) | {"created_by": "officer", "manifest_digest": "sha256:" + "0" * 64, "reason": None}
    bucket.create("artifacts/data2/_versions/9999999995_v4.tomb.json", json.dumps(tomb).encode())


def erase(bucket) -> None:
    """Erase data2@4 as the format tells it: first the tomb, then the manifest, then all below ``cache/``."""
    write_tomb(bucket)
    bucket.delete(["artifacts/data2/_versions/9999999995_v4.json"])
    bucket.delete(shared_keys(bucket))


def test_an_erased_version_is_in_no_generation_that_is_written_later(filled, bucket, tmp_path):
    found(filled)
    (key,) = shared_keys(bucket)
    assert b'"n":11' in bucket.bucket.get(key).data
    write_tomb(bucket)
    bucket.delete([key])
    reader = client_of(bucket, tmp_path / "reader")
    assert found(reader) == EXPECTED[:-1]
    (key,) = shared_keys(bucket)
    assert b'"n":11' not in bucket.bucket.get(key).data
    local = [path.read_bytes() for path in (tmp_path / "reader/catalogs").rglob("*.parquet")]
    assert local
    assert not any(b"data2@4" in data for data in local)


@pytest.mark.parametrize("moment", ["page_of", "_write", "_blob", "_tombs"])
def test_a_version_that_is_erased_while_a_generation_is_made_does_not_come_back(
    filled, bucket, tmp_path, monkeypatch, moment
):
    from metamlflow.store.find import shared

    step, steps = getattr(shared, moment), []

    def erased_meanwhile(*args):
        if moment == "page_of" and steps == ["reading"]:
            erase(bucket)  # after the listing of the versions, before that of the generations
        steps.append("reading")
        if moment != "page_of":
            erase(bucket)
        return step(*args)

    monkeypatch.setattr(shared, moment, erased_meanwhile)
    assert found(filled) == EXPECTED  # as of its listing
    assert steps
    monkeypatch.setattr(shared, moment, step)
    assert not [key for key, data in bucket.bucket.objects.items() if b'"n":11' in data.data]
    for cache in ("writer", "reader"):
        assert found(client_of(bucket, tmp_path / cache)) == EXPECTED[:-1]
    assert not [key for key in shared_keys(bucket) if b'"n":11' in bucket.bucket.get(key).data]


def test_who_may_not_delete_shares_nothing_that_could_not_be_taken_back(filled, bucket):
    bucket.deletes = False
    assert found(filled) == EXPECTED
    assert shared_keys(bucket) == []


def test_a_generation_goes_when_nobody_can_tell_whether_a_version_was_erased(filled, bucket, monkeypatch):
    from metamlflow.store.find import shared

    written = []

    def refused(_):
        written.extend(shared_keys(bucket))
        raise AccessDeniedError("artifacts/ may not be listed any more")

    monkeypatch.setattr(shared, "_tombs", refused)
    assert found(filled) == EXPECTED
    assert len(written) == 1
    assert shared_keys(bucket) == []


# --- written by a stranger --------------------------------------------------------------------------------------------


def written(table, tmp_path, **options) -> bytes:
    place = tmp_path / "hostile.parquet"
    pq.write_table(table, place, **{"compression": "none", "use_dictionary": False, **options})
    return place.read_bytes()


def rows_of(bucket) -> dict[str, bytes]:
    objects = bucket.bucket.objects
    return {key: objects[key].data for key in sorted(objects) if "/_versions/" in key}


def shared_table(rows):
    columns = {"key": pa.array([key for key, _ in rows]), "document": pa.array([data for _, data in rows], pa.binary())}
    return pa.table(columns)


def forged(data: bytes) -> bytes:
    return data.replace(b'"n":', b'"n":-')


HOSTILE = {
    "no Parquet at all": lambda rows, tmp: b"x" * 100,
    "nothing": lambda rows, tmp: b"P",
    "cut off": lambda rows, tmp: written(shared_table(rows), tmp)[:-30],
    "other columns": lambda rows, tmp: written(pa.table({"key": ["x"], "data": [b"y"]}), tmp),
    "other types": lambda rows, tmp: written(pa.table({"key": [1], "document": ["y"]}), tmp),
    "other documents": lambda rows, tmp: written(shared_table([(key, forged(data)) for key, data in rows]), tmp),
    "documents of other keys": lambda rows, tmp: written(
        shared_table([(key, rows[-1 - place][1]) for place, (key, _) in enumerate(rows)]), tmp
    ),
    "no order": lambda rows, tmp: written(shared_table(list(reversed(rows))), tmp),
    "each twice": lambda rows, tmp: written(shared_table([row for row in rows for _ in range(2)]), tmp),
    "nulls": lambda rows, tmp: written(shared_table([(key, None) for key, _ in rows]), tmp),
    "no rows": lambda rows, tmp: written(shared_table([]), tmp),
    "a document of 8 MiB in every row": lambda rows, tmp: written(
        shared_table([("artifacts/a", b"\0" * 8 * 2**20)] * 6), tmp, use_dictionary=True
    ),
    "much that is compressed": lambda rows, tmp: written(
        shared_table([(f"artifacts/a{n:03}", b"\0" * 2**20) for n in range(20)]), tmp, compression="zstd"
    ),
    "bits that flipped": lambda rows, tmp: bytes(
        byte ^ (1 if place % 97 == 0 and place > 100 else 0)
        for place, byte in enumerate(written(shared_table(rows), tmp))
    ),
    "names that no store has": lambda rows, tmp: written(
        shared_table(sorted([*rows, ("artifacts/../../etc/passwd", b"x"), ("", b""), ("z" * 10_000, b"x")])), tmp
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_that_lies_there_changes_a_result(filled, bucket, tmp_path, what):
    data = HOSTILE[what](list(rows_of(bucket).items()), tmp_path)
    bucket.create("cache/catalog/0000000001-999-0123456789abcdef.parquet", data)
    assert found(client_of(bucket, tmp_path / "reader")) == EXPECTED


def test_the_keys_of_generations_are_known_and_no_finding_of_fsck(filled, bucket):
    found(filled)
    assert shared_keys(bucket)
    assert not [finding for finding in filled.fsck().findings if finding.kind == "cache-object"]
