"""The base of object stores: what it makes of a client's requests, whichever the storage is."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from datetime import UTC, datetime
from urllib.error import HTTPError

import pytest

from metamlflow.backend import Blob, ErrorTable, ObjectInfo, ObjectStoreBackend, Opened, Page, Patience
from metamlflow.backend.object_filesystem import ObjectFileSystem
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    IntegrityError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from metamlflow.testing import MemoryBackend, blob_of
from metamlflow_gcs import GCSBackend
from metamlflow_s3 import S3Backend

MIB = 1024 * 1024
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def answer(status):
    return HTTPError("http://server/", status, "as it was told to", {}, None)


def tag_of(data):
    return hashlib.sha256(data).hexdigest()


class Client:
    """A storage in a dict; ``failures`` are raised first, in their order, by the requests of this name."""

    one_request_bytes = 4 * MIB

    def __init__(self):
        self.objects, self.calls, self.failures = {}, [], []

    def note(self, verb, name=""):
        self.calls.append(verb)
        for failure in self.failures:
            if failure[0] == verb:
                self.failures.remove(failure)
                raise failure[1]
        if verb in {"get", "head", "stream"} and name not in self.objects:
            raise answer(404)

    def put(self, name, data, blob, *, over):
        self.note("put")
        if name in self.objects and not over:
            raise answer(412)
        self.objects[name] = bytes(data)

    def get(self, name, start, end, pin):
        self.note("get", name)
        if pin not in {None, tag_of(self.objects[name])}:
            raise answer(412)
        return self.objects[name][start:end]

    def head(self, name):
        self.note("head", name)
        data = self.objects[name]
        return ObjectInfo(name, len(data), NOW, etag=tag_of(data))

    def page(self, asked):
        self.note("page")
        names = sorted(name for name in self.objects if name.startswith(asked.prefix) and name > asked.last)
        found = [ObjectInfo(name, 1, NOW) for name in names[: asked.limit]]
        return Page(found, names[asked.limit - 1] if len(names) > asked.limit else None)

    def delete(self, names):
        self.note("delete")
        return [(name, answer(404)) for name in names if self.objects.pop(name, None) is None]

    def part_bytes(self, size):
        return MIB

    def begin_upload(self, name, blob, *, over):
        self.note("begin")
        return Parts(self, name, over=over)


class Parts:
    def __init__(self, client, name, *, over):
        self.client, self.name, self.over, self.parts = client, name, over, {}

    def send(self, data, start):
        self.client.note("part")
        self.parts[start] = data

    def finish(self):
        data = b"".join(self.parts[start] for start in sorted(self.parts))
        if self.client.failures and self.client.failures[0][0] == "lost-end":
            self.client.objects[self.name] = data
            self.client.note("lost-end")
        self.client.put(self.name, data, None, over=self.over)

    def cancel(self):
        self.client.note("cancel")


class Backend(ObjectStoreBackend):
    own_errors = ErrorTable()
    patience = Patience(attempts=3, first_pause=0.001)

    def __init__(self, client):
        super().__init__("kept://host", "/some/team/", lambda: client)


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def backend(client):
    return Backend(client)


LARGE = os.urandom(5 * MIB + 7)


def test_names_are_whole_and_keys_are_not(backend, client):
    backend.create("a/b", b"1")
    assert list(client.objects) == ["some/team/a/b"]
    assert [info.key for info in backend.list_objects("a/")] == ["a/b"]
    assert (backend.url, backend.url_of("a"), backend.stat("a/b").key) == (
        "kept://host/some/team",
        "kept://host/some/team/a",
        "a/b",
    )
    assert backend.max_key_bytes == 1024 - len("some/team/")


def test_what_may_pass_is_asked_again(backend, client):
    backend.create("a", b"123")
    looks = {
        "get": lambda: backend.read("a"),
        "page": lambda: list(backend.list_objects()),
        "head": lambda: backend.stat("a"),
    }
    for verb, look in looks.items():
        client.failures = [(verb, answer(503)), (verb, ConnectionResetError())]
        assert look()
        assert client.calls[-3:] == [verb] * 3


def test_it_is_not_asked_for_ever(backend, client):
    client.failures = [("head", answer(500))] * 9
    with pytest.raises(StorageUnavailableError, match="the server failed") as caught:
        backend.stat("a")
    assert client.calls == ["head"] * 3
    assert caught.value.key == "kept://host/some/team/a"
    assert isinstance(caught.value.__cause__, HTTPError)


def test_a_record_is_sent_once(backend, client):
    client.failures = [("put", answer(503))]
    with pytest.raises(StorageUnavailableError):
        backend.create("a", b"1")
    assert client.calls == ["put"]


def test_content_is_sent_again_and_a_conflict_is_no_failure(backend, client):
    client.failures = [("put", answer(503))]
    assert backend.put("a", blob_of(b"1")) is True
    assert backend.put("a", blob_of(b"1")) is False


@pytest.mark.parametrize("there", [True, False])
def test_where_writes_are_limited_a_put_looks_whether_others_stored_the_same(backend, client, there):
    client.objects = {"some/team/a": b"1"} if there else {}
    client.failures = [("put", answer(429))] * 3
    if there:
        assert backend.put("a", blob_of(b"1")) is False
    else:
        with pytest.raises(StorageUnavailableError):
            backend.put("a", blob_of(b"1"))


def test_large_content_goes_in_parts_after_a_look(backend, client):
    client.failures = [("part", answer(503))]
    assert backend.put("a", blob_of(LARGE)) is True
    assert client.objects["some/team/a"] == LARGE
    assert client.calls == ["head", "begin", *["part"] * 7, "put"]
    client.calls.clear()
    assert backend.put("a", blob_of(LARGE)) is False
    assert client.calls == ["head"]


def test_a_failed_upload_is_cancelled_and_leaves_nothing(backend, client):
    client.failures = [("part", answer(403))]
    with pytest.raises(AccessDeniedError):
        backend.put("a", blob_of(LARGE))
    assert (client.calls[-1], client.objects) == ("cancel", {})


class Gone(io.BytesIO):
    def read(self, *_):
        raise OSError(5, "the disk of the source")


def test_what_a_source_raises_passes_as_it_is(backend, client):
    for data in (b"1", LARGE):
        blob = blob_of(data)
        failing = Blob(blob.size, blob.sha256, blob.crc32c, open=Gone)
        with pytest.raises(OSError, match="the disk of the source"):
            backend.put("a", failing)
        short = Blob(blob.size, blob.sha256, blob.crc32c, open=io.BytesIO)
        with pytest.raises(IntegrityError):
            backend.put("a", short)
    assert client.objects == {}


def test_an_end_whose_answer_is_lost_is_no_failure_if_the_object_is_there(backend, client):
    client.failures = [("lost-end", answer(504))]
    assert backend.put("a", blob_of(LARGE)) is False
    client.failures = [("lost-end", answer(504))]
    with pytest.raises(StorageUnavailableError):
        backend.replace("a", blob_of(LARGE))


def test_a_source_that_is_another_storage_is_not_taken_for_this_one(backend, client):
    class Elsewhere(io.BytesIO):
        def read(self, *_):
            client.objects["some/team/a"] = LARGE  # stored by another meanwhile
            raise StorageUnavailableError("the source is gone", key="s3://elsewhere/a")

    blob = blob_of(LARGE)
    with pytest.raises(StorageUnavailableError, match="the source is gone"):
        backend.put("a", Blob(blob.size, blob.sha256, blob.crc32c, open=Elsewhere))


def test_one_that_was_faster_with_large_content_is_no_failure(backend, client):
    client.failures = [("head", answer(404))]
    client.objects["some/team/a"] = LARGE
    assert backend.put("a", blob_of(LARGE)) is False
    assert client.calls[-1] == "cancel"


def test_a_reader_stays_with_the_object_that_it_opened(backend, client):
    client.objects["some/team/a"] = b"0123456789"
    with backend.open("a") as reader:
        client.objects["some/team/a"] = b"9876543210"
        with pytest.raises(StorageError, match="another object than when it was opened"):
            reader.read()


class Streaming(Client):
    """Ignores conditions, but tells what it sends."""

    def stream(self, name, start, pin):
        self.note("stream", name)
        data = self.objects[name]
        return Opened(Piece(data[start : start + 4]), len(data), tag_of(data))


class Piece:
    def __init__(self, data):
        self.left = io.BytesIO(data)

    def fill(self, view):
        return self.left.readinto(view)

    def close(self):
        self.left.close()


def test_a_stream_that_breaks_off_is_taken_up_unless_it_is_of_another_object():
    client = Streaming()
    backend = Backend(client)
    client.objects["some/team/a"] = b"0123456789"
    with backend.open("a") as reader:
        assert reader.read() == b"0123456789"
    assert client.calls == ["stream"] * 3
    with backend.open("a") as reader:
        client.objects["some/team/a"] = b"9876543210"
        with pytest.raises(StorageError, match="another object"):
            reader.read(10)


def test_empty_ranges_cost_a_look_alone(backend, client):
    client.objects["some/team/a"] = b"0123456789"
    assert (backend.read("a", 5, 5), client.calls) == (b"", ["head"])
    with pytest.raises(ObjectNotFoundError):
        backend.read("b", 5, 5)


def test_a_listing_asks_for_no_more_than_is_wanted(backend, client):
    client.objects = {f"some/team/{number:04d}": b"1" for number in range(2500)}
    assert len(list(backend.list_objects())) == 2500
    assert client.calls == ["page"] * 3
    assert [info.key for info in backend.list_objects(after="0007", limit=2)] == ["0008", "0009"]
    assert [info.key for info in backend.list_after("2498", 5)] == ["2499"]


PAGES = {
    "jumps back": [Page([ObjectInfo("some/team/b", 1, NOW)], "b"), Page([ObjectInfo("some/team/a", 1, NOW)])],
    "leaves the prefix": [Page([ObjectInfo("some/teams/b", 1, NOW)])],
    "comes again": [Page([ObjectInfo("some/team/b", 1, NOW)], "b"), Page([ObjectInfo("some/team/b", 1, NOW)])],
    "says nothing new": [Page([], "x"), Page([], "x")],
    "does not tell where it goes on": [Page([], "")],
}


@pytest.mark.parametrize("pages", PAGES.values(), ids=PAGES)
def test_a_listing_that_goes_astray_is_refused(backend, client, monkeypatch, pages):
    left = iter(pages)
    monkeypatch.setattr(client, "page", lambda _: next(left))
    with pytest.raises(StorageError, match="cannot be relied on"):
        list(backend.list_objects())


def test_each_failure_to_delete_is_told_and_a_missing_key_is_none(backend, client, monkeypatch):
    monkeypatch.setattr(client, "delete", lambda names: [(names[0], answer(403)), (names[1], answer(404))])
    [failure] = backend.delete(["a", "b", "c"])
    assert (failure.key, type(failure.error), failure.error.key) == ("a", AccessDeniedError, backend.url_of("a"))
    monkeypatch.undo()
    client.failures = [("delete", answer(500))] * 3
    assert [(each.key, type(each.error)) for each in backend.delete(["a", "b"])] == [
        ("a", StorageUnavailableError),
        ("b", StorageUnavailableError),
    ]


def test_what_is_no_failure_of_the_storage_is_raised_as_it_is(backend, client):
    for verb, call in {"head": lambda: backend.stat("a"), "delete": lambda: backend.delete(["a"])}.items():
        client.failures = [(verb, ZeroDivisionError("a defect"))]
        with pytest.raises(ZeroDivisionError):
            call()


class Counting(ObjectStoreBackend):
    made: list = []  # noqa: RUF012 (of this process)

    def __init__(self, host, options):
        super().__init__(f"kept://{host}", "", lambda: self.made.append(os.getpid()) or Client(), options)


def test_a_client_is_made_at_the_first_request_and_anew_in_a_child():
    Counting.made.clear()
    backend = Counting("host", {})
    assert (backend.url, Counting.made) == ("kept://host", [])
    backend.create("a", b"1")
    backend.read("a")
    assert Counting.made == [os.getpid()]
    if (child := os.fork()) == 0:
        backend.create("a", b"1")
        os._exit(0 if Counting.made[1:] == [os.getpid()] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_pickle_holds_what_it_was_made_from():
    options = {"user": "me"}
    data = pickle.dumps(Counting("host", options))
    options["user"] = "another"
    copy = pickle.loads(data)
    assert (copy.url, copy._options, pickle.dumps(copy)) == ("kept://host", {"user": "me"}, data)


# What releases before this base wrote, by protocol 2.
BEFORE = {
    "gcs": (
        (
            b"\x80\x02cmetamlflow_gcs.backend\nGCSBackend\nq\x00)\x81q\x01X\x06\x00\x00\x00bucketq\x02X\x03\x00\x00\x00a/bq\x03"
            b"}q\x04X\x05\x00\x00\x00tokenq\x05X\x04\x00\x00\x00anonq\x06s\x87q\x07b."
        ),
        GCSBackend,
        "gs://bucket/a/b",
    ),
    "s3": (
        (
            b"\x80\x02cmetamlflow_s3.backend\nS3Backend\nq\x00)\x81q\x01X\x06\x00\x00\x00bucketq\x02X\x03\x00\x00\x00a/bq\x03"
            b"}q\x04X\x04\x00\x00\x00anonq\x05\x88s\x87q\x06b."
        ),
        S3Backend,
        "s3://bucket/a/b",
    ),
}


@pytest.mark.parametrize(("data", "kind", "url"), BEFORE.values(), ids=BEFORE)
def test_a_backend_that_was_pickled_before_is_read(data, kind, url):
    backend = pickle.loads(data)
    assert (type(backend), backend.url, backend.url_of("k")) == (kind, url, f"{url}/k")
    assert pickle.dumps(backend, 2) == data


STATUSES = {
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: ObjectNotFoundError,
    410: ObjectNotFoundError,
    412: AlreadyExistsError,
    418: StorageError,
    429: StorageUnavailableError,
    500: StorageUnavailableError,
    507: StorageFullError,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_is_found_wherever_a_client_keeps_it(status, kind):
    kept = type("Kept", (Exception,), {"response": type("Response", (), {"status_code": status})()})("said this")
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = kept
    for error in (answer(status), kept, wrapped):
        found = ErrorTable()(error)
        assert (type(found), str(status) in found.message) == (kind, True)
        assert getattr(found, "throttled", False) == (status == 429)


def test_a_row_of_a_table_is_found_by_the_nearest_class_and_others_are_none_of_its():
    table = ErrorTable(by_class={"LookupError": (StorageFullError, "it is full", "Empty it.")})
    found = table(KeyError("x"))
    assert (type(found), found.message, found.hint) == (StorageFullError, "it is full: 'x'", "Empty it.")
    assert table(ZeroDivisionError()) is None
    assert "user:secret" not in str(ErrorTable()(ConnectionError("https://user:secret@host/")))


@pytest.fixture
def files():
    held = MemoryBackend()
    for key in ("a/b.csv", "a/c/d.csv", "a/c/e.csv", "a0.csv", "z.csv"):
        held.create(key, key.encode())

    class Files(ObjectFileSystem):
        protocol = "kept"
        open_backend = staticmethod(lambda url, options: held)

    return Files(skip_instance_cache=True)


def test_a_file_system_lists_folders_that_keys_imply(files):
    assert files.ls("kept://host", detail=False) == ["host/a", "host/a0.csv", "host/z.csv"]
    assert files.ls("kept://host/a/", detail=False) == ["host/a/b.csv", "host/a/c"]
    assert files.find("kept://host/a") == ["host/a/b.csv", "host/a/c/d.csv", "host/a/c/e.csv"]
    assert [files.isdir(f"host/{name}") for name in ("a", "a/c", "a/b.csv", "nowhere")] == [True, True, False, False]
    with pytest.raises(FileNotFoundError):
        files.ls("kept://host/nowhere")


def test_a_file_system_reads_and_removes(files):
    with files.open("kept://host/a/b.csv") as reader:
        assert reader.read() == b"a/b.csv"
    assert (files.cat_file("host/a/b.csv", 2), files.cat_file("host/a/b.csv", -3, None)) == (b"b.csv", b"csv")
    assert files.info("host/z.csv")["size"] == 5
    files.rm_file("host/z.csv")
    for look in (files.info, files.cat_file, files.open):
        with pytest.raises(FileNotFoundError):
            look("host/z.csv")
    with pytest.raises(OSError, match="for reading"):
        files.open("host/z.csv", "wb")
