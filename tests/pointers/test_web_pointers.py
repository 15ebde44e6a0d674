"""Pointers to web servers, from the plainest to one that knows ETags, ranges and conditions."""

from __future__ import annotations

import hashlib
import pickle
import re
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

import pytest

from loopback import serving
from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Pointer
from metamlflow.errors import (
    AccessDeniedError,
    EvidenceUnavailableError,
    InvalidInputError,
    InvalidPathError,
    PointerDriftError,
    SourceNotFoundError,
    StorageUnavailableError,
    UnsupportedSourceError,
)

pytest.importorskip("aiohttp")

LARGE = bytes(range(256)) * 16_384  # 4 MiB


class Site:
    """What a server has, what it knows, and what it was asked."""

    def __init__(self, *, knows):
        self.files: dict[str, bytes] = {}
        self.knows = knows
        self.modified: dict[str, int] = {}
        self.status: dict[str, int] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.before_get = lambda: None

    def etag(self, data):
        return f'{"W/" * ("weak" in self.knows)}"{hashlib.sha256(data).hexdigest()[:12]}"'

    def answer(self, handler):
        """Return status, headers and body."""
        path = handler.path.partition("?")[0]
        self.asked.append((handler.command, handler.path, dict(handler.headers)))
        if handler.command == "GET":
            self.before_get()
        if self.status.get(path):
            return self.status[path], {}, b"no"
        if "auth" in self.knows and handler.headers.get("Authorization") != "Bearer HUSH":
            return 401, {}, b"who are you?"
        data = self.files.get(unquote(path))
        return (404, {}, b"nothing") if data is None else self.content(handler.headers, data, unquote(path))

    def content(self, asked, data, path):
        """Return status, headers and body of content that is there, or of the range of it that was asked for."""
        headers = {}
        if self.knows & {"etag", "weak"}:
            headers["ETag"] = self.etag(data)
            if asked.get("If-Match", headers["ETag"]) != headers["ETag"]:
                return 412, {}, b""
        if "time" in self.knows:
            headers["Last-Modified"] = formatdate(self.modified.get(path, 1_700_000_000), usegmt=True)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("Range", ""))
        if "range" not in self.knows or not wanted:
            return 200, headers, data
        start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if start >= len(data):
            return 416, {}, b""
        return 206, headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start : end + 1]


def served(site):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = site.answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "length" in site.knows:
                self.send_header("Content-Length", str(len(body)))
            if "range" in site.knows:
                self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (the server asks for this name)

        def log_message(self, *_):
            pass

    return serving(Handler)


KINDS = {
    "plain": {"length"},
    "with times": {"length", "time"},
    "with weak tags": {"length", "weak", "range"},
    "with ranges alone": {"length", "range"},
    "with all": {"length", "etag", "range", "time"},
}


LOOPBACK = {"http://127.0.0.1:*/": "allow"}


@pytest.fixture
def client(store_folder, tmp_path):
    """A client that is allowed to ask servers of this machine."""
    return MetaMLFlowClient(store_folder, cache_dir=tmp_path / "cache", pointer_policy=LOOPBACK)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def site(request):
    """A server of each kind."""
    yield from running(request.param)


@pytest.fixture
def good():
    """A server that knows ETags, ranges and conditions."""
    yield from running(KINDS["with all"])


def running(knows):
    site = Site(knows=knows)
    with served(site) as url:
        site.url = url
        yield site


def test_an_object_is_pointed_to_read_and_verified(client, raw, site, tmp_path):
    site.files["/dir/a.csv"] = b"a\n1\n"
    uri = f"{site.url}/dir/a.csv"
    artifact = client.register_pointer("a", uri)
    (entry,) = raw.manifest("a")["entries"]
    assert (entry["uri"], entry["path"], entry["size"], entry["evidence"]) == (uri, "a.csv", 4, "stat")
    if "etag" in site.knows or "weak" in site.knows:
        assert entry["etag"] == site.etag(b"a\n1\n")
    assert raw.blobs() == set()
    assert artifact.storage_path == uri
    assert artifact.read_bytes() == b"a\n1\n"
    assert artifact.download(tmp_path / "out").read_bytes() == b"a\n1\n"
    assert artifact.verify("stat")
    assert artifact.strengthen("full").verify()


def test_large_content_is_read_in_ranges_and_whole(client, site, tmp_path):
    site.files["/large"] = LARGE
    artifact = client.register_pointer("a", f"{site.url}/large", evidence="full")
    with artifact.open() as reader:
        reader.seek(-10, 2)
        assert reader.read() == LARGE[-10:]
        reader.seek(1_000_000)
        assert reader.read(300_000) == LARGE[1_000_000:1_300_000]
    assert artifact.download(tmp_path / "out").read_bytes() == LARGE
    assert artifact.materialize().read_bytes() == LARGE


def test_only_ranges_are_moved_and_each_on_condition_of_the_tag(client, good):
    good.files["/large"] = LARGE
    artifact = client.register_pointer("a", f"{good.url}/large")
    good.asked.clear()
    with artifact.open() as reader:
        reader.seek(2_000_000)
        assert reader.read(10) == LARGE[2_000_000:2_000_010]
    gets = [headers for command, _, headers in good.asked if command == "GET" and "Range" in headers]
    assert [headers["If-Match"] for headers in gets] == [good.etag(LARGE)] * len(gets)
    assert gets[0]["Range"] == "bytes=2000000-2065535"


def test_a_weak_tag_is_no_condition(client):
    for site in running(KINDS["with weak tags"]):
        site.files["/a"] = b"four"
        assert client.register_pointer("a", f"{site.url}/a").read_bytes() == b"four"
    assert not any("If-Match" in headers for _, _, headers in site.asked)


def test_a_tag_that_is_the_digest_of_the_content_is_kept_as_one(client, good):
    good.files["/a"] = b"four"
    md5 = hashlib.md5(b"four", usedforsecurity=False).hexdigest()
    good.etag = lambda data: f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    (entry,) = client.register_pointer("a", f"{good.url}/a", evidence="full").entries
    assert entry.evidence.held == {"md5": md5}
    assert set(entry.evidence.computed) == {"sha256", "crc32c"}


@pytest.mark.parametrize("changed", [b"longer than it was", b""])
@pytest.mark.parametrize("evidence", ["stat", "full"])
def test_another_size_is_never_handed_out(client, site, tmp_path, changed, evidence):
    site.files["/a"] = b"four"
    artifact = client.register_pointer("a", f"{site.url}/a", evidence=evidence)
    site.files["/a"] = changed
    site.modified["/a"] = 1_800_000_000
    for use in (artifact.read_bytes, lambda: artifact.open().read(), lambda: artifact.download(tmp_path / "out")):
        with pytest.raises(PointerDriftError) as caught:
            use()
        assert (caught.value.path, caught.value.key) == ("a", f"{site.url}/a")
    assert not (tmp_path / "out").exists()
    assert [finding.status for finding in artifact.verify("stat").findings] == ["modified"]


def test_content_of_the_same_size_is_told_by_what_the_server_knows(client, site):
    site.files["/a"] = b"four"
    stat = client.register_pointer("stat", f"{site.url}/a")
    full = client.register_pointer("full", f"{site.url}/a", evidence="full")
    site.files["/a"] = b"FOUR"
    site.modified["/a"] = 1_800_000_000
    with pytest.raises(PointerDriftError):
        full.read_bytes()
    if site.knows & {"etag", "weak"}:
        with pytest.raises(PointerDriftError):
            stat.read_bytes()
        assert stat.verify("stat").findings[0].actual == f"etag {site.etag(b'FOUR')}"


def test_a_change_between_two_ranges_of_one_download_is_told(client, good, tmp_path):
    good.files["/large"] = LARGE * 6
    artifact = client.register_pointer("a", f"{good.url}/large")
    gets = []

    def change():
        gets.append(1)
        if len(gets) == 2:
            good.files["/large"] = b"X" + (LARGE * 6)[1:]

    good.before_get = change
    with pytest.raises(PointerDriftError, match="expected etag"):
        artifact.download(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_reader_tells_a_change_between_two_of_its_reads(client, site):
    site.files["/large"] = LARGE
    with client.register_pointer("a", f"{site.url}/large", evidence="full").open() as reader:
        assert reader.read(10) == LARGE[:10]
        site.files["/large"] = LARGE[:-1]
        reader.seek(3_000_000)
        with pytest.raises(PointerDriftError):
            reader.read(10)


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_not_registered_and_later_missing(client, raw, good, status):
    good.status["/a"] = status
    with pytest.raises(SourceNotFoundError, match=re.escape(f"{good.url}/a")):
        client.register_pointer("a", f"{good.url}/a")
    assert raw.manifests() == []
    good.status.clear()
    good.files["/a"] = b"four"
    artifact = client.register_pointer("a", f"{good.url}/a")
    good.status["/a"] = status
    with pytest.raises(PointerDriftError) as caught:
        artifact.read_bytes()
    assert caught.value.actual == "missing"
    assert [finding.status for finding in artifact.verify("stat").findings] == ["missing"]


def test_a_key_for_the_server_comes_from_the_client_and_is_not_stored(store_folder, raw):
    for site in running({"length", "etag", "range", "auth"}):
        site.files["/a"] = b"four"
        with pytest.raises(AccessDeniedError):
            MetaMLFlowClient(store_folder, pointer_policy=LOOPBACK).register_pointer("a", f"{site.url}/a")
        options = {site.url: {"headers": {"Authorization": "Bearer HUSH"}}}
        client = MetaMLFlowClient(store_folder, source_options=options, pointer_policy=LOOPBACK)
        artifact = client.register_pointer("a", f"{site.url}/a")
        assert artifact.read_bytes() == b"four"
        assert pickle.loads(pickle.dumps(artifact)).read_bytes() == b"four"
        assert not any(b"HUSH" in path.read_bytes() for path in raw.root.rglob("*") if path.is_file())


REFUSALS = [
    (401, AccessDeniedError),
    (403, AccessDeniedError),
    (500, StorageUnavailableError),
    (503, StorageUnavailableError),
]


@pytest.mark.parametrize(("status", "error"), REFUSALS)
def test_a_server_that_refuses_is_an_error_of_its_own_that_shows_no_query_and_no_drift(
    client, raw, good, status, error
):
    good.status["/a"] = status
    with pytest.raises(error, match=rf"(status|answered) {status}\b") as caught:
        client.register_pointer("a", f"{good.url}/a?page=PRIVATE")
    assert "PRIVATE" not in str(caught.value)
    assert raw.manifests() == []
    good.status.clear()
    good.files["/a"] = b"four"
    artifact = client.register_pointer("a", f"{good.url}/a?page=2")
    good.status["/a"] = status
    with pytest.raises(error):
        artifact.read_bytes()
    assert [finding.status for finding in artifact.verify("stat").findings] == ["unreadable"]


def test_a_server_that_is_gone_is_an_error_and_no_drift(client):
    for site in running({"length", "etag"}):
        site.files["/a"] = b"four"
        artifact = client.register_pointer("a", f"{site.url}/a")
    with pytest.raises(StorageUnavailableError):
        artifact.read_bytes()
    assert [finding.status for finding in artifact.verify("stat").findings] == ["unreadable"]
    with pytest.raises(StorageUnavailableError):
        client.register_pointer("b", f"{site.url}/a?page=2")


def test_without_a_length_it_is_refused(client, raw):
    for site in running({"etag"}):
        site.files["/a"] = b"four"
        with pytest.raises(UnsupportedSourceError, match="does not tell its size"):
            client.register_pointer("a", f"{site.url}/a")
    assert raw.manifests() == []


def test_no_digest_is_held(client, good):
    good.files["/a"] = b"four"
    with pytest.raises(EvidenceUnavailableError) as caught:
        client.register_pointer("a", f"{good.url}/a", evidence="checksum")
    assert caught.value.choices == ("full", "stat")


NAMES = {
    "escaped": ("/gr%C3%B6%C3%9Fe%20x.csv", "/größe x.csv", "größe x.csv"),
    "an escaped question mark": ("/a%3Fb.csv", "/a?b.csv", "a?b.csv"),
    "a query": ("/a.csv?page=2&n=%20", "/a.csv", "a.csv"),
    "the root": ("/?x=1", "/", "data"),
}


@pytest.mark.parametrize(("asked", "there", "path"), NAMES.values(), ids=NAMES)
def test_a_name_is_that_of_the_address_without_escapes_and_query(client, good, asked, there, path):
    good.files[there] = b"four"
    artifact = client.register_pointer("a", f"{good.url}{asked}")
    (entry,) = artifact.entries
    assert (entry.path, entry.uri) == (path, f"{good.url}{asked}")
    assert artifact.read_bytes() == b"four"
    assert {path for _, path, _ in good.asked} == {asked}


def test_an_escaped_slash_is_no_way_out_of_a_folder(client, raw, good):
    good.files["/x/../../etc"] = b"four"
    artifact = client.register_pointer("a", f"{good.url}/x%2F..%2F..%2Fetc")
    assert [entry.path for entry in artifact.entries] == ["etc"]
    good.files["/x/.."] = b"four"
    with pytest.raises(InvalidPathError, match=r"segment '\.\.'"):
        client.register_pointer("b", f"{good.url}/x%2F..")


@pytest.mark.parametrize(
    "query", ["sig=HUSH", "a=1&token=HUSH", "X-Amz-Signature=HUSH", "x-goog-signature=HUSH", "api_key=HUSH"]
)
def test_a_signed_query_is_refused_and_not_shown_and_nobody_is_asked(client, raw, good, query):
    good.files["/a"] = b"four"
    for call in (
        lambda uri: client.register_pointer("a", uri),
        lambda uri: client.register_artifact("a", {"x": Pointer(uri)}),
    ):
        with pytest.raises(InvalidInputError, match="it carries a signed query string") as caught:
            call(f"{good.url}/a?{query}")
        assert "HUSH" not in str(caught.value)
        assert "source_options" in caught.value.hint
    assert good.asked == []
    assert raw.manifests() == []


def test_a_change_is_registered_by_a_refresh(client, good):
    good.files["/a"] = b"four"
    artifact = client.register_pointer("a", f"{good.url}/a")
    assert not artifact.refresh()
    good.files["/a"] = b"FOUR"
    done = artifact.refresh()
    assert done.changes.modified == ["a"]
    assert done.artifact.read_bytes() == b"FOUR"
