"""What a hostile server of GCS answers is not taken for content, takes no client down, and leads none elsewhere."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from cases_of_gcs import CASES, PAGES, UPLOADS
from honest_store import build
from hostile_gcs_server import GCSHandler
from hostile_server import BUCKET, HostileServer
from reading_process import Order, ReadingProcess
from test_hostile_servers import CALLS, GROWTH_BYTES, REQUESTS
from test_hostile_stores import problem_of

from metamlflow.errors import MetaMLFlowError
from metamlflow.testing.blobs import pattern_blob

pytest.importorskip("gcsfs")
LARGE = 9 * 1024 * 1024


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest")
    build(folder / "store", folder / "lake")
    return folder / "store"


@pytest.fixture(scope="module")
def readers():
    with ReadingProcess() as process:
        yield process


@pytest.fixture
def read(readers, honest, tmp_path):
    def read_all(lie):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        with HostileServer(honest, lie, GCSHandler) as server:
            options = {"endpoint_url": server.url, "token": "anon"}
            order = Order(f"gs://{BUCKET}", str(honest), str(scratch), list(CALLS), [], options, remote=True)
            return readers.run(order), server.counts

    return read_all


@pytest.fixture(scope="module")
def expected(readers, honest, tmp_path_factory):
    return readers.run(Order(f"file://{honest}", str(honest), str(tmp_path_factory.mktemp("s")), list(CALLS)))


@pytest.fixture
def opened(tmp_path):
    """A backend at a server that answers writes as a case says, and that server."""
    from metamlflow_gcs import open_backend

    servers = []

    def open_at(changes, folder=tmp_path):
        def lie(_, answer):
            change = changes.get(answer.op, {})
            answer.status = change.get("status", answer.status)
            answer.body = change.get("body", answer.body)
            answer.headers |= {name: value for name, value in change.items() if name not in {"status", "body"}}

        servers.append(HostileServer(folder, lie, GCSHandler))
        return open_backend(f"gs://{BUCKET}", {"endpoint_url": servers[-1].url, "token": "anon"}), servers[-1]

    yield open_at
    for server in servers:
        server.__exit__()


def test_an_honest_server_is_read_as_the_folder_is(read, expected):
    outcomes, _ = read(lambda *_: None)
    assert outcomes.pop("")["seen"] == []
    assert {name: outcome.get("value", outcome) for name, outcome in outcomes.items()} == {
        name: expected[name]["value"] for name in outcomes
    }


@pytest.mark.emulator
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", list(CASES))
def test_a_hostile_server_gives_what_was_registered_or_an_error(case, read, expected):
    outcomes, counts = read(CASES[case])
    told = outcomes.pop("")
    assert "died" not in told, told
    assert told["seen"] == []
    assert told["grown"] < GROWTH_BYTES
    assert counts.total() < REQUESTS
    found = {name: problem_of(name, outcome | {"requests": {}}, expected[name]) for name, outcome in outcomes.items()}
    problems = {name: problem for name, problem in found.items() if problem}
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())


@pytest.mark.parametrize("case", list(UPLOADS))
def test_a_hostile_server_is_written_to_with_an_error_of_the_library(case, opened, tmp_path, monkeypatch):
    monkeypatch.setattr("metamlflow_gcs.connection.FIRST_PAUSE_SECONDS", 0.01)
    changes = UPLOADS[case]
    backend, server = opened(changes)
    began = time.monotonic()
    if {"OpenSession", "PUT"} & changes.keys():
        with pytest.raises(MetaMLFlowError):
            backend.put("key", pattern_blob(LARGE))
    if "PutObject" in changes:
        with pytest.raises(MetaMLFlowError):
            backend.create("key", b"record")
    if "POST" in changes:
        with pytest.raises(MetaMLFlowError):
            backend.copy_from(backend, "key", LARGE, "")
    assert server.counts.total() < 200
    assert time.monotonic() < began + 20


def test_what_a_server_says_that_it_stored_is_not_removed_under_the_name_of_another(opened, monkeypatch):
    removed = []
    monkeypatch.setattr(GCSHandler, "do_DELETE", lambda handler: (removed.append(handler.path), handler._write()))
    backend, _ = opened(UPLOADS["a resource of 1 byte"])
    with pytest.raises(MetaMLFlowError):
        backend.put("key", pattern_blob(LARGE))
    assert removed
    assert not any("of-others" in path for path in removed)


def test_content_goes_to_the_server_that_the_records_go_to(opened, tmp_path):
    """An upload's session may be told at any address: content, and the credentials with it, go to no other server."""
    _, other = opened({}, tmp_path / "other")
    backend, server = opened({"OpenSession": {"Location": f"{other.url}/upload/storage/v1/b/{BUCKET}/o?upload_id=1"}})
    with pytest.raises(MetaMLFlowError):  # the server keeps no content, and says so
        backend.put("key", pattern_blob(LARGE))
    assert not other.counts
    assert server.counts["PUT"]


@pytest.mark.parametrize("older", [False, True], ids=["current", "older"])
@pytest.mark.parametrize("case", list(PAGES))
def test_a_hostile_listing_of_a_lake_has_an_end(case, older, honest):
    """Pages without end end in an error; of the others no object is told twice, or outside of the prefix."""
    from metamlflow_gcs.lake import open_lake

    with HostileServer(honest, CASES[case], GCSHandler) as server:
        lake = open_lake(f"gs://{BUCKET}", {"endpoint_url": server.url, "token": "anon"})
        seen = []
        with suppress(MetaMLFlowError):
            seen.extend((found.name, found.version) for found in lake.look_below("artifacts/", older=older))
        assert server.counts.total() < REQUESTS
    assert len(set(seen)) == len(seen)
    assert all(name.startswith("artifacts/") for name, _ in seen)
    assert [name for name, _ in seen] == sorted(name for name, _ in seen)


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) >= 40
    assert CASES.keys() >= PAGES.keys()
