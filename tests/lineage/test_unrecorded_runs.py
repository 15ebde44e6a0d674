"""Runs that cannot be recorded: the job goes on as if nothing were, and is told once, where its own code stands."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, ArtifactNotFoundError, LineageWarning
from metamlflow.testing import FailBefore, FaultyBackend, MemoryBackend, MemoryBucket, client_on


@pytest.fixture
def broken(client, runs):
    """A client whose store has a file where the folder of runs must be, and an artifact."""
    client.register_artifact("table", b"1")
    Path(runs.folder).write_text("a file where the folder must be")
    return client


def job(client) -> bytes:
    """Use one artifact twice and register another, in a run."""
    with client.run("job"):
        content = client.get_artifact("table").read_bytes()
        client.register_artifact("made", client.get_artifact("table").read_bytes())
        return content


def test_the_job_goes_on_and_is_told_once(broken, manifest_inputs):
    started = time.monotonic()
    with pytest.warns(LineageWarning) as caught:
        assert job(broken) == b"1"
    (told,) = [str(warning.message) for warning in caught]
    assert re.match("run [0-9a-f]{32}: its beginning could not be recorded", told)
    assert manifest_inputs("made") == ["table@1"], "the manifest names its inputs by itself"
    assert time.monotonic() - started < 5, "it is not waited for each record to fail"


def test_the_warning_names_the_line_at_which_the_run_begins(broken):
    with pytest.warns(LineageWarning) as caught, broken.run("job"):
        pass
    (place,) = [(warning.filename, warning.lineno) for warning in caught]
    assert place[0] == __file__
    assert "broken.run(" in Path(__file__).read_text().splitlines()[place[1] - 1]


def test_a_failed_job_stays_the_failure_that_it_was(broken):
    with pytest.warns(LineageWarning), pytest.raises(ArtifactNotFoundError), broken.run("job"):
        broken.get_artifact("absent")


def test_a_storage_that_refuses_in_the_middle_is_told_of_where_the_use_is():
    bucket = MemoryBucket()
    client_on(MemoryBackend(bucket)).register_artifact("table", b"1")
    refused = FailBefore(verb="create", key="runs/*/inputs/*", error=AccessDeniedError, times=None)
    client = client_on(FaultyBackend(MemoryBackend(bucket), [refused]))

    @client.run("job")
    def read() -> bytes:
        artifact = client.get_artifact("table")
        return artifact.read_bytes()

    with pytest.warns(LineageWarning, match="its input table@1 could not be recorded") as caught:
        assert read() == b"1"
    ((file, line),) = [(warning.filename, warning.lineno) for warning in caught]
    assert file == __file__
    assert "return artifact.read_bytes()" in Path(__file__).read_text().splitlines()[line - 1]
    assert client.register_artifact("after", b"2").inputs == ()


def read_in_a_run(store: Path) -> tuple[bytes, list[str]]:
    client = MetaMLFlowClient(store)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with client.run("reader"):
            content = client.get_artifact("table").read_bytes()
    return content, [f"{warning.category.__name__}: {warning.message}" for warning in caught]


def test_who_may_only_read_a_store_runs_in_it_unrecorded(open_folder, as_nobody):
    MetaMLFlowClient(open_folder / "store").register_artifact("table", b"1")
    read_in_a_run(open_folder / "store")  # what it imports, nobody may not be able to
    before = len(list((open_folder / "store" / "runs").glob("*/start.json")))
    content, told = as_nobody(read_in_a_run, open_folder / "store")
    assert content == b"1"
    assert [message.partition(":")[0] for message in told] == ["LineageWarning"]
    assert "access is denied" in told[0]
    assert len(list((open_folder / "store" / "runs").glob("*/start.json"))) == before
