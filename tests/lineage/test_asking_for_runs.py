"""What is recorded of a run can be asked for, and stands on the lineage page as text."""

from __future__ import annotations

import json
import re

import pytest

from metamlflow.errors import (
    DamagedRecordWarning,
    IntegrityError,
    ObjectNotFoundError,
    RunNotFoundError,
    StoreNotFoundError,
)
from metamlflow.testing import MemoryBackend, client_on

HOSTILE = "</script><script>alert(1)</script>\x00\x1b[2J<!-- & ' \""


def data_of(page: str) -> dict:
    """The data that a page carries, as a browser would read it: up to the first end of the script element."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.DOTALL)[1])


def test_a_run_is_found_by_the_id_that_its_versions_name(client):
    client.register_artifact("raw", b"1")
    with client.run("train", params={"rate": 0.1}) as run:
        client.get_artifact("raw").read_bytes()
        model = client.register_artifact("model", b"2")
        run.log_metrics(accuracy=0.9)
        run.note("went well")
        assert client.get_run(run.id).end is None
    record = client.get_run(model.run_id)
    assert (record.start.name, record.start.params, record.end.outcome) == ("train", {"rate": 0.1}, "finished")
    assert (record.end.metrics, record.end.notes) == ({"accuracy": 0.9}, ("went well",))
    assert [(str(used.name), used.version) for used in record.inputs] == [("raw", 1)]
    assert [(str(made.name), made.version) for made in record.end.outputs] == [("model", 1)]


@pytest.mark.parametrize("run_id", ["0" * 32, "nope", "../../x", ""])
def test_a_run_that_there_is_not_is_told(client, run_id):
    with pytest.raises(StoreNotFoundError):
        client.get_run(run_id)
    client.register_artifact("raw", b"1")
    with pytest.raises(RunNotFoundError):
        client.get_run(run_id)


def test_the_page_shows_parameters_metrics_and_notes_as_text(client):
    with client.run(HOSTILE[:100], params={HOSTILE: HOSTILE}) as run:
        model = client.register_artifact("model", b"2", metadata={HOSTILE: HOSTILE})
        run.log_metrics({"loss": 0.5})
        run.note(HOSTILE)
        run.note("x" * 1_000_000)
    page = model.upstream().to_html()
    (node,) = [node for node in data_of(page)["nodes"] if node["kind"] == "run"]
    assert node["facts"]["params"] == {HOSTILE: HOSTILE}
    assert node["facts"]["metrics"] == {"loss": 0.5}
    assert HOSTILE in str(node["facts"]["notes"]) or "alert" in str(node["facts"]["notes"])
    assert "<script>alert" not in page
    assert len(page) < 1_000_000  # a megabyte of notes is cut


def test_a_run_whose_records_are_damaged_hides_nothing_else_of_the_page(client, raw):
    with client.run("train"):
        model = client.register_artifact("model", b"2")
    path = raw.root / f"runs/{model.run_id}/start.json"
    raw.overwrite(path, b"{")
    with pytest.warns(DamagedRecordWarning, match=f"run {model.run_id} cannot be read") as told:
        nodes = {node["id"]: node for node in data_of(model.upstream().to_html())["nodes"]}
    assert set(nodes) == {"model@1", f"run:{model.run_id}"}
    assert "start.json" in nodes[f"run:{model.run_id}"]["facts"]["problem"]
    assert len(told) == 1


class Denying(MemoryBackend):
    """Says of one listed object that it does not exist."""

    denied = ""

    def read(self, key, start=0, length=None):
        if key.endswith(self.denied or "no key"):
            raise ObjectNotFoundError(f"there is no {key}", key=key)
        return super().read(key, start, length)


@pytest.mark.parametrize("record", ["start.json", "end.json", "inputs/"])
def test_a_record_that_is_listed_and_not_found_is_an_error_and_no_unfinished_run(record):
    backend = Denying()
    client = client_on(backend)
    client.create_store()
    client.register_artifact("raw", b"1")
    with client.run("train") as run:
        client.get_artifact("raw").read_bytes()
        model = client.register_artifact("model", b"2")
    (key,) = [info.key for info in backend.list_objects(f"runs/{run.id}/") if record in info.key]
    backend.denied = key
    with pytest.raises(IntegrityError) as caught:
        client.get_run(run.id)
    assert (caught.value.key, caught.value.actual) == (key, "missing")
    with pytest.warns(DamagedRecordWarning, match="cannot be read"):
        assert "does not exist" in model.upstream().run_facts()[f"run:{run.id}"]["problem"]
