"""Runs tell of themselves in OpenLineage events; where that fails, the job goes on."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import InvalidInputError, LineageWarning


@contextmanager
def endpoint(status=200):
    """An endpoint that keeps what it is sent: its URL, and a list of (path, authorization, event)."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def work(client, folder) -> None:
    (folder / "table.csv").write_text("a,b\n1,x\n")
    client.register_artifact("raw", folder / "table.csv")
    with client.run("clean"):
        client.get_artifact("raw").read_bytes()
        client.register_artifact("cleaned", folder / "table.csv")


def test_events_are_appended_to_a_file(store_folder, tmp_path, runs):
    events = tmp_path / "events.jsonl"
    work(MetaMLFlowClient(store_folder, openlineage=events), tmp_path)
    start, complete = map(json.loads, events.read_text().splitlines())
    (run_id,) = runs.ids()
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert {event["run"]["runId"] for event in (start, complete)} == {str(UUID(run_id))}
    assert (complete["job"]["name"], complete["job"]["namespace"]) == ("clean", f"file://{store_folder}")
    assert [used["name"] for used in complete["inputs"]] == ["raw"]
    (made,) = complete["outputs"]
    assert made["name"] == "cleaned"
    assert made["facets"]["version"]["datasetVersion"] == "1"
    assert [field["name"] for field in made["facets"]["schema"]["fields"]] == ["a", "b"]
    assert made["facets"]["dataSource"]["uri"] == f"file://{store_folder}"


def test_what_is_only_pointed_to_is_told_with_its_place(store_folder, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/x").write_bytes(b"1")
    events = tmp_path / "events.jsonl"
    client = MetaMLFlowClient(store_folder, openlineage=events)
    with client.run("point"):
        client.register_pointer("lake", tmp_path / "lake")
    complete = json.loads(events.read_text().splitlines()[-1])
    assert complete["outputs"][0]["facets"]["dataSource"]["uri"] == f"file://{tmp_path}/lake/"


def test_events_go_to_an_endpoint_with_the_key_of_the_environment(store_folder, tmp_path, monkeypatch, runs):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "HUSH")
    with endpoint() as (url, received):
        work(MetaMLFlowClient(store_folder, openlineage=url), tmp_path)
    assert [(path, key, event["eventType"]) for path, key, event in received] == [
        ("/api/v1/lineage", "Bearer HUSH", "START"),
        ("/api/v1/lineage", "Bearer HUSH", "COMPLETE"),
    ]
    assert "HUSH" not in runs.everything()


def test_a_failed_run_is_told_as_failed_and_a_nested_one_names_its_parent(store_folder, tmp_path):
    events = tmp_path / "events.jsonl"
    client = MetaMLFlowClient(store_folder, openlineage=events)
    with pytest.raises(RuntimeError), client.run("outer"), client.run("inner"):
        raise RuntimeError
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [(event["job"]["name"], event["eventType"]) for event in told] == [
        ("outer", "START"),
        ("inner", "START"),
        ("inner", "FAIL"),
        ("outer", "FAIL"),
    ]
    parent = told[1]["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]["name"]) == (told[0]["run"]["runId"], "outer")


@pytest.mark.full
@pytest.mark.parametrize("trouble", ["nobody answers", "it refuses", "no folder"])
def test_where_events_cannot_be_sent_the_job_goes_on_with_a_warning(store_folder, tmp_path, trouble):
    with endpoint(status=400) as (url, _):
        address = {"it refuses": url, "no folder": tmp_path / "no" / "events.jsonl", "nobody answers": url}[trouble]
        if trouble != "nobody answers":
            client = MetaMLFlowClient(store_folder, openlineage=address)
            with pytest.warns(LineageWarning, match="could not be sent"):
                work(client, tmp_path)
    if trouble == "nobody answers":
        client = MetaMLFlowClient(store_folder, openlineage=address)
        with pytest.warns(LineageWarning, match="could not be sent"):
            work(client, tmp_path)
    assert client.get_artifact("cleaned").inputs[0].name == "raw"


@pytest.mark.parametrize("address", [3, "https://user:HUSH@host", "https://host/?token=HUSH"])
def test_an_address_that_is_none_or_carries_a_secret_is_refused_without_showing_it(store_folder, address):
    with pytest.raises(InvalidInputError) as caught:
        MetaMLFlowClient(store_folder, openlineage=address)
    assert "HUSH" not in str(caught.value)


def test_the_environment_names_the_address_too(store_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_OPENLINEAGE", str(tmp_path / "events.jsonl"))
    with MetaMLFlowClient(store_folder).run("x"):
        pass
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2
