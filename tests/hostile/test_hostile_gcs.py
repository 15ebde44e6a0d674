"""What a hostile server of GCS answers is not taken for content, takes no client down, and leads none elsewhere."""

from __future__ import annotations

import time
from contextlib import suppress
from traceback import walk_tb

import pytest
from cases_of_gcs import CASES, PAGES, UPLOADS
from hostile_gcs_server import GCSHandler
from hostile_server import BUCKET, HostileServer
from reading_calls import CALLS
from reading_process import CALL_SECONDS, Order
from test_hostile_servers import AT_ONCE, CHILDREN, DRIP_SECONDS, DRIPS, REQUESTS, assert_within_bounds, children_of
from test_hostile_stores import problem_of

from metamlflow.backend.patience import Patience
from metamlflow.errors import MetaMLFlowError
from metamlflow.testing.blobs import pattern_blob

pytest.importorskip("gcsfs")
LARGE = 9 * 1024 * 1024


@pytest.fixture
def read(readers, honest, tmp_path):
    def read_all(lie, children=CHILDREN, **more):
        """Return each call's outcome, what is told of each child, and the number of requests."""
        with HostileServer(honest, lie, GCSHandler) as server:
            orders = [
                order_of(honest, server.url, tmp_path / str(first), list(CALLS)[first::children], more)
                for first in range(children)
            ]
            outcomes = readers.run_all(orders, AT_ONCE if children == CHILDREN else None)
            told = [found.pop("") for found in outcomes]
            return {name: found[name] for found in outcomes for name in found}, told, server.counts.total()

    return read_all


def order_of(honest, url, scratch, calls, options):
    scratch.mkdir(exist_ok=True)
    given = {"endpoint_url": url, "token": "anon", **options}
    return Order(f"gs://{BUCKET}", str(honest), str(scratch), calls, [], given, remote=True)


@pytest.fixture(scope="module")
def expected(expected, readers, honest, tmp_path_factory):
    """What every call gives on the folder, but that GCS holds checksums and a folder does not."""
    call = "verify-checksum"
    with HostileServer(honest, lambda *_: None, GCSHandler) as server:
        found = readers.run(order_of(honest, server.url, tmp_path_factory.mktemp("s"), [call], {}))
    assert found[call]["value"]["counts"]["ok"] == found[call]["value"]["files"]
    return {**expected, call: found[call]}


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
    outcomes, told, requests = read(lambda *_: None)
    assert [child["seen"] for child in told] == [[]] * CHILDREN
    assert {name: outcome.get("value") for name, outcome in outcomes.items()} == {
        name: expected[name].get("value") for name in CALLS
    }
    assert requests < REQUESTS


WITHOUT_PROGRESS = {"empty pages", "a page that repeats under a new token"}
WAITING = {"records that are cut off", "headers without end"}
LONG = DRIPS | WAITING
REQUESTS_OF_A_CALL = 200  # a call asks for a hundred pages that bring nothing, and then gives up


@pytest.mark.emulator
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", sorted(CASES, key=lambda case: case not in LONG))
def test_a_hostile_server_gives_what_was_registered_or_an_error(case, read, expected):
    silence = {"requests_timeout": 1} if case == "a drip of headers" else {}
    children = children_of(case, WAITING)
    seconds = DRIP_SECONDS if case in DRIPS else CALL_SECONDS
    outcomes, told, requests = read(CASES[case], children, **silence)
    assert_within_bounds(
        outcomes, told, requests, len(CALLS) * REQUESTS_OF_A_CALL if case in WITHOUT_PROGRESS else REQUESTS
    )
    found = {
        name: problem_of(name, outcome | {"requests": {}}, expected[name], seconds)
        for name, outcome in outcomes.items()
    }
    problems = {name: problem for name, problem in found.items() if problem}
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())


@pytest.mark.parametrize("case", list(UPLOADS))
def test_a_hostile_server_is_written_to_with_an_error_of_the_library(case, opened, tmp_path, monkeypatch):
    monkeypatch.setattr("metamlflow_gcs.connection.PATIENCE", Patience(attempts=3, seconds=4.0, first_pause=0.01))
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


def held_by(error):
    """How many bytes the local variables that an error and its causes keep alive hold."""
    held = {}
    while error is not None:
        for frame, _ in walk_tb(error.__traceback__):
            for value in frame.f_locals.values():
                body = getattr(value, "body", value)
                held[id(body)] = len(body) if isinstance(body, bytes | bytearray) else 0
        error = error.__cause__ or error.__context__
    return sum(held.values())


@pytest.mark.parametrize("call", ["list", "stat", "create"])
def test_an_error_that_is_kept_holds_nothing_of_an_answer_that_is_too_long(opened, call):
    long = {"body": b"[" * LARGE, "status": 200}
    backend, _ = opened({"ListObjectsV2": long, "HeadObject": long, "PutObject": long})
    calls = {
        "list": lambda: list(backend.list_objects("a/")),
        "stat": lambda: backend.stat("a"),
        "create": lambda: backend.create("a", b"1"),
    }
    with pytest.raises(MetaMLFlowError, match="more than 8,388,608 bytes") as caught:
        calls[call]()
    assert held_by(caught.value) < 1_000_000


@pytest.mark.parametrize("older", [False, True], ids=["current", "older"])
@pytest.mark.parametrize("case", list(PAGES))
def test_a_hostile_listing_of_a_lake_has_an_end(case, older, honest):
    """Pages without end end in an error; of the others no object is told twice, or outside of the prefix."""
    from metamlflow_gcs.external import open_external

    with HostileServer(honest, CASES[case], GCSHandler) as server:
        lake = open_external(f"gs://{BUCKET}", {"endpoint_url": server.url, "token": "anon"})
        seen = []
        with suppress(MetaMLFlowError):
            seen.extend((found.name, found.version) for found in lake.list_objects("artifacts/", older=older))
        assert server.counts.total() < REQUESTS
    assert len(set(seen)) == len(seen)
    assert all(name.startswith("artifacts/") for name, _ in seen)
    assert [name for name, _ in seen] == sorted(name for name, _ in seen)


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) >= 40
    assert CASES.keys() >= PAGES.keys()
