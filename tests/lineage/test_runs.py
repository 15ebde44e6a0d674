"""Runs: what a job uses becomes its inputs, what it registers its outputs, and its records say how it ended."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys

import pytest

from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.errors import InvalidInputError, InvalidMetadataError, LineageWarning

TABLE = {"part.csv": b"a,b\n1,2\n"}

USES = {
    "open": lambda artifact, folder: artifact.open().close(),
    "open of one file": lambda artifact, folder: artifact.open("part.csv").close(),
    "read_bytes": lambda artifact, folder: artifact.read_bytes(),
    "download": lambda artifact, folder: artifact.download(folder),
    "download of one file": lambda artifact, folder: artifact.download(folder, path="part.csv"),
    "local_path": lambda artifact, folder: artifact.local_path(),
    "local_path of one file": lambda artifact, folder: artifact.local_path("part.csv"),
    "Dataset.to_pandas": lambda artifact, folder: pytest.importorskip("pandas") and Dataset(artifact).to_pandas(),
    "Dataset.to_arrow": lambda artifact, folder: pytest.importorskip("pyarrow") and Dataset(artifact).to_arrow(),
}

LOOKS = {
    "getting it": lambda artifact: None,
    "its facts": lambda artifact: (artifact.metadata, artifact.schema, artifact.entries["part.csv"], repr(artifact)),
    "its place": lambda artifact: artifact.storage_path,
    "verifying it": lambda artifact: artifact.verify(),
    "its lineage": lambda artifact: artifact.upstream(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_what_is_read_becomes_an_input_of_the_run_and_of_what_it_registers(
    client, raw, runs, manifest_inputs, folder, use
):
    client.register_artifact("table", dict(TABLE))
    with client.run("job") as run:
        use(client.get_artifact("table"), folder)
        client.register_artifact("made", b"made")
    assert runs.inputs(run.id) == ["table@1"]
    assert runs.outputs(run.id) == ["made@1"]
    assert manifest_inputs("made") == ["table@1"]
    assert raw.manifest("made")["run"] == run.id


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_is_only_looked_at_is_no_input(client, runs, manifest_inputs, look):
    client.register_artifact("table", dict(TABLE))
    with client.run("job") as run:
        look(client.get_artifact("table"))
        client.register_artifact("made", b"made")
    assert (runs.inputs(run.id), manifest_inputs("made")) == ([], [])


def test_the_records_tie_inputs_and_outputs_to_the_manifests_that_were_there(client, raw, runs):
    client.register_artifact("table", dict(TABLE))
    with client.run("job") as run:
        client.get_artifact("table").read_bytes()
        client.register_artifact("made", b"made")
    (record,) = runs.input_records(run.id)
    digests = [
        f"sha256:{hashlib.sha256(raw.manifest_path(name, 1).read_bytes()).hexdigest()}" for name in ("table", "made")
    ]
    assert record["input"] == {"name": "table", "version": 1, "manifest_digest": digests[0]}
    assert runs.end(run.id)["outputs"] == [{"name": "made", "version": 1, "manifest_digest": digests[1]}]


def test_an_input_is_recorded_once_and_before_the_run_ends(client, runs):
    client.register_artifact("table", dict(TABLE))
    with client.run("job") as run:
        for _ in range(3):
            client.get_artifact("table").read_bytes()
        assert runs.inputs(run.id) == ["table@1"]
        assert runs.end(run.id) is None
    assert [str(used.name) for used in run.inputs] == ["table"]


def test_what_is_registered_names_what_was_used_until_then_and_nothing_later(client, manifest_inputs):
    for name in ("first", "second"):
        client.register_artifact(name, b"1")
    with client.run("job"):
        client.get_artifact("first").read_bytes()
        client.register_artifact("early", b"e")
        client.get_artifact("second").read_bytes()
        client.register_artifact("late", b"l")
    client.register_artifact("outside", b"o")
    assert manifest_inputs("early") == ["first@1"]
    assert manifest_inputs("late") == ["first@1", "second@1"]
    assert manifest_inputs("outside") == []


def test_latest_and_aliases_are_recorded_as_numbers(client, runs):
    for data in (b"1", b"2", b"3"):
        client.register_artifact("table", data)
    client.set_alias("table", "good", 1)
    with client.run("job") as run:
        client.get_artifact("table", "latest").read_bytes()
        client.get_artifact("table", "good").read_bytes()
    client.register_artifact("table", b"4")
    assert runs.inputs(run.id) == ["table@3", "table@1"]


def test_a_use_can_be_told_with_a_role(client, runs, manifest_inputs):
    client.register_artifact("table", b"1")
    with client.run("job") as run:
        artifact = client.get_artifact("table")
        assert run.use(artifact, role="training_data") is artifact
        artifact.read_bytes()
        client.register_artifact("made", b"made")
    assert runs.inputs(run.id) == ["training_data=table@1"]
    assert manifest_inputs("made") == ["training_data=table@1"]


def test_an_artifact_of_another_store_is_no_input_and_using_it_explicitly_warns(client, runs, tmp_path):
    elsewhere = MetaMLFlowClient(tmp_path / "elsewhere").register_artifact("foreign", b"1")
    with client.run("job") as run:
        assert elsewhere.read_bytes() == b"1"
        with pytest.warns(LineageWarning, match=r"foreign@1 is in another store") as caught:
            run.use(elsewhere)
    assert [warning.filename for warning in caught] == [__file__]
    assert runs.inputs(run.id) == []


def test_what_is_read_after_the_end_of_a_run_is_no_input_of_it(client, runs, manifest_inputs):
    client.register_artifact("table", b"1")

    @client.run("first")
    def first(artifact):
        artifact.read_bytes()
        return client.register_artifact("middle", b"2")

    @client.run("second")
    def second(artifact):
        artifact.read_bytes()
        return client.register_artifact("made", b"3")

    second(first(client.get_artifact("table"))).read_bytes()
    assert [runs.inputs(run_id) for run_id in runs.ids()] == [["table@1"], ["middle@1"]]
    assert [runs.outputs(run_id) for run_id in runs.ids()] == [["middle@1"], ["made@1"]]
    assert (manifest_inputs("middle"), manifest_inputs("made")) == (["table@1"], ["middle@1"])


def test_a_data_set_that_is_registered_has_the_inputs_of_the_run_and_those_that_are_given(client, manifest_inputs):
    pandas = pytest.importorskip("pandas")
    for name in ("table", "rules"):
        client.register_artifact(name, dict(TABLE))
    with client.run("job"):
        frame = Dataset.open(client, "table").to_pandas()
        Dataset.register(client, "made", frame, inputs={"rules": "rules@1"})
    assert pandas.concat([frame]).equals(Dataset.open(client, "made").to_pandas())
    assert manifest_inputs("made") == ["rules=rules@1", "table@1"]


# --- begin and end ----------------------------------------------------------------------------------------------------


def test_a_run_says_what_it_is_when_it_begins(client, runs):
    with client.run("train", params={"lr": 0.1, "deep": {"n": 2**70}}) as run:
        start = runs.start(run.id)
    assert re.fullmatch(r"[0-9a-f]{32}", run.id)
    assert (start["name"], start["parent"], start["run_id"]) == ("train", None, run.id)
    assert start["params"] == {"lr": 0.1, "deep": {"n": {"$int": str(2**70)}}}
    assert start["user"]
    assert start["host"]
    assert start["environment"]["python"].startswith("3.")


def test_the_list_of_distributions_is_stored_once_and_named_by_its_digest(client, runs):
    with client.run("one") as one, client.run("two") as two:
        pass
    named = {runs.start(run.id)["environment"]["distributions"] for run in (one, two)}
    (listed,) = (runs.folder / "distributions").iterdir()
    assert named == {f"sha256:{hashlib.sha256(listed.read_bytes()).hexdigest()}"}
    assert listed.stem == named.pop().removeprefix("sha256:")
    lines = listed.read_text().splitlines()
    assert any(line.startswith("pytest==") for line in lines)
    assert all(re.fullmatch(r"\S+==\S+", line) for line in lines)


def test_user_and_host_are_left_out_where_that_is_asked_for(client, runs):
    with client.run("train", capture_user=False) as run:
        pass
    assert (runs.start(run.id)["user"], runs.start(run.id)["host"]) == (None, None)


def test_a_run_that_ends_well_keeps_metrics_and_notes(client, runs):
    with client.run("train") as run:
        run.log_metrics({"loss": 0.5, "accuracy": 0.1})
        run.log_metrics(accuracy=0.9, big=2**70)
        run.note("first")
        run.note("second")
    end = runs.end(run.id)
    assert (end["outcome"], end["error_type"]) == ("finished", None)
    assert end["metrics"] == {"loss": 0.5, "accuracy": 0.9, "big": {"$int": str(2**70)}}
    assert end["notes"] == ["first", "second"]


class SecretlyBrokenError(Exception):
    pass


@pytest.mark.parametrize("error", [SecretlyBrokenError("hunter2"), KeyboardInterrupt("hunter2"), ValueError("hunter2")])
def test_an_exception_is_recorded_by_its_type_and_never_by_its_message(client, runs, error):
    client.register_artifact("table", b"1")

    def job() -> None:
        with client.run("job") as run:
            client.get_artifact("table").read_bytes()
            run.log_metrics(so_far=1)
            raise error

    with pytest.raises(type(error), match="hunter2"):
        job()
    (run_id,) = runs.ids()
    end = runs.end(run_id)
    assert (end["outcome"], end["error_type"], end["metrics"]) == ("failed", type(error).__name__, {"so_far": 1})
    assert runs.inputs(run_id) == ["table@1"]
    assert "hunter2" not in runs.everything()


@pytest.mark.parametrize("code", [None, 0])
def test_a_script_that_says_that_it_is_through_has_not_failed(client, runs, code):
    @client.run("job")
    def job() -> None:
        sys.exit(code)

    with pytest.raises(SystemExit):
        job()
    (run_id,) = runs.ids()
    assert (runs.end(run_id)["outcome"], runs.end(run_id)["error_type"]) == ("finished", None)


def test_nested_runs_know_their_parent_and_keep_their_inputs_apart(client, runs, manifest_inputs):
    for name in ("before", "inside", "after"):
        client.register_artifact(name, b"1")
    with client.run("outer") as outer:
        client.get_artifact("before").read_bytes()
        with client.run("inner") as inner:
            client.get_artifact("inside").read_bytes()
            client.register_artifact("of the inner".replace(" ", "-"), b"2")
        client.get_artifact("after").read_bytes()
        client.register_artifact("of-the-outer", b"3")
    assert (runs.start(inner.id)["parent"], runs.start(outer.id)["parent"]) == (outer.id, None)
    assert (runs.inputs(inner.id), runs.inputs(outer.id)) == (["inside@1"], ["before@1", "after@1"])
    assert manifest_inputs("of-the-inner") == ["inside@1"]
    assert manifest_inputs("of-the-outer") == ["before@1", "after@1"]


def test_what_an_outer_run_got_and_an_inner_one_reads_is_an_input_of_both(client, runs):
    client.register_artifact("table", b"1")
    with client.run("outer") as outer:
        artifact = client.get_artifact("table")
        with client.run("inner") as inner:
            artifact.read_bytes()
    assert (runs.inputs(outer.id), runs.inputs(inner.id)) == (["table@1"], ["table@1"])


# --- decorators -------------------------------------------------------------------------------------------------------


def test_each_call_of_a_decorated_function_is_a_run_of_its_own(client, runs):
    client.register_artifact("table", b"1")

    @client.run("count", params={"k": 1})
    def count(number: int, *, more: int = 0) -> int:
        """Count."""
        client.get_artifact("table").read_bytes()
        return number + more

    assert runs.folder.exists() is False
    assert [count(1), count(2, more=3)] == [1, 5]
    assert (count.__name__, count.__doc__) == ("count", "Count.")
    first, second = runs.ids()
    for run_id in (first, second):
        start = runs.start(run_id)
        assert (start["name"], start["params"], runs.inputs(run_id)) == ("count", {"k": 1}, ["table@1"])
        assert start["code"]["entry_point"].endswith("<locals>.count")


def test_a_decorated_function_that_raises_is_a_failed_run(client, runs):
    @client.run("fail")
    def fail() -> None:
        raise SecretlyBrokenError("hunter2")

    with pytest.raises(SecretlyBrokenError):
        fail()
    (run_id,) = runs.ids()
    assert runs.end(run_id)["error_type"] == "SecretlyBrokenError"


def test_tasks_that_run_at_the_same_time_do_not_see_each_others_inputs(client, runs, manifest_inputs):
    names = ("one", "two")
    for name in names:
        client.register_artifact(name, b"1")
    meeting = asyncio.Event()

    @client.run("task")
    async def task(name: str) -> str:
        client.get_artifact(name).read_bytes()
        if name == "two":
            meeting.set()
        await asyncio.wait_for(meeting.wait(), 10)
        return client.register_artifact(f"of-{name}", b"2").name

    async def both() -> list[str]:
        return await asyncio.gather(*map(task, names))

    assert asyncio.run(both()) == ["of-one", "of-two"]
    assert [manifest_inputs(f"of-{name}") for name in names] == [["one@1"], ["two@1"]]
    assert sorted(runs.inputs(run_id) for run_id in runs.ids()) == [["one@1"], ["two@1"]]
    assert {runs.end(run_id)["outcome"] for run_id in runs.ids()} == {"finished"}


# --- what is refused --------------------------------------------------------------------------------------------------


def endless():
    yield


async def endless_later():
    yield


REFUSED = {
    "no name": (lambda client: client.run(""), InvalidInputError),
    "a name of 201 characters": (lambda client: client.run("x" * 201), InvalidInputError),
    "parameters that are no JSON": (lambda client: client.run("x", {"f": print}), InvalidMetadataError),
    "the id of a run that has not begun": (lambda client: client.run("x").id, InvalidInputError),
    "a function wrapped in one that has not begun": (lambda client: client.run("x").wrap(print), InvalidInputError),
    "a note that is no text": (lambda client: client.run("x").note(1), InvalidInputError),
    "a metric that is no JSON": (lambda client: client.run("x").log_metrics(m=print), InvalidMetadataError),
    "a generator as a run": (lambda client: client.run("x")(endless), InvalidInputError),
    "an asynchronous generator as a run": (lambda client: client.run("x")(endless_later), InvalidInputError),
    "a token of nothing": (lambda client: client.join_run("nonsense").__enter__(), InvalidInputError),
    "a token that is no text": (lambda client: client.join_run(7).__enter__(), InvalidInputError),
}


@pytest.mark.parametrize(("act", "error"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_run_is_refused_before_anything_is_written(client, store_folder, act, error):
    with pytest.raises(error):
        act(client)
    assert not store_folder.exists()


def test_a_run_begins_once(client, runs):
    with client.run("job") as run, pytest.raises(InvalidInputError, match="begins once"), run:
        pass
    assert runs.ids() == [run.id]
    assert runs.end(run.id)["outcome"] == "finished"
