"""How many requests arrive at the server of what is pointed to, and how many bytes are asked for."""

from __future__ import annotations

import http.client
import random
import re
from collections import Counter
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakesides import OLD, STRENGTHS, GCSPlace, Place, S3Place
from proxy_site import SIGNED

pytestmark = pytest.mark.emulator

MANY = 2_500
PAGES = 3
MIB = 1024 * 1024


def fill(place: Place) -> None:
    """Put many small objects on one connection: with a client of the cloud that alone would take half a minute."""
    connection = http.client.HTTPConnection(place.server.url.removeprefix("http://"), timeout=60)
    for number in range(MANY):
        name = f"{place.prefix}{number:05d}.csv"
        if isinstance(place, GCSPlace):
            where = f"/upload/storage/v1/b/{place.bucket}/o?uploadType=media&name={quote(name, safe='')}"
            connection.request("POST", where, OLD)
        else:
            connection.request("PUT", f"/{place.bucket}/{quote(name)}", OLD, SIGNED)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    connection.close()


@pytest.fixture(scope="module", params=["localstack", "gcs"])
def many(request) -> Place:
    """A prefix of many objects, which tests only look at."""
    server = request.getfixturevalue(f"{request.param}_server")
    kind = GCSPlace if request.param == "gcs" else S3Place
    place = kind(server, server.new_bucket(versioned=True), "lake/", versioned=True)
    fill(place)
    return place


@pytest.fixture
def counted(fault_proxy):
    """Return a proxy and a client of a place behind it."""

    def make(place: Place, folder):
        proxy = fault_proxy(place.server)
        return proxy, place.client(folder, proxy)

    return make


@pytest.mark.full
def test_a_prefix_of_many_objects_costs_its_listing(many: Place, counted, tmp_path):
    proxy, client = counted(many, tmp_path)
    artifact = client.register_pointer("lake", many.uri())
    assert len(artifact.entries) == MANY
    assert proxy.counts == {many.words[2]: PAGES}
    assert all(entry.version for entry in artifact.entries)
    proxy.reset()
    report = artifact.verify("stat")
    assert (report.ok, report.counts["ok"]) == (True, MANY)
    assert proxy.counts == {many.words[2]: PAGES}
    proxy.reset()
    assert not artifact.refresh()
    assert proxy.counts == {many.words[2]: PAGES}
    proxy.reset()
    assert artifact.read_bytes("02499.csv") == OLD
    assert proxy.counts == {many.words[1]: 1}


def test_a_glob_lists_no_more_than_the_folder_before_its_wildcard(many: Place, counted, tmp_path):
    proxy, client = counted(many, tmp_path)
    artifact = client.register_pointer("lake", many.uri("024*.csv"))
    assert [entry.path for entry in artifact.entries] == [f"{number:05d}.csv" for number in range(2400, MANY)]
    # The name may be that of an object. On S3 a missing one may mean a missing bucket, which is asked once.
    assert proxy.counts - Counter(HeadBucket=1) == {many.words[0]: 1, many.words[2]: PAGES}
    assert {request.key for request in proxy.log if request.op == many.words[2]} == {"lake/"}


BUDGETS = {None: (1, 0), "stat": (1, 0), "checksum": (1, 0), "full": (1, 1)}


def test_an_object_costs_one_look_and_only_full_evidence_a_read(place: Place, counted, tmp_path):
    place.put("data.bin", OLD)
    proxy, client = counted(place, tmp_path)
    for strength in (None, *STRENGTHS):
        proxy.reset()
        artifact = client.register_pointer("lake", place.uri("data.bin"), evidence=strength)
        looks, reads = BUDGETS[strength]
        assert +proxy.counts == {word: n for word, n in zip(place.words, (looks, reads), strict=False) if n}, strength
    for call, expected in {
        artifact.read_bytes: {place.words[1]: 1},
        lambda: artifact.verify("stat"): {place.words[0]: 1},
        lambda: artifact.verify("checksum"): {place.words[0]: 1},
        lambda: artifact.verify("full"): {place.words[1]: 1},
        lambda: artifact.download(tmp_path / "out"): {place.words[1]: 1},
    }.items():
        proxy.reset()
        call()
        assert proxy.counts == expected


def asked_for(proxy, operation: str, size: int) -> int:
    """The bytes that reads asked for; of one without a range all of the object."""
    count = 0
    for request in proxy.log:
        if request.op == operation:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "bytes=0-"))
            assert found
            last = int(found[2]) if found[2] else size - 1
            count += min(last + 1, size) - int(found[1])
    return count


@pytest.fixture(scope="module")
def table() -> bytes:
    """64 MiB of numbers as Parquet."""
    column = pa.Array.from_buffers(pa.int64(), 8 * MIB, [None, pa.py_buffer(random.Random(0).randbytes(64 * MIB))])
    sink = pa.BufferOutputStream()
    made = pa.table({"number": column})
    pq.write_table(made, sink, compression="none", use_dictionary=False, row_group_size=MIB)
    return sink.getvalue().to_pybytes()


@pytest.mark.full
@pytest.mark.parametrize("evidence", ["stat", "checksum"])
def test_the_footer_of_a_large_parquet_file_moves_little(plain_place: Place, counted, tmp_path, table, evidence):
    plain_place.put("table.parquet", table)
    proxy, client = counted(plain_place, tmp_path)
    artifact = client.register_pointer("table", plain_place.uri("table.parquet"), evidence=evidence)
    proxy.reset()
    with artifact.open() as reader:
        metadata = pq.ParquetFile(reader).metadata
    assert (metadata.num_rows, metadata.num_row_groups) == (8 * MIB, 8)
    assert set(proxy.counts) == {plain_place.words[1]}
    assert 0 < asked_for(proxy, plain_place.words[1], len(table)) < 300_000


def test_a_row_group_moves_no_more_than_it_is_large(plain_place: Place, counted, tmp_path, table):
    plain_place.put("table.parquet", table)
    proxy, client = counted(plain_place, tmp_path)
    artifact = client.register_pointer("table", plain_place.uri("table.parquet"))
    proxy.reset()
    with artifact.open() as reader:
        assert pq.ParquetFile(reader).read_row_group(3).num_rows == MIB
    assert asked_for(proxy, plain_place.words[1], len(table)) < 8 * MIB + 600_000
